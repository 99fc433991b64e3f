"""JUnit XML: a suite per build, a test per rule without findings and per finding."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from xml.etree import ElementTree as Xml

from gitops_policy.findings import Exempted, Finding, Report, RuleError, Severity
from gitops_policy.reading.manifests import ManifestError
from gitops_policy.reports.outcome import Outcome, counted
from gitops_policy.reports.text import exempted_line

# What XML 1.0 cannot hold, not even escaped, and the carriage return, which readers change.
_NO_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(outcome: Outcome, now: datetime | None = None) -> str:
    """Return the report as XML that both Jenkins' and Ant's schemas accept.

    A finding below `fail_on` and an exempted one are skipped tests.
    """
    root = Xml.Element("testsuites")
    when = (now or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%S")
    suites = [(name, list(_tests(report, outcome))) for name, report in outcome.reports.items()]
    suites += [(failure.file or "input", [_unreadable(failure)]) for failure in outcome.failures]
    for position, (name, tests) in enumerate(suites):
        _suite(root, name, tests, {"id": str(position), "timestamp": when})
    Xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(root, encoding="unicode")


def _suite(root: Xml.Element, name: str, tests: list[Xml.Element], known: dict[str, str]) -> None:
    found = [child.tag for test in tests for child in test]
    counts = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    numbers = {attribute: str(found.count(tag)) for attribute, tag in counts.items()}
    fixed = {"package": "gitops-policy", "hostname": "localhost", "time": "0"}
    shown = " ".join(_clean(name).split()) or "build"
    suite = Xml.SubElement(root, "testsuite", {"name": shown, "tests": str(len(tests)), **numbers,
                                               **fixed, **known})  # fmt: skip
    properties = Xml.SubElement(suite, "properties")
    Xml.SubElement(properties, "property", {"name": "tool", "value": "gitops-policy"})
    suite.extend(tests)
    Xml.SubElement(suite, "system-out")
    Xml.SubElement(suite, "system-err")


def _tests(report: Report, outcome: Outcome) -> Iterator[Xml.Element]:
    lowest = None if outcome.fail_on == "never" else Severity[outcome.fail_on]
    for error in report.errors:
        yield _crashed(error)
    for finding in report.findings:
        fails = lowest is not None and finding.severity >= lowest
        yield _failed(finding) if fails else _below(finding)
    for item in report.exempted:
        yield _exempted(item)
    spoken = {f.rule for f in report.findings} | {e.rule for e in report.errors}
    spoken |= {item.finding.rule for item in report.exempted}
    for rule, number in sorted(report.evaluated.items()):
        if rule not in spoken:
            yield _test(rule, f"{counted(number, 'object')} evaluated")


def _test(rule: str, name: str) -> Xml.Element:
    shown = " ".join(_clean(name).split())
    return Xml.Element("testcase", {"classname": rule, "name": shown, "time": "0"})


def _named(finding: Finding) -> Xml.Element:
    return _test(finding.rule, f"{finding.resource or ''} {finding.pointer}".strip() or "build")


def _failed(finding: Finding) -> Xml.Element:
    test = _named(finding)
    attributes = {"message": _clean(finding.message), "type": finding.severity.name}
    failure = Xml.SubElement(test, "failure", attributes)
    lines = [finding.message, f"fix: {finding.fix}" if finding.fix else ""]
    lines.append(f"at {finding.origin}" if finding.origin else "")
    failure.text = _clean("\n".join(line for line in lines if line))
    return test


def _below(finding: Finding) -> Xml.Element:
    test = _named(finding)
    place = f" (at {finding.origin})" if finding.origin else ""
    said = f"{finding.severity.name}: {finding.message}{place}"
    Xml.SubElement(test, "skipped").text = _clean(said)
    return test


def _exempted(item: Exempted) -> Xml.Element:
    test = _named(item.finding)
    Xml.SubElement(test, "skipped").text = _clean(f"exempted: {exempted_line(item)}")
    return test


def _crashed(error: RuleError) -> Xml.Element:
    test = _test(error.rule, str(error.resource or "build"))
    found = Xml.SubElement(test, "error", {"message": _clean(error.message), "type": "crash"})
    found.text = _clean(error.message)
    return test


def _unreadable(failure: ManifestError) -> Xml.Element:
    test = _test("input", str(failure.file or "input"))
    attributes = {"message": _clean(failure.reason), "type": "unreadable"}
    Xml.SubElement(test, "error", attributes).text = _clean(str(failure))
    return test


def _clean(value: str) -> str:
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", value.replace("\r\n", "\n"))
