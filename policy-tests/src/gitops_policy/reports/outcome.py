"""What a run over paths came to: the one thing that every format writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from gitops_policy.findings import Finding, Report, ResourceId, Severity, merge
from gitops_policy.reading.manifests import ManifestError
from gitops_policy.registry import Rule


@dataclass(frozen=True)
class Outcome:
    """A report per build, what could not be read, and the rules that ran."""

    reports: Mapping[str, Report]
    failures: tuple[ManifestError, ...] = ()
    rules: tuple[Rule, ...] = ()
    fail_on: str = "error"

    @cached_property
    def total(self) -> Report:
        """All reports as one."""
        return merge(self.reports.values())

    def counts(self) -> str:
        """Say in one line what was linted and found."""
        total = self.total
        found = [sum(f.severity == s for f in total.findings) for s in reversed(Severity)]
        said = [counted(found[0], "error"), counted(found[1], "warning")]
        said += [counted(found[2], "info", "info")] if found[2] else []
        said += [f"{len(total.exempted)} exempted"] if total.exempted else []
        said += [counted(len(total.errors), "crashed rule")] if total.errors else []
        said += [counted(len(self.failures), "unreadable input")] if self.failures else []
        size = f"{counted(len(self.reports), 'build')}, {counted(len(total.evaluated), 'rule')}"
        return f"{size}: {', '.join(said)}"


def counted(number: int, noun: str, plural: str = "") -> str:
    """Write a number with its noun."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


@dataclass
class Place:
    """One place of a problem, and the builds that it reaches."""

    finding: Finding
    builds: list[str] = field(default_factory=list)
    namespaces: set[str] = field(default_factory=set)

    @property
    def where(self) -> str:
        """The file and line to edit, or what is known of them."""
        return str(self.finding.origin) if self.finding.origin else ""

    @property
    def subject(self) -> str:
        """The object, without its namespace where that differs between the builds."""
        resource, container = self.finding.resource, self.finding.container
        if resource is None:
            return ""
        shown = str(resource) if len(self.namespaces) == 1 else f"{resource.kind} {resource.name}"
        return f"{shown} container {container}" if container else shown

    @property
    def pointer(self) -> str:
        """The JSON pointer, where file, line and container do not lead to the field already."""
        origin = self.finding.origin
        known = origin and origin.file and origin.line and self.finding.container
        return "" if known else self.finding.pointer


@dataclass
class Group:
    """The findings of one rule that say the same, wherever they are."""

    rule: str
    severity: Severity
    message: str
    fix: str
    places: list[Place] = field(default_factory=list)


def groups(reports: Mapping[str, Report]) -> list[Group]:
    """Group the findings of all builds: the most severe first, then by rule and place."""
    found: dict[object, Group] = {}
    places: dict[object, Place] = {}
    for build, report in reports.items():
        for finding in report.findings:
            said = (finding.rule, finding.severity, _message(finding), finding.fix)
            group = found.setdefault(said, Group(*said))
            key = (said, *_place(finding, build))
            if key not in places:
                places[key] = Place(finding)
                group.places.append(places[key])
            place = places[key]
            if build not in place.builds:
                place.builds.append(build)
            place.namespaces.add(finding.resource.namespace if finding.resource else "")
    return sorted(found.values(), key=lambda g: (-g.severity.rank, g.rule))


def _message(finding: Finding) -> str:
    """Return the message without the container's name, which stands beside the place."""
    return finding.message.removeprefix(f"container '{finding.container}': ")


def _place(finding: Finding, build: str) -> tuple[object, ...]:
    """Say what makes two findings the same place: a line of a file, however many builds read it."""
    resource, origin = finding.resource or ResourceId("", "", "", ""), finding.origin
    if origin and origin.file and origin.line:
        named = (resource.kind, resource.name, finding.container)
        return (*named, finding.pointer, origin.file, origin.line)
    return (resource, finding.pointer, build)
