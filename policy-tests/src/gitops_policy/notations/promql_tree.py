"""The tree of a PromQL expression, kept in Python: the parser makes new objects at each look."""

from __future__ import annotations

from typing import Any

_PARTS = {
    "BinaryExpr": ("lhs", "rhs"),
    "AggregateExpr": ("expr", "param"),
    "ParenExpr": ("expr",),
    "UnaryExpr": ("expr",),
    "SubqueryExpr": ("expr",),
    "MatrixSelector": ("vector_selector",),
}
_WORDS = frozenset(
    ("TokenType", "MatchOp", "AggModifierType", "LabelModifierType", "VectorMatchCardinality",
     "ValueType", "AtModifierType")
)  # fmt: skip
_DEEPEST = 200


class Tree:
    """One node, or a part of one, under the names of the parser; words of it are strings."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.kind = type(inner).__name__

    def __getattr__(self, name: str) -> Any:
        value = kept(getattr(self._inner, name))
        self.__dict__[name] = value
        return value

    @property
    def children(self) -> tuple[Any, ...]:
        """The parts of an expression that are expressions."""
        if "_children" not in self.__dict__:
            parts = [getattr(self, name) for name in _PARTS.get(self.kind, ())]
            parts += self.args if self.kind == "Call" else ()
            self.__dict__["_children"] = tuple(part for part in parts if part is not None)
        found: tuple[Any, ...] = self.__dict__["_children"]
        return found

    @property
    def nodes(self) -> tuple[Any, ...]:
        """The expression and everything in it, parents first.

        Raises ValueError where it nests deeper than anybody writes.
        """
        if "_nodes" not in self.__dict__:
            found, waiting = [], [(self, 0)]
            while waiting:
                current, depth = waiting.pop()
                if depth > _DEEPEST:
                    raise ValueError("it nests too deeply to be read")
                found.append(current)
                waiting += [(child, depth + 1) for child in reversed(current.children)]
            self.__dict__["_nodes"] = tuple(found)
        nodes: tuple[Any, ...] = self.__dict__["_nodes"]
        return nodes

    def of_kind(self, kind: str) -> list[Any]:
        """Return the nodes of one kind in it."""
        kinds: dict[str, list[Any]] | None = self.__dict__.get("_kinds")
        if kinds is None:
            kinds = self.__dict__["_kinds"] = {}
            for node in self.nodes:
                kinds.setdefault(node.kind, []).append(node)
        return kinds.get(kind, [])


def kept(value: Any) -> Any:
    """Return a value of the parser in a form that need not be computed again."""
    if isinstance(value, list):
        return [kept(item) for item in value]
    if not type(value).__module__.startswith("promql_parser"):
        return value
    return str(value) if type(value).__name__ in _WORDS else Tree(value)
