"""Conditions that decide about results which say nothing: nothing at all, or no number."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from canary_gate.errors import EvaluationError
from canary_gate.evaluation import holds
from canary_gate.expression import Constant, Index, Node, Result

_PROBES = (0.0, 1e9, -1e9)
#: Results of templates are no longer.
_LONGEST = 6


def guard_problems(side: str, condition: Node) -> Iterator[str]:
    """The first worthless result on which a condition holds or cannot be evaluated.

    A failure on an infinite number is one that a template may want.
    """
    for result in _worthless(condition):
        try:
            decided = holds(condition, result)
        except EvaluationError as error:
            yield f"{side} is unguarded: {error} on the result {result}"
            return
        infinite_failure = side == "failureCondition" and any(map(math.isinf, result))
        if decided and not infinite_failure:
            yield f"{side} is unguarded: it holds on the result {result}"
            return


def _worthless(condition: Node) -> Iterator[list[float]]:
    """Results that say nothing: empty, or no number in a place that the condition reads.

    As long as the last place that it reads, and as every number that stands in it: it may ask
    for that length.
    """
    yield []
    nodes = list(_nodes(condition))
    read = sorted(set(_indices(nodes))) or [0]
    lengths = {max(read) + 1, *_integers(nodes)}
    for width in sorted(length for length in lengths if max(read) < length <= _LONGEST):
        for bad, place in itertools.product((math.nan, math.inf, -math.inf), read):
            for others in itertools.product((bad, *_PROBES), repeat=width - 1):
                yield [*others[:place], bad, *others[place:]]


def _indices(nodes: list[Node]) -> Iterator[int]:
    for node in nodes:
        if isinstance(node, Index) and isinstance(node.value, Result):
            index = node.index.value if isinstance(node.index, Constant) else None
            if isinstance(index, int) and 0 <= index < _LONGEST:
                yield index


def _integers(nodes: list[Node]) -> Iterator[int]:
    for node in nodes:
        if isinstance(node, Constant) and isinstance(node.value, int):
            yield int(node.value)


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for field in fields(node):
        value = getattr(node, field.name)
        for child in value if isinstance(value, tuple) else (value,):
            if is_dataclass(child):
                yield from _nodes(child)  # type: ignore[arg-type]
