"""Reading PromQL: parse, walk and classify expressions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Node = Any
_CHILDREN = ("lhs", "rhs", "expr", "param", "vector_selector")


def parse(query: str) -> Node:
    """Parse a query; raises ValueError with the parser's reason."""
    import promql_parser

    return promql_parser.parse(query)


def kind(node: Node) -> str:
    """Return the name of a node's type, such as `BinaryExpr`."""
    return type(node).__name__


def children(node: Node) -> Iterator[Node]:
    """Yield the parts of an expression."""
    for name in _CHILDREN:
        child = getattr(node, name, None)
        if child is not None:
            yield child
    yield from getattr(node, "args", None) or ()


def walk(node: Node) -> Iterator[Node]:
    """Yield an expression and everything in it."""
    yield node
    for child in children(node):
        yield from walk(child)


def bare(node: Node) -> Node:
    """Return the expression inside parentheses."""
    while kind(node) == "ParenExpr":
        node = node.expr
    return node


def selectors(node: Node) -> list[Node]:
    """Return every series selector of an expression."""
    return [n for n in walk(node) if kind(n) == "VectorSelector"]


def matchers(selector: Node) -> dict[str, tuple[str, str]]:
    """Return a selector's label matchers: label -> (operator, value)."""
    return {m.name: (str(m.op), m.value) for m in selector.matchers.matchers}


def calls(node: Node, *names: str) -> list[Node]:
    """Return the calls of these functions."""
    return [n for n in walk(node) if kind(n) == "Call" and n.func.name in names]


def divisions(node: Node) -> list[Node]:
    """Return every division."""
    return [n for n in walk(node) if kind(n) == "BinaryExpr" and str(n.op) == "/"]


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


def windows(node: Node) -> set[float]:
    """Return the range windows of an expression in seconds, subqueries included."""
    ranges = (getattr(n, "range", None) for n in walk(node))
    return {found.total_seconds() for found in ranges if found is not None}


def keeps(aggregate: Node, label: str) -> bool:
    """Say whether an aggregation keeps a label."""
    modifier = aggregate.modifier
    if modifier is None:
        return False
    named = label in modifier.labels
    return named if str(modifier.type).endswith("By") else not named
