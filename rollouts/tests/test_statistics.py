"""The numbers in the conditions, held to the statistics they come from."""

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
from canary_gate import Phase
from canary_gate.run import judge
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import binom, norm

from rollouts.cases import analysis, prometheus_templates, read_document

#: Boundaries times three and one error in a thousand: what bursts of correlation 0.1 need.
BURSTS = {"design-effect": "3", "error-z": "3.0902"}
FIVE, REST = math.log(0.005 / 0.001), math.log(0.995 / 0.999)


@cache
def metric(name: str, **arguments: str) -> Any:
    return analysis(read_document(name), arguments).metrics[0]


def defaults(name: str) -> dict[str, float]:
    found = {}
    for argument in read_document(name)["spec"]["args"]:
        try:
            found[argument["name"]] = float(argument.get("value", "none"))
        except ValueError:
            continue
    return found


SPRT = metric("error-sprt")
CUSUM = metric("error-cusum")
ORDER = (Phase.SUCCESSFUL, Phase.INCONCLUSIVE, Phase.FAILED)


def llr(errors: Any, requests: Any) -> Any:
    return errors * FIVE + (requests - errors) * REST


@pytest.mark.parametrize(
    ("name", "word"),
    [("error-sprt", "error"), ("latency-500ms-sprt", "latency"), ("latency-1s-sprt", "latency")],
)
def test_the_boundaries_are_walds_for_one_percent_of_both_errors(name: str, word: str) -> None:
    found = defaults(name)
    assert found[f"{word}-reject-at"] == pytest.approx(math.log((1 - 0.01) / 0.01), abs=5e-4)
    assert found[f"{word}-accept-at"] == pytest.approx(math.log(0.01 / (1 - 0.01)), abs=5e-4)


@pytest.mark.parametrize(
    ("name", "p0", "p1"),
    [
        ("error-sprt", ("error-p0", 0.001), ("error-p1", 0.005)),
        ("error-cusum", ("error-p0", 0.001), ("error-p1", 0.005)),
        ("latency-500ms-sprt", ("slow-500ms-p0", 0.05), ("slow-500ms-p1", 0.075)),
        ("latency-1s-sprt", ("slow-1s-p0", 0.01), ("slow-1s-p1", 0.02)),
    ],
)
def test_the_hypotheses_are_those_of_the_contract(
    name: str, p0: tuple[str, float], p1: tuple[str, float]
) -> None:
    found = defaults(name)
    assert (found[p0[0]], found[p1[0]]) == (p0[1], p1[1])


def test_the_change_detector_alarms_at_the_log_of_999() -> None:
    assert defaults("error-cusum")["error-alarm-at"] == pytest.approx(math.log(999), abs=5e-4)
    assert judge(CUSUM, [6.9069]) is Phase.SUCCESSFUL
    assert judge(CUSUM, [6.907]) is Phase.FAILED


@given(st.integers(0, 5_000), st.integers(0, 400), st.integers(1, 50))
def test_more_errors_never_improve_the_sequential_verdict(
    requests: int, errors: int, more: int
) -> None:
    requests += errors + more
    before, after = (judge(SPRT, [llr(e, requests)]) for e in (errors, errors + more))
    assert ORDER.index(after) >= ORDER.index(before)


@pytest.mark.parametrize(
    ("value", "phase"),
    [
        (-4.595, Phase.SUCCESSFUL),
        (-4.594, Phase.INCONCLUSIVE),
        (4.594, Phase.INCONCLUSIVE),
        (4.595, Phase.FAILED),
    ],
)
def test_bursts_move_both_boundaries_outwards(value: float, phase: Phase) -> None:
    assert judge(SPRT, [value]) is phase
    assert judge(metric("error-sprt", **BURSTS), [value]) is Phase.INCONCLUSIVE
    assert judge(metric("error-sprt", **BURSTS), [value * 3]) is phase


def test_bursts_move_the_change_detectors_alarm_to_20_7() -> None:
    detector = metric("error-cusum", **BURSTS)
    assert judge(detector, [20.7]) is Phase.SUCCESSFUL
    assert judge(detector, [20.8]) is Phase.FAILED


@pytest.mark.parametrize(("rate", "aborted"), [(0.0005, (0, 0.01)), (0.01, (0.97, 1))])
def test_the_sequential_test_aborts_bad_canaries_and_keeps_good_ones(
    rate: float, aborted: tuple[float, float]
) -> None:
    """Ten requests a second, a look every 15 s, ten minutes: figures of a simulation."""
    draws = np.random.default_rng(1).binomial(150, rate, size=(2_000, 40)).cumsum(axis=1)
    ratio = llr(draws, 150 * np.arange(1, 41))
    decided = np.abs(ratio) >= 4.595
    first = np.where(decided.any(axis=1), decided.argmax(axis=1), 39)
    failed = ratio[np.arange(2_000), first] >= 4.595
    assert aborted[0] <= failed.mean() <= aborted[1]


def cusum(rate: float, per_scrape: int, runs: int) -> Any:
    """Largest log ratio of what came since any earlier scrape, for the 40 scrapes of a step."""
    draws = np.random.default_rng(2).binomial(per_scrape, rate, size=(runs, 40))
    sums = llr(draws, per_scrape).cumsum(axis=1)
    lowest = np.minimum.accumulate(np.hstack([np.zeros((runs, 1)), sums]), axis=1)
    return sums - lowest[:, 1:]


@pytest.mark.parametrize("per_scrape", [150, 1_500])
def test_the_change_detector_hardly_ever_alarms_at_a_good_release(per_scrape: int) -> None:
    alarmed = (cusum(0.0005, per_scrape, 50_000) >= 6.907).any(axis=1)
    assert alarmed.mean() <= 0.0002


@pytest.mark.parametrize(("per_scrape", "looks"), [(150, 4), (1_500, 1)])
def test_the_change_detector_sees_five_percent_within_a_minute(per_scrape: int, looks: int) -> None:
    """A change just after a scrape waits 15 s for the next, and up to 15 s for the look."""
    alarm = cusum(0.05, per_scrape, 50_000) >= 6.907
    assert alarm[:, :looks].any(axis=1).mean() >= 0.9999


def critical(window: Any, requests: int, low: int, high: int, within: bool = False) -> int:
    """Smallest number of errors at which the window fails; below it, it passes."""
    for errors in range(low, high):
        answer = [float(requests), float(requests - errors if within else errors)]
        if judge(window, answer) is Phase.FAILED:
            return errors
        assert judge(window, answer) is Phase.SUCCESSFUL
    raise AssertionError(f"no critical value in [{low}, {high})")


#: Template, rate that it refutes, level, arguments, and whether it shows those within the limit.
WINDOWS = [
    ("error-window", 0.001, 0.01, {}, False),
    ("error-window", 0.001, 0.001, BURSTS, False),
    ("latency-500ms-window", 0.05, 0.005, {}, True),
    ("latency-1s-window", 0.01, 0.005, {}, True),
]


@pytest.mark.parametrize(("name", "rate", "level", "arguments", "within"), WINDOWS)
@given(requests=st.integers(3_000, 200_000))
def test_a_window_fails_at_the_exact_critical_value_or_one_above(
    name: str, rate: float, level: float, arguments: dict[str, str], within: bool, requests: int
) -> None:
    exact = int(binom.isf(level, requests, rate)) + 1
    window = metric(name, **arguments)
    assert critical(window, requests, exact - 1, exact + 3, within) - exact in (0, 1)


def test_the_error_window_is_one_above_for_few_samples() -> None:
    requests = np.arange(3_000, 60_001)
    exact = binom.isf(0.01, requests, 0.001) + 1
    bound = 0.001 * requests + 2.3263 * np.sqrt(0.000999 * requests)
    bound += (2.3263**2 - 1) / 6 * 0.998 + 0.5
    above = np.floor(bound) + 1 - exact
    assert set(np.unique(above)) <= {0, 1}
    assert above.mean() <= 0.06


@pytest.mark.parametrize(("requests", "errors"), [(3_000, 9), (6_000, 13), (60_000, 80)])
def test_the_error_window_fails_at_the_known_critical_values(requests: int, errors: int) -> None:
    assert int(binom.isf(0.01, requests, 0.001)) + 1 == errors
    assert critical(metric("error-window"), requests, 0, 100) == errors


@pytest.mark.parametrize(
    ("name", "argument", "level"),
    [
        ("error-window", "error-z", 0.01),
        ("latency-500ms-window", "latency-z", 0.005),
        ("latency-1s-window", "latency-z", 0.005),
    ],
)
def test_the_quantiles_of_the_windows_are_those_of_their_levels(
    name: str, argument: str, level: float
) -> None:
    assert defaults(name)[argument] == pytest.approx(norm.isf(level), abs=5e-5)
    assert float(BURSTS["error-z"]) == pytest.approx(norm.isf(0.001), abs=5e-5)


@pytest.mark.parametrize("name", ["error-window", "latency-500ms-window", "latency-1s-window"])
@given(st.floats(0, 1e7), st.floats(0, 1e7))
def test_a_window_below_its_minimum_never_decides(
    name: str, requests: float, second: float
) -> None:
    assume(second <= requests)
    phase = judge(metric(name), [requests, second])
    assert (phase is Phase.INCONCLUSIVE) == (requests < 3_000)


@pytest.mark.parametrize("name", prometheus_templates())
@given(result=st.lists(st.sampled_from([math.nan, math.inf, -math.inf]), max_size=4))
def test_no_numbers_never_decide(name: str, result: list[float]) -> None:
    assert judge(metric(name), result) is Phase.INCONCLUSIVE
