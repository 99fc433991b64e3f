"""Where PromQL stands: alerts, recording rules, gates, triggers, dashboards, adapters."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, wraps
from typing import Any
from weakref import WeakKeyDictionary

from gitops_policy.argo.analyses import (
    CLUSTER_TEMPLATE,
    TEMPLATE,
    UNKNOWN,
    prometheus_metrics,
    substituted,
)
from gitops_policy.argo.applications import APPLICATION
from gitops_policy.fields import Path, entries, mapping, text
from gitops_policy.model import Problem, Resource
from gitops_policy.notations import promql
from gitops_policy.prometheus.metrics_adapter import adapter_rules
from gitops_policy.world import World

RULES = "monitoring.coreos.com/PrometheusRule"
TRIGGERS = ("keda.sh/ScaledObject", "keda.sh/ScaledJob")
CARRIERS = (RULES, TEMPLATE, CLUSTER_TEMPLATE, *TRIGGERS, "ConfigMap", APPLICATION)
# What Grafana puts in place of its own variables.
_GRAFANA = (
    (r"\$\{?__(?:rate_)?interval\}?|\$__auto", "5m"),
    (r"\$\{?__range\}?", "1h"),
    (r"\$\{?__(?:range|interval)_(?:s|ms)\}?", "300"),
)
_VARIABLE = re.compile(r"\$\{\w+(?::\w+)?\}|\$\w+|\[\[\w+\]\]")


@dataclass(frozen=True, slots=True)
class Expression:
    """One expression that parses: where it stands, what it is for, and the item around it.

    `purpose` is alert, record, gate, trigger, panel, adapter, or series: a search.
    """

    resource: Resource
    path: Path
    purpose: str
    tree: promql.Node
    item: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RuleItem:
    """An alerting or recording rule with its path and its group."""

    path: Path
    content: dict[str, Any]
    group: dict[str, Any]

    @cached_property
    def alert(self) -> str:
        """The alert's name; empty for a recording rule."""
        return text(self.content, "alert")

    @cached_property
    def record(self) -> str:
        """The recorded metric; empty for an alert."""
        return text(self.content, "record")

    @property
    def query(self) -> str:
        """The expression; a number is written as one."""
        value = self.content.get("expr", "")
        return str(value) if isinstance(value, str | int | float) else ""

    @cached_property
    def tree(self) -> promql.Node | None:
        """The expression parsed; None where it does not parse."""
        return tried(self.query)


def rule_items(resource: Resource) -> list[RuleItem]:
    """Return the rules of a PrometheusRule."""
    if resource not in _ITEMS:
        _ITEMS[resource] = [
            RuleItem(("spec", "groups", i, "rules", j), item, group)
            for i, group in entries(resource.spec, "groups")
            for j, item in entries(group, "rules")
        ]
    return _ITEMS[resource]


_ITEMS: WeakKeyDictionary[Resource, list[RuleItem]] = WeakKeyDictionary()


def tried(query: str) -> promql.Node | None:
    """Parse a query; None where it does not parse."""
    try:
        return promql.parse(query)
    except ValueError:
        return None


_FOUND: WeakKeyDictionary[Resource, list[Expression]] = WeakKeyDictionary()


def expressions(resource: Resource) -> list[Expression]:
    """Return the expressions of an object that parse."""
    if resource not in _FOUND:
        _FOUND[resource] = _expressions(resource)
    return _FOUND[resource]


def _expressions(resource: Resource) -> list[Expression]:
    if resource.group_kind == RULES:
        return [
            Expression(
                resource,
                (*item.path, "expr"),
                "alert" if item.alert else "record",
                tree,
                item.content,
            )
            for item in rule_items(resource)
            if (tree := item.tree) is not None
        ]
    if resource.group_kind in (TEMPLATE, CLUSTER_TEMPLATE):
        return list(_gates(resource))
    if resource.group_kind in TRIGGERS:
        return list(_triggers(resource))
    panels = list(_panels(resource)) if resource.group_kind == "ConfigMap" else []
    return [*panels, *_adapted(resource)]


Check = Callable[..., Iterator[Problem]]


def each_once(check: Check) -> Check:
    """Let a rule report the same mistake at one place once: a dashboard repeats its queries."""

    @wraps(check)
    def told(*subjects: Any) -> Iterator[Problem]:
        seen = set()
        for problem in check(*subjects):
            if (problem.path, problem.message) not in seen:
                seen.add((problem.path, problem.message))
                yield problem

    return told


def everywhere(world: World) -> Iterator[Expression]:
    """Yield every expression of a build that parses."""
    for resource in world.index.of_kind(*CARRIERS):
        yield from expressions(resource)


def _gates(template: Resource) -> Iterator[Expression]:
    for path, metric in prometheus_metrics(template):
        tree = gate(template, text(metric, "provider", "prometheus", "query"))
        if tree is not None:
            place = (*path, "provider", "prometheus", "query")
            yield Expression(template, place, "gate", tree, metric)


def gate(template: Resource, query: str) -> promql.Node | None:
    """Return the first variant of a template's query that parses, None if none does."""
    for variant in substituted(template, query):
        tree = tried(variant)
        if tree is not None:
            return tree
    return None


def _triggers(scaler: Resource) -> Iterator[Expression]:
    for i, trigger in entries(scaler.spec, "triggers"):
        if text(trigger, "type") == "prometheus":
            tree = tried(text(trigger, "metadata", "query"))
            if tree is not None:
                path = ("spec", "triggers", i, "metadata", "query")
                yield Expression(scaler, path, "trigger", tree, trigger)


def _adapted(resource: Resource) -> Iterator[Expression]:
    for rule in adapter_rules(resource):
        for path, query in rule.queries:
            tree = tried(query)
            if tree is not None:
                purpose = "series" if path[-1] == "seriesQuery" else "adapter"
                yield Expression(resource, path, purpose, tree, rule.content)


def _panels(config_map: Resource) -> Iterator[Expression]:
    for path, query in panel_queries(config_map):
        tree = tried(_without_variables(query))
        if tree is not None:
            yield Expression(config_map, path, "panel", tree)


def panel_queries(config_map: Resource) -> Iterator[tuple[Path, str]]:
    """Yield the PromQL of the Grafana dashboards in a ConfigMap, with the path of the file."""
    for key, value in mapping(config_map.content, "data").items():
        if not isinstance(value, str) or not value.lstrip().startswith("{"):
            continue
        if '"panels"' not in value and '"templating"' not in value:
            continue
        try:
            dashboard = json.loads(value)
        except (ValueError, RecursionError):
            continue
        for query in dict.fromkeys(dashboard_queries(dashboard)):
            yield ("data", str(key)), query


def dashboard_queries(value: object) -> Iterator[str]:
    """Yield the PromQL of a Grafana dashboard: of its panels, variables and annotations."""
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if isinstance(current, dict):
            if isinstance(query := current.get("expr"), str) and not _other_language(current):
                yield query
            if current.get("type") == "query" and (found := _variable_query(current)):
                yield found
            waiting += current.values()
        elif isinstance(current, list):
            waiting += current


def _other_language(target: dict[str, Any]) -> bool:
    """Say whether a target asks Loki: its queries stand under `expr` as well."""
    return text(target, "datasource", "type") == "loki"


def _variable_query(variable: dict[str, Any]) -> str:
    query = variable.get("query")
    query = text(query, "query") if isinstance(query, dict) else query
    if not isinstance(query, str):
        return ""
    found = re.fullmatch(r"\s*(?:label_values|query_result)\((.*)\)\s*", query, re.DOTALL)
    if not found:
        return ""
    inner = found.group(1).strip()
    if query.lstrip().startswith("query_result"):
        return inner
    return inner.rpartition(",")[0].strip()


def _without_variables(query: str) -> str:
    for pattern, value in _GRAFANA:
        query = re.sub(pattern, value, query)
    parts, end = [], 0
    for found in promql.QUOTED.finditer(query):
        parts += [_bare_variables(query[end : found.start()])]
        parts.append(_VARIABLE.sub(UNKNOWN, found.group()))
        end = found.end()
    return "".join([*parts, _bare_variables(query[end:])])


def _bare_variables(code: str) -> str:
    def value(found: re.Match[str]) -> str:
        return "5m" if promql.wants_duration(code[: found.start()]) else UNKNOWN

    return _VARIABLE.sub(value, code)
