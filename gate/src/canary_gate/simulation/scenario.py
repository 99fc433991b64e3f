"""What can happen to a release: rates of canary and stable, faults, and what Prometheus loses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

#: What Prometheus has of the canary: its counters, no series under its labels, or only NaN.
Counted = Literal["counted", "missing", "nan"]


@dataclass(frozen=True)
class Rates:
    """Fractions of a version's requests; the default is the worst that still is good."""

    errors: float = 0.0005
    slow_500ms: float = 0.03
    slow_1s: float = 0.005


GOOD = Rates()


@dataclass(frozen=True)
class Onset:
    """Since when the canary has its own rates: seconds after the step at this weight begins."""

    weight: int
    seconds: float


@dataclass(frozen=True)
class Outage:
    """Errors of both versions for some seconds, anywhere within the release."""

    errors: float
    seconds: float


@dataclass(frozen=True)
class Scenario:
    """One kind of release.

    `canary_rps` are requests a second to the canary at weight 10; the whole is ten times that.
    Until the onset, if there is one, the canary has stable's rates. `correlation` is that of
    the errors within bursts of 20 requests (0: independent). `cold_slow` of the requests in the
    first 30 s of a new pod are slow. `shift` moves the logits of the canary's predictions.
    `lost_scrapes` is the fraction of scrapes that fail.
    `away` is the time, in seconds after a step begins, without an answer of Prometheus.
    """

    name: str
    canary_rps: float
    canary: Rates = GOOD
    stable: Rates = GOOD
    onset: Onset | None = None
    outage: Outage | None = None
    correlation: float | None = None
    cold_slow: float = 0.0
    shift: float = 0.0
    lost_scrapes: float = 0.0
    counted: Counted = "counted"
    canary_traffic: bool = True
    away: tuple[float, float] | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)
