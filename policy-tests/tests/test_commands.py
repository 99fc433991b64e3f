"""The rules explain themselves, and the documentation is made of what they say."""

import json
import re
from pathlib import Path

import pytest
from gitops_policy import cli, rules
from gitops_policy.decisions import Decision, decisions
from gitops_policy.rule_page import COMMAND, TOOLS, page
from gitops_policy.rule_words import looks_at, profiles

ROOT = Path(__file__).parents[2]


def say(capsys, *arguments: str, code: int = 0) -> str:
    assert cli.main(arguments) == code
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_explain_shows_a_rule_with_examples_and_how_to_exempt(capsys) -> None:
    said = say(capsys, "explain", "privileged-container")
    for words in (
        "privileged-container  (error; ",
        "profiles recommended, strict, pss-baseline, pss-restricted)",
        "https://",
        "checkov:CKV_K8S_16",
        "policy.gitops/ignore.privileged-container: owner=TEAM; until=YYYY-MM-DD; reason=TEXT",
        "Refused, ",
        "# expect: ",
        "Accepted, ",
    ):
        assert words in said


def test_explain_names_the_folder_where_a_case_is_one(capsys) -> None:
    said = say(capsys, "explain", "application-ignores-replicas")
    assert re.search(r"^Refused: the folder \S+/application-ignores-replicas/fail-\S+$", said, re.M)


@pytest.mark.parametrize("name", ["checkov:CKV_K8S_16", "CKV_K8S_16", "ckv_k8s_16"])
def test_explain_knows_the_names_of_other_tools(name: str, capsys) -> None:
    assert "privileged-container  (error" in say(capsys, "explain", name)


def test_a_name_that_several_rules_answer_to_explains_them_all(capsys) -> None:
    answering = [rule.id for rule in rules() if "pss:restricted" in rule.known_as]
    said = say(capsys, "explain", "pss:restricted")
    assert len(answering) > 1
    assert all(f"{rule}  (" in said for rule in answering)


def test_explain_suggests_what_was_meant(capsys) -> None:
    said = say(capsys, "explain", "privileged-contaner", code=2)
    assert "no rule is called 'privileged-contaner'; did you mean privileged-container" in said
    assert "did you mean" not in say(capsys, "explain", "qqqqqqqq", code=2)


DECISION = Decision(("checkov:CKV_K8S_999", "polaris:nothing"), "A thing", "Decided so, because.")


def test_a_decision_answers_where_no_rule_does(capsys, monkeypatch) -> None:
    monkeypatch.setattr("gitops_policy.decisions.decisions", lambda: (DECISION,))
    assert "Decided so, because." in say(capsys, "explain", "checkov:CKV_K8S_999")
    said = say(capsys, "lint", str(ROOT / "apps"), "--only", "CKV_K8S_999", code=2)
    assert "no rule is called 'CKV_K8S_999', by decision: Decided so, because." in said


def test_decisions_are_about_names_that_no_typo_hides() -> None:
    for decision in decisions():
        assert decision.title
        assert decision.text
        assert all(name.partition(":")[2] for name in decision.names), decision


def test_the_rules_are_listed_by_concern(capsys) -> None:
    said = say(capsys, "rules")
    assert "\npods: security baseline\n" in said
    assert f"{len(rules())} rules;" in said


def test_the_rules_of_a_profile_are_listed(capsys) -> None:
    listed = json.loads(say(capsys, "rules", "--profile", "pss-baseline", "--format", "json"))
    assert {rule["id"] for rule in listed} == {
        r.id for r in rules() if "pss:baseline" in r.known_as
    }
    assert set(listed[0]) == {
        "id", "title", "severity", "concern", "profiles", "rationale", "looks_at", "known_as",
        "references",
    }  # fmt: skip


def test_every_rule_says_in_words_what_it_looks_at_and_where_it_runs() -> None:
    for rule in rules():
        assert looks_at(rule)
        assert ("strict" in profiles(rule)) is not rule.by_name_only
        assert ("recommended" in profiles(rule)) is rule.default


def test_the_documentation_is_what_the_rules_say() -> None:
    committed = (ROOT / "docs/rules.md").read_text()
    assert committed == page(rules(), decisions()), f"run: {COMMAND}"


def test_the_page_indexes_every_foreign_name() -> None:
    made = page(rules(), [DECISION])
    names = {name for rule in rules() for name in rule.known_as}
    assert all(f"| `{name}` |" in made for name in names)
    assert "| `polaris:nothing` | [decision](#decisions) |" in made
    assert made.index("| `trivy:KSV-0012` |") < made.index("| `trivy:KSV-0014` |")


def test_a_foreign_name_names_a_tool_that_the_page_knows() -> None:
    names = {name for rule in rules() for name in rule.known_as}
    names |= {name for decision in decisions() for name in decision.names}
    assert {name.partition(":")[0] for name in names} <= TOOLS.keys()


def test_the_schema_is_printed(capsys) -> None:
    assert json.loads(say(capsys, "schema"))["properties"]["profile"]["default"] == "recommended"
