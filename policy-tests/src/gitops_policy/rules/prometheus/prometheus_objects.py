"""The Prometheus object: it selects the rules and monitors of its build."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitops_policy.fields import mapping
from gitops_policy.kubernetes.selectors import matches
from gitops_policy.model import Problem, Resource
from gitops_policy.prometheus.expressions import rule_items
from gitops_policy.prometheus.scraping import MONITORS, POD_MONITOR, PROMETHEUS
from gitops_policy.registry import rule
from gitops_policy.world import World

_DOCS = "https://prometheus-operator.dev/docs/api-reference/api/"
_TROUBLE = "https://prometheus-operator.dev/docs/platform/troubleshooting/"
_TEMPLATES = "https://prometheus.io/docs/prometheus/latest/configuration/template_reference/"
_RULES = "monitoring.coreos.com/PrometheusRule"
_EXTERNAL = re.compile(r"(?:\$externalLabels|\.ExternalLabels)\.([A-Za-z_]\w*)")


def _selects(prometheus: Resource, field: str, resource: Resource, world: World) -> bool:
    """Say whether a Prometheus takes an object: by its labels and by its namespace's.

    No selector selects nothing; no namespace selector means its own namespace.
    """
    spec = prometheus.spec
    if spec.get(f"{field}Selector") is None:
        return False
    if not matches(mapping(spec, f"{field}Selector"), resource.labels):
        return False
    chosen = spec.get(f"{field}NamespaceSelector")
    if chosen is None:
        return resource.namespace == prometheus.namespace
    namespace = world.index.get("Namespace", "", resource.namespace)
    named = {"kubernetes.io/metadata.name": resource.namespace}
    return namespace is None or matches(chosen, {**namespace.labels, **named})


def _unselected(resource: Resource, field: str, world: World) -> Iterator[Problem]:
    servers = world.index.of_kind(*PROMETHEUS)
    if servers and not any(_selects(server, field, resource, world) for server in servers):
        yield resource.problem(
            ("metadata", "labels"),
            "no Prometheus of this build selects it",
            f"label it as {field}Selector asks, or write {field}Selector: {{}}",
        )


@rule(
    id="prometheus-selects-rules",
    title="A Prometheus loads each PrometheusRule of its build",
    severity="error",
    rationale="Rules that no Prometheus selects are accepted by the cluster and never evaluated.",
    references=[_DOCS, _TROUBLE],
    kinds=[_RULES],
    needs_whole=True,
)
def prometheus_selects_rules(resource: Resource, world: World) -> Iterator[Problem]:
    """ruleSelector and ruleNamespaceSelector of one Prometheus of the build accept the rules."""
    yield from _unselected(resource, "rule", world)


@rule(
    id="prometheus-selects-monitors",
    title="A Prometheus reads each monitor of its build",
    severity="error",
    rationale="The cluster accepts a monitor that no Prometheus selects; nothing is scraped.",
    references=[_DOCS, _TROUBLE],
    kinds=MONITORS,
    needs_whole=True,
)
def prometheus_selects_monitors(resource: Resource, world: World) -> Iterator[Problem]:
    """The selectors for monitors of one Prometheus of the build accept it."""
    field = "podMonitor" if resource.group_kind == POD_MONITOR else "serviceMonitor"
    yield from _unselected(resource, field, world)


@rule(
    id="external-labels-known",
    title="An external label that a template reads is set",
    severity="error",
    rationale="An external label that is not set expands to nothing: nobody knows which cluster.",
    references=[_TEMPLATES, _DOCS],
    kinds=[_RULES],
    known_as=["pint:alerts/external_labels"],
)
def external_labels_known(resource: Resource, world: World) -> Iterator[Problem]:
    """Each `$externalLabels.name` is a label of every Prometheus of the build."""
    servers = world.index.of_kind(*PROMETHEUS)
    for item in rule_items(resource) if servers else ():
        for field in ("labels", "annotations"):
            for name, value in mapping(item.content, field).items():
                read = _EXTERNAL.findall(value) if isinstance(value, str) else ()
                for label in dict.fromkeys(read):
                    if not all(label in _external(server) for server in servers):
                        yield resource.problem(
                            (*item.path, field, str(name)),
                            f"no external label is called {label}",
                            "set it in externalLabels of the Prometheus",
                        )


@rule(
    id="rule-label-not-external",
    title="A rule does not write an external label",
    severity="warning",
    rationale="The external label wins when data leaves Prometheus: the rule's own value is lost.",
    references=[_DOCS],
    kinds=[_RULES],
    known_as=["pint:labels/conflict"],
)
def rule_label_not_external(resource: Resource, world: World) -> Iterator[Problem]:
    """No label of a rule has the name of an external label of a Prometheus of the build."""
    taken = {label for server in world.index.of_kind(*PROMETHEUS) for label in _external(server)}
    for item in rule_items(resource) if taken else ():
        for name in mapping(item.content, "labels"):
            if name in taken:
                yield resource.problem(
                    (*item.path, "labels", str(name)),
                    f"{name} is an external label",
                    "rename the label",
                )


def _external(server: Resource) -> set[str]:
    """Return the external labels of a Prometheus, with those that the operator adds."""
    named = [
        server.spec.get("prometheusExternalLabelName", "prometheus"),
        server.spec.get("replicaExternalLabelName", "prometheus_replica"),
    ]
    return {str(name) for name in named if name} | set(mapping(server.spec, "externalLabels"))
