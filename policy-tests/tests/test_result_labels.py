"""Which labels the result of an expression can have."""

from __future__ import annotations

import pytest
from gitops_policy.notations import promql
from gitops_policy.prometheus.result_labels import matching_of, result_labels

ALL = frozenset({"pod", "job", "le", "team"})


@pytest.mark.parametrize(
    ("query", "possible"),
    [
        ("x", ALL),
        ('x{pod=""}', ALL - {"pod"}),
        ("sum(x)", set()),
        ("sum by (pod) (x)", {"pod"}),
        ("sum by (pod, job) (sum by (pod) (x))", {"pod"}),
        ("sum without (pod) (x)", ALL - {"pod"}),
        ("topk by (pod) (3, x)", ALL),
        ('count_values("team", sum by (pod) (x))', {"team"}),
        ('count_values by (pod) ("team", x)', {"team", "pod"}),
        ("histogram_quantile(0.9, x)", ALL - {"le"}),
        ("absent(x)", set()),
        ('absent(x{pod="a", job=~"b", team!="c"})', {"pod"}),
        ('absent(x{pod="a", pod="b"})', set()),
        ("absent(sum by (pod) (x))", set()),
        ('absent_over_time(x{pod="a"}[5m])', {"pod"}),
        ("vector(1)", set()),
        ("scalar(x)", set()),
        ("sum by (pod) (x) > 5", {"pod"}),
        ("5 < sum by (pod) (x)", {"pod"}),
        ("-sum by (pod) (x)", {"pod"}),
        ("abs(sum by (pod) (x))", {"pod"}),
        ("max_over_time(sum by (pod) (x)[1h:1m])", {"pod"}),
        ('label_replace(sum(x), "team", "a", "", "")', {"team"}),
        ('label_join(sum by (pod) (x), "team", "-", "pod")', {"pod", "team"}),
        ("sum by (pod) (x) / on (pod) sum by (pod, job) (y)", {"pod"}),
        ("x / on (pod) y", {"pod"}),
        ("x / ignoring (pod) y", ALL - {"pod"}),
        ("sum by (pod) (x) * on (pod) group_left (team) y", {"pod", "team"}),
        ("sum by (pod) (x) * on (pod) group_left (team) sum by (pod) (y)", {"pod"}),
        ("sum by (pod) (x) * on (pod) group_right (team) sum by (pod, job) (y)", {"pod", "job"}),
        ("sum by (pod) (x) and on () y", {"pod"}),
        ("sum by (pod) (x) unless y", {"pod"}),
        ("sum by (pod) (x) or sum by (job) (y)", {"pod", "job"}),
        ("time()", set()),
    ],
)
def test_a_result_can_have_these_labels_and_no_others(query: str, possible: set[str]) -> None:
    found = result_labels(promql.parse(query))
    assert {label for label in ALL if found.may(label)} == possible


@pytest.mark.parametrize(
    ("query", "sure"),
    [
        ('x{pod="a", job!="", team=~".+", le=~"a|"}', {"pod", "job", "team"}),
        ("sum by (pod) (x)", {"pod"}),
        ('sum by (pod) (x{pod=""})', set()),
        ('x{pod="a"} or x', set()),
        ('sum without (pod) (x{pod="a", job="b"})', {"job"}),
    ],
)
def test_a_result_surely_has_what_is_matched_or_named(query: str, sure: set[str]) -> None:
    assert result_labels(promql.parse(query)).sure == sure


@pytest.mark.parametrize(
    ("query", "missing"),
    [
        ("sum by (pod) (x) / sum(y)", [("pod", "left")]),
        ("sum(x) / sum by (pod) (y)", [("pod", "right")]),
        ("sum by (pod) (x) / on () sum(y)", []),
        ("sum by (pod) (x) / ignoring (pod) sum(y)", []),
        ("sum by (pod) (x) / on (pod) sum by (job) (y)", [("pod", "left")]),
        ("x / y", []),
        ('x{pod="a"} / sum by (job) (y)', [("pod", "left")]),
    ],
)
def test_sides_that_cannot_meet_are_told(query: str, missing: list[tuple[str, str]]) -> None:
    tree = promql.parse(query)
    sides = [result_labels(side) for side in (tree.lhs, tree.rhs)]
    assert list(matching_of(tree).compared(*sides)) == missing
