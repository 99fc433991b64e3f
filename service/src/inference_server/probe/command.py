"""The command line of `inference-server probe`."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from inference_server.probe import golden, golden_set, load, options, shadow_agreement, smoke
from inference_server.probe.golden_set import Target
from inference_server.probe.outcome import MISUSE, WORDS, ProbeError, Report


def main(arguments: Sequence[str]) -> int:
    """Ask a running service: what was found on stdout, the verdict in its last line."""
    given = options.parser().parse_args(arguments)
    print(f"{given.probe}: {given.name} version {given.version} at {given.url}", flush=True)
    try:
        report = asyncio.run(_PROBES[given.probe](given))
    except ProbeError as error:
        report = Report(error.status, str(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    for line in (*report.details, f"{WORDS[report.status]}: {report.reason}"):
        print(line)
    return report.status


async def _smoke(given: argparse.Namespace) -> Report:
    return await smoke.ask_smoke(_target(given))


async def _golden_set(given: argparse.Namespace) -> Report:
    return await golden_set.ask_golden_set(_target(given), _golden(given), given.tolerance)


async def _load(given: argparse.Namespace) -> Report:
    asked = given.rate * given.seconds
    if not 1 <= asked <= options.MAX_REQUESTS:
        raise ProbeError(
            MISUSE, f"--rate x --seconds is {asked:g}, not 1 to {options.MAX_REQUESTS}"
        )
    plan = load.Plan(
        given.rate, given.seconds, given.connections, any_version=given.versions == "any"
    )
    limits = load.Limits(
        error=given.error_limit,
        slow_500ms=given.slow_500ms_limit,
        slow_1s=given.slow_1s_limit,
        z=given.z,
        minimum_requests=given.minimum_requests,
        minimum_share=given.minimum_share,
    )
    return load.judge(await load.ask_load(_target(given), _golden(given), plan), limits)


async def _shadow_agreement(given: argparse.Namespace) -> Report:
    shadow = shadow_agreement.Shadow(
        given.stable_url, given.inputs, given.jitter, given.seed, given.minimum
    )
    return await shadow_agreement.ask_shadow_agreement(_target(given), _golden(given), shadow)


_PROBES = {
    "smoke": _smoke,
    "golden-set": _golden_set,
    "load": _load,
    "shadow-agreement": _shadow_agreement,
}


def _target(given: argparse.Namespace) -> Target:
    return Target(
        url=given.url,
        name=given.name,
        version=given.version,
        api_key=_api_key(given.api_key_file),
        patience=given.patience,
        host=given.host,
        ca_file=given.ca_file,
    )


def _api_key(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ProbeError(MISUSE, f"{file}: no API key ({type(error).__name__})") from None


def _golden(given: argparse.Namespace) -> golden.GoldenSet:
    return golden.read_golden_set(given.repository, given.name, given.version)
