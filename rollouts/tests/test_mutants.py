"""The cases see mistakes: a tenth of the mutants, the same one each time.

`make mutants` tries all of them.
"""

from collections import Counter

import pytest

from rollouts.cases import prometheus_templates
from rollouts.mutants.__main__ import LEAST_KILLED, table
from rollouts.mutants.mutation import OPERATORS
from rollouts.mutants.promql import selectors, set_operators, tokens
from rollouts.mutants.survey import Verdict, all_mutants, sample, survey
from rollouts.mutants.survivors import faults, read

SHARE = 0.1


def test_there_are_at_least_150_distinct_mutants() -> None:
    ids = Counter(mutant.id for mutant in all_mutants())
    assert len(ids) >= 150
    assert set(ids.values()) == {1}


def test_every_operator_and_every_template_has_a_mutant() -> None:
    assert OPERATORS.keys() == {mutant.operator for mutant in all_mutants()}
    assert set(prometheus_templates()) == {mutant.template for mutant in all_mutants()}


def test_a_tenth_of_the_mutants_is_killed_but_for_the_listed_ones() -> None:
    verdicts = list(survey(sample(SHARE)))
    assert list(faults(verdicts, read(), whole=False)) == []
    assert sum(verdict.killed for verdict in verdicts) >= LEAST_KILLED * len(verdicts)


def test_the_list_of_survivors_names_mutants_and_stays_short() -> None:
    known = {mutant.id for mutant in all_mutants()}
    assert read().keys() <= known
    assert len(read()) <= (1 - LEAST_KILLED) * len(known)


@pytest.mark.parametrize(
    ("verdict", "listed", "fault"),
    [
        (Verdict("a", "o", ""), {}, "a: survives, and survivors.yaml gives no reason"),
        (Verdict("a", "o", "c"), {"a": "one two three four"}, "a: is seen by c; strike it off"),
        (Verdict("b", "o", "c"), {"a": "one two three four"}, "a: stands in survivors.yaml"),
        (Verdict("a", "o", ""), {"a": "because"}, "a: needs a reason"),
        (Verdict("a", "o", ""), {"a": "one two three four"}, ""),
        (Verdict("a", "o", "c"), {}, ""),
    ],
)
def test_the_list_of_survivors_is_held_to_the_run(
    verdict: Verdict, listed: dict[str, str], fault: str
) -> None:
    found = list(faults([verdict], listed, whole=True))
    assert [message[: len(fault)] for message in found] == ([fault] if fault else [])


def test_the_table_counts_by_operator_and_by_template() -> None:
    shown = table([Verdict("t:o:a", "o", "c"), Verdict("t:o:b", "o", "")])
    assert shown.count("1 / 2") == 2


def test_a_query_is_cut_where_prometheus_cuts_it() -> None:
    query = 'sum(a{x="1 or 2"}[{{args.w}}:15s]) or b and on() c * 2'
    texts = [token.text for token in tokens(query)]
    assert texts[:8] == ["sum", "(", "a", "{", "x", "=", '"1 or 2"', "}"]
    sides = [
        (token.text, query[slice(*left)].strip(), query[slice(*right)].strip())
        for token, left, right in set_operators(query)
    ]
    assert sides == [
        ("or", 'sum(a{x="1 or 2"}[{{args.w}}:15s])', "b and on() c * 2"),
        ("and", "b", "on() c * 2"),
    ]
    with pytest.raises(ValueError, match="no token of PromQL"):
        tokens("sum(a) ; b")


def test_a_selector_that_is_repeated_is_one() -> None:
    found = selectors('sum(a{x="1"}) / sum(a{ x = "1" }) + b{y!~"2",z=~"3|4"}')
    assert [str(selector) for selector in found] == ['a{x="1"}', 'b{y!~"2",z=~"3|4"}']
