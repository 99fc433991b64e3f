"""Exact binomial critical values: how many errors refute a claimed error rate."""

import math
from collections.abc import Iterator


def upper_tail(errors: int, requests: int, rate: float) -> float:
    """P(X >= errors) for X ~ Binomial(requests, rate), summed from the lower tail exactly."""
    if errors <= 0:
        return 1.0
    if errors > requests:
        return 0.0
    log_rate, log_rest = math.log(rate), math.log1p(-rate)
    lower = math.fsum(
        math.exp(
            math.lgamma(requests + 1)
            - math.lgamma(k + 1)
            - math.lgamma(requests - k + 1)
            + k * log_rate
            + (requests - k) * log_rest
        )
        for k in range(errors)
    )
    return 1.0 - lower


def critical_samples(rate: float, level: float) -> Iterator[int]:
    """Largest samples in which 1, 2, 3, ... errors refute `rate` at `level`, without end.

    The critical value of n requests is 1 + the number of these samples below n: the
    smallest k with P(X >= k) <= level. The tail grows with n, so bisection is exact.
    """
    if not 0 < rate < 1 or not 0 < level < 0.5:
        raise ValueError("needs 0 < rate < 1 and 0 < level < 0.5")
    low, errors = 0, 0
    while True:
        errors += 1
        # One more expected error lies within 1 / rate requests, a critical one within fewer.
        high = low + math.ceil(1 / rate) + 1
        while high - low > 1:
            middle = (low + high) // 2
            if upper_tail(errors, middle, rate) <= level:
                low = middle
            else:
                high = middle
        yield low
