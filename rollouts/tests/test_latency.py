"""The statistics of the latency analyses and of the comparisons with stable."""

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

from rollouts.cases import analysis, read_document

COMPARISONS = ["errors-against-stable", "latency-against-stable"]
ORDER = (Phase.SUCCESSFUL, Phase.INCONCLUSIVE, Phase.FAILED)
RUNS = 4_000


@cache
def metric(name: str) -> Any:
    return analysis(read_document(name)).metrics[0]


def answer(canary: tuple[int, int], stable: tuple[int, int]) -> list[float]:
    """What a comparison returns for (requests, of them bad) on both sides."""
    (requests, bad), (others, bad_others) = canary, stable
    return [float(n) for n in (others, others - bad_others, bad - requests, -requests)]


def z_of(canary: tuple[int, int], stable: tuple[int, int]) -> float:
    """Two-proportion z with the variance of both sides pooled."""
    (n, a), (m, b) = canary, stable
    pooled = (a + b) / (n + m)
    return (a / n - b / m) / math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))


def sides(least: int = 3_000) -> st.SearchStrategy[tuple[int, int]]:
    requests = st.integers(least, 200_000)
    return requests.flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))


@pytest.mark.parametrize("name", COMPARISONS)
@given(canary=sides(), stable=sides())
def test_a_comparison_fails_above_z_and_ratio_together_and_passes_otherwise(
    name: str, canary: tuple[int, int], stable: tuple[int, int]
) -> None:
    assume(0 < canary[1] + stable[1] < canary[0] + stable[0])
    z, twice = z_of(canary, stable), 2 * canary[1] * stable[0] - 3 * stable[1] * canary[0]
    assume(abs(z - 3.719) > 1e-9)
    worse = z > 3.719 and twice > 0
    expected = Phase.FAILED if worse else Phase.SUCCESSFUL
    assert judge(metric(name), answer(canary, stable)) is expected


@pytest.mark.parametrize("name", COMPARISONS)
@given(canary=sides(), share=st.sampled_from([0, 1]), others=st.integers(3_000, 10**7))
def test_a_comparison_of_two_sides_without_a_difference_passes(
    name: str, canary: tuple[int, int], share: int, others: int
) -> None:
    n = canary[0]
    assert judge(metric(name), answer((n, share * n), (others, share * others))) is ORDER[0]


@pytest.mark.parametrize("name", COMPARISONS)
@given(canary=sides(1), stable=sides(1))
def test_a_comparison_with_too_few_requests_on_either_side_never_decides(
    name: str, canary: tuple[int, int], stable: tuple[int, int]
) -> None:
    few = canary[0] < 3_000 or stable[0] < 3_000
    phase = judge(metric(name), answer(canary, stable))
    assert (phase is Phase.INCONCLUSIVE) == few


@pytest.mark.parametrize("name", COMPARISONS)
def test_the_height_of_z_is_one_in_ten_thousand(name: str) -> None:
    defaults = {a["name"]: a.get("value") for a in read_document(name)["spec"]["args"]}
    assert float(defaults["against-stable-z"]) == pytest.approx(norm.isf(0.0001), abs=5e-4)


@pytest.mark.parametrize(
    ("canary", "stable", "share"),
    [
        (6_000, 54_000, 0.0005),
        (6_000, 54_000, 0.001),
        (27_000, 27_000, 0.001),
        (5_400, 48_600, 0.03),
    ],
)
def test_a_comparison_aborts_hardly_any_release_that_is_as_good_as_stable(
    canary: int, stable: int, share: float
) -> None:
    """One in ten thousand by the normal law; where three errors are expected, nine."""
    assert failures((canary, share), (stable, share)) <= 0.002


@pytest.mark.parametrize(("z", "expected"), [(3.719, 0.0009), (3.09, 0.004)])
def test_a_comparison_of_three_errors_fails_as_many_good_releases_as_its_readme_says(
    z: float, expected: float
) -> None:
    """The binomial law of both sides, summed over all pairs of counts that matter."""
    errors, others = np.arange(40)[:, None], np.arange(80)[None, :]
    weight = binom.pmf(errors, 6_000, 0.0005) * binom.pmf(others, 54_000, 0.0005)
    pooled = (errors + others) / 60_000
    deviation = np.sqrt(pooled * (1 - pooled) * (1 / 6_000 + 1 / 54_000))
    worse = errors / 6_000 - others / 54_000 > z * deviation
    failed = worse & (errors / 6_000 > 1.5 * others / 54_000)
    assert weight.sum() == pytest.approx(1)
    assert weight[failed].sum() == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(
    ("canary", "stable", "shares"),
    [
        (6_000, 54_000, (0.005, 0.0005)),
        (27_000, 27_000, (0.0025, 0.0005)),
        (5_400, 48_600, (0.06, 0.03)),
    ],
)
def test_a_comparison_sees_a_release_that_is_clearly_worse(
    canary: int, stable: int, shares: tuple[float, float]
) -> None:
    assert failures((canary, shares[0]), (stable, shares[1])) >= 0.99


def failures(canary: tuple[int, float], stable: tuple[int, float]) -> float:
    """Share of drawn releases that a comparison fails; requests and true share of both sides."""
    rng, found = np.random.default_rng(3), metric("errors-against-stable")
    drawn = [rng.binomial(n, p, RUNS) for n, p in (canary, stable)]
    pairs, counts = np.unique(np.stack(drawn), axis=1, return_counts=True)
    failed = [
        judge(found, answer((canary[0], int(a)), (stable[0], int(b)))) is Phase.FAILED
        for a, b in pairs.T
    ]
    return float(counts[failed].sum() / RUNS)


#: p0 and p1 of both sequential tests.
TESTS = {"latency-500ms-sprt": (0.05, 0.075), "latency-1s-sprt": (0.01, 0.02)}


def walk(
    name: str, share: float, per_look: int, looks: int, runs: int = RUNS
) -> tuple[float, float, float]:
    """Shares of releases rejected and accepted, and the mean requests until then."""
    p0, p1 = TESTS[name]
    slow = np.random.default_rng(4).binomial(per_look, share, (runs, looks)).cumsum(axis=1)
    requests = per_look * np.arange(1, looks + 1)
    ratio = slow * math.log(p1 / p0) + (requests - slow) * math.log((1 - p1) / (1 - p0))
    decided = np.abs(ratio) >= 4.595
    first = np.where(decided.any(axis=1), decided.argmax(axis=1), looks - 1)
    last = ratio[np.arange(runs), first]
    return float((last >= 4.595).mean()), float((last <= -4.595).mean()), requests[first].mean()


@pytest.mark.parametrize("name", TESTS)
def test_a_sequential_test_keeps_walds_error_rates(name: str) -> None:
    """One percent of both, which the draws may miss by a quarter."""
    p0, p1 = TESTS[name]
    rejected, accepted, _ = walk(name, p0, 10, 800)
    assert rejected <= 0.0125
    assert accepted >= 0.98
    rejected, accepted, _ = walk(name, p1, 10, 800)
    assert accepted <= 0.0125
    assert rejected >= 0.98


@pytest.mark.parametrize(("share", "requests"), [(0.2, 77), (0.1, 278), (0.075, 784)])
def test_the_slower_a_canary_the_fewer_requests_reject_it(share: float, requests: int) -> None:
    rejected, _, mean = walk("latency-500ms-sprt", share, 1, 8 * requests, runs=1_000)
    assert rejected >= 0.97
    assert mean == pytest.approx(requests, rel=0.1)


def test_between_its_hypotheses_a_sequential_test_accepts_half_and_more() -> None:
    """Six percent above 500 ms at ten requests a second: the window has to see it."""
    _, accepted, _ = walk("latency-500ms-sprt", 0.06, 150, 120)
    assert accepted >= 0.4


@pytest.mark.parametrize("name", TESTS)
@pytest.mark.parametrize(
    ("value", "phase"),
    [
        (-4.595, Phase.SUCCESSFUL),
        (-4.594, Phase.INCONCLUSIVE),
        (4.594, Phase.INCONCLUSIVE),
        (4.595, Phase.FAILED),
    ],
)
def test_an_alarm_of_stable_keeps_both_boundaries_back(
    name: str, value: float, phase: Phase
) -> None:
    assert judge(metric(name), [value]) is phase
    assert judge(metric(name), [value, value + 3]) is Phase.INCONCLUSIVE
