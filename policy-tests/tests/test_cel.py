"""The language of CRD rules: values, absence, errors that a decided side swallows, and bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gitops_policy.apis.schema_rules import broken, defaulted
from gitops_policy.notations.cel import holds
from gitops_policy.notations.cel_syntax import CelSyntaxError, parse

SCHEMAS = Path(__file__).parents[2] / ".tools" / "schemas"
HOLDS: list[tuple[str, Any]] = [
    ("self.a + 2 * 3 == 7", {"a": 1}),
    ("-self.a < 0 && !(self.a == 2)", {"a": 1}),
    ("self.type == 'Text' ? has(self.text) : !has(self.text)", {"type": "Text", "text": "x"}),
    ("has(self.a) || self.a.b == 1 || true", {}),
    ("self.all(x, x.n == self[0].n)", [{"n": 1}, {"n": 1}]),
    ("self.exists_one(x, x == 'b') && self.exists(x, x == 'a')", ["a", "b"]),
    ("self.filter(x, x > 1).size() == 2 && size(self.map(x, x + 1)) == 3", [1, 2, 3]),
    ("'b' in self && !('c' in self)", {"b": 1}),
    ("self in [1, 'x', true]", True),
    ("self['a-b'] == {'k': [1, 2]}['k'][1]", {"a-b": 2}),
    ("duration(self) < duration('1h') && duration('0s') < duration(self)", "90s"),
    ("self.matches(r'^(?i)A\\.B$')", "a.b"),
    ('self.split("/")[0].size() < 3 && self.substring(1).startsWith("b")', "ab/c"),
    ("self.lowerAscii() == 'x' && self.upperAscii() == 'X'", "X"),
    ("isIP(self) && !isCIDR('a')", "2001:db8::1"),
    ("self.__namespace__ == 'a'", {"namespace": "a"}),
    ("self.size() > 0 ? self[0].x == 1 : true", []),
    ("self == 1.0 && self <= 1", 1),
    ("self % 3 == -1 && self / 2 == -3 && 7 % -3 == 1", -7),
    ("self / 10 == 900719925474099301", 9007199254740993015),
]


@pytest.mark.parametrize(("expression", "value"), HOLDS, ids=[item[0] for item in HOLDS])
def test_a_rule_that_is_true_holds(expression: str, value: Any) -> None:
    assert holds(expression, value) is True
    assert holds(f"!({expression})", value) is False


@pytest.mark.parametrize(
    "expression",
    [
        "self.a",
        "self.b == 1",
        "self.a > 'x'",
        "self.a.all(x, true)",
        "'x'.matches(1)",
        "self.a + 'x'",
    ],
)
def test_a_rule_that_fails_on_its_value_does_not_hold(expression: str) -> None:
    assert holds(expression, {"a": 1}) is False


@pytest.mark.parametrize(
    "expression", ["quantity(self) > 1", "self.", "oldSelf == self", "(" * 500]
)
def test_nothing_is_said_of_what_is_not_known(expression: str) -> None:
    assert holds(expression, "1Gi") is None


def test_an_evaluation_is_bounded() -> None:
    assert holds("self.all(a, self.all(b, self.all(c, a + b + c >= 0)))", list(range(200))) is None


def test_a_syntax_error_names_its_place() -> None:
    with pytest.raises(CelSyntaxError, match="unreadable at 4"):
        parse("self #")


def rules(schema: Any) -> list[str]:
    if isinstance(schema, dict):
        own = [rule["rule"] for rule in schema.get("x-kubernetes-validations") or ()]
        return own + [found for part in schema.values() for found in rules(part)]
    return [found for part in schema for found in rules(part)] if isinstance(schema, list) else []


def test_every_rule_of_the_installed_crds_can_be_read() -> None:
    texts = [path.read_text() for path in sorted(SCHEMAS.glob("*/*.json"))]
    found = {rule for text in texts for rule in rules(json.loads(text))}
    assert len(found) > 200
    for rule in found:
        parse(rule)


def test_defaults_are_there_before_rules_are_asked() -> None:
    schema = {
        "properties": {"kind": {"default": "Service"}, "port": {}},
        "x-kubernetes-validations": [
            {"rule": "self.kind == 'Service' ? has(self.port) : true", "message": "no port"},
            {"rule": "self == oldSelf", "message": "immutable"},
            {"rule": "false", "message": "never", "fieldPath": ".port"},
        ],
    }
    assert list(broken(defaulted({"port": None}, schema), schema)) == [
        ((), "no port"),
        (("port",), "never"),
    ]
