"""The command `release-play`, which `make run` calls."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from canary_gate import RefusedError
from gitops_policy import ManifestError, RenderError
from model_pipeline import PipelineError

from release_play.pace import Pace
from release_play.pods import PodError
from release_play.processes import ProcessError
from release_play.report import write_reports
from release_play.run import PlayError, Setting, run
from release_play.view import View
from release_play.workspace import WorkspaceError

FAILED, INTERRUPTED, TERMINATED = 1, 130, 143

EXPECTED_ERRORS = (
    ManifestError,
    OSError,
    PipelineError,
    PlayError,
    PodError,
    ProcessError,
    RefusedError,
    RenderError,
    WorkspaceError,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Play; 0 when everything was as expected, 1 when not, 130 or 143 when stopped."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _terminate)
    root = Path.cwd()
    setting = Setting(root, root / "build" / "run", root / ".tools", Pace(rate=options.rate))
    view = View()
    try:
        outcome = run(setting, view)
    except EXPECTED_ERRORS as error:
        print(f"release-play: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("release-play: interrupted; everything it started is stopped", file=sys.stderr)
        return INTERRUPTED
    page = write_reports(outcome, setting.pace.arguments(10), setting.output)
    view.result(outcome)
    view.line(f"report: {page.relative_to(root)}")
    return 0 if outcome.clean else FAILED


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="release-play", description=__doc__)
    parser.add_argument(
        "--rate",
        type=float,
        default=Pace.rate,
        help="requests per second to send, over both sides (default: %(default)g)",
    )
    return parser
