"""The command line of `inference-server fetch`."""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import NoReturn

from inference_server.fetch.download import fetch
from inference_server.fetch.outcome import MISUSE, FetchError
from inference_server.fetch.request import ENVIRONMENT, Limits, make_request, shown

_LIMITS = {
    "max-bytes": (4 * 2**30, "largest model file"),
    "seconds": (600, "time for everything, retries included"),
    "retries": (4, "attempts after the first one that failed for a while"),
}


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """argparse's own status, 2, means `not found` here."""
        self.exit(MISUSE, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str]) -> int:
    """Fetch one model; the status is 0, 1 (hash), 2 (not found), 3 (unreachable), 64 or 73."""
    options = vars(_parser().parse_args(arguments))
    try:
        values = {key: options[key] or os.environ.get(name) for key, name in ENVIRONMENT.items()}
        limits = Limits(
            max_bytes=_limit(options, "max-bytes"),
            seconds=_limit(options, "seconds"),
            retries=_limit(options, "retries"),
        )
        request = make_request(values, limits)
        target = fetch(request)
    except FetchError as error:
        print(f"inference-server fetch: {error}", file=sys.stderr)
        return error.status
    print(f"{shown(request.uri)} is {target} ({target.stat().st_size} bytes, {request.sha256})")
    return 0


def _parser() -> ArgumentParser:
    parser = _Parser(
        prog="inference-server fetch",
        description="Bring a model file into a model repository, verified by its sha256.",
    )
    for key, variable in ENVIRONMENT.items():
        parser.add_argument(f"--{key}", metavar="VALUE", help=f"environment: {variable}")
    for key, (default, text) in _LIMITS.items():
        parser.add_argument(
            f"--{key}",
            metavar="N",
            help=f"{text} (environment: {_variable(key)}; default: {default})",
        )
    return parser


def _limit(options: dict[str, str | None], key: str) -> int:
    default, _ = _LIMITS[key]
    text = options[key.replace("-", "_")] or os.environ.get(_variable(key)) or str(default)
    if not text.isdecimal():
        raise FetchError(MISUSE, f"--{key} ({_variable(key)}): {text[:40]!r} is no whole number")
    return int(text)


def _variable(key: str) -> str:
    return "FETCH_" + key.replace("-", "_").upper()
