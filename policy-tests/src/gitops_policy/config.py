"""Settings of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Annotated

from gitops_policy.decisions import decisions_on
from gitops_policy.findings import Severity
from gitops_policy.registry import Rule, close_to, named, rules

PROFILES = ("recommended", "strict", "pss-baseline", "pss-restricted")
FAIL_ON = ("error", "warning", "never")
SEVERITIES = ("error", "warning", "info", "off")
# The edges of the histograms that the inference server exports.
EDGES: Mapping[str, Sequence[float]] = {
    "http_request_duration_seconds": (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
}


class ConfigError(Exception):
    """A setting that makes no sense: which one and what is allowed."""


@dataclass(frozen=True, slots=True)
class OneOf:
    """Stands in the annotation of a field: the values that are allowed."""

    values: tuple[str, ...]


COMMAND_ONLY = "not in a configuration file"


@dataclass(frozen=True, slots=True)
class Config:
    """What to check and against what; the documentation of a field stands in its annotation."""

    profile: Annotated[str, "The set of rules that run.", OneOf(PROFILES)] = "recommended"
    only: Annotated[tuple[str, ...], "Run these rules only; names of other tools work too."] = ()
    skip: Annotated[tuple[str, ...], "Do not run these rules; wins over `only`."] = ()
    severity: Annotated[
        Mapping[str, str],
        "Another severity for a rule, which turns it on; or `off`.",
        OneOf(SEVERITIES),
    ] = field(default_factory=dict)
    fail_on: Annotated[str, "The lowest severity that exits 1.", OneOf(FAIL_ON)] = "error"
    kubernetes_version: Annotated[str, "The version of Kubernetes that runs it all."] = "1.36"
    paths: Annotated[tuple[Path, ...], "What is linted when the command names no path."] = ()
    rules: Annotated[tuple[Path, ...], "Folders with rules of your own, one module each."] = ()
    exemptions: Annotated[
        Path | None, "The ledger of exemptions; unset: policy-tests/exemptions.yaml."
    ] = None
    schemas: Annotated[
        Path | None, "The folder of CRD schemas; unset: .tools/schemas of the repository."
    ] = None
    environment: Annotated[
        str | None, "dev, staging or production; unset: the overlay's own, overlays/ENV/NAME."
    ] = None
    registries: Annotated[tuple[str, ...], "The registries that images may come from."] = ()
    blocked_registries: Annotated[
        tuple[str, ...], "The registries that images may not come from."
    ] = ()
    minimum_replicas: Annotated[int, "The fewest pods of a workload that serves."] = 2
    zones: Annotated[int, "The number of zones that the nodes stand in."] = 3
    nodes: Annotated[int, "The number of nodes that the workloads may use; 0: not known."] = 0
    gateway_namespaces: Annotated[
        tuple[str, ...], "The namespaces in which gateways and ingress controllers run."
    ] = ("envoy-gateway-system", "ingress-nginx", "istio-system", "istio-ingress", "traefik")
    monitoring_namespaces: Annotated[
        tuple[str, ...], "The namespaces in which Prometheus runs."
    ] = ("monitoring", "prometheus", "observability", "openshift-monitoring")
    deregistration_seconds: Annotated[
        int, "The seconds until load balancers send nothing more to a pod that ends."
    ] = 5
    shutdown_settings: Annotated[
        tuple[str, ...], "The variables that tell a server how many seconds it takes to stop."
    ] = ("DRAIN_SECONDS", "SHUTDOWN_SECONDS")
    shutdown_margin: Annotated[int, "The seconds of grace left when a server has stopped."] = 5
    resource_ranges: Annotated[
        Mapping[str, Sequence[str]],
        "The lowest and the highest amount of a request or limit, as requests.cpu: [10m, 4].",
    ] = field(default_factory=dict)
    limit_request_ratio: Annotated[float, "How many times its request a limit may be."] = 2
    priority_classes: Annotated[
        tuple[str, ...], "The PriorityClasses that pods may have besides Kubernetes' own."
    ] = ()
    probe_commands: Annotated[
        tuple[str, ...], "The programs that probes may run; unset: all but jcmd, ls and ps."
    ] = ()
    required_labels: Annotated[
        tuple[str, ...], "The labels that every object carries, as KEY or KEY=PATTERN."
    ] = ()
    required_annotations: Annotated[
        tuple[str, ...], "The annotations that every object carries, as KEY or KEY=PATTERN."
    ] = ()
    volume_claim_annotations: Annotated[
        tuple[str, ...], "The annotations that a StatefulSet's volume claims carry."
    ] = ()
    storage_classes: Annotated[
        tuple[str, ...], "The StorageClasses that volume claims may name."
    ] = ()
    revisions: Annotated[
        tuple[str, ...], "The branches and tags that exist; unset: those of the Git clone."
    ] = ()
    checked_out: Annotated[
        tuple[str, ...], "The names of the revision that is linted; unset: those of HEAD."
    ] = ()
    environment_objects: Annotated[
        tuple[str, ...], "The objects that one environment has alone, as Kind/name."
    ] = ()
    certificate_hours: Annotated[int, "The longest that a certificate may be valid."] = 2400
    certificate_issuers: Annotated[
        Mapping[str, str], "The ClusterIssuer for DNS names, as *.corp.example.com: corp."
    ] = field(default_factory=dict)
    histogram_edges: Annotated[
        Mapping[str, Sequence[float]],
        "The bucket edges of each histogram whose edges are known.",
    ] = field(default_factory=lambda: EDGES)
    metrics: Annotated[
        tuple[Path, ...],
        "What your services export: files as in `exporters/`, or saved answers of /metrics; unset:"
        " every such file in policy-tests/metrics.",
    ] = ()
    scrape_seconds: Annotated[
        int, "The seconds between two scrapes, where no monitor and no Prometheus says it."
    ] = 15
    kept_labels: Annotated[
        tuple[str, ...], "The labels that every alert and recorded metric must keep."
    ] = ()
    today: Annotated[date | None, "The day that decides what has expired.", COMMAND_ONLY] = None

    def __post_init__(self) -> None:
        self._refuse("profile", self.profile, PROFILES)
        self._refuse("fail_on", self.fail_on, FAIL_ON)
        for severity in self.severity.values():
            self._refuse("severity", severity, SEVERITIES)

    def _refuse(self, name: str, value: str, allowed: Sequence[str]) -> None:
        if value not in allowed:
            raise ConfigError(f"unknown {name} {value!r}: one of {', '.join(allowed)}")

    def selected(self, known: tuple[Rule, ...] | None = None) -> tuple[Rule, ...]:
        """Return the rules to run, with the severity they have in this run.

        Raises ConfigError for a name in `only`, `skip` or `severity` that no rule answers to.
        """
        known = rules(*self.rules) if known is None else known
        only, skip = self._named(self.only, known), self._named(self.skip, known)
        levels = {rule.id: level for name, level in self.severity.items()
                  for rule in self._named([name], known)}  # fmt: skip
        off = {rule for rule, level in levels.items() if level == "off"} | {r.id for r in skip}
        chosen = only if self.only else [r for r in known if self._runs(r, levels)]
        return tuple(
            rule.at(Severity[levels[rule.id]]) if rule.id in levels else rule
            for rule in chosen
            if rule.id not in off
        )

    def _named(self, names: Sequence[str], known: tuple[Rule, ...]) -> list[Rule]:
        found = {rule.id for name in names for rule in answering(name, known)}
        return [rule for rule in known if rule.id in found]

    def _runs(self, rule: Rule, levels: Mapping[str, str]) -> bool:
        if self.profile == "pss-baseline":
            return "pss:baseline" in rule.known_as
        if self.profile == "pss-restricted":
            return bool({"pss:baseline", "pss:restricted"} & set(rule.known_as))
        strict = self.profile == "strict" and not rule.by_name_only
        return rule.default or strict or rule.id in levels


def answering(name: str, known: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Return the rules of this name; raises ConfigError, with what may have been meant."""
    found = named(name, known)
    if found:
        return found
    for decision in decisions_on(name):
        raise ConfigError(f"no rule is called {name!r}, by decision: {decision.text}")
    close = close_to(name, known)
    meant = f"; did you mean {', '.join(close)}?" if close else ""
    raise ConfigError(f"no rule is called {name!r}{meant}")
