"""What a run says: findings, exempted findings, counts and errors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How much a finding matters: equal to its word, ordered, `info` lowest."""

    info = "info"
    warning = "warning"
    error = "error"

    @property
    def rank(self) -> int:
        """0 for `info`, 1 for `warning`, 2 for `error`."""
        return _RANKS[self.value]

    def __lt__(self, other: str) -> bool:
        return self.rank < Severity(other).rank

    def __le__(self, other: str) -> bool:
        return self.rank <= Severity(other).rank

    def __gt__(self, other: str) -> bool:
        return self.rank > Severity(other).rank

    def __ge__(self, other: str) -> bool:
        return self.rank >= Severity(other).rank


_RANKS = {severity.value: rank for rank, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class Origin:
    """The place in Git that a person edits: overlay, file and line (1-based) where known."""

    overlay: str | None = None
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        place = self.file or self.overlay or "(standard input)"
        return f"{place}:{self.line}" if self.line else place

    def as_json(self) -> dict[str, Any]:
        """Return the place in the JSON shape of the report."""
        return {"overlay": self.overlay, "file": self.file, "line": self.line}


@dataclass(frozen=True, slots=True)
class ResourceId:
    """Identity of an object; `namespace` is empty for cluster-scoped objects."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        place = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {place}{self.name}"

    def as_json(self) -> dict[str, str]:
        """Return the identity with the field names of Kubernetes."""
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "namespace": self.namespace,
            "name": self.name,
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule at one place; `pointer` is a JSON pointer into the rendered object."""

    rule: str
    severity: Severity
    resource: ResourceId | None
    pointer: str
    message: str
    fix: str = ""
    origin: Origin | None = None
    container: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the finding in the JSON shape of the report."""
        return {
            "rule": self.rule,
            "severity": self.severity.name,
            "resource": self.resource.as_json() if self.resource else None,
            "pointer": self.pointer,
            "message": self.message,
            "fix": self.fix,
            "origin": self.origin.as_json() if self.origin else None,
        }


@dataclass(frozen=True, slots=True)
class Exempted:
    """A finding that somebody answers for until a date; `origin` is the line of the ledger."""

    finding: Finding
    owner: str
    until: str
    reason: str
    origin: Origin | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the finding with who exempted it, until when and why."""
        exemption = {"owner": self.owner, "until": self.until, "reason": self.reason}
        return {**self.finding.as_json(), "exemption": exemption}


@dataclass(frozen=True, slots=True)
class RuleError:
    """A rule that could not run: its id, the object it looked at and the exception."""

    rule: str
    message: str
    resource: ResourceId | None = None
    origin: Origin | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the error in the JSON shape of the report."""
        return {
            "rule": self.rule,
            "resource": self.resource.as_json() if self.resource else None,
            "message": self.message,
            "origin": self.origin.as_json() if self.origin else None,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of one run; `evaluated` counts objects per rule that ran."""

    findings: tuple[Finding, ...] = ()
    exempted: tuple[Exempted, ...] = ()
    evaluated: dict[str, int] = field(default_factory=dict)
    errors: tuple[RuleError, ...] = ()

    def at_least(self, severity: Severity) -> tuple[Finding, ...]:
        """Return the findings of this severity or a higher one."""
        return tuple(f for f in self.findings if f.severity >= severity)

    def as_json(self) -> dict[str, Any]:
        """Return the whole report in its versioned JSON shape."""
        return {
            "version": 1,
            "findings": [f.as_json() for f in self.findings],
            "exempted": [e.as_json() for e in self.exempted],
            "evaluated": dict(sorted(self.evaluated.items())),
            "errors": [e.as_json() for e in self.errors],
        }


def merge(reports: Iterable[Report]) -> Report:
    """Return one report with everything that several reports hold."""
    several = tuple(reports)
    evaluated: dict[str, int] = {}
    for report in several:
        for rule, number in report.evaluated.items():
            evaluated[rule] = evaluated.get(rule, 0) + number
    return Report(
        findings=tuple(finding for report in several for finding in report.findings),
        exempted=tuple(item for report in several for item in report.exempted),
        evaluated=evaluated,
        errors=tuple(error for report in several for error in report.errors),
    )
