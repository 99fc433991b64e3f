"""Work is shared among processes: same result, no hang, nothing left behind."""

import os
import pickle
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from gitops_policy import Config
from gitops_policy.engine import Evaluation
from gitops_policy.reading.build import build_files
from gitops_policy.runs import check
from gitops_policy.workers import Lost, share
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
CASES = sorted(map(str, (ROOT / "policy-tests" / "cases").glob("*/*-*.yaml")))
OVERLAYS = [str(ROOT / "overlays" / name / "inference") for name in ("dev", "production")]


@pytest.fixture(autouse=True, scope="module")
def _forked():
    """Fork also beside the threads of the test runner: a spawned process would import it all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("threading.active_count", lambda: 1)
        yield


def verdict(paths: list[str], jobs: int, profile: str = "strict") -> object:
    reports, failures = check(paths, Config(profile=profile), jobs=jobs)
    return list(reports.items()), list(map(str, failures))


def test_two_processes_say_of_our_overlays_what_one_says() -> None:
    assert verdict(OVERLAYS, 2) == verdict(OVERLAYS, 1)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.sampled_from(CASES), min_size=2, max_size=40), st.integers(2, 4))
def test_any_number_of_processes_says_the_same(paths: list[str], jobs: int) -> None:
    assert verdict(paths, jobs) == verdict(paths, 1)


def test_an_evaluation_can_be_sent_to_a_process_that_shares_no_memory() -> None:
    evaluation = Evaluation(build_files(map(Path, CASES[:40])), Config(), None)
    copy = pickle.loads(pickle.dumps(evaluation))
    assert [copy.run(part) for part in copy.parts()] == [
        evaluation.run(part) for part in evaluation.parts()
    ]


def kill_at(bad: int, number: int) -> int:
    if number == bad:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def refuse(number: int) -> int:
    raise ValueError(f"not {number}")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_results_come_in_the_order_of_the_tasks(method: str) -> None:
    assert share(partial(pow, 2), range(20), 3, method) == [2**n for n in range(20)]


def test_a_process_that_dies_costs_its_task_and_the_others_go_on() -> None:
    answers = share(partial(kill_at, 3), range(8), 2)
    assert answers[3] == Lost("its process ended by signal 9")
    assert [a for a in answers if not isinstance(a, Lost)] == [0, 1, 2, 4, 5, 6, 7]


def test_when_every_process_has_died_the_rest_is_lost_too() -> None:
    answers = share(partial(kill_at, 0), [0, 0, 1], 2)
    assert [isinstance(a, Lost) for a in answers] == [True, True, True]


def test_what_a_task_raises_is_raised_here() -> None:
    with pytest.raises(ValueError, match="not 0"):
        share(refuse, [0, 0], 2)


DYING_RULE = r"""
import os, sys
from gitops_policy import rule

@rule(id="dies", title="t", severity="error", rationale="r", references=["x"], kinds=["Pod"])
def dies(pod):
    "Die like a process that is killed."
    os.kill(os.getpid(), 9)
    yield

@rule(id="waits", title="t", severity="error", rationale="r", references=["x"], kinds=["Pod"])
def waits(pod):
    "Never end."
    import time
    os.write(1, f"waiting {os.getpid()}\n".encode())
    time.sleep(600)
    yield
"""
PODS = """
apiVersion: v1
kind: Pod
metadata: {name: a}
spec: {containers: [{name: a, image: a}]}
"""


@pytest.fixture
def command(tmp_path: Path):
    (tmp_path / "team").mkdir()
    (tmp_path / "team" / "rule.py").write_text(DYING_RULE)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pod.yaml").write_text(PODS)

    def arguments(rule: str) -> list[str]:
        folders = [str(tmp_path / name) for name in ("a", "b")]
        options = ["--rules", str(tmp_path / "team"), "--only", rule, "--jobs", "2"]
        return [sys.executable, "-m", "gitops_policy.cli", "lint", *folders, *options]

    return arguments


def test_a_killed_process_is_exit_status_3_and_names_what_was_not_checked(command) -> None:
    done = subprocess.run(command("dies"), capture_output=True, text=True, timeout=60)
    assert done.returncode == 3
    assert "not checked: its process ended by signal 9" in done.stdout


def test_an_interrupt_ends_the_children(command) -> None:
    running = subprocess.Popen(command("waits"), stdout=subprocess.PIPE, text=True, env=untraced())
    assert running.stdout
    children = [int(running.stdout.readline().split()[1]) for _ in range(2)]
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=30) == 130
    assert not any(alive(child) for child in children)


def test_children_end_when_their_parent_is_killed(command) -> None:
    running = subprocess.Popen(command("waits"), stdout=subprocess.PIPE, text=True, env=untraced())
    assert running.stdout
    children = [int(running.stdout.readline().split()[1]) for _ in range(2)]
    running.kill()
    running.wait(timeout=30)
    deadline = time.monotonic() + 30
    while any(alive(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    for child in children:
        assert not alive(child)


def untraced() -> dict[str, str]:
    """The environment without coverage, whose tracer can dead-lock with a signal handler."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
