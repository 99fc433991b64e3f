"""A release that declares a shift: what it changes in the analyses, and what it never does."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytest
import yaml
from canary_gate import Phase
from canary_gate.run import judge

from rollouts.cases import ROOT, TEMPLATES, analysis, read_cases, read_document

SHIFT = ("class-ratio", "confidence-shift", "prediction-psi")
#: Where the release says that it expects a shift.
ANNOTATION = {"fieldRef": {"fieldPath": "spec.template.metadata.annotations.expected-shift"}}


def phase(name: str, value: float, **arguments: str) -> Phase:
    """What the conditions say of one value."""
    given = {key.replace("_", "-"): text for key, text in arguments.items()}
    return judge(analysis(read_document(name), given).metrics[0], [value])


LIMITS = [
    ("class-ratio", 1.25, 1.5),
    ("confidence-shift", 0.03, 0.08),
    ("confidence-shift", -0.03, -0.08),
    ("input-rejections", 1.25, 1.5),
    ("prediction-psi", 0.1, 0.25),
]


@pytest.mark.parametrize(("name", "undecided", "failed"), LIMITS)
def test_a_limit_itself_is_within_it(name: str, undecided: float, failed: float) -> None:
    assert phase(name, undecided) is Phase.SUCCESSFUL
    assert phase(name, undecided * 1.001) is Phase.INCONCLUSIVE
    assert phase(name, failed) is Phase.INCONCLUSIVE
    assert phase(name, failed * 1.001) is Phase.FAILED


@pytest.mark.parametrize(("name", "failed"), [(name, failed) for name, _, failed in LIMITS])
def test_a_declared_shift_passes_the_shift_analyses_alone(name: str, failed: float) -> None:
    passed = Phase.SUCCESSFUL if name in SHIFT else Phase.FAILED
    assert phase(name, failed * 2, expected_shift="true") is passed
    for text in ("false", "", "True", "yes"):
        assert phase(name, failed * 2, expected_shift=text) is Phase.FAILED


def test_no_other_analysis_knows_of_a_declared_shift() -> None:
    paths = TEMPLATES.glob("*/template.yaml")
    assert {p.parent.name for p in paths if "expected-shift" in p.read_text()} == set(SHIFT)


def askings(node: object) -> Iterator[Mapping[str, Any]]:
    """The analyses in a part of a ladder."""
    children: Iterable[object] = ()
    if isinstance(node, list):
        children = node
    elif isinstance(node, dict):
        children = node.values()
        if "templates" in node:
            yield node
    for child in children:
        yield from askings(child)


def test_each_ladder_tells_the_shift_analyses_what_the_release_declares() -> None:
    found = 0
    for path in (ROOT / "rollouts" / "ladders").rglob("*.yaml"):
        for asking in askings(yaml.safe_load(path.read_text())):
            if {template.get("templateName") for template in asking["templates"]} & set(SHIFT):
                given = {argument["name"]: argument.get("valueFrom") for argument in asking["args"]}
                assert given["expected-shift"] == ANNOTATION, path
                found += 1
    assert found


@pytest.mark.parametrize("name", SHIFT)
def test_a_declared_shift_never_stands_in_for_data(name: str) -> None:
    declared: dict[str, Any] = {"expected-shift": "true"}
    metric = analysis(read_document(name), declared).metrics[0]
    for result in ([], [float("nan")], [float("inf")], [float("-inf")]):
        assert judge(metric, result) is Phase.INCONCLUSIVE
    shown = [case for case in read_cases(name) if case.arguments == declared]
    assert {case.verdict for case in shown} == {"pass", "undecided"}
