"""Every format says the same: findings, exempted ones, crashed rules and unreadable input."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
from gitops_policy import Finding, ManifestError, Origin, Report, ResourceId, Severity, rules
from gitops_policy.findings import Exempted, RuleError
from gitops_policy.reports import FORMATS, Outcome, write
from gitops_policy.reports.junit import junit
from gitops_policy.reports.markdown import LIMIT, markdown
from gitops_policy.reports.outcome import groups
from gitops_policy.reports.text import text
from jsonschema import Draft4Validator, FormatChecker

SCHEMA = Path(__file__).parents[2] / ".tools/report-schemas/sarif-schema-2.1.0.json"
NASTY = "line\r\nbreak % :: , ` | <b> @team https://x ](\x1b[31m\x00\u202e ]]> &amp; ü"
WEB = ResourceId("apps/v1", "Deployment", "web", "api")
IMAGE = "/spec/template/spec/containers/1/image"


def finding(**changes: Any) -> Finding:
    settings: dict[str, Any] = {
        "rule": "image-tag",
        "severity": Severity.error,
        "resource": WEB,
        "pointer": IMAGE,
        "message": "container 'web': has the tag latest",
        "fix": "pin it",
        "origin": Origin("dev/web", "base/web/deployment.yaml", 12),
        "container": "web",
    }
    return Finding(**{**settings, **changes})


def report(*findings: Finding, **more: Any) -> Report:
    return Report(findings, evaluated={"image-tag": 2, "host-path": 3}, **more)


EVERYTHING = Outcome(
    {
        "dev/web": report(
            finding(),
            finding(severity=Severity.warning, rule="image-digest"),
            finding(severity=Severity.info, rule="high-user-id", origin=None, message=NASTY),
            finding(resource=None, pointer="", origin=Origin("dev/web"), container=""),
            exempted=(
                Exempted(finding(rule="host-path"), "platform", "2026-12-01", "reads the log"),
                Exempted(
                    finding(rule="host-port"), "o", "2026-12-02", NASTY, Origin(None, "l.yaml", 3)
                ),
            ),
            errors=(RuleError("env-value-exists", "KeyError: 'x'", WEB),),
        )
    },
    (ManifestError("is no valid YAML", "apps/a b.yaml", 4), ManifestError(NASTY)),
    rules(),
)
CLEAN = Outcome({"dev/web": report()}, (), rules())
OUTCOMES = {"everything": EVERYTHING, "clean": CLEAN, "nothing": Outcome({})}


def run_of(outcome: Outcome) -> dict[str, Any]:
    (run,) = json.loads(write(outcome, "sarif"))["runs"]
    return run


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_carries_everything(form: str) -> None:
    said = write(EVERYTHING, form)
    for word in ("image-tag", "image-digest", "high-user-id", "has the tag latest", "pin it"):
        assert word in said, word
    for word in ("host-path", "platform", "2026-12-01", "reads the log"):
        assert word in said, word
    for word in ("env-value-exists", "KeyError", "is no valid YAML", "apps/a"):
        assert word in said, word


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["clean", "nothing"])
def test_no_findings_are_a_report_too(form: str, name: str) -> None:
    said = write(OUTCOMES[name], form)
    assert said
    assert "image-tag" not in said or form in ("sarif", "json", "junit")


@pytest.mark.parametrize("form", ["text", "github", "markdown", "junit"])
def test_no_control_character_reaches_a_terminal_a_log_or_a_page(form: str) -> None:
    said = write(EVERYTHING, form)
    assert not set(said) & {"\x1b", "\x00", "\r"}
    assert form == "junit" or "\u202e" not in said


# JSON


def test_json_has_the_versioned_shape_and_names_unreadable_input() -> None:
    content = json.loads(write(EVERYTHING, "json"))
    assert list(content) == ["version", "findings", "exempted", "evaluated", "errors"]
    assert [error["rule"] for error in content["errors"]] == ["env-value-exists", None, None]
    assert content["errors"][1]["origin"] == {"overlay": None, "file": "apps/a b.yaml", "line": 4}


# SARIF


@pytest.mark.parametrize("name", OUTCOMES)
def test_sarif_is_valid_against_the_official_schema(name: str) -> None:
    schema = json.loads(SCHEMA.read_text())
    log = json.loads(write(OUTCOMES[name], "sarif"))
    Draft4Validator(schema, format_checker=FormatChecker()).validate(log)
    assert log["version"] == "2.1.0"


def test_a_sarif_rule_helps_and_knows_its_other_names() -> None:
    described = run_of(CLEAN)["tool"]["driver"]["rules"]
    by_id = {rule["id"]: rule for rule in described}
    assert list(by_id) == sorted(rule.id for rule in rules())
    privileged = by_id["privileged-container"]
    assert "checkov:CKV_K8S_16" in privileged["properties"]["tags"]
    assert privileged["defaultConfiguration"]["level"] == "error"
    assert float(privileged["properties"]["security-severity"]) >= 7
    assert "security-severity" not in by_id["empty-render"]["properties"]
    assert all(rule["help"]["text"] and rule["shortDescription"]["text"] for rule in described)


def test_a_sarif_result_has_a_file_a_line_an_object_and_its_rule() -> None:
    run = run_of(EVERYTHING)
    result = run["results"][0]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    (location,) = result["locations"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "base/web/deployment.yaml"},
        "region": {"startLine": 12},
    }
    (logical,) = location["logicalLocations"]
    assert logical["fullyQualifiedName"] == f"dev/web: Deployment web/api{IMAGE}"


def test_sarif_suppresses_what_is_exempted_and_says_why() -> None:
    suppressed = [
        r["suppressions"][0] for r in run_of(EVERYTHING)["results"] if "suppressions" in r
    ]
    assert [entry["kind"] for entry in suppressed] == ["inSource", "external"]
    assert suppressed[0]["justification"] == "reads the log (platform, until 2026-12-01)"


def test_sarif_tells_crashes_and_unreadable_input_as_notifications() -> None:
    (invocation,) = run_of(EVERYTHING)["invocations"]
    assert invocation["executionSuccessful"] is False
    (crashed,) = invocation["toolExecutionNotifications"]
    assert crashed["associatedRule"]["id"] == "env-value-exists"
    unreadable = invocation["toolConfigurationNotifications"][0]
    place = unreadable["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "apps/a%20b.yaml"}, "region": {"startLine": 4}}
    assert run_of(CLEAN)["invocations"][0]["executionSuccessful"] is True
    unread = run_of(Outcome({}, (ManifestError("no such file", "a.yaml"),)))
    assert unread["invocations"][0]["executionSuccessful"] is False


def prints(*findings: Finding) -> list[str]:
    results = run_of(Outcome({"dev/web": report(*findings)}, (), rules()))["results"]
    return [result["partialFingerprints"]["primaryLocationLineHash"] for result in results]


def test_a_fingerprint_survives_moved_lines_and_containers_and_tells_findings_apart() -> None:
    (before,) = prints(finding())
    (moved,) = prints(
        finding(
            pointer=IMAGE.replace("1", "0"),
            origin=Origin("dev/web", "base/web/deployment.yaml", 99),
            message="said in other words",
        )
    )
    assert before == moved
    assert len(set(prints(finding(), finding(), finding(container="b"), finding(rule="x")))) == 4


# JUnit: what Jenkins' junit.xsd, its xunit plugin's junit-10.xsd and Ant's JUnit.xsd all accept.

ATTRIBUTES = {
    "testsuites": set(),
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "package", "hostname", "time",
                  "id", "timestamp"},
    "properties": set(),
    "property": {"name", "value"},
    "testcase": {"classname", "name", "time"},
    "failure": {"message", "type"},
    "error": {"message", "type"},
    "skipped": set(),
    "system-out": set(),
    "system-err": set(),
}  # fmt: skip
CHILDREN = {
    "testsuites": "(testsuite )*",
    "testsuite": "properties (testcase )*system-out system-err ",
    "properties": "(property )+",
    "testcase": "(skipped |error |failure )?",
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_junit_has_the_structure_that_all_common_schemas_accept(name: str) -> None:
    root = Xml.fromstring(junit(OUTCOMES[name]))
    assert root.tag == "testsuites"
    for element in root.iter():
        assert set(element.attrib) == ATTRIBUTES[element.tag], element.tag
        children = "".join(f"{child.tag} " for child in element)
        assert re.fullmatch(CHILDREN.get(element.tag, ""), children), element.tag
    for position, suite in enumerate(root):
        assert suite.get("name")
        assert suite.get("id") == str(position)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp", ""))
        cases = suite.findall("testcase")
        assert suite.get("tests") == str(len(cases))
        for attribute, tag in (
            ("failures", "failure"),
            ("errors", "error"),
            ("skipped", "skipped"),
        ):
            assert suite.get(attribute) == str(len(suite.findall(f"testcase/{tag}")))


def test_junit_fails_what_fails_the_command_and_skips_what_does_not() -> None:
    root = Xml.fromstring(junit(EVERYTHING, datetime(2026, 11, 21, tzinfo=UTC)))
    suite = root[0]
    assert suite.get("timestamp") == "2026-11-21T00:00:00"
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("2", "1", "4")
    lenient = Outcome(EVERYTHING.reports, fail_on="never")
    assert Xml.fromstring(junit(lenient))[0].get("failures") == "0"
    strict = Outcome(EVERYTHING.reports, fail_on="warning")
    assert Xml.fromstring(junit(strict))[0].get("failures") == "3"


# GitHub


def test_github_gets_one_escaped_command_per_place() -> None:
    lines = write(EVERYTHING, "github").splitlines()
    assert "file=apps/a b.yaml,line=4,title=input cannot be read::is no valid YAML" in lines[0]
    (error,) = [line for line in lines if "line=12,title=image-tag" in line]
    assert error == (
        "::error file=base/web/deployment.yaml,line=12,title=image-tag::has the tag latest%0A"
        "Deployment web/api container web%0AFix: pin it"
    )
    assert any(line.startswith("::warning file=") for line in lines)
    (notice,) = [line for line in lines if line.startswith("::notice")]
    assert "%0Abreak %25 :: , ` | <b> @team" in notice
    assert "file=" not in notice
    assert sum(line.startswith("::") for line in lines) == 9


def test_a_file_name_cannot_end_a_command_of_github_early() -> None:
    odd = finding(origin=Origin("dev", "a,title=x::b%.yaml", 1))
    said = write(Outcome({"dev": report(odd)}), "github")
    assert said.startswith("::error file=a%2Ctitle=x%3A%3Ab%25.yaml,line=1,title=image-tag::")


# Markdown


def test_markdown_pings_nobody_and_breaks_no_table() -> None:
    said = markdown(EVERYTHING)
    (row,) = [line for line in said.splitlines() if line.startswith("| `high-user-id`")]
    assert len(re.findall(r"(?<!\\)\|", row)) == 4
    assert "@team" not in re.sub(r"`[^`]*`", "", said)
    assert "<b>" not in re.sub(r"`[^`]*`", "", said)
    assert said.count("<details>") == said.count("</details>") == 3


def test_markdown_stays_below_the_size_of_a_comment_and_says_what_is_missing() -> None:
    many = [finding(message=f"problem {i} " + "x" * 300, rule="image-digest") for i in range(400)]
    said = markdown(Outcome({"dev/web": report(*many, finding())}))
    assert LIMIT - 500 < len(said) < 65_536
    shown = said.count("| `image-digest`")
    assert f"**{401 - shown - said.count('| `image-tag`')} rows left out**" in said


def test_markdown_of_clean_manifests_says_so() -> None:
    assert markdown(CLEAN).startswith("### gitops-policy: clean")


# Text


def test_one_line_of_a_base_is_one_place_however_many_overlays_read_it() -> None:
    builds = {
        name: report(finding(resource=ResourceId("apps/v1", "Deployment", name, "api")))
        for name in ("dev", "staging", "production")
    }
    (group,) = groups(builds)
    (place,) = group.places
    assert place.builds == ["dev", "staging", "production"]
    said = text(Outcome(builds, (), rules()))
    assert "deployment.yaml:12  Deployment api container web  in dev, staging, production" in said
    assert "3 builds, 2 rules: 3 errors, 0 warnings" in said


def test_a_place_that_is_found_twice_names_its_build_once() -> None:
    (group,) = groups({"dev": report(finding(), finding()), "production": report(finding())})
    (place,) = group.places
    assert place.builds == ["dev", "production"]


def test_text_counts_places_beyond_the_tenth_unless_one_rule_ran() -> None:
    many = [finding(container=f"c{i}", message=f"container 'c{i}': x") for i in range(13)]
    builds = {"dev/web": report(*many)}
    said = text(Outcome(builds, (), rules()))
    assert "and 3 more: gitops-policy lint --only image-tag" in said
    assert "container c10" not in said
    assert "container c12" in text(Outcome(builds, (), rules()[:1]))


def test_colours_stand_around_words_only() -> None:
    plain, coloured = text(EVERYTHING), text(EVERYTHING, colour=True)
    assert "\x1b[31merror" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain
