"""The analyses that compare what canary and stable predict and refuse, held to statistics."""

from collections.abc import Callable, Mapping
from math import erf, log, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binom, chi2

from rollouts.cases import Case, analysis, faults, read_document

Counts = npt.NDArray[Any]
SHIFT = ("class-ratio", "confidence-shift", "prediction-psi")
COMPARED = (*SHIFT, "input-rejections")
EDGES = ("0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "1.0")
#: How sure a score in the middle of each bin is of the likelier class.
SURE = np.array([0.95, 0.85, 0.75, 0.65, 0.55, 0.55, 0.65, 0.75, 0.85, 0.95])
#: None of so many shows a rate below 6e-5, at 95 %.
DRAWS = 50_000


def psi(canary: Counts, stable: Counts) -> Counts:
    """Population stability index of counts [..., bins]; an empty bin has a share of 0.01 %."""
    p, q = (np.maximum(n / n.sum(-1, keepdims=True), 1e-4) for n in (canary, stable))
    return np.asarray(((p - q) * np.log(p / q)).sum(-1))


def confidence(canary: Counts, stable: Counts) -> Counts:
    """Difference of mean confidences of counts [..., 10 bins], each bin at its middle."""
    return np.asarray(canary @ SURE / canary.sum(-1) - stable @ SURE / stable.sum(-1))


def least_ratio(canary: Counts, stable: Counts, z: float) -> Counts:
    """Lower limits [..., classes] of the ratios of shares, of counts alike; shares from 0.1 % on.

    The logarithm of the ratio is normal with variance 1/x + 1/y, the counts x and y taken as
    Poisson (Katz et al., Biometrics 34, 1978, where they are binomial).
    """
    n, m = (counts.sum(-1, keepdims=True) for counts in (canary, stable))
    p, q = np.maximum(canary / n, 0.001), np.maximum(stable / m, 0.001)
    return np.asarray(p / q * np.exp(-z * np.sqrt(1 / (p * n) + 1 / (q * m))))


def class_ratio(canary: Counts, stable: Counts) -> Counts:
    """The largest of the least ratios, in either direction, of counts [..., classes]."""
    rises, falls = least_ratio(canary, stable, z=4), least_ratio(stable, canary, z=4)
    return np.asarray(np.maximum(rises, falls).max(-1))


def rejections(canary: Counts, stable: Counts) -> Counts:
    """The least ratio of rejected shares, of counts [..., (rejected, others)]."""
    return least_ratio(canary, stable, z=3.09)[..., 0]


STATISTICS: Mapping[str, Callable[[Counts, Counts], Counts]] = {
    "class-ratio": class_ratio,
    "confidence-shift": confidence,
    "input-rejections": rejections,
    "prediction-psi": psi,
}


def bins(shift: float = 0, scale: float = 1) -> Counts:
    """Shares of the ten bins of a model whose logits are normal with mean 0 and deviation 1.5."""
    logits = [log(edge / 10 / (1 - edge / 10)) for edge in range(1, 10)]
    below = [(1 + erf((x - shift) / (1.5 * scale * sqrt(2)))) / 2 for x in logits]
    return np.asarray(np.diff([0, *below, 1]))


def drawn(
    name: str,
    predictions: int,
    canary: Counts,
    stable: Counts,
    *,
    times: int = 9,
    draws: int = 10_000,
) -> Counts:
    """Values [draws] of an analysis whose stable gets so many times the canary's predictions."""
    random = np.random.default_rng(5)
    counts = random.multinomial(predictions, canary, draws).astype(float)
    others = random.multinomial(times * predictions, stable, draws).astype(float)
    return STATISTICS[name](counts, others)


def two_classes(shares: Counts) -> Counts:
    """Shares of the classes below and above a score of 0.5."""
    return np.asarray(shares.reshape(2, 5).sum(-1))


def verdicts(name: str, values: Counts) -> dict[str, float]:
    """Shares of passing, undecided and failing values, by the limits of the template."""
    arguments = analysis(read_document(name)).arguments
    word = next(key for key in arguments if key.endswith("-fail-above")).split("-")[0]
    undecided, failed = (float(arguments[f"{word}-{w}-above"]) for w in ("undecided", "fail"))
    size = np.abs(values) if name == "confidence-shift" else values
    passed, failing = float((size <= undecided).mean()), float((size > failed).mean())
    return {"pass": passed, "undecided": 1 - passed - failing, "fail": failing}


def series(name: str, version: str, counts: list[int]) -> dict[str, str]:
    """Counters of one pod that count so much in ten minutes, as a case writes them."""
    target = f'hash="{version}"'
    if name == "input-rejections":
        named = zip((f'status="400",{target}', f'status="200",{target}'), counts, strict=True)
        found = {f'http_requests_total{{endpoint="infer",{labels}}}': n for labels, n in named}
    elif name == "class-ratio":
        labels = f'{target},model_version="{version}"'
        found = {f'model_class_total{{class="{k}",{labels}}}': n for k, n in enumerate(counts)}
    else:
        sums = zip((*EDGES, "+Inf"), [*np.cumsum(counts), sum(counts)], strict=True)
        found = {f'model_score_bucket{{le="{le}",{target}}}': int(n) for le, n in sums}
    return {key: f"0+{n}x40" for key, n in found.items()}


@pytest.mark.parametrize("name", COMPARED)
def test_the_query_computes_the_statistic(name: str) -> None:
    """Random counts, bins and classes without any among them; promtool compares six decimals."""
    random = np.random.default_rng(7)
    size = {"input-rejections": 2, "class-ratio": 4}.get(name, 10)
    cases = []
    for number in range(20):
        shares = random.dirichlet(np.full(size, 0.3), 2)
        counts = [random.multinomial(n, p) for n, p in zip((90, 800), shares, strict=True)]
        value = float(STATISTICS[name](*(40.0 * n for n in counts)))
        canary, stable = (
            series(name, version, [int(n) for n in each])
            for version, each in zip(("canary", "stable"), counts, strict=True)
        )
        decided = next(v for v, share in verdicts(name, np.array(value)).items() if share)
        cases.append(Case(name, f"{number}", canary | stable, {"": value}, decided))
    assert [found for found in faults(read_document(name), cases).values() if found] == []


@pytest.mark.parametrize(("predictions", "p95"), [(1_000, 0.019), (6_000, 0.003)])
def test_without_a_shift_psi_is_a_chi_square_of_nine(predictions: int, p95: float) -> None:
    values = drawn("prediction-psi", predictions, bins(), bins())
    noise = 1 / predictions + 1 / (9 * predictions)
    for level in (0.5, 0.95, 0.99):
        expected = chi2.ppf(level, 9) * noise
        assert np.quantile(values, level) == pytest.approx(expected, rel=0.06)
    assert np.quantile(values, 0.95) == pytest.approx(p95, abs=5e-4)


@pytest.mark.parametrize(("shift", "expected"), [(0.25, 0.028), (0.5, 0.11), (1.0, 0.42)])
def test_psi_of_a_shift_of_logits_is_the_known_one(shift: float, expected: float) -> None:
    assert psi(bins(shift), bins()) == pytest.approx(expected, abs=0.006)


@pytest.mark.parametrize("times", [1, 9])
@pytest.mark.parametrize("predictions", [1_000, 3_000, 6_000])
@pytest.mark.parametrize("name", SHIFT)
def test_the_same_model_always_passes(name: str, predictions: int, times: int) -> None:
    """At 10 % of the traffic, and at 50 %."""
    shares = two_classes(bins()) if name == "class-ratio" else bins()
    values = drawn(name, predictions, shares, shares, times=times, draws=DRAWS)
    assert verdicts(name, values)["pass"] == 1


@pytest.mark.parametrize("classes", [2, 10, 100, 500])
def test_many_or_rare_classes_hardly_ever_stop_the_same_model(classes: int) -> None:
    shares = np.full(classes, 1 / classes) if classes > 2 else np.array([0.003, 0.997])
    found = verdicts("class-ratio", drawn("class-ratio", 3_000, shares, shares, draws=2_000))
    assert found["fail"] <= 0.001
    assert found["undecided"] <= 0.005


@pytest.mark.parametrize("rate", [0.0, 0.0005, 0.002, 0.01, 0.05])
def test_the_same_rejections_hardly_ever_stop_a_release(rate: float) -> None:
    shares = np.array([rate, 1 - rate])
    found = verdicts(
        "input-rejections", drawn("input-rejections", 3_000, shares, shares, draws=DRAWS)
    )
    assert found["fail"] <= 0.0001
    assert found["undecided"] <= 0.0005


@pytest.mark.parametrize("rate", np.geomspace(0.0005, 0.3, 20))
def test_the_same_rejections_fail_no_more_often_than_the_readme_says(rate: float) -> None:
    """At most 4 fail and 26 are undecided, of 100,000: both binomial laws, summed exactly."""
    canary, stable = np.arange(3_001), np.arange(27_001)
    weights = binom.pmf(canary, 3_000, rate), binom.pmf(stable, 27_000, rate)
    canary, stable = (n[w > 1e-13] for n, w in zip((canary, stable), weights, strict=True))
    weight = np.outer(binom.pmf(canary, 3_000, rate), binom.pmf(stable, 27_000, rate))
    counts = np.broadcast_arrays(
        np.stack([canary, 3_000 - canary], -1)[:, None],
        np.stack([stable, 27_000 - stable], -1)[None, :],
    )
    ratio = rejections(*counts)
    assert weight.sum() == pytest.approx(1)
    assert weight[ratio > 1.5].sum() <= 4e-5
    assert weight[(ratio > 1.25) & (ratio <= 1.5)].sum() <= 26e-5


#: Shares of pass, undecided and fail at 6,000 predictions; a shift moves logits, a scale
#: stretches them (below 1: less sure).
DETECTED = [
    ("prediction-psi", bins(0.25), (1, 0, 0)),
    ("prediction-psi", bins(0.5), (0.16, 0.84, 0)),
    ("prediction-psi", bins(1), (0, 0, 1)),
    ("class-ratio", two_classes(bins(0.25)), (1, 0, 0)),
    ("class-ratio", two_classes(bins(0.5)), (0.70, 0.30, 0)),
    ("class-ratio", two_classes(bins(1)), (0, 0, 1)),
    ("confidence-shift", bins(0.25), (1, 0, 0)),
    ("confidence-shift", bins(0.5), (1, 0, 0)),
    ("confidence-shift", bins(1), (0.42, 0.58, 0)),
    ("confidence-shift", bins(scale=0.75), (0, 1, 0)),
    ("confidence-shift", bins(scale=0.5), (0, 0, 1)),
    ("confidence-shift", bins(scale=2), (0, 0, 1)),
]


@pytest.mark.parametrize(("name", "shares", "expected"), DETECTED)
def test_a_shift_is_seen_from_a_known_size_on(
    name: str, shares: Counts, expected: tuple[float, float, float]
) -> None:
    stable = two_classes(bins()) if name == "class-ratio" else bins()
    found = verdicts(name, drawn(name, 6_000, shares, stable))
    assert list(found.values()) == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize(
    ("canary", "expected"),
    [(0.02, (0.1, 0.5, 0.4)), (0.03, (0, 0, 1)), (0.1, (0, 0, 1))],
)
def test_a_canary_that_rejects_what_stable_accepts_is_stopped(
    canary: float, expected: tuple[float, float, float]
) -> None:
    """Stable rejects 1 %, of 54,000 requests; the canary gets 6,000."""
    shares = np.array([canary, 1 - canary])
    values = drawn("input-rejections", 6_000, shares, np.array([0.01, 0.99]))
    assert list(verdicts("input-rejections", values).values()) == pytest.approx(expected, abs=0.03)
