"""Regular expressions out of manifests end, whatever they are."""

from __future__ import annotations

import time

import pytest
from gitops_policy.notations.patterns import matches_whole


@pytest.mark.parametrize(
    ("pattern", "value", "hit"),
    [
        ("5..", "500", True),
        ("5..", "5000", False),
        ("a|b", "b", True),
        (".*", "", True),
        ("(?i)WEB", "web", True),
        ("(", "a", None),
        ("a" * 300, "a", None),
        ("(ab)+", "ababab", True),
        (r"\pL", "a", None),
    ],
)
def test_an_expression_accepts_a_whole_value(pattern: str, value: str, hit: bool | None) -> None:
    assert matches_whole(pattern, value) is hit


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|a)*b", "((a*)*)*b", "(a|aa){10,}b"])
def test_an_expression_that_never_ends_is_not_tried(pattern: str) -> None:
    start = time.monotonic()
    assert matches_whole(pattern, "a" * 100) is None
    assert time.monotonic() - start < 1
