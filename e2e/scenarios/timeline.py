"""Everything that changed in one environment, with the time at which it was seen."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Change:
    """A subject had this value from this moment on (Unix seconds)."""

    at: float
    subject: str
    value: Any


class Timeline:
    """The changes of an environment, by subject.

    rollout.{phase,message,step,current,stable,weight,aborted,replicas,available,observed,release},
    analysis/RUN, message/RUN, metric/RUN/METRIC, application.{sync,health,revision,operation,
    synced-revision}, route.{canary,stable}, envoy.canary (the real weight),
    service.{stable,canary}, autoscaler.desired, pods/HASH (ready ones).
    """

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._changes: list[Change] = []
        # The thread that watches notes, the test begins anew.
        self._lock = threading.Lock()

    def note(self, seen: Mapping[str, Any], at: float | None = None) -> None:
        """Keep those values that are new."""
        moment = time.time() if at is None else at
        with self._lock:
            for subject, value in seen.items():
                if subject not in self._values or self._values[subject] != value:
                    self._values[subject] = value
                    self._changes.append(Change(moment, subject, value))

    def begin_anew(self, forgotten: Collection[str]) -> None:
        """Keep the newest value of each subject, but for those that begin so."""
        with self._lock:
            kept = {k: v for k, v in self._values.items() if not k.startswith(tuple(forgotten))}
            now = time.time()
            self._values, self._changes = kept, [Change(now, k, v) for k, v in kept.items()]

    def now(self, subject: str) -> Any:
        """The newest value; None where nothing was seen."""
        return self._values.get(subject)

    def at(self, subject: str, moment: float) -> Any:
        """The value that a subject had at a moment."""
        value = None
        for change in self.history(subject):
            if change.at > moment:
                break
            value = change.value
        return value

    def history(self, subject: str, since: float = 0.0) -> list[Change]:
        """The changes of one subject, oldest first."""
        return [c for c in self.changes(since) if c.subject == subject]

    def changes(self, since: float = 0.0) -> list[Change]:
        """All changes, oldest first."""
        return [change for change in list(self._changes) if change.at >= since]

    def values(self, prefix: str) -> dict[str, Any]:
        """The newest values of all subjects that begin so, by the rest of their name."""
        found = dict(self._values)
        return {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}

    def runs(self, since: float = 0.0) -> dict[str, str]:
        """AnalysisRuns that began since then: name and newest phase."""
        first: dict[str, float] = {}
        for change in self.changes():
            if change.subject.startswith("analysis/"):
                first.setdefault(change.subject.removeprefix("analysis/"), change.at)
        phases = self.values("analysis/")
        return {name: phases[name] for name, at in first.items() if at >= since}

    def metrics(self, phase: str, since: float = 0.0) -> set[str]:
        """Names of the metrics that have this phase in a run that began since then."""
        runs = self.runs(since)
        found = self.values("metric/").items()
        pairs = [(name.split("/", 1), value) for name, value in found]
        return {metric for (run, metric), value in pairs if run in runs and value == phase}

    def said(self) -> str:
        """The state in one line, for a person whose wait has ended."""
        shown = {k: v for k, v in sorted(dict(self._values).items()) if k.split("/")[0] in _SAID}
        failing = {k: v for k, v in dict(self._values).items() if k.startswith("metric/")}
        bad = {k: v for k, v in failing.items() if v not in ("Successful", "Running", "Pending")}
        return ", ".join(f"{k}={v}" for k, v in {**shown, **bad}.items())


_SAID = {
    *("rollout.phase", "rollout.message", "rollout.step", "rollout.weight", "rollout.release"),
    *("application.sync", "application.health", "application.operation", "route.canary"),
    *("envoy.canary", "pods", "analysis"),
}


def spans(changes: list[Change], end: float) -> Iterator[tuple[float, float, Any]]:
    """From, to and value of each stretch between changes of one subject."""
    for number, change in enumerate(changes):
        until = changes[number + 1].at if number + 1 < len(changes) else end
        yield change.at, until, change.value
