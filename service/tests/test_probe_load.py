"""`probe load` against real servers, and its verdicts: an open loop with exact bounds."""

import asyncio
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from inference_server.probe.golden import read_golden_set
from inference_server.probe.golden_set import Target
from inference_server.probe.load import Limits, Plan, Tally, ask_load, bound, judge
from inference_server.probe.outcome import FAIL, PASS, UNDECIDED
from scipy.stats import binom

from .conftest import Server, Start, wait_until
from .golden_models import ask, golden_classifier, golden_set
from .onnx_models import lookup

LIMITS = Limits(
    error=0.001,
    slow_500ms=0.05,
    slow_1s=0.01,
    z=2.3263,
    minimum_requests=3000,
    minimum_share=0.99,
)


def place(folder: Path) -> Path:
    return folder / "flowers" / "1" / "model.onnx"


def probe(
    server: Server, repository: Path, *options: str, name: str = "flowers"
) -> tuple[int, list[str]]:
    """Exit status and lines of a load of 20 requests/s for 2 s.

    Other tests share this machine: how fast it answers is not what they are about.
    """
    status, lines, errors = ask(
        *("load", "--rate=20", "--seconds=2", "--connections=8", "--z=2.3263"),
        *("--error-limit=0.001", "--slow-500ms-limit=1", "--slow-1s-limit=1"),
        *("--minimum-requests=40", "--minimum-share=0", "--patience=0"),
        *(f"--url={server.client.base_url}", f"--name={name}", "--version=1"),
        *(f"--repository={repository}", *options),
    )
    assert errors == ""
    return status, lines


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    golden_classifier(place(folder))
    return folder


@pytest.fixture(scope="module")
def serving(good: Path, start_anywhere: Start) -> Server:
    return start_anywhere(good)


def load(server: Server, repository: Path, plan: Plan) -> Tally:
    target = Target(str(server.client.base_url), "flowers", 1, None, patience=1)
    return asyncio.run(ask_load(target, read_golden_set(repository, "flowers", 1), plan))


@contextmanager
def stalled_under_load(server: Server, seconds: float | None = None) -> Iterator[None]:
    """The server stands still from its next inference on, so long or until the end."""
    begun, left = 'http_requests_started_total{endpoint="infer"}', threading.Event()
    before = server.metric(begun) or 0

    def stall() -> None:
        wait_until(lambda: (server.metric(begun) or 0) > before)
        server.process.send_signal(signal.SIGSTOP)
        left.wait(seconds)
        server.process.send_signal(signal.SIGCONT)

    thread = threading.Thread(target=stall)
    thread.start()
    try:
        yield
    finally:
        if seconds is None:
            left.set()
        thread.join()


def test_a_server_that_carries_the_rate_passes(serving: Server, good: Path) -> None:
    status, lines = probe(serving, good)
    assert status == 0, lines
    assert lines[1].startswith("sent 40 of 40 requests, 50 % within 0.")
    assert lines[2] == "40 x version 1"
    assert lines[3].startswith("pass: of 40 requests 0 errors, ")


@pytest.fixture(scope="module")
def bad(good: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`flowers` in a second version, and `lookup` that fails on one of four golden inputs."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "flowers").mkdir()
    for version in ("1", "2"):
        (folder / "flowers" / version).symlink_to(good / "flowers" / "1")
    inputs = {"x": np.array([0, 1, 2, 7], dtype=np.float32)}
    recorded = golden_set(inputs, {"y": inputs["x"]})
    lookup(folder / "lookup" / "1" / "model.onnx", golden_set=recorded)
    return folder


@pytest.fixture(scope="module")
def serving_bad(bad: Path, start_anywhere: Start) -> Server:
    return start_anywhere(bad)


@pytest.mark.parametrize(
    ("name", "found", "reason"),
    [
        (
            "lookup",
            ["30 x version 1", "10 x HTTP 500: the model failed on this input"],
            "10 errors",
        ),
        ("flowers", ["40 x answered by version '2', expected '1'"], "40 errors"),
    ],
)
def test_errors_fail_and_are_counted_by_kind(
    bad: Path, serving_bad: Server, name: str, found: list[str], reason: str
) -> None:
    status, lines = probe(serving_bad, bad, name=name)
    assert status == 1
    assert lines[2:] == [
        *found,
        f"fail: of 40 requests {reason}, up to 1 agree with 0.10%",
    ]


def test_on_a_route_any_version_answers_right_and_each_is_counted(
    bad: Path, serving_bad: Server
) -> None:
    status, lines = probe(serving_bad, bad, "--versions=any")
    assert status == 0, lines
    assert lines[2] == "40 x version 2"


def test_an_error_is_one_whichever_version_it_is_of(bad: Path, serving_bad: Server) -> None:
    status, lines = probe(serving_bad, bad, "--versions=any", name="lookup")
    assert status == 1
    assert lines[3] == "10 x HTTP 500: the model failed on this input"


def test_too_few_requests_are_undecided(serving: Server, good: Path) -> None:
    status, lines = probe(serving, good, "--minimum-requests=41")
    assert status == 3
    assert lines[-1] == "undecided: 40 of 40 requests sent are too few"


def test_a_stalled_server_slows_every_request_that_was_due_and_fails(
    serving: Server, good: Path
) -> None:
    """A closed loop would see one slow request for each of its connections: two."""
    with stalled_under_load(serving, 1.5):
        tally = load(serving, good, Plan(rate=20, seconds=4, connections=2))
    assert (tally.sent, tally.errors) == (80, 0)
    assert tally.above(0.5) >= 18
    assert tally.above(1.0) >= 8
    # How late this shared machine was is another test's matter.
    report = judge(Tally(tally.asked, tally.seconds), LIMITS)
    assert report.status == FAIL
    assert "above 1 s, up to 4 agree with 1.00%" in report.reason


def test_what_could_not_leave_before_the_end_counts_as_not_sent(
    serving: Server, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference_server.probe.load.REQUEST_SECONDS", 0.5)
    with stalled_under_load(serving):
        tally = load(serving, good, Plan(rate=50, seconds=2, connections=2))
    assert tally.problems["no answer (not within 0.5 s)"] >= 4
    assert tally.sent < 0.99 * tally.asked


def test_a_rate_that_this_machine_cannot_send_is_not_the_fault_of_the_server(
    serving: Server, good: Path
) -> None:
    measured = load(serving, good, Plan(rate=10_000, seconds=0.1, connections=64))
    assert measured.late > 0.01 * measured.asked
    report = judge(Tally(measured.asked, measured.seconds, late=measured.late), LIMITS)
    assert report.status == UNDECIDED
    assert report.reason == f"this machine sent {measured.late} of 1000 requests too late"


def tally(sent: int = 6000, *, errors: int = 0, slow: int = 0, late: int = 0) -> Tally:
    seconds = [2.0] * slow + [0.01] * (sent - slow)
    return Tally(6000, seconds, Counter({"HTTP 500": errors}), late)


@pytest.mark.parametrize(
    ("measured", "status", "reason"),
    [
        (tally(errors=12), PASS, "of 6000 requests 12 errors, 0 above 500 ms, 0 above 1 s"),
        (tally(errors=13), FAIL, "of 6000 requests 13 errors, up to 12 agree with 0.10%"),
        (tally(slow=79), PASS, "of 6000 requests 0 errors, 79 above 500 ms, 79 above 1 s"),
        (tally(slow=80), FAIL, "of 6000 requests 80 above 1 s, up to 79 agree with 1.00%"),
        (tally(late=60), PASS, "of 6000 requests 0 errors, 0 above 500 ms, 0 above 1 s"),
        (tally(late=61), UNDECIDED, "this machine sent 61 of 6000 requests too late"),
        (tally(slow=80, late=61), UNDECIDED, "this machine sent 61 of 6000 requests too late"),
        (tally(errors=13, late=61), FAIL, "of 6000 requests 13 errors, up to 12 agree with 0.10%"),
        (tally(5939), UNDECIDED, "5939 of 6000 requests sent are too few"),
        (tally(5940), PASS, "of 5940 requests 0 errors, 0 above 500 ms, 0 above 1 s"),
        (tally(0), UNDECIDED, "0 of 6000 requests sent are too few"),
    ],
)
def test_the_verdict_at_each_boundary(measured: Tally, status: int, reason: str) -> None:
    report = judge(measured, LIMITS)
    assert (report.status, report.reason) == (status, reason)


@pytest.mark.parametrize("share", [0.001, 0.01, 0.05])
def test_the_bound_is_the_exact_binomial_one_or_one_above(share: float) -> None:
    requests = np.arange(3000, 60000, 7)
    exact = binom.ppf(0.99, requests, share)
    ours = np.floor([bound(share, int(n), 2.3263) for n in requests])
    assert set(ours - exact) <= {0, 1}
    assert np.mean(ours > exact) <= 0.06


def test_quantiles_are_of_the_nearest_rank() -> None:
    measured = Tally(4, [0.4, 0.1, 0.3, 0.2])
    assert [measured.quantile(share) for share in (0, 0.5, 0.95, 1)] == [0.1, 0.3, 0.4, 0.4]
