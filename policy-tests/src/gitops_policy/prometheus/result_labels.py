"""Which labels the result of a PromQL expression carries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from gitops_policy.notations import promql

NAME = "__name__"
_NONE: frozenset[str] = frozenset()
_OF_EACH_GROUP = frozenset({"topk", "bottomk", "limitk", "limit_ratio"})
_NEW_SERIES = frozenset({"absent", "absent_over_time"})


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of a result: `sure` ones each series carries, `possible` ones some may.

    `is_open` says that there may be others as well, except those that are `gone`.
    """

    sure: frozenset[str] = _NONE
    possible: frozenset[str] = _NONE
    is_open: bool = False
    gone: frozenset[str] = _NONE

    def may(self, label: str) -> bool:
        """Say whether a series of the result may carry a label."""
        if label in self.sure or label in self.possible:
            return True
        return self.is_open and label not in self.gone

    def keeping(self, labels: Iterable[str], *, named: bool = True) -> Labels:
        """Return what is left when only these labels are kept.

        A label that somebody names is taken to be there, if it can be.
        """
        kept = frozenset(label for label in labels if self.may(label))
        return Labels(kept if named else kept & self.sure, kept)

    def without(self, labels: Iterable[str]) -> Labels:
        """Return what is left when these labels are dropped."""
        dropped = frozenset(labels)
        return Labels(
            self.sure - dropped, self.possible - dropped, self.is_open, self.gone | dropped
        )

    def adding(self, labels: Iterable[str], *, sure: bool = False) -> Labels:
        """Return the labels with some more."""
        more = frozenset(labels)
        return Labels(
            self.sure | more if sure else self.sure,
            self.possible | more,
            self.is_open,
            self.gone - more,
        )

    def union(self, other: Labels) -> Labels:
        """Return the labels of series that come from either."""
        possible = self.sure | self.possible | other.sure | other.possible
        gone = frozenset(
            label
            for label in self.gone | other.gone
            if not self.may(label) and not other.may(label)
        )
        return Labels(self.sure & other.sure, possible, self.is_open or other.is_open, gone)


EMPTY = Labels()
ANY = Labels(is_open=True)


@dataclass(frozen=True)
class Source:
    """What tells the labels of a selector, with the results that were found with it."""

    of: Callable[[promql.Node], Labels]
    found: dict[promql.Node, Labels] = field(default_factory=dict, compare=False)


def matched(selector: promql.Node) -> Labels:
    """Return what a selector's matchers say: labels that must be there, or must not."""
    sure: set[str] = set()
    gone: set[str] = set()
    for matcher in selector.matchers.matchers:
        operator, value = str(matcher.op), matcher.value
        if matcher.name == NAME:
            continue
        if operator == promql.EQUAL:
            (sure if value else gone).add(matcher.name)
        elif (operator == promql.NOT_EQUAL and not value) or (
            operator == promql.REGEXP and not promql.fits(value, "")
        ):
            sure.add(matcher.name)
    return Labels(frozenset(sure), frozenset(sure), True, frozenset(gone))


def result_labels(node: promql.Node, source: Source | None = None) -> Labels:
    """Return the labels of an expression's result; `source` knows those of a selector."""
    source = source or Source(matched)
    found = source.found.get(node)
    if found is None:
        found = source.found[node] = _result(promql.bare(node), source)
    return found


def _result(node: promql.Node, source: Source) -> Labels:
    kind = promql.kind(node)
    if kind == "VectorSelector":
        return source.of(node)
    if kind == "AggregateExpr":
        return _aggregated(node, source)
    if kind == "BinaryExpr":
        return _joined(node, source)
    if kind == "Call":
        return _called(node, source)
    inner = next(promql.children(node), None)
    return EMPTY if inner is None else result_labels(inner, source)


def _aggregated(node: promql.Node, source: Source) -> Labels:
    inner = result_labels(node.expr, source)
    if str(node.op) in _OF_EACH_GROUP:
        return inner
    modifier = node.modifier
    if modifier is None:
        kept = EMPTY
    elif str(modifier.type).endswith("By"):
        kept = inner.keeping(modifier.labels)
    else:
        kept = inner.without([*modifier.labels, NAME])
    if str(node.op) == "count_values" and promql.kind(node.param) == "StringLiteral":
        return kept.adding([node.param.val], sure=True)
    return kept


def _joined(node: promql.Node, source: Source) -> Labels:
    if promql.is_scalar(node.lhs) or promql.is_scalar(node.rhs):
        vector = node.lhs if promql.is_scalar(node.rhs) else node.rhs
        return EMPTY if promql.is_scalar(node) else result_labels(vector, source)
    left, right = result_labels(node.lhs, source), result_labels(node.rhs, source)
    operator = str(node.op)
    if operator == "or":
        return left.union(right)
    if operator in promql.SET_OPERATORS:
        return left
    return _paired(node, left, right)


def _paired(node: promql.Node, left: Labels, right: Labels) -> Labels:
    matching = matching_of(node)
    if matching.grouped:
        many, one = (left, right) if matching.grouped == "left" else (right, left)
        copied = [label for label in matching.copied if one.may(label)]
        return many.without(matching.copied).adding(copied)
    if matching.on is not None:
        return left.keeping(matching.on)
    return left.without([*matching.ignoring, NAME])


def _called(node: promql.Node, source: Source) -> Labels:
    name, arguments = str(node.func.name), list(node.args)
    if name in _NEW_SERIES:
        return _absent(arguments)
    if name == "info":
        return ANY
    vectors = [a for a in arguments if not promql.is_scalar(a)]
    if not vectors or promql.is_scalar(node):
        return EMPTY
    inner = result_labels(vectors[0], source)
    if name in ("label_replace", "label_join") and promql.kind(arguments[1]) == "StringLiteral":
        return inner.adding([arguments[1].val])
    if name in ("histogram_quantile", "histogram_fraction"):
        return result_labels(vectors[-1], source).without(["le"])
    return inner


def _absent(arguments: list[promql.Node]) -> Labels:
    """Labels of `absent`: those that equality matchers name, of a plain selector only."""
    if not arguments:
        return EMPTY
    inner: promql.Node = promql.bare(arguments[0])
    selector: promql.Node = getattr(inner, "vector_selector", inner)
    if promql.kind(selector) != "VectorSelector":
        return EMPTY
    given = [m for m in selector.matchers.matchers if m.name != NAME]
    names = [m.name for m in given]
    named = frozenset(
        m.name for m in given if str(m.op) == promql.EQUAL and m.value and names.count(m.name) == 1
    )
    return Labels(named, named)


@dataclass(frozen=True, slots=True)
class Matching:
    """How the two sides of a binary operation find each other."""

    on: tuple[str, ...] | None
    ignoring: tuple[str, ...]
    grouped: str
    copied: tuple[str, ...]

    def compares(self, label: str) -> bool:
        """Say whether series meet by this label."""
        return label in self.on if self.on is not None else label not in self.ignoring

    def compared(self, left: Labels, right: Labels) -> Iterator[tuple[str, str]]:
        """Yield each label that one side surely has and the other cannot, and the side with it."""
        for side, own, other in (("left", left, right), ("right", right, left)):
            for label in sorted(own.sure):
                if self.compares(label) and label != NAME and not other.may(label):
                    yield label, side


def matching_of(node: promql.Node) -> Matching:
    """Return the matching of a binary operation between vectors."""
    modifier = node.modifier
    labels = getattr(modifier, "matching", None)
    on, ignoring = None, ()
    if labels is not None and str(labels.type).endswith("Include"):
        on = tuple(labels.labels)
    elif labels is not None:
        ignoring = tuple(labels.labels)
    card = str(getattr(modifier, "card", ""))
    grouped = {"ManyToOne": "left", "OneToMany": "right"}.get(card.rpartition(".")[2], "")
    copied = tuple(getattr(modifier, "group_labels", None) or ()) if grouped else ()
    return Matching(on, ignoring, grouped, copied)
