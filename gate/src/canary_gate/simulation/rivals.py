"""Other gates on the same releases: a threshold a minute, Flagger's defaults, Wald's optimum."""

from collections.abc import Callable, Mapping
from math import exp, log

import numpy as np
from scipy.optimize import brentq

from canary_gate.simulation.counters import ERRORS, REQUESTS, SLOW_500MS, Array, Mask
from canary_gate.simulation.growth import increase
from canary_gate.simulation.step import Step

#: Looks of the rivals: one a minute, over the minute before, for the ten minutes of a step.
MINUTES = tuple(60.0 * minute for minute in range(1, 11))


def failed_minutes(step: Step) -> Array:
    """Minutes of the first ten with an error rate of 0.1 % or more, per release.

    The usual template: `successCondition: result[0] < 0.001` alone. No data passes.
    """

    def failed(canary: Array, _: Mask) -> Mask:
        return np.asarray(canary[ERRORS] >= 0.001 * np.maximum(canary[REQUESTS], 1))

    return _minutes(step, failed)


def failed_checks(step: Step, *, duration: bool = True) -> Array:
    """Checks of the first ten that Flagger's built-in metrics fail, per release.

    `request-success-rate` of at least 99 % and `request-duration`, the 99th percentile, of at
    most 500 ms, over a minute each; without `duration` the former alone. Without values a check
    fails; failed checks add up until the release is rolled back.
    """

    def failed(canary: Array, known: Mask) -> Mask:
        requests = canary[REQUESTS]
        bad = canary[ERRORS] > 0.01 * requests
        if duration:
            bad = bad | (canary[SLOW_500MS] > 0.01 * requests)
        return np.asarray(bad | ~known | ~(requests > 0))

    return _minutes(step, failed)


def _minutes(step: Step, failed: Callable[[Array, Mask], Mask]) -> Array:
    return np.asarray(sum(failed(*increase(step.canary, at, 60.0)).astype(int) for at in MINUTES))


#: Gates by name: which releases of a step they abort. Flagger's threshold is 5 failed checks.
RIVALS: Mapping[str, Callable[[Step], Mask]] = {
    "threshold a minute, failureLimit 0": lambda step: failed_minutes(step) > 0,
    "threshold a minute, failureLimit 3": lambda step: failed_minutes(step) > 3,
    "flagger": lambda step: failed_checks(step) >= 5,
    "flagger, success rate alone": lambda step: failed_checks(step, duration=False) >= 5,
}


def wald_requests(rate: float, p0: float, p1: float, accept_at: float, reject_at: float) -> float:
    """Mean requests to the verdict of a sequential test that can stop at every request.

    Wald's approximations (Sequential Analysis, 1947) of the operating characteristic and of
    the average sample number; the overshoot of the boundaries is left out.
    """
    event, other = log(p1 / p0), log((1 - p1) / (1 - p0))
    drift = rate * event + (1 - rate) * other

    def moment(power: float) -> float:
        return rate * exp(power * event) + (1 - rate) * exp(power * other) - 1

    if abs(drift) < 1e-12:
        return -accept_at * reject_at / (rate * event**2 + (1 - rate) * other**2)
    low, high = (1e-9, 50.0) if drift < 0 else (-50.0, -1e-9)
    power = float(brentq(moment, low, high))
    accepted = (exp(power * reject_at) - 1) / (exp(power * reject_at) - exp(power * accept_at))
    return (accepted * accept_at + (1 - accepted) * reject_at) / drift
