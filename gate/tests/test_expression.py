import math
from typing import Any

import pytest
from canary_gate import EvaluationError, RefusedError
from canary_gate.evaluation import holds
from canary_gate.expression import Node, parse
from canary_gate.static import require_condition
from hypothesis import given
from hypothesis import strategies as st

GUARD = "len(result) > 0 && !isNaN(result[0]) && !isInf(result[0])"


def compiled(condition: str) -> Node:
    node = parse(condition)
    require_condition(node)
    return node


@pytest.mark.parametrize(
    ("condition", "result"),
    [
        ("result[0] < 0.5", [0.4]),
        ("result[0] <= -4.595", [-5.0]),
        ("result[-1] == 3", [1.0, 3.0]),
        ("result < .5e1", 4.0),
        ("1 + 2 * 3 == 7", []),
        ("(1 + 2) * 3 == 9", []),
        ("2 ** 3 ** 2 == 512", []),
        ("-2 ** 2 == -4", []),
        ("2 ^ -1 == 0.5", []),
        ("7 / 2 == 3.5", []),
        ("-7 % 3 == -1", []),
        ("8 - 3 - 2 == 3", []),
        ("isInf(1 / 0) && isInf(-1 / 0) && isNaN(0 / 0)", []),
        ("isNaN((-1) ** 0.5) && isInf(0 ** -1) && isInf(10 ** 999)", []),
        ("true or result[7] > 0", []),
        ("not (false and result[7] > 0)", []),
        ("len(result) > 0 ? result[0] > 9 : 1 == 1.0", []),
        ("result[0] > 9 ? false : true", [1.0]),
        ("count([51, 355, 818], # < result[0]) == 2", [400.0]),
        ("count(result, {# > 1}) == 1", [0.0, 2.0]),
        ("all(result, # < 3) && any(result, # < 2) && none(result, # > 3)", [1.0, 2.9]),
        ("all(result, # < 3)", []),
        ("asFloat('1.5') + asInt(\"2\") == 3.5", []),
        ("asFloat(result[0]) == 2 && asInt(result[0]) == 2", [2.0]),
        ("len('abc') == 3 && 'a' != 'b'", []),
        ("!isNil(result)", []),
        ("len(default(result, 0)) == 0", []),
        ("default(result, 0) != 0", [0.0]),
        ("!isNaN(1)", []),
        ("!isNaN(-1)", []),
        ("!isInf(len(result) + 1)", []),
        ("true || isNaN(len(result))", []),
        ("asInt(result) == -9223372036854775808", math.nan),
        ("asInt(result) < 0", math.inf),
        ("asInt(result) - 1 > 0", -math.inf),
        ("-asInt(result) < 0", 1e300),
        ("!isNaN(result[0])", [1]),
        ("true != (1 == 2)", []),
        ("+1 == 1", []),
        ("[1, 2][1] == 2", []),
    ],
)
def test_a_condition_of_the_subset_holds(condition: str, result: Any) -> None:
    assert holds(parse(condition), result) is True


@pytest.mark.parametrize(
    ("condition", "result", "reason"),
    [
        ("result[0] > 0", [], "index out of range: 0"),
        ("result[-2] > 0", [1.0], "out of range"),
        ("result[0.5] > 0", [1.0], "integer"),
        ("result[0] > 0", 1.0, "needs list"),
        ("result > 0", [1.0], "needs number"),
        ("len(result) > 0", 1.0, r"len\(\) needs list or string, found float"),
        ("isNaN(result)", [1.0], "needs float, found numbers"),
        ("result", [1.0], "not true or false"),
        ("!result", 1.0, "needs bool"),
        ("result && true", 1.0, "needs bool"),
        ("result == [1]", [1.0], "lists"),
        ("asInt('1_0') > 0", [], "asInt"),
        ("isNaN(len(result))", [], "needs a float, found 0"),
        ("isInf(asInt(result))", 1.0, "needs a float, found 1"),
        ("asFloat('x') > 0", [], "asFloat"),
        ("asFloat(result) > 0", [1.0], "asFloat needs a number"),
        ("default(result, 0)", [1.0], "expected bool"),
        ("default(result, 0) && true", [1.0], "needs a bool"),
        ("default(result, 0) > 1", [1.0], "needs a number"),
        ("default(result, 0)[0.5] > 1", [1.0], "needs integer"),
        ("result[default(result, 0)] > 1", [1.0], "an index needs an integer"),
        ("default(result, 0)[0] > 1", 1.0, "needs a list"),
        ("len(default(result, 0)) > 1", 1.0, "no length"),
        ("isNaN(result[0] > 1 ? 1 : result[0])", [2.0], "needs a float"),
        ("3 % 0 == 1", [], "% needs integers and a divisor"),
        ("result % 2 == 0", 3.0, "% needs integer"),
        ("result ? true : false", 1.0, "needs bool"),
        ("all(result, # < 1)", 1.0, "needs list"),
    ],
)
def test_a_condition_that_cannot_be_evaluated_is_an_error(
    condition: str, result: Any, reason: str
) -> None:
    with pytest.raises(EvaluationError, match=reason):
        holds(parse(condition), result)


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("", "'the end' is not understood"),
        ("result[0] >", "'the end'"),
        ("(result[0] > 1", r"expected '\)'"),
        ("result[0 > 1", r"expected '\]'"),
        ("result[0] > 1 )", r"'\)' is not understood"),
        ("let x = 1; x > 0", "column 7: '=' is not understood"),
        ("median(result) > 1", "'median' is not modelled"),
        ("results[0] > 1", "'results' is not modelled"),
        ("len > 1", "'len' is not modelled"),
        ("len(result, 1) > 1", "wrong number of arguments"),
        ("result?.x > 1", "column 8"),
        ("result[0] ?? 1 > 0", r"'\?' is not understood"),
        ("result | len(#) > 0", "column 8: '|' is not understood"),
        ("1 < result[0] < 3", "chain of comparisons"),
        ("1.2.3 > 0", "number is not understood"),
        ("12abc > 0", "number is not understood"),
        ("'a' matches 'b'", "'matches' is not understood"),
        ("# > 1", "'#' is not understood"),
        ("all(result, any(result, # > 1))", "inside a predicate"),
        ("all(result, {# > 1)", "expected '}'"),
        ("true ? 1", "expected ':'"),
        ("result[0] & 1", "column 11: '&'"),
        ("len(result)", "not true or false"),
        ("result[0] > 'a'", "needs number"),
        ("1 && true", "needs bool"),
        ("!len(result) == 0", "needs bool"),
        ("true == 1", "== compares bool with int"),
        ("1[0] > 0", "needs list"),
        ("[1]['a'] > 0", "an index needs integer"),
        ("all(result, 1)", "needs bool"),
        ("all(1, true)", "needs list"),
        ("(1 ? true : false)", "needs bool"),
        ("-true > 0", "needs number"),
        ('"a\\"b" == \'c\'', "is not understood"),
        ("result[0] > 1 // a comment", "'/' is not understood"),
    ],
)
def test_anything_outside_the_subset_is_refused(condition: str, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason.replace("|", r"\|")):
        compiled(condition)


@given(st.text(alphabet="result[0]<>=&|!()., 1ae#?:+-*/%isNlnd'\"{}", max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        node = parse(text)
    except RefusedError:
        return
    try:
        verdict = holds(node, [1.0])
    except EvaluationError:
        return
    assert isinstance(verdict, bool)


@given(st.lists(st.sampled_from([math.nan, math.inf, -math.inf]), max_size=3), st.floats())
def test_a_guarded_condition_never_holds_without_a_number(
    result: list[float], bound: float
) -> None:
    bound = bound if math.isfinite(bound) else 0.0
    for operator in ("<", "<=", ">", ">=", "==", "!="):
        assert not holds(parse(f"{GUARD} && result[0] {operator} {bound:f}"), result)


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_comparisons_are_those_of_floats(left: float, right: float) -> None:
    result = [left, right]
    assert holds(parse("result[0] < result[1]"), result) == (left < right)
    assert holds(parse("result[0] >= result[1]"), result) == (left >= right)
    assert holds(parse("result[0] == result[1]"), result) == (left == right)


@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(1, 50))
def test_precedence_is_that_of_arithmetic(a: int, b: int, c: int) -> None:
    assert holds(parse(f"{a} + {b} * {c} - {a} / {c} == {a + b * c - a / c!r}"), [])
