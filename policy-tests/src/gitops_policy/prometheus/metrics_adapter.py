"""prometheus-adapter: which metrics it serves to autoscalers, from which queries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gitops_policy.argo.analyses import UNKNOWN
from gitops_policy.argo.applications import APPLICATION, sources
from gitops_policy.fields import Path, entries, mapping, text
from gitops_policy.model import Resource
from gitops_policy.notations import promql
from gitops_policy.notations.patterns import may_run_away
from gitops_policy.reading.manifests import ManifestError, read_text
from gitops_policy.world import World, once

_CHART = "prometheus-adapter"
_KINDS = {"custom": "rules", "external": "externalRules"}


@dataclass(frozen=True, slots=True)
class AdapterRule:
    """One rule with its path; `api` is custom or external."""

    path: Path
    content: dict[str, Any]
    api: str

    @property
    def series(self) -> str:
        """The metric that the rule finds; empty where it finds several."""
        try:
            return promql.metric(promql.parse(text(self.content, "seriesQuery")))
        except (ValueError, AttributeError):
            return ""

    @property
    def served(self) -> str:
        """The name under which autoscalers ask for the metric; empty where it is not known."""
        name = mapping(self.content, "name")
        pattern = text(name, "matches") or ".*"
        if may_run_away(pattern):
            return ""
        try:
            inner = re.compile(pattern)
            template = text(name, "as") or ("$1" if inner.groups else "$0")
            written = re.sub(r"\$\{?(\d+)\}?", r"\\g<\1>", template)
            found = inner.search(self.series) if self.series else None
            return inner.sub(written, self.series, count=1) if found else ""
        except (re.error, IndexError):
            return ""

    @property
    def queries(self) -> Iterator[tuple[Path, str]]:
        """The queries with their paths; what the adapter fills in is filled in."""
        yield (*self.path, "seriesQuery"), text(self.content, "seriesQuery")
        query = text(self.content, "metricsQuery")
        for name, value in (
            ("Series", self.series or UNKNOWN),
            ("LabelMatchers", f'namespace="{UNKNOWN}"'),
            ("GroupBy", "namespace"),
        ):
            query = re.sub(rf"<<\s*\.{name}\s*>>", value, query)
        if query and "<<" not in query:
            yield (*self.path, "metricsQuery"), query


def adapter_rules(resource: Resource) -> Iterator[AdapterRule]:
    """Yield the rules in an Application of the chart, or in the adapter's own ConfigMap."""
    if resource.group_kind == APPLICATION:
        for path, source in sources(resource):
            if text(source, "chart") == _CHART:
                base = (*path, "helm", "valuesObject", "rules")
                given = mapping(source, "helm", "valuesObject", "rules")
                yield from _rules(given, base, {"custom": "custom", "external": "external"})
    elif resource.group_kind == "ConfigMap":
        content = text(resource.content, "data", "config.yaml")
        if "seriesQuery" in content:
            for rule in _rules(_parsed(content), (), _KINDS):
                yield AdapterRule(("data", "config.yaml"), rule.content, rule.api)


def _parsed(content: str) -> object:
    try:
        found = read_text(content, "config.yaml")
    except ManifestError:
        return {}
    return found[0].content if found else {}


def _rules(given: object, base: Path, names: dict[str, str]) -> Iterator[AdapterRule]:
    for api, name in names.items():
        for i, item in entries(given, name):
            yield AdapterRule((*base, name, i), item, api)


def has_defaults(resource: Resource) -> bool:
    """Say whether an Application of the chart keeps the chart's own rules."""
    return any(
        text(source, "chart") == _CHART
        and mapping(source, "helm", "valuesObject", "rules").get("default") is not False
        for _, source in (sources(resource) if resource.group_kind == APPLICATION else ())
    )


@once
def adapters(world: World) -> list[Resource]:
    """Return the objects that configure the adapter: of this build, else of the applications."""
    found = _configured(world)
    build = world.workspace.build("apps") if world.workspace and not found else None
    return found or (_configured(World(build, world.config, world.workspace)) if build else [])


def _configured(world: World) -> list[Resource]:
    return [
        resource
        for resource in world.index.of_kind(APPLICATION, "ConfigMap")
        if next(adapter_rules(resource), None) is not None or has_defaults(resource)
    ]
