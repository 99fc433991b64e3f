"""Exemptions: who answers for a broken rule, on what, until when and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from gitops_policy.fields import Path as FieldPath
from gitops_policy.fields import text
from gitops_policy.findings import Exempted, Finding, Origin
from gitops_policy.model import Index, Manifest, Problem, Resource
from gitops_policy.pods import pods
from gitops_policy.reading.kustomization import shown
from gitops_policy.reading.manifests import ManifestError, Source, read_file

PREFIX = "policy.gitops/ignore."
KEYS = frozenset({"owner", "until", "container", "reason"})


@dataclass
class Exemption:
    """One exemption as it was written; empty strings for what is missing.

    `until` is None where it is no date; `strange` holds keys that mean nothing; `used` turns true
    with the first finding it covers. `absent` says that its object is in nothing that was linted.
    """

    rule: str
    resource: Resource
    path: FieldPath
    owner: str = ""
    until: date | None = None
    reason: str = ""
    container: str = ""
    strange: tuple[str, ...] = ()
    origin: Origin | None = None
    used: bool = field(default=False, compare=False)
    absent: bool = False

    def problem(self, message: str, fix: str) -> Problem:
        """Describe what is wrong with the exemption, at the place where it stands."""
        said = f"exemption from {self.rule}: {message}"
        return Problem(self.resource, self.path, said, fix, origin=self.origin)

    def holds(self, today: date) -> bool:
        """Say whether it is complete and has not expired."""
        complete = self.owner and self.reason and not self.strange
        return bool(complete) and self.until is not None and today <= self.until

    def covers(self, finding: Finding) -> bool:
        """Say whether the finding is of its rule, object and container."""
        same = finding.rule == self.rule and finding.resource == self.resource.id
        return same and self.container in ("", finding.container)


def find_exemptions(index: Index, ledger: Path | None) -> list[Exemption]:
    """Return the exemptions of a build: annotations, and the ledger's lines about its objects.

    Raises ManifestError where the ledger is not a list of exemptions.
    """
    found = [e for resource in index.resources for e in _annotated(resource)]
    if ledger is not None and ledger.is_file():
        found += _ledger(ledger, index)
    return found


def _annotated(resource: Resource) -> Iterator[Exemption]:
    yield from _written(resource, ("metadata", "annotations"), resource.annotations)
    for pod in pods(resource):
        if pod.path:
            yield from _written(resource, (*pod.path, "metadata", "annotations"), pod.annotations)


def _written(resource: Resource, path: FieldPath, notes: Manifest) -> Iterator[Exemption]:
    for key, value in notes.items():
        if isinstance(key, str) and key.startswith(PREFIX):
            rule = key.removeprefix(PREFIX)
            yield _exemption(rule, resource, (*path, key), _settings(str(value)))


def _settings(value: str) -> dict[str, str]:
    """Read `key=value; key=value; reason=anything, also with ; and =`."""
    settings = {}
    head, found, reason = value.partition("reason=")
    for part in head.split(";"):
        key, _, content = part.partition("=")
        if part.strip():
            settings[key.strip()] = content.strip()
    return {**settings, "reason": reason.strip()} if found else settings


def _exemption(
    rule: str, resource: Resource, path: FieldPath, settings: dict[str, str]
) -> Exemption:
    return Exemption(
        rule=rule,
        resource=resource,
        path=path,
        owner=settings.get("owner", ""),
        until=_date(settings.get("until", "")),
        reason=settings.get("reason", ""),
        container=settings.get("container", ""),
        strange=tuple(sorted(settings.keys() - KEYS)),
    )


def _date(value: str) -> date | None:
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def _ledger(path: Path, index: Index) -> Iterator[Exemption]:
    by_name = {(r.kind, r.namespace, r.name): r for r in index.resources}
    for line in read_ledger(path):
        resource = by_name.get((line.kind, line.namespace, line.name))
        if resource:
            yield line.on(resource)


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One entry of the ledger: the object it names, what it says, and where it stands."""

    rule: str
    kind: str
    namespace: str
    name: str
    settings: Mapping[str, str]
    origin: Origin

    def on(self, resource: Resource) -> Exemption:
        """Return the exemption of this object."""
        exemption = _exemption(self.rule, resource, (), dict(self.settings))
        return replace(exemption, origin=self.origin)


def read_ledger(path: Path) -> Iterator[LedgerLine]:
    """Yield the entries of a ledger.

    Raises ManifestError where it is not a list of exemptions.
    """
    for source in read_file(path, shown(path)):
        if source.content is None:
            continue
        if not isinstance(source.content, list):
            raise ManifestError("is not a list of exemptions", source.file, source.line())
        for position, entry in enumerate(source.content):
            identity = _identity(entry, source, position)
            settings = {k: str(v) for k, v in entry.items() if k not in ("rule", "resource")}
            origin = Origin(None, source.file, source.line((position,)))
            yield LedgerLine(text(entry, "rule"), *identity, settings, origin)


def _identity(entry: object, source: Source, position: int) -> tuple[str, str, str]:
    parts = text(entry, "resource").split("/")
    if not text(entry, "rule") or len(parts) not in (2, 3) or not all(parts):
        reason = "an exemption needs `rule`, and `resource` as Kind/namespace/name (or Kind/name)"
        raise ManifestError(reason, source.file, source.line((position,)))
    return parts[0], parts[1] if len(parts) == 3 else "", parts[-1]


def apply_exemptions(
    exemptions: Iterable[Exemption], findings: Iterable[Finding], today: date
) -> tuple[list[Finding], list[Exempted]]:
    """Split findings into those that stand and those that a valid exemption covers."""
    valid = [e for e in exemptions if e.holds(today)]
    kept, exempted = [], []
    for finding in findings:
        covering = [e for e in valid if e.covers(finding)]
        for exemption in covering:
            exemption.used = True
        if covering:
            first = covering[0]
            said = (first.owner, str(first.until), first.reason)
            exempted.append(Exempted(finding, *said, first.origin))
        else:
            kept.append(finding)
    return kept, exempted
