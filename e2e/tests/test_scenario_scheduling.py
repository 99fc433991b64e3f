"""Tests that share something, or run alone, go to one worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.scenarios.scheduling import ALONE, TOGETHER, scope

E2E = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("named", [*ALONE, *TOGETHER])
def test_what_is_named_is_there(named: str) -> None:
    file, _, test = named.partition("::")
    [path] = [*E2E.glob(f"scenarios/{file}"), *E2E.glob(f"oracles/**/{file}")]
    assert f"def {test}" in path.read_text(encoding="utf-8")


def test_what_runs_alone_is_one_scope() -> None:
    drain = "e2e/scenarios/test_node_drain.py::test_two_drains"
    restart = f"e2e/scenarios/{ALONE[1]}"
    assert scope(drain) == scope(restart) == "alone"


def test_the_tests_of_one_file_stay_together_where_they_share_something() -> None:
    first, second = ("e2e/scenarios/test_gateway.py::test_a[/]", "e2e/scenarios/test_gateway.py::b")
    assert scope(first) == scope(second)


def test_every_other_test_goes_to_whoever_is_free() -> None:
    node = "e2e/scenarios/test_node.py"
    assert scope(f"{node}::test_a") != scope(f"{node}::test_b")
