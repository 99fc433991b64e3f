"""`release-play` as a person starts it: the whole run, broken overlays, Ctrl-C."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [str(Path(sys.executable).with_name("release-play"))]
LIMIT_SECONDS = 300

pytestmark = pytest.mark.xdist_group("play")


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
    for name in ("apps", "argocd", "base", "overlays", "rollouts"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / ".tools").symlink_to(ROOT / ".tools")
    return folder


def play(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        COMMAND, cwd=root, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
    )


def test_the_good_release_is_promoted_and_the_bad_one_aborted() -> None:
    before = git_status()
    result = play(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert git_status() == before
    assert not running_below(ROOT / "build" / "run")
    assert "\x1b[" not in result.stdout

    report = json.loads((ROOT / "build" / "run" / "report.json").read_text())
    overlays = {overlay["name"] for overlay in report["overlays"]}
    assert overlays == {f"{env}/inference" for env in ("dev", "staging", "production")}
    good, bad = report["releases"]
    assert (good["verdict"], good["lost"]) == ("promoted", 0)
    assert [step["weight"] for step in good["steps"]] == [10, 50]
    assert good["requests"]["canary"] > 800
    assert bad["verdict"] == "aborted"
    assert [step["weight"] for step in bad["steps"]] == [10]
    assert {metric["name"] for metric in bad["steps"][0]["metrics"] if metric["verdict"] == "fail"}


def test_an_overlay_that_is_no_yaml_is_said_with_file_and_line(tmp_path: Path) -> None:
    root = checkout(tmp_path)
    broken = root / "overlays" / "dev" / "inference" / "kustomization.yaml"
    broken.write_text(broken.read_text() + "\nnamespace: twice\n")
    result = play(root)
    assert result.returncode == 1
    assert "dev/inference/kustomization.yaml" in result.stderr
    assert "namespace" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_overlay_that_breaks_a_policy_is_not_played(tmp_path: Path) -> None:
    root = checkout(tmp_path)
    rollout = root / "base" / "inference" / "rollout.yaml"
    rollout.write_text(rollout.read_text().replace("runAsNonRoot: true", "runAsNonRoot: false"))
    result = play(root)
    assert result.returncode == 1
    assert "run-as-non-root" in result.stdout
    assert "Release good" not in result.stdout
    assert json.loads((root / "build" / "run" / "report.json").read_text())["releases"] == []


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_stops_what_it_started(sent: signal.Signals, status: int) -> None:
    runs = ROOT / "build" / "run" / "runs"
    before = set(runs.glob("*"))
    process = subprocess.Popen(
        COMMAND, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    started: list[str] = []
    while not started and time.monotonic() < deadline:
        started = [line for new in set(runs.glob("*")) - before for line in running_below(new)]
        time.sleep(0.05)
    assert started, "nothing was started"
    os.kill(process.pid, sent)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status, errors
    assert "Traceback" not in errors
    assert not running_below(runs)
