"""Programs are started, waited for and stopped within bounds, and named when they fail."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest
from release_play.processes import ProcessError, ProcessGroup, free_port, wait_until_ready

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def group(tmp_path: Path) -> Iterator[ProcessGroup]:
    with ProcessGroup(tmp_path / "logs") as started:
        yield started


def test_leaving_the_group_stops_everything(tmp_path: Path) -> None:
    with ProcessGroup(tmp_path) as group:
        processes = [group.start(f"sleeper-{n}", SLEEPER) for n in range(2)]
        assert all(process.alive for process in processes)
    assert not any(process.alive for process in processes)


def test_an_exception_stops_everything_too(tmp_path: Path) -> None:
    started = []

    def interrupted() -> None:
        with ProcessGroup(tmp_path) as group:
            started.append(group.start("sleeper", SLEEPER))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [process.alive for process in started] == [False]


def test_an_interrupt_while_a_program_starts_does_not_forget_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    class Interrupted(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: object, **options: object):
            super().__init__(*arguments, **options)  # type: ignore[call-overload]
            started.append(self)
            signal.raise_signal(signal.SIGINT)

    def interrupted() -> None:
        with ProcessGroup(tmp_path) as group:
            group.start("sleeper", SLEEPER)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [process.poll() for process in started] == [-signal.SIGTERM]


def test_a_program_that_ignores_sigterm_is_killed(group: ProcessGroup) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True)"
    process = group.start("deaf", [sys.executable, "-c", f"{code}; time.sleep(60)"])
    deadline = time.monotonic() + 10
    while "deaf" not in process.log_tail() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.stop(within=0.2) == -signal.SIGKILL


def test_a_program_that_died_is_named_with_the_end_of_its_log(group: ProcessGroup) -> None:
    process = group.start("broken", [sys.executable, "-c", "raise SystemExit('no such model')"])
    with pytest.raises(ProcessError, match=r"broken ended with status 1(.|\n)*no such model"):
        wait_until_ready(process, f"http://127.0.0.1:{free_port()}/", within=20)


def test_a_program_that_never_answers_is_given_up(group: ProcessGroup) -> None:
    process = group.start("mute", SLEEPER)
    with pytest.raises(ProcessError, match=r"mute was not ready within 0 s"):
        wait_until_ready(process, f"http://127.0.0.1:{free_port()}/", within=0.3)


def test_the_last_answer_is_said_when_a_program_is_never_ready(group: ProcessGroup) -> None:
    process = group.start("elsewhere", SLEEPER)
    with HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with pytest.raises(ProcessError, match="404"):
            wait_until_ready(process, f"http://127.0.0.1:{server.server_port}/none", within=1)
        server.shutdown()
        thread.join()


def test_a_missing_program_is_named(group: ProcessGroup) -> None:
    with pytest.raises(ProcessError, match="ghost could not be started"):
        group.start("ghost", ["/no/such/program"])


def test_a_program_run_to_its_end_must_succeed(group: ProcessGroup) -> None:
    group.run("fine", [sys.executable, "-c", "print('ok')"], {}, within=20)
    with pytest.raises(ProcessError, match=r"init ended with status 3"):
        group.run("init", [sys.executable, "-c", "raise SystemExit(3)"], {}, within=20)
    assert group.running == []


def test_a_program_run_to_its_end_has_a_limit(group: ProcessGroup) -> None:
    with pytest.raises(ProcessError, match="did not end within"):
        group.run("slow", SLEEPER, {}, within=0.2)
    assert group.running == []
