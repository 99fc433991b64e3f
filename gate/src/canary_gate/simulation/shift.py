"""What the templates about predictions and inputs see, drawn when they look: one look a step.

Scores are logistic of a normal variable, 1.5 wide, whose mean a shift moves; bins of 0.1. The
counts of a step are drawn from its requests, so what `increase()` stretches alike is left out.
"""

from collections.abc import Mapping

import numpy as np
from scipy import stats

from canary_gate import durations
from canary_gate.simulation.conditions import Results
from canary_gate.simulation.counters import ERRORS, REQUESTS, Array, Mask
from canary_gate.simulation.growth import FIVE_MINUTES, scraped
from canary_gate.simulation.step import Side, Step, results

Arguments = Mapping[str, str]

#: Width of the scores' logits.
LOGIT_DEVIATION = 1.5
#: Share of requests that either version rejects as malformed.
REJECTED = 0.01


def score_shares(shift: float) -> Array:
    """Shares of the ten bins of scores when the logits are moved by `shift`."""
    edges = np.linspace(0, 1, 11)[1:-1]
    below = stats.norm.cdf((np.log(edges / (1 - edges)) - shift) / LOGIT_DEVIATION)
    return np.diff(below, prepend=0.0, append=1.0)


def prediction_psi(step: Step, arguments: Arguments, at: float) -> Results:
    """Population stability index of the canary's scores against stable's."""
    canary, stable, enough = _scores(step, arguments, at)
    floor = float(arguments["psi-floor"])
    p, q = (np.maximum(_shares(counts), floor) for counts in (canary, stable))
    return results([(((p - q) * np.log(p / q)).sum(axis=1), enough)])


def class_ratio(step: Step, arguments: Arguments, at: float) -> Results:
    """Lower bound of the largest ratio between the rates of a class; two classes, cut at 0.5."""
    canary, stable, enough = _scores(step, arguments, at)
    ours, theirs = (counts.reshape(len(counts), 2, 5).sum(axis=2) for counts in (canary, stable))
    ratio, deviation = _ratio(ours, theirs, float(arguments["class-floor"]))
    value = np.exp(np.abs(ratio) - float(arguments["class-z"]) * deviation).max(axis=1)
    return results([(value, enough)])


def confidence_shift(step: Step, arguments: Arguments, at: float) -> Results:
    """Difference of the mean distances of the scores from 0.5, from the bins' edges."""
    canary, stable, enough = _scores(step, arguments, at)
    means = []
    for counts in (canary, stable):
        below = np.cumsum(_shares(counts), axis=1)
        means.append(0.1 * (below[:, :4].sum(axis=1) - below[:, 5:9].sum(axis=1)))
    return results([(means[0] - means[1], enough)])


def input_rejections(step: Step, arguments: Arguments, at: float) -> Results:
    """Lower bound of the ratio between the shares of rejected requests."""
    counts = []
    sides: tuple[Side, Side] = ("canary", "stable")
    for side in sides:
        requests = _grown(step, side, at, arguments)[0][REQUESTS].astype(np.int64)
        rejected = step.rng.binomial(requests, REJECTED)
        counts.append(np.stack([rejected, requests - rejected], axis=1))
    sizes = [count.sum(axis=1) for count in counts]
    enough = np.minimum(*sizes) >= float(arguments["minimum-requests"])
    floor = float(arguments["rejection-floor"])
    ratio, deviation = _ratio(counts[0], counts[1], floor)
    value = np.exp(ratio - float(arguments["rejection-z"]) * deviation)[:, 0]
    return results([(value, enough)])


def _grown(step: Step, side: Side, at: float, arguments: Arguments) -> tuple[Array, Mask]:
    window = durations.seconds(arguments["step-duration"])
    grown, known = scraped(step, side, at, window, FIVE_MINUTES)
    return np.where(known & np.isfinite(grown), grown, 0.0), known


def _scores(step: Step, arguments: Arguments, at: float) -> tuple[Array, Array, Mask]:
    """Counts by bin, [release, bin], of canary and stable, and whether both have enough."""
    counts = []
    shifts: dict[Side, float] = {"canary": step.shift, "stable": 0.0}
    for side, shift in shifts.items():
        grown, _ = _grown(step, side, at, arguments)
        answered = (grown[REQUESTS] - grown[ERRORS]).astype(np.int64)
        counts.append(step.rng.multinomial(answered, score_shares(shift)))
    least = np.minimum(counts[0].sum(axis=1), counts[1].sum(axis=1))
    return counts[0], counts[1], least >= float(arguments["minimum-predictions"])


def _shares(counts: Array) -> Array:
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))


def _ratio(canary: Array, stable: Array, floor: float) -> tuple[Array, Array]:
    """Logarithm of the ratio of the shares, and its standard deviation, [release, kind]."""
    p, q = (np.maximum(_shares(counts), floor) for counts in (canary, stable))
    ratio = np.log(p / q)
    sizes = [np.maximum(counts.sum(axis=1, keepdims=True), 1) for counts in (canary, stable)]
    deviation = np.sqrt(1 / (p * sizes[0]) + 1 / (q * sizes[1]))
    return ratio, deviation
