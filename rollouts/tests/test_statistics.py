"""The numbers in the conditions, held to the statistics they come from."""

import itertools
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from canary_gate import Analysis, Phase, load_templates
from canary_gate.binomial import critical_samples
from canary_gate.run import judge
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

TEMPLATES = Path(__file__).resolve().parents[1] / "templates"
TARGET = {"namespace": "test", "canary-hash": "canary", "stable-hash": "stable"}


def document(name: str) -> dict[str, Any]:
    return yaml.safe_load((TEMPLATES / name / "template.yaml").read_text())


def metric(name: str, **arguments: str) -> Any:
    templates = load_templates([document(name)]).values()
    return Analysis(templates, TARGET | arguments).metrics[0]


SPRT = metric("error-sprt")
WINDOW = metric("error-window", **{"minimum-requests": "52"})
LATENCY = metric("latency-500ms-window", **{"minimum-requests": "300"})


def llr(errors: int, requests: int) -> float:
    others = requests - errors
    return errors * math.log(0.005 / 0.001) + others * math.log(0.995 / 0.999)


def test_the_boundaries_are_walds_for_one_percent_of_both_errors() -> None:
    defaults = {a["name"]: a.get("value") for a in document("error-sprt")["spec"]["args"]}
    assert float(defaults["error-reject-at"]) == pytest.approx(math.log(0.99 / 0.01), abs=5e-4)
    assert float(defaults["error-accept-at"]) == pytest.approx(math.log(0.01 / 0.99), abs=5e-4)


@given(st.integers(0, 5_000), st.integers(0, 400), st.integers(1, 50))
def test_more_errors_never_improve_the_sequential_verdict(
    requests: int, errors: int, more: int
) -> None:
    order = (Phase.SUCCESSFUL, Phase.INCONCLUSIVE, Phase.FAILED)
    requests += errors + more
    before, after = (judge(SPRT, [llr(e, requests)]) for e in (errors, errors + more))
    assert order.index(after) >= order.index(before)


@pytest.mark.parametrize(("rate", "aborted"), [(0.0005, (0, 0.01)), (0.01, (0.97, 1))])
def test_the_sequential_test_aborts_bad_canaries_and_keeps_good_ones(
    rate: float, aborted: tuple[float, float]
) -> None:
    """Ten requests a second, a look every 15 s, ten minutes: figures of a simulation."""
    draws = np.random.default_rng(1).binomial(150, rate, size=(2_000, 40)).cumsum(axis=1)
    requests = 150 * np.arange(1, 41)
    ratio = draws * math.log(5) + (requests - draws) * math.log(0.995 / 0.999)
    decided = np.abs(ratio) >= 4.595
    first = np.where(decided.any(axis=1), decided.argmax(axis=1), 39)
    failed = ratio[np.arange(2_000), first] >= 4.595
    assert aborted[0] <= failed.mean() <= aborted[1]


def test_the_list_of_samples_is_the_generators_in_both_conditions() -> None:
    for side in ("successCondition", "failureCondition"):
        condition = document("error-window")["spec"]["metrics"][0][side]
        listed = [int(n) for n in re.search(r"\[([\d, ]{99,})\]", condition)[1].split(",")]
        assert listed == list(itertools.islice(critical_samples(0.001, 0.05), len(listed)))
        assert f"result[0] > {listed[-1]}" in condition


def critical(metric: Any, requests: int, low: int, high: int) -> int:
    """Smallest number of errors at which the metric fails; below it, it passes."""
    for errors in range(low, high):
        if judge(metric, [float(requests), float(errors)]) is Phase.FAILED:
            return errors
        assert judge(metric, [float(requests), float(errors)]) is Phase.SUCCESSFUL
    raise AssertionError(f"no critical value in [{low}, {high})")


@given(st.integers(52, 31_070))
def test_the_window_fails_at_the_exact_critical_value(requests: int) -> None:
    exact = int(binom.isf(0.05, requests, 0.001)) + 1
    assert critical(WINDOW, requests, max(exact - 2, 0), exact + 2) == exact


@pytest.mark.parametrize(("requests", "errors"), [(300, 2), (3_000, 7), (6_000, 11)])
def test_the_window_fails_at_the_known_critical_values(requests: int, errors: int) -> None:
    assert critical(WINDOW, requests, 0, 20) == errors


@given(st.integers(31_071, 5_000_000))
def test_beyond_the_list_the_critical_value_is_exact_or_one_above(requests: int) -> None:
    exact = int(binom.isf(0.05, requests, 0.001)) + 1
    assert critical(WINDOW, requests, exact - 1, exact + 3) - exact in (0, 1)


@given(st.integers(300, 1_000_000))
def test_the_latency_window_is_exact_or_one_above(requests: int) -> None:
    exact = int(binom.isf(0.05, requests, 0.05)) + 1
    assert critical(LATENCY, requests, exact - 1, exact + 3) - exact in (0, 1)


@pytest.mark.parametrize(("rate", "aborted"), [(0.0005, 0.0003), (0.001, 0.04), (0.002, 0.65)])
def test_the_window_aborts_as_often_as_the_exact_test(rate: float, aborted: float) -> None:
    k = critical(WINDOW, 6_000, 0, 20)
    assert binom.sf(k - 1, 6_000, rate) == pytest.approx(aborted, rel=0.2)


@given(st.floats(0, 1e7), st.floats(0, 1e7))
def test_a_window_below_its_minimum_never_decides(requests: float, errors: float) -> None:
    window = metric("error-window")
    phase = judge(window, [requests, errors])
    assert (phase is Phase.INCONCLUSIVE) == (requests < 3_000)


@pytest.mark.parametrize(
    "name", sorted(path.parent.name for path in TEMPLATES.glob("*/template.yaml"))
)
@given(result=st.lists(st.sampled_from([math.nan, math.inf, -math.inf]), max_size=3))
def test_no_numbers_never_decide(name: str, result: list[float]) -> None:
    found = judge(metric(name), result)
    assert found is Phase.INCONCLUSIVE or (name == "model-sanity" and math.inf in result)
