"""What a build knows of the series that a query selects: their type and their labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial

from gitops_policy.argo.analyses import UNKNOWN
from gitops_policy.fields import mapping
from gitops_policy.model import Index
from gitops_policy.notations import promql
from gitops_policy.prometheus.expressions import RULES, Expression, RuleItem, rule_items
from gitops_policy.prometheus.metrics import Contract, Metric, Values, contract
from gitops_policy.prometheus.result_labels import ANY, Labels, Source, matched, result_labels
from gitops_policy.prometheus.scraping import (
    MONITORS,
    POD_MONITOR,
    USUAL_LABELS,
    Endpoint,
    endpoints,
)
from gitops_policy.reading.build import is_kustomization
from gitops_policy.world import World, once

_NO_LABEL = frozenset({"le", "quantile"})


@dataclass(frozen=True)
class Knowledge:
    """The metric contract, the recorded metrics and the scraped endpoints of one build."""

    contract: Contract
    recorded: Mapping[str, tuple[RuleItem, ...]]
    scraped: tuple[Endpoint, ...]
    _labels: dict[promql.Node, Labels] = field(default_factory=dict, compare=False)
    _named: dict[str, Labels | None] = field(default_factory=dict, compare=False)
    _values: dict[str, Mapping[str, Values]] = field(default_factory=dict, compare=False)

    @cached_property
    def queries(self) -> dict[str, str]:
        """The recorded metrics by their expressions."""
        return {
            item.tree.prettify(): name
            for name, items in self.recorded.items()
            for item in items
            if item.tree is not None and promql.kind(item.tree) != "NumberLiteral"
        }

    def metric(self, name: str) -> Metric | None:
        """Return the exported metric of this name."""
        return self.contract.series(name)

    def exists(self, name: str) -> bool:
        """Say whether somebody exports or records a metric, as far as that can be known."""
        if not self.contract.complete or not name or UNKNOWN in name:
            return True
        return name in self.recorded or self.contract.series(name) is not None

    def type(self, name: str) -> str | None:
        """Return the type of a series: counter, gauge, histogram, summary; None if not known."""
        if name in self.recorded:
            return "recorded"
        found = self.contract.series(name)
        return found.type if found else None

    def values(self, name: str) -> Mapping[str, Values]:
        """Return the values that the labels of an exported metric can have."""
        if name not in self._values:
            self._values[name] = self._values_of(name)
        return self._values[name]

    def _values_of(self, name: str) -> Mapping[str, Values]:
        found = self.contract.series(name)
        if found is None or not found.own or name in self.recorded:
            return found.labels or {} if found and name not in self.recorded else {}
        lost = {label for label in found.labels or {} if self.renamed(label)}
        return {label: v for label, v in (found.labels or {}).items() if label not in lost}

    def renamed(self, label: str) -> bool:
        """Say whether every scrape of this build takes a label of the exporter for itself."""
        return bool(self.scraped) and all(
            not endpoint.honors_labels and label in endpoint.target_labels[0]
            for endpoint in self.scraped
        )

    def labels(self, selector: promql.Node, seen: frozenset[str] = frozenset()) -> Labels:
        """Return the labels of the series that a selector finds."""
        if seen:
            return self._of(selector, seen)
        if selector not in self._labels:
            self._labels[selector] = self._of(selector, seen)
        return self._labels[selector]

    def _of(self, selector: promql.Node, seen: frozenset[str]) -> Labels:
        name = promql.metric(selector)
        nested = self._recorded(name, seen) or self._exported(name) if seen else None
        own = (nested if seen else self._by_name(name)) or ANY
        wanted = matched(selector)
        sure = own.sure | frozenset(label for label in wanted.sure if own.may(label))
        return Labels(
            sure - wanted.gone,
            (own.possible | sure) - wanted.gone,
            own.is_open,
            own.gone | wanted.gone,
        )

    def _by_name(self, name: str) -> Labels | None:
        if name not in self._named:
            self._named[name] = self._recorded(name, frozenset()) or self._exported(name)
        return self._named[name]

    def _recorded(self, name: str, seen: frozenset[str]) -> Labels | None:
        if name not in self.recorded or name in seen:
            return None
        found = None
        for item in self.recorded[name]:
            if item.tree is None:
                return ANY
            made = result_labels(item.tree, Source(partial(self.labels, seen=seen | {name})))
            made = made.adding(map(str, mapping(item.content, "labels")), sure=True)
            found = made if found is None else found.union(made)
        return found

    def _exported(self, name: str) -> Labels | None:
        found = self.contract.series(name)
        if found is None or found.labels is None or not self.contract.complete:
            return None
        exporter = set(found.labels)
        if any(label.endswith("*") for label in exporter):
            return None
        exporter |= {f"exported_{label}" for label in exporter & USUAL_LABELS}
        if not found.own:
            return Labels(frozenset(), frozenset(exporter | USUAL_LABELS))
        return self._own(frozenset(found.labels))

    def _own(self, exporter: frozenset[str]) -> Labels | None:
        if not self.scraped:
            return None
        sides = [_stored(exporter, endpoint) for endpoint in self.scraped]
        made = sides[0]
        for other in sides[1:]:
            made = made.union(other)
        return made


def _stored(exporter: frozenset[str], endpoint: Endpoint) -> Labels:
    """Return the labels of a series as one endpoint's scrape stores it."""
    target, target_open = endpoint.target_labels
    written, written_open = endpoint.stored_labels
    own = exporter
    if not endpoint.honors_labels:
        own = frozenset(f"exported_{label}" if label in target else label for label in exporter)
    sure = (own - _NO_LABEL) | (target & {"namespace", "job", "instance"})
    sure |= {"pod"} & target if endpoint.monitor.group_kind == POD_MONITOR else set()
    return Labels(sure, own | target | written, target_open or written_open)


@once
def known(world: World) -> Knowledge:
    """Return what a build knows of series."""
    recorded: dict[str, dict[object, RuleItem]] = {}
    for resource in world.index.of_kind(RULES):
        for item in rule_items(resource):
            if item.record:
                key = (item.query, tuple(map(str, mapping(item.content, "labels"))))
                recorded.setdefault(item.record, {})[key] = item
    found = [e for m in world.index.of_kind(*MONITORS) for e in endpoints(m)]
    scraped = {_shape(endpoint): endpoint for endpoint in found}
    items = {name: tuple(distinct.values()) for name, distinct in recorded.items()}
    return Knowledge(contract(world), items, tuple(scraped.values()))


def _shape(endpoint: Endpoint) -> object:
    """Return what distinguishes one endpoint's labels from another's."""
    kind = endpoint.monitor.group_kind
    return endpoint.target_labels, endpoint.stored_labels, endpoint.honors_labels, kind


@once
def source(world: World) -> Source:
    """Return what tells the labels of a selector in this build."""
    return Source(known(world).labels)


def result(expression: Expression, world: World) -> Labels:
    """Return the labels of an expression's result."""
    return result_labels(expression.tree, source(world))


@once
def recorded_beside(world: World) -> frozenset[str]:
    """Return what the other overlays of this environment record: its Prometheus reads them all."""
    folder = world.build.path
    if world.workspace is None or folder is None or world.build.environment is None:
        return frozenset()
    builds = [
        world.workspace.build(other)
        for other in sorted(folder.parent.iterdir())
        if other != folder and is_kustomization(other)
    ]
    return frozenset(
        item.record
        for build in builds
        if build is not None
        for resource in Index(build.documents).of_kind(RULES)
        for item in rule_items(resource)
        if item.record
    )
