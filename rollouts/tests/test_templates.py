"""Each template's cases: the query through promtool, the verdict through the evaluator."""

from functools import cache

import pytest
from canary_gate import load_templates
from canary_gate.check import check_template

from rollouts.cases import (
    SITUATIONS,
    Answering,
    Case,
    analysis,
    answers,
    faults,
    prometheus_templates,
    read_cases,
    read_document,
    verdict_of,
)
from rollouts.conventions import breaches

TEMPLATES = prometheus_templates()
CASES = [case for name in TEMPLATES for case in read_cases(name)]


@cache
def found(template: str) -> dict[str, str]:
    """Faults of a template, from one run of promtool over all its cases."""
    return faults(read_document(template), read_cases(template))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_the_query_gives_the_value_and_the_conditions_the_verdict(case: Case) -> None:
    fault = found(case.template)[case.id]
    assert not fault, fault


PASSING = [case for case in CASES if case.verdict == "pass"]


@pytest.mark.parametrize("case", PASSING, ids=lambda case: case.id)
def test_two_minutes_without_prometheus_abort_no_good_release(case: Case) -> None:
    run = analysis(read_document(case.template), case.arguments)
    for value in answers(case, run.metrics[0].query):
        assert verdict_of(Answering(value, failures=13).judge(run)) == "pass"


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_prometheus_that_stays_away_aborts(name: str) -> None:
    result = Answering([], failures=1_000).judge(analysis(read_document(name)))
    assert (result.phase, result.action) == ("Error", "abort")


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_has_cases_of_all_fourteen_situations(name: str) -> None:
    shown = {case.situation for case in read_cases(name)}
    assert [situation for situation in SITUATIONS if situation not in shown] == []


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_situation_has_the_verdict_that_its_name_promises(name: str) -> None:
    promised = {"good": "pass", "bad": "fail", "empty": "undecided", "nan": "undecided"}
    for case in read_cases(name):
        assert case.verdict == promised.get(case.situation, case.verdict), case.id
        assert case.value or case.verdict == "undecided", case.id
        assert case.situation != "empty" or not case.series, case.id


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_two_cases_of_a_template_have_one_name(name: str) -> None:
    names = [case.name for case in read_cases(name)]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_has_one_of_four_shapes_and_the_shared_defaults(name: str) -> None:
    assert list(breaches(read_document(name))) == []


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_static_check_finds_nothing(name: str) -> None:
    (template,) = load_templates([read_document(name)]).values()
    assert check_template(template) == []
