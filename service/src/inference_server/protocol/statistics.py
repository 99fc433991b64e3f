"""Triton's statistics extension, computed from what Prometheus sees too: all workers together."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request
from starlette.responses import Response

from inference_server.models.catalog import Entry
from inference_server.observability import families as f
from inference_server.observability.metrics import Metrics
from inference_server.protocol.metadata import find_entry
from inference_server.protocol.responses import json_response
from inference_server.state import State

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]

_FAMILIES = tuple(
    family.name for family in (f.ROWS, f.INFERENCE, f.ERRORS, f.QUEUE_SECONDS, f.BATCH_SIZE)
)


async def all_statistics(request: Request) -> Response:
    """Statistics of every model version."""
    state: State = request.app.state.server
    return _answer(state, state.catalog.entries)


async def model_statistics(request: Request) -> Response:
    """Statistics of one model version, or of all versions of a model."""
    state: State = request.app.state.server
    named = find_entry(request)
    if "version" in request.path_params:
        return _answer(state, [named])
    name = named.file.name
    return _answer(state, [entry for entry in state.catalog.entries if entry.file.name == name])


def _answer(state: State, entries: list[Entry]) -> Response:
    samples = _samples(state.metrics)
    names = [entry.file.name for entry in state.catalog.entries]
    described = [
        _describe(entry, samples, alone=names.count(entry.file.name) == 1) for entry in entries
    ]
    return json_response({"model_stats": described})


def _samples(metrics: Metrics) -> Samples:
    """Values by the samples' names and labels."""
    lines = metrics.render().decode().splitlines(keepends=True)
    text = "".join(line for line in lines if line.startswith(_FAMILIES))
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for metric in text_string_to_metric_families(text)
        for sample in metric.samples
    }


def _value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0)


def _describe(entry: Entry, samples: Samples, alone: bool) -> dict[str, Any]:
    """One version. Waiting and batch sizes are counted by model: said where it has one version.

    `success` counts requests and the time that they waited or the model ran; `batch_stats` counts
    runs of up to `batch_size` rows, and more than half of it.
    """
    name, number = entry.file.name, str(entry.file.version)
    version = {"model_id": name, "model_version": number}
    runs = int(_value(samples, "model_inference_duration_seconds_count", **version))
    ran = _value(samples, "model_inference_duration_seconds_sum", **version)
    failures = sum(
        _value(samples, "prediction_errors_total", **version, error_type=kind)
        for kind in f.ERROR_KINDS
    )
    timings = {
        "fail": _duration(failures, 0),
        "compute_input": _duration(runs, 0),
        "compute_infer": _duration(runs, ran),
        "compute_output": _duration(runs, 0),
    }
    if alone:
        waits = _value(samples, "inference_queue_duration_seconds_count", model_id=name)
        waited = _value(samples, "inference_queue_duration_seconds_sum", model_id=name)
        timings |= {"queue": _duration(waits, waited), "success": _duration(waits, waited + ran)}
    return {
        "name": name,
        "version": number,
        "last_inference": _last_inference(entry) if runs else 0,
        "inference_count": int(_value(samples, "model_predictions_total", **version)),
        "execution_count": runs,
        "inference_stats": timings,
        "batch_stats": list(_batches(samples, name)) if alone else [],
    }


def _batches(samples: Samples, name: str) -> Iterator[dict[str, Any]]:
    below = 0.0
    for edge in f.BATCH_EDGES:
        le = str(float(edge))
        count = _value(samples, "inference_batch_size_bucket", model_id=name, le=le)
        if count > below:
            yield {"batch_size": edge, "compute_infer": {"count": int(count - below)}}
        below = count


def _duration(count: float, seconds: float) -> dict[str, int]:
    return {"count": int(count), "ns": round(seconds * 1e9)}


def _last_inference(entry: Entry) -> int:
    """Milliseconds since the epoch; of this worker."""
    if entry.served is None:
        return 0
    return round((time.time() - (time.monotonic() - entry.served.used)) * 1000)
