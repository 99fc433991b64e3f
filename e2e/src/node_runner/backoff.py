"""How long a container waits before it is started again."""

from dataclasses import dataclass, replace

LONGEST_SECONDS = 300.0
FORGIVEN_AFTER_SECONDS = 600.0


@dataclass(frozen=True)
class Backoff:
    """No wait after the first end, then the base, doubled each time; ten good minutes forgive."""

    base: float = 10.0
    failures: int = 0

    def after_end(self, ran_seconds: float) -> "Backoff":
        """Return the backoff after the container ended."""
        forgiven = ran_seconds > FORGIVEN_AFTER_SECONDS
        return replace(self, failures=1 if forgiven else self.failures + 1)

    @property
    def seconds(self) -> float:
        """How long to wait now."""
        if self.failures <= 1:
            return 0.0
        return float(min(self.base * 2 ** min(self.failures - 2, 30), LONGEST_SECONDS))
