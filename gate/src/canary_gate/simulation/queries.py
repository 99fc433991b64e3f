"""The queries of the templates over arrays: for each look the samples that PromQL gives."""

from collections.abc import Callable, Mapping
from math import log

import numpy as np

from canary_gate import durations
from canary_gate.simulation.conditions import Results
from canary_gate.simulation.counters import (
    ERRORS,
    REQUESTS,
    SCRAPE_SECONDS,
    SLOW_1S,
    SLOW_500MS,
    Array,
    Mask,
    some,
)
from canary_gate.simulation.growth import (
    FIVE_MINUTES,
    MINUTE,
    increase,
    largest_minute,
    largest_since,
    scraped,
    warm,
)
from canary_gate.simulation.shift import (
    class_ratio,
    confidence_shift,
    input_rejections,
    prediction_psi,
)
from canary_gate.simulation.step import Side, Step, results

Arguments = Mapping[str, str]
Query = Callable[[Step, Arguments, float], Results]


def _seconds(arguments: Arguments, name: str) -> float:
    return durations.seconds(arguments[name])


def likelihood_weights(counter: int, p0: float, p1: float) -> tuple[float, ...]:
    """Weights of the counters in ln(likelihood at p1 / likelihood at p0) of one kind of event."""
    other = log((1 - p1) / (1 - p0))
    weights = [0.0] * 4
    weights[REQUESTS] = other
    weights[counter] = log(p1 / p0) - other
    return tuple(weights)


def _error_weights(arguments: Arguments) -> tuple[float, ...]:
    return likelihood_weights(ERRORS, float(arguments["error-p0"]), float(arguments["error-p1"]))


def _weighted(weights: tuple[float, ...], counters: Array) -> Array:
    return np.asarray(np.tensordot(np.asarray(weights), counters, axes=(0, 0)))


def _stable_height(arguments: Arguments) -> float:
    return float(arguments["stable-alarm-at"]) * float(arguments["design-effect"])


def _stable_alarm(
    step: Step,
    arguments: Arguments,
    at: float,
    weights: tuple[float, ...],
    window: str,
) -> tuple[Array, Mask]:
    largest = largest_since(step, "stable", weights, at, _seconds(arguments, window))
    alive = step.pods("stable").at(at, MINUTE)[1].any(axis=0)
    return largest, alive & (largest >= _stable_height(arguments))


def error_sprt(step: Step, arguments: Arguments, at: float) -> Results:
    """Log likelihood ratio of all the canary's requests, and once more while stable alarms."""
    weights = _error_weights(arguments)
    counters, known = step.total("canary", at, MINUTE)
    known = known & step.any_on_grid("canary", at, _seconds(arguments, "in-flight-window"))
    ratio = _weighted(weights, counters)
    alarm, alarmed = _stable_alarm(step, arguments, at, weights, "history")
    return results([(ratio, known), (ratio + alarm, known & alarmed)])


def error_cusum(step: Step, arguments: Arguments, at: float) -> Results:
    """Largest log likelihood ratio since any moment of the last step-duration, a lag ago."""
    weights = _error_weights(arguments)
    window = _seconds(arguments, "step-duration")
    then = at - _seconds(arguments, "canary-lag")
    ratio = largest_since(step, "canary", weights, then, window)
    known = some(step.canary.at(then, MINUTE)[1]) & ~np.isneginf(ratio)
    alarm, alarmed = _stable_alarm(step, arguments, at, weights, "step-duration")
    minute = largest_minute(step, "stable", weights, at, window)
    alarm = np.where(alarmed, alarm, minute)
    alarmed = alarmed | (minute >= _stable_height(arguments))
    return results([(ratio, known), (ratio + alarm, known & alarmed)])


def error_window(step: Step, arguments: Arguments, at: float) -> Results:
    """Requests and errors of the step, and a third sample while stable breaks the limit."""
    window = _seconds(arguments, "step-duration")
    counters, known = scraped(step, "canary", at, window, FIVE_MINUTES)
    known = known & step.any_on_grid("canary", at, _seconds(arguments, "in-flight-window"))
    alive = step.total("canary", at, MINUTE)[1]
    stable, had = increase(step.stable, at, window)
    surplus = stable[ERRORS] - float(arguments["stable-z"]) * np.sqrt(stable[ERRORS])
    broken = had & (surplus > float(arguments["error-limit"]) * stable[REQUESTS])
    return results(
        [
            (counters[REQUESTS], known & alive),
            (counters[ERRORS], known & alive),
            (surplus, broken & alive),
        ]
    )


def errors_against_stable(step: Step, arguments: Arguments, at: float) -> Results:
    """Requests of stable, those without error, and minus the same of the canary."""
    window, history = (_seconds(arguments, name) for name in ("step-duration", "history"))
    alive = step.total("canary", at, MINUTE)[1]
    stable, had = scraped(step, "stable", at, window, history)
    canary, known = scraped(step, "canary", at, window, history)
    return _compared(stable, canary, ERRORS, had & alive, known & alive)


def _compared(stable: Array, canary: Array, counter: int, had: Mask, known: Mask) -> Results:
    return results(
        [
            (stable[REQUESTS], had),
            (stable[REQUESTS] - stable[counter], had),
            (canary[counter] - canary[REQUESTS], known),
            (-canary[REQUESTS], known),
        ]
    )


def latency_against_stable(step: Step, arguments: Arguments, at: float) -> Results:
    """As for errors, of requests slower than 500 ms, cold starts left out."""
    window, cold = (_seconds(arguments, name) for name in ("step-duration", "cold-start"))
    alive = step.total("canary", at, MINUTE)[1]

    def both(side: Side) -> tuple[Array, Mask]:
        grown, warmed = warm(step, side, at, window, cold)
        return grown.sum(axis=1), some(warmed) & alive

    (stable, had), (canary, known) = both("stable"), both("canary")
    return _compared(stable, canary, SLOW_500MS, had, known)


def _latency_sprt(counter: int, limit: str) -> Query:
    def query(step: Step, arguments: Arguments, at: float) -> Results:
        p0, p1 = (float(arguments[f"{limit}-{name}"]) for name in ("p0", "p1"))
        weights = likelihood_weights(counter, p0, p1)
        history, cold = (_seconds(arguments, name) for name in ("history", "cold-start"))
        grown, warmed = warm(step, "canary", at, history, cold)
        warmed = warmed & step.canary.at(at, MINUTE)[1]
        ratio = np.where(warmed, _weighted(weights, grown), 0.0).sum(axis=0)
        alarm, alarmed = _stable_alarm(step, arguments, at, weights, "history")
        return results([(ratio, some(warmed)), (ratio + alarm, some(warmed) & alarmed)])

    return query


def _latency_window(counter: int, limit: str) -> Query:
    def query(step: Step, arguments: Arguments, at: float) -> Results:
        window, cold = (_seconds(arguments, name) for name in ("step-duration", "cold-start"))
        grown, warmed = warm(step, "canary", at, window, cold)
        canary, known = grown.sum(axis=1), some(warmed) & step.total("canary", at, MINUTE)[1]
        slow, broken = _stable_slow(step, arguments, at, counter, limit)
        fast = canary[REQUESTS] - canary[counter]
        return results([(canary[REQUESTS], known), (fast, known), (slow, broken & known)])

    return query


def _stable_slow(
    step: Step, arguments: Arguments, at: float, counter: int, limit: str
) -> tuple[Array, Mask]:
    """Stable's slow share of the step, and whether it is above the limit's upper bound."""
    now, known = step.stable.at(at, SCRAPE_SECONDS)
    then, had = step.stable.at(at - _seconds(arguments, "step-duration"), SCRAPE_SECONDS)
    grown = np.where(known & had, now - then, 0.0).sum(axis=1)
    p0, z = float(arguments[f"{limit}-p0"]), float(arguments["stable-z"])
    with np.errstate(all="ignore"):
        share = grown[counter] / grown[REQUESTS]
        bound = p0 + z * np.sqrt(p0 * (1 - p0) / grown[REQUESTS])
    return share, some(known & had) & (share > bound)


def minimum_traffic(step: Step, arguments: Arguments, at: float) -> Results:
    """Requests of the step; zero only while stable is busy."""
    window, history = (_seconds(arguments, name) for name in ("step-duration", "history"))

    def requests(side: Side) -> tuple[Array, Mask]:
        pods = step.pods(side)
        now, known = pods.at(at, window)
        before, had = pods.at(at - window, history)
        grown = now[REQUESTS] - np.where(had, before[REQUESTS], 0.0)
        return np.where(known, grown, 0.0).sum(axis=0), some(known)

    (canary, known), (stable, had) = requests("canary"), requests("stable")
    busy = had & (stable >= float(arguments["minimum-requests"]))
    return results([(canary, known & ((canary > 0) | (busy & (canary >= 0))))])


def model_sanity(step: Step, arguments: Arguments, at: float) -> Results:
    """No output is invalid here: zero, above the minimum of predictions."""
    counters, known = step.total("canary", at, MINUTE)
    answered = counters[REQUESTS] - counters[ERRORS]
    enough = answered >= float(arguments["minimum-predictions"])
    return results([(np.zeros_like(answered), known & enough)])


def nothing_wrong(step: Step, _: Arguments, __: float) -> Results:
    """A figure that no scenario here spoils: zero restarts, zero models elsewhere."""
    return results([(np.zeros(len(step.grid)), np.ones(len(step.grid), bool))])


#: The queries by template. A template without one is not simulated.
QUERIES: Mapping[str, Query] = {
    "error-sprt": error_sprt,
    "error-cusum": error_cusum,
    "error-window": error_window,
    "errors-against-stable": errors_against_stable,
    "latency-500ms-sprt": _latency_sprt(SLOW_500MS, "slow-500ms"),
    "latency-500ms-window": _latency_window(SLOW_500MS, "slow-500ms"),
    "latency-1s-sprt": _latency_sprt(SLOW_1S, "slow-1s"),
    "latency-1s-window": _latency_window(SLOW_1S, "slow-1s"),
    "latency-against-stable": latency_against_stable,
    "minimum-traffic": minimum_traffic,
    "model-sanity": model_sanity,
    "prediction-psi": prediction_psi,
    "class-ratio": class_ratio,
    "confidence-shift": confidence_shift,
    "input-rejections": input_rejections,
    "pod-restarts": nothing_wrong,
    "execution-provider": nothing_wrong,
    "version-attestation": nothing_wrong,
}

#: Templates whose figures are counters of requests; the others' are drawn when they look.
COUNTED = tuple(
    name
    for name in QUERIES
    if name.startswith(("error", "latency")) or name in ("minimum-traffic", "model-sanity")
)
