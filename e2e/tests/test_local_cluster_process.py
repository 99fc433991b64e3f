"""Detached processes: found again by pid and start time, ended within a limit."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest
from local_cluster import kernel, process
from local_cluster.cluster import ClusterError

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('deaf', flush=True); time.sleep(60)",
]


def until(true: object, seconds: float = 10) -> bool:
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if true():  # type: ignore[operator]
            return True
        time.sleep(0.02)
    return False


def test_a_started_process_lives_in_a_session_of_its_own(tmp_path: Path) -> None:
    record = process.start("sleeper", tmp_path, SLEEP, {})
    found = kernel.stat(record.pid)
    assert process.alive(tmp_path) == record
    assert found is not None
    assert found.session == record.pid
    process.stop(tmp_path)
    assert process.alive(tmp_path) is None


def test_it_gets_our_environment_and_its_own(tmp_path: Path) -> None:
    script = "import os; print(os.environ['PATH'] != '', os.environ['OWN'])"
    process.start("printer", tmp_path, [sys.executable, "-c", script], {"OWN": "word"})
    assert until(lambda: "True word" in process.log_tail(tmp_path))


def test_a_program_that_gives_way_is_nice_in_all_its_threads(tmp_path: Path) -> None:
    script = "import os, threading as t; a = t.Thread(target=lambda: print('nice', os.nice(0)))"
    argv = [sys.executable, "-c", f"{script}; a.start(); a.join()"]
    process.start("polite", tmp_path, argv, {}, gives_way=True)
    assert until(lambda: f"nice {process.NICE}" in process.log_tail(tmp_path))


def test_a_program_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="etcd: /nowhere/etcd could not be started"):
        process.start("etcd", tmp_path, ["/nowhere/etcd"], {})


def test_a_pid_that_another_process_has_by_now_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "process.json").write_text(json.dumps({"pid": os.getpid(), "started": 1}))
    assert process.alive(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", '{"pid": 1}', "{"])
def test_a_broken_record_is_no_process(tmp_path: Path, text: str) -> None:
    (tmp_path / "process.json").write_text(text)
    assert process.recorded(tmp_path) is None


def test_a_zombie_is_dead(tmp_path: Path) -> None:
    pid = os.spawnv(os.P_NOWAIT, "/bin/true", ["true"])
    assert until(lambda: kernel.stat(pid) is None)
    assert process.adopt(tmp_path, pid) is None
    os.waitpid(pid, 0)


def test_what_does_not_heed_sigterm_is_killed_when_the_limit_passes(tmp_path: Path) -> None:
    record = process.start("deaf", tmp_path, STUBBORN, {})
    assert until(lambda: "deaf" in process.log_tail(tmp_path))
    started = time.monotonic()
    process.stop(tmp_path, within=0.3)
    assert kernel.stat(record.pid) is None
    assert time.monotonic() - started < 8


def test_the_end_of_a_long_log_is_told(tmp_path: Path) -> None:
    process.log_path(tmp_path).write_text("".join(f"line {n}\n" for n in range(10000)))
    assert process.log_tail(tmp_path, lines=2) == "line 9998\nline 9999"


def test_a_log_that_is_not_there_is_said(tmp_path: Path) -> None:
    assert process.log_tail(tmp_path) == "(it wrote no log)"


def test_we_and_those_who_started_us_are_never_left_overs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(process.MARK, f"{tmp_path}/parts/shell")
    assert os.getpid() not in process.left_of(tmp_path)
