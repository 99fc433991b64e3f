"""Looks at what a model answers: values that cannot be right, scores, classes."""

from collections.abc import Mapping
from math import isfinite

import numpy as np

from inference_server.models.contract import ModelContract
from inference_server.models.signature import Tensor
from inference_server.observability.metrics import ModelMetrics


class OutputMonitor:
    """Feeds the metrics that the canary gate judges a release by; counts are in rows."""

    def __init__(self, contract: ModelContract, metrics: ModelMetrics) -> None:
        self._contract = contract
        self._metrics = metrics

    def observe(self, outputs: Mapping[str, Tensor]) -> None:
        """Count invalid rows, classes and scores of one answer."""
        for name, tensor in outputs.items():
            if tensor.dtype.kind in "fiu" and tensor.size:
                self._validity(tensor, self._contract.output_ranges.get(name))
        self._classes(outputs)
        self._scores(outputs)

    def _validity(self, tensor: Tensor, bounds: tuple[float, float] | None) -> None:
        floating = tensor.dtype.kind == "f"
        if floating and not np.isfinite(tensor).all():
            self._metrics.invalid["nan"].inc(_rows(np.isnan(tensor)))
            self._metrics.invalid["inf"].inc(_rows(np.isinf(tensor)))
        if bounds is None:
            return
        low, high = bounds
        if not (tensor.min() >= low and tensor.max() <= high):
            outside = ((tensor < low) | (tensor > high)) & np.isfinite(tensor)
            self._metrics.invalid["out_of_range"].inc(_rows(outside))

    def _classes(self, outputs: Mapping[str, Tensor]) -> None:
        name = self._contract.class_output
        if name is None or not self._metrics.classes:
            return
        last = len(self._metrics.classes) - 1
        for label in outputs[name].ravel().tolist():
            known = isinstance(label, int) and 0 <= label < last
            self._metrics.classes[label if known else last].inc()

    def _scores(self, outputs: Mapping[str, Tensor]) -> None:
        name = self._contract.score_output
        if name is None:
            return
        scores = outputs[name]
        column = scores[..., -1] if scores.ndim > 1 else scores
        for score in column.ravel().tolist():
            if isfinite(score):  # the others are counted above, and would poison the sum
                self._metrics.score.observe(score)


def _rows(mask: Tensor) -> int:
    if mask.ndim < 2:
        return int(mask.sum())
    return int(mask.reshape(mask.shape[0], -1).any(axis=1).sum())
