"""The suite sees broken promises: a tenth of the mutants, the same one each time.

`make mutants` tries all of them.
"""

from __future__ import annotations

from collections import Counter

import pytest
from gitops_policy.findings import Severity
from mutants.__main__ import LEAST_CAUGHT, table
from mutants.mutation import OPERATORS, apply
from mutants.survey import FOLDERS, Verdict, all_mutants, base, builds, sample, survey
from mutants.survivors import faults, read

SHARE = 0.1


def test_there_are_at_least_three_hundred_distinct_mutants() -> None:
    ids = Counter(mutant.id for _, mutant in all_mutants())
    assert len(ids) >= 300
    assert set(ids.values()) == {1}


def test_every_operator_finds_a_promise_to_break() -> None:
    assert OPERATORS.keys() == {mutant.operator for _, mutant in all_mutants()}


def test_every_mutant_differs_from_what_is_delivered_and_from_each_other() -> None:
    same: dict[str, list[str]] = {}
    for folder, mutant in all_mutants():
        build = builds()[folder]
        broken = [document.content for document in apply(build, mutant)]
        delivered = [document.content for document in build]
        assert broken != delivered, mutant.id
        same.setdefault(f"{folder} {broken}", []).append(mutant.id)
    assert [ids for ids in same.values() if len(ids) > 1] == []


def test_what_is_delivered_has_no_finding_that_could_hide_a_mutants() -> None:
    for folder in FOLDERS:
        report = base(folder).report
        assert report.at_least(Severity.warning) == ()
        assert report.errors == ()


def test_a_tenth_of_the_mutants_is_caught_but_for_the_listed_ones() -> None:
    ids = sample(SHARE)
    verdicts = list(survey(ids))
    assert list(faults(verdicts, read(), whole=False)) == []
    assert sum(verdict.caught for verdict in verdicts) >= LEAST_CAUGHT * len(verdicts)


def test_the_list_of_survivors_names_mutants_with_reasons() -> None:
    known = {mutant.id for _, mutant in all_mutants()}
    listed = read()
    assert listed.keys() <= known
    assert len(listed) <= (1 - LEAST_CAUGHT) * len(known)
    assert all(len(reason.split()) >= 4 for reason in listed.values())


@pytest.mark.parametrize(
    ("verdict", "listed", "fault"),
    [
        (Verdict("a", "o", ()), {}, "a: survives, and survivors.yaml gives no reason"),
        (
            Verdict("a", "o", ("r",)),
            {"a": "one two three four"},
            "a: is caught by r; strike it off",
        ),
        (Verdict("b", "o", ("r",)), {"a": "one two three four"}, "a: stands in survivors.yaml"),
        (Verdict("a", "o", ()), {"a": "because"}, "a: needs a reason"),
        (Verdict("a", "o", ("r",), ("x",)), {}, "a: crashed x"),
        (Verdict("a", "o", ()), {"a": "one two three four"}, ""),
        (Verdict("a", "o", ("r",)), {}, ""),
    ],
)
def test_the_list_of_survivors_is_held_to_the_run(
    verdict: Verdict, listed: dict[str, str], fault: str
) -> None:
    found = list(faults([verdict], listed, whole=True))
    assert [message[: len(fault)] for message in found] == ([fault] if fault else [])


def test_the_table_shows_operators_rules_and_survivors() -> None:
    shown = table([Verdict("o:a", "o", ("rule-one",)), Verdict("o:b", "o", ())])
    assert "o                                     1 / 2   rule-one" in shown
    assert "    survives: o:b" in shown
