"""The ladder over simulated releases: a reduced table, and the arithmetic behind it."""

import dataclasses
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from canary_gate.simulation import GOOD, Onset, Outage, Rates, Scenario, simulate
from canary_gate.simulation.campaign import (
    campaign,
    judgements,
    key,
    passing_alone,
    sequential,
)
from canary_gate.simulation.cells import Cell
from canary_gate.simulation.cohort import CANARY_PODS
from canary_gate.simulation.default_ladder import ladder_steps
from canary_gate.simulation.expectations import (
    EXPECTATIONS,
    Expectation,
    Limit,
    interval,
    judge,
    product_bound,
)
from canary_gate.simulation.queries import QUERIES
from canary_gate.simulation.rivals import wald_requests
from canary_gate.simulation.shift import score_shares
from canary_gate.simulation.traffic import BURST, burst_errors
from scipy import stats

ROLLOUTS = Path(__file__).resolve().parents[2] / "rollouts"
RELEASES = 300

#: One scenario of each line at most, so that the whole stays within seconds.
REDUCED = [
    ("good: aborted", 10.0),
    ("bad: never", 10.0),
    ("6 % above", 100.0),
    ("bursts of 20, correlation 0.1, good", 100.0),
    ("5 % errors at 100/s: verdict", 100.0),
    ("5 % errors from minute 5", 10.0),
    ("below 2 requests/s", 1.67),
    ("shared outage", 10.0),
    ("cold start", 10.0),
]


def chosen(beginning: str, canary_rps: float) -> Expectation:
    (expectation,) = (e for e in EXPECTATIONS if e.text.startswith(beginning))
    scenario = next(s for s in expectation.scenarios if s.canary_rps == canary_rps)
    return dataclasses.replace(expectation, scenarios=[scenario])


def ladder(scenario: Scenario, releases: int = 100, seed: int = 1) -> Cell:
    return simulate(scenario, ladder_steps(ROLLOUTS, scenario.arguments), releases, seed)[0]


def test_the_reduced_table_keeps_every_limit() -> None:
    lines = [chosen(*line) for line in REDUCED]
    cells = campaign(ROLLOUTS, lines, releases=RELEASES, seed=20, processes=2)
    found = judgements(cells, lines)
    assert len(found) >= 2 * len(REDUCED) - 2
    # With few releases a rate can pass its limit by chance; its interval may not.
    beyond = [
        judgement
        for judgement in found
        if judgement.status == "missed" and not within_chance(judgement.limit, judgement)
    ]
    assert beyond == []


def within_chance(limit: Limit, judgement: object) -> bool:
    low, high = judgement.low, judgement.high  # type: ignore[attr-defined]
    return high >= limit.bound if limit.least else limit.bound > 0 and low <= limit.bound


def test_the_same_seed_gives_the_same_cells_and_another_gives_others() -> None:
    scenario = Scenario("limit", 10, Rates(errors=0.002))
    first, again, other = (ladder(scenario, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("scenario", "outcome", "reason"),
    [
        (Scenario("good", 10), "promoted", None),
        (Scenario("errors", 10, Rates(errors=0.05)), "aborted", ("error-sprt", "fail")),
        (Scenario("slow", 10, Rates(slow_500ms=0.3)), "aborted", ("latency-500ms-sprt", "fail")),
        (Scenario("slower", 10, Rates(slow_1s=0.03)), "aborted", ("latency-1s-sprt", "fail")),
        (
            Scenario("late", 10, Rates(errors=0.05), onset=Onset(10, 300.0)),
            "aborted",
            ("error-cusum", "fail"),
        ),
        (
            Scenario("both", 10, outage=Outage(0.05, 600.0)),
            "undecided",
            ("error-window", "outage"),
        ),
        (
            Scenario("no series", 10, counted="missing"),
            "undecided",
            ("error-window", "no data"),
        ),
        (Scenario("NaN", 10, counted="nan"), "undecided", ("error-window", "no data")),
        (Scenario("idle", 10, canary_traffic=False), "aborted", ("minimum-traffic", "fail")),
        (Scenario("quiet", 1), "undecided", ("error-window", "sample")),
        (
            Scenario("no Prometheus", 10, away=(0.0, float("inf"))),
            "aborted",
            ("error-sprt", "error"),
        ),
        (Scenario("shifted", 10, shift=1.5), "aborted", ("prediction-psi", "fail")),
        (
            Scenario("declared", 10, shift=1.5, arguments={"expected-shift": "true"}),
            "promoted",
            None,
        ),
        (Scenario("cold", 10, cold_slow=0.5), "promoted", None),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_each_kind_of_release_comes_to_its_end_for_its_reason(
    scenario: Scenario, outcome: str, reason: tuple[str, str] | None
) -> None:
    cell = ladder(scenario)
    assert getattr(cell, outcome) >= 97
    if reason is not None:
        assert cell.why[reason] >= 80


def test_a_cold_start_would_abort_without_its_subtraction() -> None:
    arguments = {"cold-start": "0s"}
    assert ladder(Scenario("cold", 10, cold_slow=0.5, arguments=arguments)).aborted >= 90


def test_every_template_of_the_ladder_is_simulated() -> None:
    steps = ladder_steps(ROLLOUTS)
    assert [weight for weight, _ in steps] == list(CANARY_PODS)
    for _, analysis in steps:
        assert {metric.template for metric in analysis.metrics} <= set(QUERIES)


def test_other_gates_judge_the_same_releases() -> None:
    good = Scenario("good", 10, Rates(0.0005, 0.005, 0.001))
    found = simulate(good, ladder_steps(ROLLOUTS), 400, 1)
    aborted = {cell.template: cell.aborted / cell.releases for cell in found}
    # Four scrapes of a minute span 45 s, 450 requests: one error in them fails the minute.
    failing = 1 - np.exp(-0.0005 * 450)
    for limit in (0, 3):
        share = aborted[f"threshold a minute, failureLimit {limit}"]
        assert share == pytest.approx(stats.binom.sf(limit, 10, failing), abs=0.06)
    assert aborted["flagger"] < 0.2


def test_the_sequential_test_is_as_quick_as_its_looks_let_walds_optimum_be() -> None:
    lines = [chosen("good: aborted", 10.0), chosen("bad: never", 100.0)]
    cells = campaign(ROLLOUTS, lines, releases=200, seed=4, processes=1)
    found = sequential(ROLLOUTS, cells, lines)
    assert [(one.rate, one.cell.canary_rps) for one in found] == [(0.0005, 10), (0.005, 100)]
    for one in found:
        assert one.limit is not None
        assert one.optimum < one.cell.requests.mean <= one.limit


def test_the_rest_of_the_package_does_without_numpy() -> None:
    program = "import canary_gate, canary_gate.cli, sys; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("rate", "requests"), [(0.05, 60), (0.01, 379), (0.005, 1110), (0.001, 1877)]
)
def test_walds_optimum_is_the_known_one(rate: float, requests: float) -> None:
    assert wald_requests(rate, 0.001, 0.005, -4.595, 4.595) == pytest.approx(requests, rel=0.01)


@pytest.mark.parametrize(("shift", "psi"), [(0.25, 0.028), (0.5, 0.11), (1.0, 0.42)])
def test_a_shift_of_the_logits_has_the_known_index(shift: float, psi: float) -> None:
    p, q = score_shares(shift), score_shares(0.0)
    assert p.sum() == pytest.approx(1)
    assert ((p - q) * np.log(p / q)).sum() == pytest.approx(psi, rel=0.06)


@pytest.mark.parametrize("correlation", [0.0, 0.1, 0.5, 1.0])
def test_bursts_have_their_rate_and_design_effect(correlation: float) -> None:
    chances, errors = burst_errors(0.01, correlation), np.arange(BURST + 1)
    mean = (chances * errors).sum()
    variance = (chances * errors**2).sum() - mean**2
    assert mean == pytest.approx(0.01 * BURST)
    independent = BURST * 0.01 * 0.99
    assert variance / independent == pytest.approx(1 + (BURST - 1) * correlation)


@pytest.mark.parametrize("count", [0, 1, 50, 99, 100])
def test_an_interval_leaves_two_and_a_half_percent_on_each_side(count: int) -> None:
    low, high = interval(count, 100)
    if count:
        assert stats.binom.sf(count - 1, 100, low) == pytest.approx(0.025)
    if count < 100:
        assert stats.binom.cdf(count, 100, high) == pytest.approx(0.025)


def shown(aborted: int, releases: int) -> Cell:
    cell = ladder(Scenario("good", 10, GOOD), releases=1)
    return dataclasses.replace(cell, aborted=aborted, releases=releases)


@pytest.mark.parametrize(
    ("aborted", "limit", "status"),
    [
        (0, Limit("aborted", 0.005), "proven"),
        (40, Limit("aborted", 0.005), "met"),
        (51, Limit("aborted", 0.005), "missed"),
        (0, Limit("aborted", 0.0), "met"),
        (9_999, Limit("aborted", 0.999, least=True), "proven"),
        (9_989, Limit("aborted", 0.999, least=True), "missed"),
        (5_000, Limit("aborted", None), "reported"),
    ],
)
def test_a_share_is_proven_met_or_missed(aborted: int, limit: Limit, status: str) -> None:
    expectation = Expectation("text", [], [limit])
    assert judge(expectation, shown(aborted, 10_000), limit).status == status


def test_bad_canaries_pass_neither_step_alone() -> None:
    found = passing_alone(ROLLOUTS, 10.0, releases=200, seed=3, processes=2)
    for first, second in found.values():
        assert first.promoted == second.promoted == 0
        assert product_bound(first, second) == pytest.approx(interval(0, 200)[1] ** 2)


def test_every_scenario_is_drawn_once() -> None:
    scenarios: Sequence[Scenario] = [s for e in EXPECTATIONS for s in e.scenarios]
    by_key = {key(s): s for s in scenarios}
    assert all(by_key[key(s)] == s for s in scenarios)
