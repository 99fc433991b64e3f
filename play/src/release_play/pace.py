"""How fast a play goes: analysis arguments that are shorter or smaller than production's."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

REQUESTS_PER_SECOND = 500.0


@dataclass(frozen=True)
class Pace:
    """Durations are seconds, rates requests per second over both sides.

    Nothing but arguments of the templates is set: no query, condition or limit.
    """

    rate: float = REQUESTS_PER_SECOND
    minimum_requests: int = 600
    first_look: int = 3
    cold_start: int = 2
    longest_step: int = 90
    load_rate: int = 50
    load_seconds: int = 1

    def step_seconds(self, weight: int) -> int:
        """Long enough for the canary's minimum sample on a machine that sends only two thirds."""
        counted = ceil(1.5 * self.minimum_requests / (self.rate * weight / 100)) if weight else 0
        return self.first_look + self.cold_start + counted

    def arguments(self, weight: int) -> dict[str, str]:
        """The arguments of an analysis at `weight` percent; templates take those they declare."""
        seconds = self.step_seconds(weight)
        looks = seconds - self.first_look
        return {
            "step-duration": f"{seconds}s",
            "cold-start": f"{self.cold_start}s",
            "history": f"{2 * self.longest_step}s",
            "interval": "1s",
            "first-look": f"{self.first_look}s",
            "looks": str(self.longest_step),
            "watch-looks": str(looks),
            "watch-undecided-looks": str(looks - 1),
            "in-flight-window": "3s",
            "scrape-interval": "1s",
            "canary-lag": "1s",
            "minimum-requests": str(self.minimum_requests),
            "minimum-predictions": str(self.minimum_requests // 2),
            "load-rate": str(self.load_rate),
            "load-seconds": str(self.load_seconds),
            "load-minimum-requests": str(self.load_rate * self.load_seconds * 3 // 4),
            "load-minimum-share": "0.75",
        }
