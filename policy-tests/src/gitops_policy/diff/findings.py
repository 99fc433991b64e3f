"""Which findings are new, and which are gone: the same one may have moved."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

from gitops_policy.diff.changes import names_of
from gitops_policy.diff.compare import stem
from gitops_policy.diff.renders import Rendered
from gitops_policy.fields import steps
from gitops_policy.findings import Finding, ResourceId
from gitops_policy.model import Index, Resource
from gitops_policy.reading.build import Build


@dataclass(frozen=True, slots=True)
class News:
    """Findings of the head that the base has not, those of the base that are gone, and the rest."""

    new: tuple[Finding, ...] = ()
    fixed: tuple[Finding, ...] = ()
    unchanged: int = 0


class _Seen:
    """A finding with the object it is about."""

    def __init__(self, finding: Finding, resources: dict[ResourceId, Resource]) -> None:
        self.finding = finding
        self.resource = resources.get(finding.resource) if finding.resource else None

    def subject(self) -> Hashable:
        identity = self.finding.resource
        if identity is None:
            return None
        name = stem(self.resource) if self.resource else identity.name
        return identity.api_version.rpartition("/")[0], identity.kind, identity.namespace, name

    def place(self) -> Hashable:
        """Rule, object and field, list items by name; the message may differ in its figures."""
        finding = self.finding
        if finding.resource is None:
            return finding.origin and finding.origin.file, self.said()
        content = self.resource.content if self.resource else {}
        names = names_of(content, steps(finding.pointer))
        return finding.rule, finding.severity, self.subject(), names

    def said(self) -> Hashable:
        """Rule, object and message without figures: the field may have moved in its list."""
        message = re.sub(r"\d+", "#", self.finding.message)
        return self.finding.rule, self.subject(), message, self.finding.severity


def news(before: Rendered | None, after: Rendered | None) -> News:
    """Compare what the rules say of one overlay on both sides.

    A finding that the head exempts is neither new nor fixed.
    """
    old, new = _seen(before), _seen(after)
    total = len(new)
    for same in (_Seen.place, _Seen.said):
        old, new = _unmatched(old, new, same)
    exempted = [item.finding for item in after.report.exempted] if after else []
    fixed, _ = _unmatched(old, _seen(after, exempted), _Seen.place)
    return News(
        tuple(seen.finding for seen in new),
        tuple(seen.finding for seen in fixed),
        total - len(new),
    )


def _seen(rendered: Rendered | None, findings: Iterable[Finding] | None = None) -> list[_Seen]:
    if rendered is None:
        return []
    resources = _resources(rendered.build)
    said = rendered.report.findings if findings is None else findings
    return [_Seen(finding, resources) for finding in said]


def _resources(build: Build | None) -> dict[ResourceId, Resource]:
    return {r.id: r for r in Index(build.documents, build.namespace).resources} if build else {}


def _unmatched(
    old: list[_Seen], new: list[_Seen], same: Callable[[_Seen], Hashable]
) -> tuple[list[_Seen], list[_Seen]]:
    by_key: dict[Hashable, list[_Seen]] = defaultdict(list)
    for seen in old:
        by_key[same(seen)].append(seen)
    left = []
    for seen in new:
        partners = by_key[same(seen)]
        if partners:
            partners.pop(0)
        else:
            left.append(seen)
    kept = {id(seen) for partners in by_key.values() for seen in partners}
    return [seen for seen in old if id(seen) in kept], left


def flat(results: Iterable[News]) -> News:
    """Return the findings of all overlays together."""
    kept = list(results)
    return News(
        tuple(finding for one in kept for finding in one.new),
        tuple(finding for one in kept for finding in one.fixed),
        sum(one.unchanged for one in kept),
    )
