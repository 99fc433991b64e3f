"""Bucket edges that a query names, held to those that a service exports."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import promql_parser

from canary_gate.errors import RefusedError

#: Edges of histograms by their name, each as it stands in the label `le`.
Edges = Mapping[str, frozenset[str]]

_CHILDREN = ("expr", "lhs", "rhs", "param", "args", "vector_selector")


def read_edges(document: object) -> Edges:
    """Edges of a metric contract: `{metrics: {NAME: {type: histogram, edges: [0.5, 1.0]}}}`.

    Raises RefusedError for a document of another shape.
    """
    metrics = document.get("metrics") if isinstance(document, Mapping) else None
    if not isinstance(metrics, Mapping):
        raise RefusedError("no contract: metrics is not a mapping")
    found = {}
    for name, metric in metrics.items():
        edges = metric.get("edges") if isinstance(metric, Mapping) else None
        if edges is not None:
            # The exporter writes an edge as Python does, and Prometheus keeps it: 1.0, not 1.
            found[str(name)] = frozenset([*(repr(float(edge)) for edge in edges), "+Inf"])
    return found


def missing_edges(query: str, edges: Edges) -> Iterator[str]:
    """A reason for every edge in a query that its histogram has not.

    Histograms that are not among `edges` are passed over. The query has to parse.
    """
    for selector in _selectors(promql_parser.parse(query)):
        known = edges.get(str(selector.name).removesuffix("_bucket"))
        if known is None or not str(selector.name).endswith("_bucket"):
            continue
        for matcher in selector.matchers.matchers:
            if matcher.name != "le":
                continue
            regular = matcher.op in (promql_parser.MatchOp.Re, promql_parser.MatchOp.NotRe)
            alternatives = regular and "(" not in matcher.value
            for edge in matcher.value.split("|") if alternatives else [matcher.value]:
                if not _exists(edge, known, regular=regular):
                    listed = ", ".join(sorted(known, key=float))
                    yield f"{selector.name} has no bucket edge {edge}; it has {listed}"


def _exists(edge: str, known: frozenset[str], *, regular: bool) -> bool:
    if not regular:
        return edge in known
    try:
        return any(re.fullmatch(edge, name) for name in known)
    except re.error:
        return False


def _selectors(node: Any) -> Iterator[Any]:
    if isinstance(node, promql_parser.VectorSelector):
        yield node
        return
    for name in _CHILDREN:
        child = getattr(node, name, None)
        for item in child if isinstance(child, list) else [child]:
            if item is not None and not isinstance(item, str):
                yield from _selectors(item)
