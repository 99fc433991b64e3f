"""What the query rules know about an expression."""

from __future__ import annotations

import pytest
from gitops_policy.notations import promql


@pytest.mark.parametrize(
    ("query", "aggregated"),
    [
        ("sum(rate(a[5m]))", True),
        ("(sum(a))", True),
        ("scalar(a)", True),
        ("1", True),
        ("sum(a) + sum(b)", True),
        ("max_over_time(sum(a)[1h:1m])", True),
        ("clamp_min(sum(a), 0)", True),
        ("rate(a[5m])", False),
        ("sum(a) + b", False),
        ("max_over_time(rate(a[5m])[1h:1m])", False),
        ("-a", False),
    ],
)
def test_an_expression_is_aggregated_when_no_series_keeps_its_labels(
    query: str, aggregated: bool
) -> None:
    assert promql.aggregated(promql.parse(query)) is aggregated


@pytest.mark.parametrize(
    ("query", "scalar"),
    [
        ("1", True),
        ("-(1)", True),
        ("scalar(a) / time()", True),
        ("scalar(a) * b", False),
        ("vector(1)", False),
        ("a", False),
    ],
)
def test_a_scalar_is_told_from_a_vector(query: str, scalar: bool) -> None:
    assert promql.is_scalar(promql.parse(query)) is scalar


def test_windows_of_ranges_and_subqueries_are_seconds() -> None:
    assert promql.windows(promql.parse("max_over_time(rate(a[5m])[1h:1m])")) == {300, 3600}


@pytest.mark.parametrize(
    ("query", "kept"),
    [("sum by (le) (a)", True), ("sum without (pod) (a)", True), ("sum(a)", False),
     ("sum by (pod) (a)", False), ("sum without (le) (a)", False)],
)  # fmt: skip
def test_an_aggregation_keeps_or_drops_le(query: str, kept: bool) -> None:
    assert promql.keeps(promql.parse(query), "le") is kept


def test_what_does_not_parse_says_why() -> None:
    with pytest.raises(ValueError, match="unclosed left parenthesis"):
        promql.parse("sum(")
