"""`release-play` as a person starts it: the whole run, broken overlays, Ctrl-C."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from release_play.cli import main
from release_play.workspace import COPIED

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [str(Path(sys.executable).with_name("release-play"))]


def git_status() -> str:
    command = ["git", "status", "--porcelain", "--untracked-files=all"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def running_below(folder: Path) -> list[str]:
    """Command lines of programs that still use a run folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command:
            found.append(command)
    return found


def checkout(folder: Path) -> Path:
    """A copy of the manifests that a test may break, with this repository's tools."""
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name)
    (folder / ".tools").symlink_to(ROOT / ".tools")
    return folder


@dataclass(frozen=True)
class Played:
    """How a run ended and what it wrote."""

    status: int
    stdout: str
    stderr: str


@pytest.fixture
def play(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[[Path], Played]]:
    """The command in this process, so that its coverage counts."""

    def played(root: Path) -> Played:
        monkeypatch.chdir(root)
        status = main([])
        return Played(status, *capsys.readouterr())

    before = signal.getsignal(signal.SIGTERM)
    yield played
    signal.signal(signal.SIGTERM, before)


def test_the_good_release_is_promoted_and_the_bad_one_aborted(
    play: Callable[[Path], Played],
) -> None:
    before = git_status()
    result = play(ROOT)
    assert result.status == 0, result.stdout + result.stderr
    assert git_status() == before
    assert "\x1b[" not in result.stdout

    report = json.loads((ROOT / "build" / "run" / "report.json").read_text())
    overlays = {overlay["name"] for overlay in report["overlays"]}
    assert overlays == {f"{env}/inference" for env in ("dev", "staging", "production")}
    good, bad = report["releases"]
    assert (good["verdict"], good["lost"]) == ("promoted", 0)
    assert [step["weight"] for step in good["steps"]] == [0, 0, 10, 50]
    asked = {metric["name"] for step in good["steps"] for metric in step["metrics"]}
    assert {"golden-set", "load", "error-sprt", "pod-restarts", "prediction-psi"} <= asked
    assert [metric["name"] for metric in good["beside"]] == ["slo-burn"]
    assert good["requests"]["canary"] > 800
    assert bad["verdict"] == "aborted"
    assert [step["weight"] for step in bad["steps"]] == [0, 0, 10]
    assert {metric["name"] for metric in bad["steps"][-1]["metrics"] if metric["verdict"] == "fail"}


def test_an_overlay_that_is_no_yaml_is_said_with_file_and_line(
    tmp_path: Path, play: Callable[[Path], Played]
) -> None:
    root = checkout(tmp_path)
    broken = root / "overlays" / "dev" / "inference" / "kustomization.yaml"
    broken.write_text(broken.read_text() + "\nnamespace: twice\n")
    result = play(root)
    assert result.status == 1
    assert "dev/inference/kustomization.yaml" in result.stderr
    assert "namespace" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_overlay_that_breaks_a_policy_is_not_played(
    tmp_path: Path, play: Callable[[Path], Played]
) -> None:
    root = checkout(tmp_path)
    rollout = root / "base" / "inference" / "rollout.yaml"
    rollout.write_text(rollout.read_text().replace("runAsNonRoot: true", "runAsNonRoot: false"))
    result = play(root)
    assert result.status == 1
    assert "run-as-non-root" in result.stdout
    assert "Release good" not in result.stdout
    assert json.loads((root / "build" / "run" / "report.json").read_text())["releases"] == []


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_stops_what_it_started(sent: signal.Signals, status: int) -> None:
    runs = ROOT / "build" / "run" / "runs"
    before = set(runs.glob("*"))
    process = subprocess.Popen(
        COMMAND,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    folders: list[Path] = []
    while not folders and time.monotonic() < deadline:
        folders = [folder for folder in set(runs.glob("*")) - before if running_below(folder)]
        time.sleep(0.05)
    assert len(folders) == 1, "nothing was started"
    os.kill(process.pid, sent)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status, errors
    assert "Traceback" not in errors
    assert not running_below(folders[0])
