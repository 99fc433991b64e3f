"""Writes metrics as Prometheus reads them, in its text format or in OpenMetrics.

What does not change of a line is kept: a scrape of thousands of series must not hold the event
loop for long. https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, chain
from typing import NamedTuple

from inference_server.observability.series import Family, Key

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class Exemplar(NamedTuple):
    """A traced value, and the Unix time of it."""

    trace_id: str
    value: float
    at: float


Exemplars = Mapping[tuple[Key, int], Exemplar]


def content_type(accept: str) -> str:
    """The format that an Accept header asks for; it is Prometheus' choice to send one."""
    return OPENMETRICS if "application/openmetrics-text" in accept else TEXT


class Exposition:
    """Writes the families in their order; exemplars stand in OpenMetrics only."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = {family.name: family for family in families}
        self._heads: dict[Key, list[str]] = {}

    def write(self, totals: Mapping[Key, Sequence[float]], exemplars: Exemplars | None) -> str:
        """The lines of these values; with `exemplars`, though empty, in OpenMetrics."""
        grouped: dict[str, list[Key]] = {name: [] for name in self._families}
        for key in sorted(totals):
            grouped[key[0]].append(key)
        if len(self._heads) > 2 * len(totals):
            self._heads.clear()
        lines: list[str] = []
        for name, keys in grouped.items():
            family = self._families[name]
            lines += _comments(family, openmetrics=exemplars is not None)
            for key in keys:
                lines += self._lines(family, key, totals[key], exemplars or {})
        return "\n".join(chain(lines, ("",)))

    def _lines(
        self, family: Family, key: Key, values: Sequence[float], exemplars: Exemplars
    ) -> Iterator[str]:
        heads = self._heads.get(key)
        if heads is None:
            heads = self._heads[key] = list(_heads(family, key[1]))
        if family.kind != "histogram":
            yield f"{heads[0]}{values[0]}"
            return
        steps = list(accumulate(values[:-1]))
        for bucket, count in enumerate(steps):
            exemplar = exemplars.get((key, bucket))
            yield f"{heads[bucket]}{count}{_written(exemplar) if exemplar else ''}"
        yield f"{heads[-2]}{steps[-1]}"
        yield f"{heads[-1]}{values[-1]}"


def _comments(family: Family, *, openmetrics: bool) -> tuple[str, str]:
    counter = family.kind == "counter" and not openmetrics
    name = f"{family.name}_total" if counter else family.name
    return f"# HELP {name} {family.text}", f"# TYPE {name} {family.kind}"


def _heads(family: Family, values: tuple[str, ...]) -> Iterator[str]:
    """All but the value of each line of a series."""
    labels = dict(zip(family.labels, values, strict=True))
    if family.kind == "counter":
        yield f"{family.name}_total{_labels(labels)} "
    elif family.kind == "gauge":
        yield f"{family.name}{_labels(labels)} "
    else:
        for edge in (*(str(float(edge)) for edge in family.edges), "+Inf"):
            yield f"{family.name}_bucket{_labels(labels | {'le': edge})} "
        yield f"{family.name}_count{_labels(labels)} "
        yield f"{family.name}_sum{_labels(labels)} "


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    pairs = [f'{name}="{value.translate(_ESCAPES)}"' for name, value in sorted(labels.items())]
    return f"{{{','.join(pairs)}}}"


def _written(exemplar: Exemplar) -> str:
    return f' # {{trace_id="{exemplar.trace_id}"}} {exemplar.value} {exemplar.at:.3f}'
