"""How long a lane's runs take, and so whether they may run inside the event loop."""

from math import ceil

_WEIGHT = 1 / 16  # of the newest run in the moving averages
_TOLERATED = 0.25  # share of slow runs: one hiccup of the machine demotes nobody
_PROBATION = 16  # runs after a return to the event loop of which none may be slow
_CALM_SECONDS = 30.0  # in threads, before the event loop is tried again; doubled each time
_LONGEST_CALM_SECONDS = 3600.0
_HOPELESS = 10  # times the limit: not worth another try
_LONGEST_WAIT = 60


class Pace:
    """Moving averages of a lane's run times, in seconds.

    A lane leaves the event loop when a quarter of its recent runs took longer than `limit`. It
    comes back on probation after a calm that doubles each time: times measured in a thread
    include the wait for the interpreter's lock, so only a try tells whether it is fast again.
    """

    def __init__(self, seconds: float, limit: float) -> None:
        """`seconds`: the run of the largest batch at warm-up."""
        self.seconds = seconds
        self.inline = self._eligible = seconds < limit
        self._limit = limit
        self._slow = 0.0
        self._probation = 0
        self._calm = _CALM_SECONDS
        self._demoted_at = 0.0

    def observe(self, seconds: float, now: float) -> bool:
        """Take in one run; whether `inline` changed."""
        self.seconds += (seconds - self.seconds) * _WEIGHT
        if self.inline:
            if seconds < self._limit:
                self._slow -= self._slow * _WEIGHT
                self._probation -= self._probation > 0
                return False
            self._slow += (1 - self._slow) * _WEIGHT
            return (self._probation > 0 or self._slow > _TOLERATED) and self._demote(now)
        return self._eligible and now - self._demoted_at > self._calm and self._promote(now)

    def _demote(self, now: float) -> bool:
        if self._demoted_at:
            self._calm = min(2 * self._calm, _LONGEST_CALM_SECONDS)
        self._demoted_at = now
        self.inline = False
        return True

    def _promote(self, now: float) -> bool:
        if self.seconds > _HOPELESS * self._limit:
            self._demoted_at = now
            return False
        self.inline = True
        self._slow = 0.0
        self._probation = _PROBATION
        return True

    def retry_after(self, batches: float) -> int:
        """Whole seconds until so many batches will have run, 1 to 60."""
        return min(max(1, ceil(batches * self.seconds)), _LONGEST_WAIT)
