"""Manifests are not to be trusted: a field of the wrong type is for the schema rule to report."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from gitops_policy import Config, lint
from gitops_policy.reading.manifests import read_file
from hypothesis import given, settings
from hypothesis import strategies as st

CASES = Path(__file__).parents[1] / "cases"
# One example of each rule is enough: what differs between them is another rule's subject.
EXAMPLES = sorted(min(folder.glob("fail-*.yaml"), default=folder) for folder in CASES.iterdir())
FILES = [path for path in EXAMPLES if path.is_file()]
WRONG = st.sampled_from(
    [None, True, 0, -1, 3.5, "", "text", "100%", [], ["text"], [None], [[1]], {}, {"a": {}}, [{}]]
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if not isinstance(value, dict | list):
        return
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        if (*path, key) not in {("apiVersion",), ("kind",), ("metadata",)}:
            yield (*path, key)
        yield from places(item, (*path, key))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
@settings(max_examples=10, deadline=None, derandomize=True)
@given(data=st.data())
def test_no_rule_crashes_on_a_field_of_the_wrong_type(path: Path, data: st.DataObject) -> None:
    documents = deepcopy([source.content for source in read_file(path)])
    spoilt = data.draw(st.sampled_from([d for d in documents if isinstance(d, dict)] or [{}]))
    place = data.draw(st.sampled_from([("spec",), *places(spoilt)]))
    parent = spoilt
    for step in place[:-1]:
        parent = parent[step]
    parent[place[-1]] = data.draw(WRONG)
    report = lint(documents, Config(only=(path.parent.name,)))
    assert [error.message for error in report.errors] == []
