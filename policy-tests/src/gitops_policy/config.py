"""Settings of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from gitops_policy.registry import Rule

PROFILES = ("recommended", "strict", "pss-baseline", "pss-restricted")
FAIL_ON = ("error", "warning", "never")
# The edges of the histograms that the inference server exports.
EDGES: Mapping[str, Sequence[float]] = {
    "http_request_duration_seconds": (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
}


class ConfigError(Exception):
    """A setting that makes no sense: which one and what is allowed."""


@dataclass(frozen=True, slots=True)
class Config:
    """What to check and against what.

    `only` and `skip` hold rule ids or a rule's names in other tools. `environment` (dev, staging,
    production) is the overlay's own unless set. `schemas` is the folder of CRD schemas; unset, it
    is `.tools/schemas` of the repository. `today` decides what has expired. `zones` is the number
    of zones of the nodes. `shutdown_settings` are the variables by which a server is told how
    many seconds it takes to stop, `shutdown_margin` is what must be left over. `histogram_edges`
    holds the bucket edges of each histogram whose edges are known.
    """

    profile: str = "recommended"
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    kubernetes_version: str = "1.36"
    fail_on: str = "error"
    environment: str | None = None
    registries: tuple[str, ...] = ()
    minimum_replicas: int = 2
    zones: int = 3
    shutdown_settings: tuple[str, ...] = ("DRAIN_SECONDS", "SHUTDOWN_SECONDS")
    shutdown_margin: int = 5
    histogram_edges: Mapping[str, Sequence[float]] = field(default_factory=lambda: EDGES)
    schemas: Path | None = None
    exemptions: Path | None = None
    today: date | None = None

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise ConfigError(f"unknown profile {self.profile!r}: one of {', '.join(PROFILES)}")
        if self.fail_on not in FAIL_ON:
            raise ConfigError(f"unknown fail_on {self.fail_on!r}: one of {', '.join(FAIL_ON)}")

    def selected(self, known: tuple[Rule, ...]) -> tuple[Rule, ...]:
        """Return the rules to run.

        Raises ConfigError for a name in `only` or `skip` that no rule answers to.
        """
        for name in (*self.only, *self.skip):
            if not any(rule.answers_to(name) for rule in known):
                raise ConfigError(f"no rule is called {name!r}")
        if self.only:
            chosen = [r for r in known if any(r.answers_to(name) for name in self.only)]
        else:
            chosen = [r for r in known if self._in_profile(r)]
        return tuple(r for r in chosen if not any(r.answers_to(name) for name in self.skip))

    def _in_profile(self, rule: Rule) -> bool:
        if self.profile == "pss-baseline":
            return "pss:baseline" in rule.known_as
        if self.profile == "pss-restricted":
            return bool({"pss:baseline", "pss:restricted"} & set(rule.known_as))
        return rule.default or self.profile == "strict"
