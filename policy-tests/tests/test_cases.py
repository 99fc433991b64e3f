"""Every rule shows what it accepts and what it refuses, with the exact place."""

from pathlib import Path

import pytest
from gitops_policy import rules
from gitops_policy.cases import Case, cases, found, run_case

CASES = list(cases(Path(__file__).parents[1] / "cases"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}/{case.path.name}")
def test_the_rule_finds_exactly_what_the_case_expects(case: Case) -> None:
    report = run_case(case)
    assert not report.errors
    assert found(report, case.rule) == case.expected
    assert case.passes is not bool(case.expected), "pass-* expects nothing, fail-* something"


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.id)
def test_every_rule_has_a_passing_and_a_failing_case(rule) -> None:
    kinds = {case.passes for case in CASES if case.rule == rule.id}
    assert kinds == {True, False}, f"add pass-*.yaml and fail-*.yaml under cases/{rule.id}/"


def test_every_case_belongs_to_a_rule() -> None:
    assert {case.rule for case in CASES} <= {rule.id for rule in rules()}
