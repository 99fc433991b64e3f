"""SARIF 2.1.0, as code scanning services read it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

from gitops_policy.findings import Exempted, Finding, Origin, RuleError, Severity
from gitops_policy.reading.manifests import ManifestError
from gitops_policy.registry import Rule
from gitops_policy.reports.json_report import array
from gitops_policy.reports.locations import repository_file, uri
from gitops_policy.reports.outcome import Outcome
from gitops_policy.version import installed_version

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_LEVELS = {Severity.error: "error", Severity.warning: "warning", Severity.info: "note"}
# Numbers that GitHub reads as high, medium and low.
_SECURITY = {Severity.error: "8.0", Severity.warning: "5.0", Severity.info: "2.0"}
_ABOUT_SECURITY = ("pss:", "cis:", "nsa")
_POSITION = re.compile(r"((?:init|ephemeral)?[cC]ontainers)/\d+")


def sarif(outcome: Outcome) -> str:
    """Return the report as one SARIF run."""
    rules = sorted(outcome.rules, key=lambda rule: rule.id)
    positions = {rule.id: position for position, rule in enumerate(rules)}
    parts = {
        "tool": json.dumps({"driver": _driver(rules)}),
        "columnKind": '"utf16CodeUnits"',
        "invocations": json.dumps([_invocation(outcome)]),
        "results": array(_results(outcome, positions)),
    }
    run = ",\n".join(f'"{name}": {value}' for name, value in parts.items())
    return f'{{"$schema": "{SCHEMA}", "version": "2.1.0", "runs": [{{\n{run}}}]}}'


def _driver(rules: list[Rule]) -> dict[str, Any]:
    described = [_rule(rule) for rule in rules]
    return {"name": "gitops-policy", "version": installed_version(), "rules": described}


def _rule(rule: Rule) -> dict[str, Any]:
    links = [reference for reference in rule.references if reference.startswith("https://")]
    also = f" Known elsewhere as {', '.join(rule.known_as)}." if rule.known_as else ""
    link = "".join(f"\n\n<{reference}>" for reference in links)
    properties: dict[str, Any] = {"tags": _tags(rule), "problem.severity": _problem(rule.severity)}
    if "security" in properties["tags"]:
        properties["security-severity"] = _SECURITY[rule.severity]
    described = {
        "id": rule.id,
        "name": "".join(part.capitalize() for part in rule.id.split("-")),
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.rationale},
        "help": {
            "text": f"{rule.rationale}{also}",
            "markdown": f"**{rule.title}.** {rule.rationale}{also}{link}",
        },
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": properties,
    }
    return {**described, "helpUri": links[0]} if links else described


def _tags(rule: Rule) -> list[str]:
    security = any(name.startswith(_ABOUT_SECURITY) for name in rule.known_as)
    kinds = ["security"] if security else ["reliability"]
    return list(dict.fromkeys([*kinds, rule.concern, *rule.known_as]))


def _problem(severity: Severity) -> str:
    return "recommendation" if severity is Severity.info else severity.name


def _results(outcome: Outcome, positions: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    seen: Counter[str] = Counter()
    for build, report in outcome.reports.items():
        findings = [(finding, None) for finding in report.findings]
        for finding, exempted in [*findings, *((e.finding, e) for e in report.exempted)]:
            print_of = _fingerprint(build, finding)
            seen[print_of] += 1
            result = _result(build, finding, exempted)
            result["partialFingerprints"] = {
                "gitopsPolicy/v1": f"{print_of}:{seen[print_of]}",
                "primaryLocationLineHash": f"{print_of}:{seen[print_of]}",
            }
            if finding.rule in positions:
                result["ruleIndex"] = positions[finding.rule]
            yield result


def _result(build: str, finding: Finding, exempted: Exempted | None) -> dict[str, Any]:
    fix = f" Fix: {finding.fix}" if finding.fix else ""
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.message}{'' if not fix else '.'}{fix}"},
        "locations": [_location(build, finding)],
    }
    if exempted:
        said = f"{exempted.reason} ({exempted.owner}, until {exempted.until})"
        kind = "external" if exempted.origin else "inSource"
        result["suppressions"] = [{"kind": kind, "status": "accepted", "justification": said}]
    return result


def _location(build: str, finding: Finding) -> dict[str, Any]:
    resource = finding.resource
    name = f"{resource}{finding.pointer}" if resource else build or "build"
    logical = {
        "name": resource.name if resource else build or "build",
        "fullyQualifiedName": f"{build}: {name}" if build and resource else name,
        "kind": "resource" if resource else "module",
    }
    physical = _physical(finding.origin)
    location: dict[str, Any] = {"logicalLocations": [logical]}
    return {**physical, **location}


def _physical(origin: Origin | None) -> dict[str, Any]:
    file = repository_file(origin)
    if origin is None or file is None:
        return {}
    place: dict[str, Any] = {"artifactLocation": {"uri": uri(file)}}
    if origin.line:
        place["region"] = {"startLine": origin.line}
    return {"physicalLocation": place}


def _fingerprint(build: str, finding: Finding) -> str:
    """Hash what stays the same when lines and containers move."""
    pointer = finding.pointer
    if finding.container:
        pointer = _POSITION.sub(rf"\1/{re.escape(finding.container)}", pointer, count=1)
    resource = finding.resource
    group = resource.api_version.rpartition("/")[0] if resource else ""
    known = [resource.kind, resource.namespace, resource.name] if resource else []
    return sha256(
        "\0".join([finding.rule, build, group, *known, pointer]).encode(errors="surrogateescape")
    ).hexdigest()


def _invocation(outcome: Outcome) -> dict[str, Any]:
    return {
        "executionSuccessful": not outcome.failures and not outcome.total.errors,
        "toolExecutionNotifications": [_crashed(error) for error in outcome.total.errors],
        "toolConfigurationNotifications": [_unreadable(failure) for failure in outcome.failures],
    }


def _crashed(error: RuleError) -> dict[str, Any]:
    where = f" on {error.resource}" if error.resource else ""
    return {
        "level": "error",
        "message": {"text": f"the rule {error.rule} crashed{where}: {error.message}"},
        "associatedRule": {"id": error.rule},
    }


def _unreadable(failure: ManifestError) -> dict[str, Any]:
    physical = _physical(Origin(None, failure.file, failure.line))
    located = {"locations": [physical]} if physical else {}
    return {"level": "error", "message": {"text": str(failure)}, **located}
