"""Looks at what a model answers: values that cannot be right, scores, classes."""

from collections.abc import Mapping
from math import isfinite

import numpy as np

from inference_server.models.contract import ModelContract
from inference_server.models.signature import Tensor
from inference_server.observability.families import SCORE_EDGES
from inference_server.observability.model_metrics import ModelMetrics

_FEW = 32
_EDGES = np.array(SCORE_EDGES)
_ANY = (float("-inf"), float("inf"))


class OutputMonitor:
    """Feeds the metrics that the canary gate judges a release by; counts are in rows."""

    def __init__(self, contract: ModelContract, metrics: ModelMetrics) -> None:
        self._ranges = contract.output_ranges
        self._class_output = contract.class_output if metrics.classes else None
        self._score_output = contract.score_output
        self._metrics = metrics
        self._other = len(metrics.classes) - 1
        self._numbers = {name: i for i, name in enumerate(contract.class_names[: self._other])}

    def observe(self, outputs: Mapping[str, Tensor]) -> None:
        """Count invalid rows, classes and scores of one batch, padding already cut off."""
        for name, tensor in outputs.items():
            if tensor.dtype.kind in "fiu" and tensor.size:
                self._validity(tensor, self._ranges.get(name))
        if self._class_output is not None:
            self._classes(outputs[self._class_output])
        if self._score_output is not None:
            scores = outputs[self._score_output]
            self._scores(scores[..., -1] if scores.ndim > 1 else scores)

    def _validity(self, tensor: Tensor, bounds: tuple[float, float] | None) -> None:
        floating = tensor.dtype.kind == "f"
        if bounds is None and not floating:
            return
        low, high = bounds or _ANY
        if tensor.size <= _FEW:
            values = tensor.ravel().tolist()
            good = False not in [low <= value <= high and isfinite(value) for value in values]
        else:
            least, most = np.minimum.reduce(tensor, None), np.maximum.reduce(tensor, None)
            good = low <= least and most <= high and isfinite(least) and isfinite(most)
        if not good:  # a NaN compares with nothing, and is the least and the most of its tensor
            self._count_invalid(tensor, low, high)

    def _count_invalid(self, tensor: Tensor, low: float, high: float) -> None:
        outside = ((tensor < low) | (tensor > high)) & np.isfinite(tensor)
        self._metrics.invalid["nan"].inc(_rows(np.isnan(tensor)))
        self._metrics.invalid["inf"].inc(_rows(np.isinf(tensor)))
        self._metrics.invalid["out_of_range"].inc(_rows(outside))

    def _classes(self, labels: Tensor) -> None:
        counters, other = self._metrics.classes, self._other
        if labels.size <= _FEW or labels.dtype.kind not in "iu":
            for label in labels.ravel().tolist():
                known = label if isinstance(label, int) else self._numbers.get(label, other)
                counters[known if 0 <= known < other else other].inc()
            return
        flat = labels.ravel()
        counts = np.bincount(np.where((flat >= 0) & (flat < other), flat, other).astype(np.intp))
        for label in counts.nonzero()[0].tolist():
            counters[label].inc(int(counts[label]))

    def _scores(self, column: Tensor) -> None:
        if column.size <= _FEW:
            for score in column.ravel().tolist():
                if isfinite(score):  # the others are counted above, and would poison the sum
                    self._metrics.score.observe(score)
            return
        finite = column[np.isfinite(column)].astype(np.float64)
        buckets = np.bincount(np.searchsorted(_EDGES, finite), minlength=len(_EDGES) + 1)
        self._metrics.score.add(buckets.tolist(), float(finite.sum()))


def _rows(mask: Tensor) -> int:
    if mask.ndim < 2:
        return int(mask.sum())
    return int(mask.reshape(mask.shape[0], -1).any(axis=1).sum())
