"""The ledger of exemptions over a whole run: one file that speaks of objects in many builds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from gitops_policy.config import Config
from gitops_policy.exemptions import LedgerLine, read_ledger
from gitops_policy.findings import Finding, Origin, Report
from gitops_policy.model import Resource
from gitops_policy.reading.build import LEDGER, Build, repository, upward
from gitops_policy.reading.kustomization import shown
from gitops_policy.registry import EXEMPTIONS, Rule
from gitops_policy.world import World

UNUSED = "exemption-unused"


def judged(
    reports: Mapping[str, Report], paths: Iterable[str], config: Config
) -> dict[str, Report]:
    """Return the reports with each line of a ledger judged once, over all builds.

    A line is used if it exempts something in any build. One whose object is in no build is unused
    if the run covers what the ledger speaks of: the configured paths, else the repository.
    """
    given = [Path(path).resolve() for path in paths if path != "-"]
    judged_reports = dict(reports)
    for ledger in _ledgers(given, config):
        lines = list(read_ledger(ledger))
        rest, spoken = _taken(judged_reports, shown(ledger))
        judged_reports = rest
        whole = _covers(given, config.paths or (_root(ledger, config),))
        findings = tuple(_findings(lines, spoken, _used(rest), config, whole))
        if findings:
            judged_reports[shown(ledger)] = Report(findings)
    return judged_reports


def _ledgers(given: Iterable[Path], config: Config) -> list[Path]:
    if config.exemptions:
        return [config.exemptions]
    found = {upward(repository(path), str(LEDGER)) for path in given}
    return sorted(path for path in found if path)


def _root(ledger: Path, config: Config) -> Path:
    return repository(ledger) if config.exemptions else ledger.resolve().parents[1]


def _covers(given: Iterable[Path], wanted: Iterable[Path]) -> bool:
    folders = tuple(given)
    return all(
        any(place == folder or folder in place.parents for folder in folders)
        for place in (path.resolve() for path in wanted)
    )


def _taken(
    reports: Mapping[str, Report], file: str
) -> tuple[dict[str, Report], dict[Origin, set[str]]]:
    """Take the findings about the ledger out of the builds; return both, the latter by line."""
    rest: dict[str, Report] = {}
    spoken: dict[Origin, set[str]] = {}
    for name, report in reports.items():
        kept = []
        for finding in report.findings:
            origin = finding.origin
            if origin and origin.file == file and origin.overlay is None:
                spoken.setdefault(origin, set()).add(finding.rule)
            else:
                kept.append(finding)
        rest[name] = replace(report, findings=tuple(kept))
    return rest, spoken


def _used(reports: Mapping[str, Report]) -> set[Origin]:
    return {item.origin for report in reports.values() for item in report.exempted if item.origin}


def _findings(
    lines: Iterable[LedgerLine],
    spoken: Mapping[Origin, set[str]],
    used: set[Origin],
    config: Config,
    whole: bool,
) -> Iterator[Finding]:
    world = World(Build(()), config, None)
    demands = [rule for rule in config.selected() if rule.kinds == EXEMPTIONS]
    for line in lines:
        present = line.origin in used or UNUSED in spoken.get(line.origin, ())
        exemption = line.on(_stand_in(line))
        exemption.used, exemption.absent = line.origin in used, not present
        for rule in demands:
            if rule.id != UNUSED or present or whole:
                yield from _said(rule, exemption, world)


def _stand_in(line: LedgerLine) -> Resource:
    metadata = {"name": line.name, "namespace": line.namespace}
    return Resource({"kind": line.kind, "metadata": metadata}, line.namespace)


def _said(rule: Rule, exemption: object, world: World) -> Iterator[Finding]:
    for problem in rule.check(exemption, world):
        severity = rule.severity if problem.severity is None else problem.severity
        resource = problem.resource.id if problem.resource else None
        yield Finding(rule.id, severity, resource, "", problem.message, problem.fix, problem.origin)
