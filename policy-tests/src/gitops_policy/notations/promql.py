"""Reading PromQL: parse, walk and classify expressions."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from gitops_policy.notations.patterns import matches_whole
from gitops_policy.notations.promql_tree import Tree

Node = Any
EQUAL, NOT_EQUAL = "MatchOp.Equal", "MatchOp.NotEqual"
REGEXP, NOT_REGEXP = "MatchOp.Re", "MatchOp.NotRe"
COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">="})
_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv
}  # fmt: skip
SET_OPERATORS = frozenset({"and", "or", "unless"})
# Switched on by `--enable-feature=promql-experimental-functions`.
EXPERIMENTAL = frozenset(
    ("double_exponential_smoothing", "end", "histogram_quantiles", "info", "limit_ratio", "limitk",
     "mad_over_time", "max_of", "min_of", "range", "sort_by_label", "sort_by_label_desc", "start",
     "start_timestamp", "step", "ts_of_first_over_time", "ts_of_last_over_time",
     "ts_of_max_over_time", "ts_of_min_over_time")
)  # fmt: skip
_BEHIND_BRACKET = re.compile(r"(?:[\[:]|\boffset\s+-?)\s*$")
QUOTED = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|`[^`]*`')
# The parser overflows its stack on what nests by the thousand.
_OPENS = re.compile(r"[(+*/%^<>=!-]|\b(?:and|or|unless|atan2)\b")
_MOST_OPENED = 1000


@lru_cache(maxsize=4096)
def parse(query: str) -> Node:
    """Parse a query; raises ValueError with the parser's reason."""
    import promql_parser

    text = _plain(query)
    if len(_OPENS.findall(QUOTED.sub('""', text))) > _MOST_OPENED:
        raise ValueError("it is too long to be read")
    tree = Tree(promql_parser.parse(text))
    for node in walk(tree):
        _refuse(node)
    return tree


def wants_duration(code: str) -> bool:
    """Say whether what follows such a beginning of a query is a duration."""
    return _BEHIND_BRACKET.search(code) is not None


def _plain(query: str) -> str:
    """Write what the parser does not know in the way it does: raw strings, `1_000`."""
    parts, end = [], 0
    for found in QUOTED.finditer(query):
        parts += [_numbers(query[end : found.start()]), _string(found.group())]
        end = found.end()
    return "".join([*parts, _numbers(query[end:])])


def _numbers(code: str) -> str:
    return re.sub(r"(?<![\w:])(\d+)((?:_\d+)+)(?![\w:])", _without_underscores, code)


def _without_underscores(found: re.Match[str]) -> str:
    return found.group().replace("_", "")


def _string(quoted: str) -> str:
    if not quoted.startswith("`"):
        return quoted
    return '"' + quoted[1:-1].replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _refuse(node: Node) -> None:
    """Raise for what the parser accepts and Prometheus refuses."""
    if kind(node) == "VectorSelector" and node.matchers.or_matchers:
        raise ValueError("or between label matchers is not PromQL")
    if kind(node) == "BinaryExpr" and returns_bool(node) and str(node.op) not in COMPARISONS:
        raise ValueError("bool modifier can only be used on comparison operators")
    if kind(node) == "BinaryExpr" and getattr(node.modifier, "fill_values", None) is not None:
        _refuse_fill(node.modifier.fill_values)


def _refuse_fill(fill: Node) -> None:
    if getattr(fill, "lhs", None) is not None or getattr(fill, "rhs", None) is not None:
        raise ValueError("fill modifiers are experimental and not enabled")


def returns_bool(node: Node) -> bool:
    """Say whether a comparison yields 0 and 1 instead of filtering."""
    return bool(getattr(node.modifier, "return_bool", False))


def kind(node: Node) -> str:
    """Return the name of a node's type, such as `BinaryExpr`."""
    name: str = node.kind
    return name


def children(node: Node) -> Iterator[Node]:
    """Yield the parts of an expression."""
    yield from node.children


def walk(node: Node) -> tuple[Node, ...]:
    """Return an expression and everything in it, parents first."""
    found: tuple[Node, ...] = node.nodes
    return found


def bare(node: Node) -> Node:
    """Return the expression inside parentheses."""
    while kind(node) == "ParenExpr":
        node = node.expr
    return node


def selectors(node: Node) -> list[Node]:
    """Return every series selector of an expression."""
    found: list[Node] = node.of_kind("VectorSelector")
    return found


def metric(selector: Node) -> str:
    """Return the metric that a selector names, also by `__name__`; empty where it names none."""
    if selector.name:
        return str(selector.name)
    named = [m.value for m in selector.matchers.matchers if m.name == "__name__"]
    equal = matchers(selector).get("__name__", ("", ""))[0] == EQUAL
    return str(named[0]) if equal and len(named) == 1 else ""


def matchers(selector: Node) -> dict[str, tuple[str, str]]:
    """Return a selector's label matchers: label -> (operator, value)."""
    return {m.name: (m.op, m.value) for m in selector.matchers.matchers}


def fits(pattern: str, value: str) -> bool:
    """Say whether a regular expression of a matcher accepts a value; yes where that is unsure."""
    return matches_whole(pattern, value) is not False


def accepts(sign: str, wanted: str, value: str) -> bool:
    """Say whether a matcher accepts the value of a label."""
    if sign in (EQUAL, NOT_EQUAL):
        return (wanted == value) is (sign == EQUAL)
    hit = matches_whole(wanted, value)
    return hit is None or hit is (sign == REGEXP)


def calls(node: Node, *names: str) -> list[Node]:
    """Return the calls of these functions."""
    return [n for n in node.of_kind("Call") if n.func.name in names]


def divisions(node: Node) -> list[Node]:
    """Return every division."""
    return [n for n in node.of_kind("BinaryExpr") if n.op == "/"]


def aggregated(node: Node) -> bool:
    """Say whether labels are summed away (or absent) before this expression's value."""
    node = bare(node)
    if kind(node) == "AggregateExpr" or not selectors(node):
        return True
    if kind(node) == "VectorSelector":
        return False
    if kind(node) == "Call" and node.func.name in ("scalar", "absent", "vector"):
        return True
    return all(aggregated(child) for child in children(node))


def is_scalar(node: Node) -> bool:
    """Say whether an expression yields one number instead of a vector."""
    node = bare(node)
    if kind(node) in ("NumberLiteral", "StringLiteral"):
        return True
    if kind(node) == "Call":
        return str(node.func.return_type) == "ValueType.Scalar"
    if kind(node) == "UnaryExpr":
        return is_scalar(node.expr)
    return kind(node) == "BinaryExpr" and is_scalar(node.lhs) and is_scalar(node.rhs)


def constant(node: Node) -> float | None:
    """Return the value of an expression without series; None for any other."""
    node = bare(node)
    name = kind(node)
    if name == "NumberLiteral":
        return float(node.val)
    if name == "AggregateExpr" and str(node.op) in ("group", "count"):
        return None if constant(node.expr) is None else 1.0
    if name == "AggregateExpr" and str(node.op) in ("sum", "min", "max", "avg"):
        return constant(node.expr)
    if name == "Call" and node.func.name in ("vector", "scalar"):
        return constant(next(iter(node.args)))
    if name == "UnaryExpr":
        inner = constant(node.expr)
        return None if inner is None else -inner
    if name == "BinaryExpr" and str(node.op) in _ARITHMETIC:
        return _computed(_ARITHMETIC[str(node.op)], constant(node.lhs), constant(node.rhs))
    return None


def _computed(
    operation: Callable[[float, float], float], left: float | None, right: float | None
) -> float | None:
    try:
        return None if left is None or right is None else float(operation(left, right))
    except (ArithmeticError, TypeError):
        return None


def windows(node: Node) -> set[float]:
    """Return the range windows of an expression in seconds, subqueries included."""
    ranges = (getattr(n, "range", None) for n in walk(node))
    return {found.total_seconds() for found in ranges if found is not None}


def grouped_by(aggregate: Node) -> list[str]:
    """Return the labels of an aggregation's `by`; empty for `without` and for neither."""
    modifier = aggregate.modifier
    by = modifier is not None and str(modifier.type).endswith("By")
    return list(modifier.labels) if by else []


def keeps(aggregate: Node, label: str) -> bool:
    """Say whether an aggregation keeps a label."""
    modifier = aggregate.modifier
    if modifier is None:
        return False
    named = label in modifier.labels
    return named if str(modifier.type).endswith("By") else not named
