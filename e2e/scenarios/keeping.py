"""Environments that a worker keeps: its tests take them in turn, and each finds one as new."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from e2e.scenarios.environment import Control, Environment, delete, prepare_environment
from e2e.scenarios.evidence.recording import Evidence

BACK_SECONDS = 120
# What releases and tests leave in a namespace; of some the first install has its own.
LEFT = (
    "analysisruns.argoproj.io",
    "experiments.argoproj.io",
    "replicasets.apps",
    "configmaps",
    "jobs.batch",
)
# The subjects of a timeline that speak of them.
SAID_OF_THEM = ("analysis/", "message/", "metric/")

Named = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Start:
    """What an environment was when its first release had all the traffic."""

    revision: str
    pod_hash: str
    objects: Named


class Keeper:
    """Lends one environment of each template; one whose test has failed is not lent again."""

    def __init__(self, control: Control, folder: Path, remove: Callable[[Environment], None]):
        self._control, self._folder, self._remove = control, folder, remove
        self._kept: dict[str, tuple[Environment, Start]] = {}

    @contextmanager
    def lend(self, template: str, evidence: Evidence) -> Iterator[Environment]:
        """An environment that serves its first release, and has had no other."""
        begin = time.monotonic()
        environment, start = self._kept.pop(template, None) or (self._open(template), None)
        evidence.environments.append(environment)
        try:
            if start:
                restore(environment, start)
            else:
                environment.install()
                start = look(environment)
            evidence.seconds[f"{template} as new"] = time.monotonic() - begin
            yield environment
            if evidence.outcome == "passed":
                self._kept[template] = environment, start
        finally:
            if template not in self._kept:
                self._end(environment)

    def close(self) -> None:
        """Remove what is kept."""
        for environment, _ in self._kept.values():
            self._end(environment)
        self._kept.clear()

    def _open(self, template: str) -> Environment:
        name = f"{template}-{token_hex(2)}"
        return prepare_environment(self._control, name, template, self._folder / name)

    def _end(self, environment: Environment) -> None:
        environment.close()
        self._remove(environment)


def look(environment: Environment) -> Start:
    """What there is to come back to."""
    pod_hash = environment.timeline.now("rollout.stable")
    return Start(environment.branch.head(), pod_hash, frozenset(_left(environment)))


def restore(environment: Environment, start: Start) -> None:
    """Bring Git back, then the cluster; delete what was made since, and forget what was seen."""
    environment.restore(start.revision)
    environment.wait(
        "the controller to see the first release",
        lambda seen: seen.now("rollout.current") == start.pod_hash and seen.now("rollout.observed"),
        BACK_SECONDS,
    )
    if environment.timeline.now("rollout.stable") != start.pod_hash:
        environment.promote_by_hand()
    environment.wait(
        "the first release to be all there is",
        lambda seen: (
            seen.now("rollout.current") == seen.now("rollout.stable") == start.pod_hash
            and seen.now("rollout.phase") == "Healthy"
            and seen.now("application.health") == "Healthy"
            and seen.now(environment.weight_subject) == 0
        ),
        BACK_SECONDS,
    )
    for kind, name in _left(environment) - start.objects:
        for found in environment.control.api.get(kind, name, namespace=environment.namespace):
            delete(found)
    environment.wait(
        "what other releases left to be deleted",
        lambda seen: (
            _left(environment) <= start.objects
            and not any(
                ready for pods, ready in seen.values("pods/").items() if pods != start.pod_hash
            )
        ),
        BACK_SECONDS,
    )
    environment.begin_anew(SAID_OF_THEM)


def _left(environment: Environment) -> Named:
    return frozenset((kind, found.name) for kind in LEFT for found in environment.find_all(kind))
