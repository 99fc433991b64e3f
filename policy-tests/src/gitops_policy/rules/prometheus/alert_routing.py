"""Alert routing: the routes of an AlertmanagerConfig lead each alert to somebody."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import mapping, text
from gitops_policy.model import Problem, Resource
from gitops_policy.prometheus.alert_routes import (
    ALERTMANAGER_CONFIG,
    receivers,
    receivers_of,
    routes,
)
from gitops_policy.prometheus.expressions import RULES, rule_items
from gitops_policy.registry import rule
from gitops_policy.world import World

_ROUTES = "https://prometheus.io/docs/alerting/latest/configuration/#route"
_OPERATOR = "https://prometheus-operator.dev/docs/developer/alerting/"


@rule(
    id="alert-route-receiver-exists",
    title="The receiver of a route exists",
    severity="error",
    rationale="The operator rejects the whole configuration: alerts go where they went before.",
    references=[_ROUTES, _OPERATOR],
    kinds=[ALERTMANAGER_CONFIG],
)
def alert_route_receiver_exists(config: Resource) -> Iterator[Problem]:
    """The first route names a receiver, and each one that is named is defined."""
    known = receivers(config)
    for path, route in routes(config):
        name = text(route, "receiver")
        if name not in known and (name or path == ("spec", "route")):
            shown = ", ".join(sorted(known)) or "none"
            yield config.problem(
                (*path, "receiver"), f"there is no receiver {name!r}", f"there are: {shown}"
            )


@rule(
    id="alert-reaches-receiver",
    title="An alert reaches a receiver that sends it",
    severity="error",
    rationale="An alert whose labels fit no route ends at the default, often one without a target.",
    references=[_ROUTES, _OPERATOR],
    kinds=[RULES],
)
def alert_reaches_receiver(resource: Resource, world: World) -> Iterator[Problem]:
    """With an AlertmanagerConfig in its namespace, each alert fits a route to an integration."""
    configs = [
        config
        for config in world.index.of_kind(ALERTMANAGER_CONFIG)
        if config.namespace == resource.namespace
    ]
    for item in rule_items(resource) if configs else ():
        if not item.alert:
            continue
        written = {**mapping(item.group, "labels"), **mapping(item.content, "labels")}
        labels = {
            str(name): str(value) for name, value in written.items() if "{{" not in str(value)
        }
        labels |= {"alertname": item.alert, "namespace": resource.namespace}
        found = [_sent(config, labels) for config in configs]
        if not any(sent is not False for sent in found):
            yield resource.problem(
                (*item.path, "labels"),
                f"no route of {configs[0].name} leads {item.alert} to anybody",
                "add a route, or the label that a route asks for",
            )


def _sent(config: Resource, labels: dict[str, str]) -> bool | None:
    """Say whether a configuration sends an alert somewhere; None where that is not known."""
    names = receivers_of(config, labels)
    if names is None:
        return None
    known = receivers(config)
    return any(known.get(name) for name in names)
