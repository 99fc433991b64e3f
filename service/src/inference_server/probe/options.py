"""The options of `inference-server probe`. Thresholds have no default: the templates hold them."""

import argparse
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from inference_server.models.naming import NAME, VERSION

MAX_REQUESTS = 1_000_000
MAX_CONNECTIONS = 1000
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")

_EPILOG = (
    "Exit status: 0 pass, 1 fail, 2 misuse, "
    "3 undecided: the service could not be asked, or not enough."
)


def parser() -> argparse.ArgumentParser:
    """One subcommand for each probe; argparse ends a misuse with exit status 2."""
    parser = argparse.ArgumentParser(
        prog="inference-server probe",
        description="Ask a running service what a release has to answer well.",
        epilog=_EPILOG,
    )
    probes = parser.add_subparsers(dest="probe", required=True, metavar="PROBE")
    _add(probes, "smoke", "live, ready, metadata, one inference by v2 and by /predict")
    golden_set = _add(probes, "golden-set", "the outputs recorded with the model")
    _add_repository(golden_set)
    golden_set.add_argument(
        "--tolerance", type=_number, required=True, help="of a float, times its size above 1"
    )
    _add_load(_add(probes, "load", "a rate of requests, within limits"))
    _add_shadow(_add(probes, "shadow-agreement", "the classes of canary and stable"))
    return parser


def _add(probes: Any, name: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = probes.add_parser(
        name, help=text, description=f"Ask for {text}.", epilog=_EPILOG
    )
    _add_known(parser, "url", "PROBE_URL", _url, "http(s)://HOST[:PORT] of the service")
    _add_known(parser, "name", "MODEL_NAME", _name, "the model")
    _add_known(parser, "version", "MODEL_VERSION", _version, "the version that has to answer")
    text = "file with the key that is sent as X-API-Key"
    _add_known(parser, "api-key-file", "API_KEY_FILE", Path, text, required=False)
    text = "name that is asked for and certified, where the URL is only the way to it"
    _add_known(parser, "host", "PROBE_HOST", _host, text, required=False)
    text = "file with the certificates that are trusted by https instead of the system's"
    _add_known(parser, "ca-file", "PROBE_CA_FILE", Path, text, required=False)
    parser.add_argument(
        "--patience", type=_number, default=30, help="seconds until it is served (default: 30)"
    )
    return parser


def _add_load(parser: argparse.ArgumentParser) -> None:
    _add_repository(parser)
    for option, convert, text in (
        ("--rate", _number, "requests/s"),
        ("--seconds", _number, "how long they are sent"),
        ("--connections", _count(1, MAX_CONNECTIONS), "each carries one request at a time"),
        ("--error-limit", _share, "largest share without a right answer"),
        ("--slow-500ms-limit", _share, "largest share above 500 ms"),
        ("--slow-1s-limit", _share, "largest share above 1 s"),
        ("--z", _number, "normal quantile at which a limit is refuted"),
        ("--minimum-requests", _count(1, MAX_REQUESTS), "below it nothing is decided"),
        ("--minimum-share", _share, "of the requests that has to be sent, and in time"),
    ):
        parser.add_argument(option, type=convert, required=True, help=text)
    parser.add_argument(
        "--versions",
        choices=("release", "any"),
        default="release",
        help="whose answers are right: the version's, or any on a route that two share",
    )


def _add_shadow(parser: argparse.ArgumentParser) -> None:
    _add_repository(parser)
    _add_known(parser, "stable-url", "PROBE_STABLE_URL", _url, "the same of stable")
    for option, convert, text in (
        ("--inputs", _count(1, MAX_REQUESTS), "how many inputs are asked"),
        ("--jitter", _number, "relative standard deviation of the repeated inputs"),
        ("--seed", _count(0, 2**32 - 1), "of the jitter"),
        ("--minimum", _share, "share of classes that has to agree"),
    ):
        parser.add_argument(option, type=convert, required=True, help=text)


def _add_repository(parser: argparse.ArgumentParser) -> None:
    text = "folder that `inference-server fetch` filled"
    _add_known(parser, "repository", "MODEL_REPOSITORY", Path, text)


def _add_known(
    parser: argparse.ArgumentParser,
    name: str,
    variable: str,
    convert: Callable[[str], Any],
    text: str,
    *,
    required: bool = True,
) -> None:
    """An option that the environment may give."""
    given = os.environ.get(variable) or None
    parser.add_argument(
        f"--{name}",
        type=convert,
        default=given,
        required=required and given is None,
        help=f"{text} (environment: {variable})",
    )


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        raise argparse.ArgumentTypeError(f"{text!r} is no http(s)://HOST[:PORT]")
    return text.rstrip("/")


def _host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no host name")
    return text


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no model name")
    return text


def _version(text: str) -> int:
    if not VERSION.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no positive integer")
    return int(text)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 0 or more")
    return number


def _share(text: str) -> float:
    share = _number(text)
    if share > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share of 0 to 1")
    return share


def _count(least: int, most: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number of {least} to {most}")
        return int(text)

    return convert
