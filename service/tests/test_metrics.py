"""What the metrics say of requests and models, as Prometheus reads it."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import prometheus_client
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from inference_server.models.contract import ModelContract
from inference_server.observability.exposition import Exposition
from inference_server.observability.families import REJECTIONS, SCORE_EDGES
from inference_server.observability.metrics import Metrics
from inference_server.observability.store import Counter, Family, Histogram, Store
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
CONTRACT = ModelContract(
    class_names=("small", "large"),
    class_output="label",
    score_output="score",
    output_ranges={"score": (0, 1)},
)


def samples(metrics: Metrics) -> dict[str, float]:
    return {
        sample.name + str(sorted(sample.labels.items())): sample.value
        for family in parse(metrics.render().decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get(name + str(sorted(labels.items())))


def series_of(metrics: Metrics, model: str) -> set[str]:
    return {name for name in samples(metrics) if f"('model_id', '{model}')" in name}


@pytest.fixture(params=["alone", "with workers"])
def make(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: Any) -> Callable[[], Metrics]:
    if request.param == "with workers":
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    return Metrics


def test_a_request_is_counted_from_start_to_finish(make: Callable[[], Metrics]) -> None:
    metrics = make()
    metrics.start("infer")
    assert value(metrics, "http_requests_started_total", endpoint="infer") == 1
    assert value(metrics, "http_requests_active") == 1
    metrics.leave()
    metrics.finish("POST", "infer", 200, 0.3)
    done = {"method": "POST", "endpoint": "infer", "status": "200"}
    assert value(metrics, "http_requests_total", **done) == 1
    assert value(metrics, "http_requests_active") == 0
    name = "http_request_duration_seconds"
    assert value(metrics, f"{name}_bucket", endpoint="infer", le="0.25") == 0
    assert value(metrics, f"{name}_bucket", endpoint="infer", le="0.5") == 1
    assert value(metrics, f"{name}_count", endpoint="infer") == 1
    assert value(metrics, f"{name}_sum", endpoint="infer") == 0.3


@pytest.mark.parametrize(("status", "errors"), [(200, 0), (429, 0), (499, 0), (500, 1), (504, 1)])
def test_errors_are_answers_of_our_own_fault(status: int, errors: int) -> None:
    metrics = Metrics()
    metrics.finish("POST", "predict", status, 0.1)
    assert value(metrics, "http_request_errors_total", endpoint="predict") == errors


def test_an_unforeseen_status_or_method_makes_a_series_of_its_own() -> None:
    metrics = Metrics()
    metrics.finish("PROPFIND", "other", 418, 0.1)
    labels = {"method": "other", "endpoint": "other", "status": "418"}
    assert value(metrics, "http_requests_total", **labels) == 1


def test_every_series_of_a_model_is_there_before_its_first_request(
    make: Callable[[], Metrics],
) -> None:
    metrics = make()
    metrics.announce("flowers", 3)
    metrics.monitor("flowers", 3, CONTRACT)
    before = series_of(metrics, "flowers")
    lane = metrics.lane("flowers", 3)
    lane.ran(5, 0.002, 8)
    lane.waited([0.001, 0.02])
    lane.observe({"label": np.array([0, 1, 7]), "score": np.array([0.1, np.nan, 2])})
    lane.failed()
    lane.hung()
    lane.depth(3)
    lane.cached(True)
    lane.cached(False)
    metrics.evicted("flowers")
    for reason in REJECTIONS:
        metrics.rejected("flowers", reason)
        lane.rejected(reason)
    assert series_of(metrics, "flowers") == before
    one, version = {"model_id": "flowers"}, {"model_id": "flowers", "model_version": "3"}
    assert value(metrics, "model_predictions_total", **version) == 5
    assert value(metrics, "inference_batch_size_sum", **one) == 5
    assert value(metrics, "inference_batch_requests_sum", **one) == 2
    assert value(metrics, "inference_queue_duration_seconds_sum", **one) == pytest.approx(0.021)
    assert value(metrics, "inference_queue_depth", **one) == 3
    assert value(metrics, "inference_cache_hits_total", **one) == 1
    assert value(metrics, "inference_cache_misses_total", **one) == 1
    assert value(metrics, "inference_hangs_total", **one) == 1
    assert value(metrics, "model_evictions_total", **one) == 1
    assert value(metrics, "prediction_errors_total", error_type="runtime", **version) == 1
    assert value(metrics, "inference_rejected_total", reason="queue_full", **one) == 2


def test_refusals_of_unknown_models_share_one_series(make: Callable[[], Metrics]) -> None:
    metrics = make()
    metrics.rejected("no-such-model", "not_ready")
    metrics.rejected(None, "not_ready")
    assert value(metrics, "inference_rejected_total", model_id="", reason="not_ready") == 2
    assert not series_of(metrics, "no-such-model")


@pytest.mark.parametrize(
    ("status", "reason"),
    [(400, "invalid"), (401, "unauthorized"), (404, "invalid"), (429, "rate_limit")],
)
def test_a_refusal_before_the_queue_is_counted_by_its_status(status: int, reason: str) -> None:
    metrics = Metrics()
    metrics.announce("flowers", 1)
    metrics.refused("flowers", status)
    assert value(metrics, "inference_rejected_total", model_id="flowers", reason=reason) == 1


def test_facts_of_a_model_are_there_while_it_is_in_memory(make: Callable[[], Metrics]) -> None:
    metrics = make()
    metrics.announce("flowers", 3)
    metrics.runs_on("flowers", 3, "CPUExecutionProvider", False, "cpu:0", fallback=True)
    metrics.loaded("flowers", 3, "a" * 64, "sklearn 1.5", seconds=0.7, memory=4096)
    version = {"model_id": "flowers", "model_version": "3"}
    assert value(metrics, "model_info", sha256="a" * 64, framework="sklearn 1.5", **version) == 1
    assert value(metrics, "model_device", device="cpu:0", **version) == 1
    assert value(metrics, "model_execution_fallback", **version) == 1
    assert value(metrics, "model_memory_bytes", **version) == 4096
    assert value(metrics, "model_version", model_id="flowers") == 3
    assert value(metrics, "model_load_duration_seconds_sum", model_id="flowers") == 0.7
    metrics.unloaded("flowers", 3)
    left = " ".join(series_of(metrics, "flowers"))
    for name in ("model_info", "model_device", "model_memory_bytes", "model_version["):
        assert name not in left
    assert value(metrics, "model_ready", **version) == 0


def test_the_version_is_the_highest_in_memory() -> None:
    metrics = Metrics()
    for version in (2, 10):
        metrics.announce("flowers", version)
        metrics.loaded("flowers", version, "a" * 64, "x")
    assert value(metrics, "model_version", model_id="flowers") == 10
    metrics.forget("flowers", 10)
    assert value(metrics, "model_version", model_id="flowers") == 2


def test_a_forgotten_version_leaves_no_series(make: Callable[[], Metrics]) -> None:
    metrics = make()
    for version in (1, 2):
        metrics.announce("flowers", version)
        metrics.monitor("flowers", version, CONTRACT)
        metrics.runs_on("flowers", version, "CPUExecutionProvider", False)
        metrics.loaded("flowers", version, "a" * 64, "x", 0.1, 1)
    late = metrics.lane("flowers", 1)
    metrics.forget("flowers", 1)
    late.ran(1, 0.1, 1)  # a run that came back after its model had gone
    left = series_of(metrics, "flowers")
    assert left
    assert not any("'model_version', '1'" in name for name in left)
    metrics.forget("flowers", 2)
    assert not series_of(metrics, "flowers")
    metrics.rejected("flowers", "not_ready")
    assert not series_of(metrics, "flowers")


def test_a_forgotten_model_that_comes_back_is_counted_again(make: Callable[[], Metrics]) -> None:
    metrics = make()
    for _ in range(3):
        metrics.announce("flowers", 1)
        lane = metrics.monitor("flowers", 1, CONTRACT)
        before = value(metrics, "model_predictions_total", model_id="flowers", model_version="1")
        lane.ran(2, 0.1, 2)
        after = value(metrics, "model_predictions_total", model_id="flowers", model_version="1")
        assert (before, after) in ((0, 2), (2, 4), (4, 6))
        metrics.forget("flowers", 1)


def test_one_worker_forgets_what_another_still_serves(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    workers = [Metrics(), Metrics()]
    for worker in workers:
        worker.announce("flowers", 1)
        worker.lane("flowers", 1).ran(4, 0.1, 4)
    workers[0].forget("flowers", 1)
    labels = {"model_id": "flowers", "model_version": "1"}
    for worker in workers:
        assert value(worker, "model_predictions_total", **labels) == 8
    workers[1].forget("flowers", 1)
    for worker in workers:
        assert not series_of(worker, "flowers")


def test_exemplars_are_for_openmetrics_only() -> None:
    metrics = Metrics()
    span: Any = SimpleNamespace(trace_id="0af7651916cd43dd8448eb211c80319c")
    metrics.finish("POST", "infer", 200, 0.3, span)
    metrics.finish("POST", "infer", 200, 0.7)
    text, content_type = metrics.exposition(OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    found = {
        (sample.labels["endpoint"], sample.labels["le"]): sample.exemplar
        for family in parse_openmetrics(text.decode())
        for sample in family.samples
        if sample.exemplar
    }
    assert list(found) == [("infer", "0.5")]
    assert found["infer", "0.5"].labels == {"trace_id": span.trace_id}
    assert found["infer", "0.5"].value == 0.3
    plain, content_type = metrics.exposition("text/plain")
    assert content_type.startswith("text/plain")
    assert b"trace_id" not in plain


def test_openmetrics_and_text_say_the_same(make: Callable[[], Metrics]) -> None:
    metrics = make()
    metrics.announce('odd"name\\', 1)
    metrics.monitor('odd"name\\', 1, CONTRACT).ran(3, 0.1, 4)
    metrics.finish("POST", "infer", 500, 99.0)
    text, _ = metrics.exposition(OPENMETRICS)
    modern = {
        sample.name + str(sorted(sample.labels.items())): sample.value
        for family in parse_openmetrics(text.decode())
        for sample in family.samples
        if not family.name.startswith(("process_", "python_"))
    }
    classic = samples(metrics)
    assert modern.items() <= classic.items()


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
numbers = st.sampled_from([0.0, 1.0, 0.1, 1e-9, 1e21, 2.0**53]) | st.floats(0, 1e6)


@settings(deadline=None)
@given(st.dictionaries(texts, st.tuples(numbers, st.lists(numbers, max_size=5)), max_size=4))
def test_both_formats_read_like_those_of_prometheus_client(series: dict[str, Any]) -> None:
    registry = prometheus_client.CollectorRegistry()
    labels = ("color",)
    counter = Family("answers", "Answers", "counter", labels)
    histogram = Family("seconds", "Seconds", "histogram", labels, (0.1, 1, 1000))
    store = Store([counter, histogram])
    theirs = (
        prometheus_client.Counter("answers", "Answers", labels, registry=registry),
        prometheus_client.Histogram(
            "seconds", "Seconds", labels, registry=registry, buckets=histogram.edges
        ),
    )
    for label, (amount, observed) in series.items():
        theirs[0].labels(label).inc(amount)
        store.series(Counter, counter, label).inc(amount)
        for each in observed:
            theirs[1].labels(label).observe(each)
            store.series(Histogram, histogram, label).observe(each)
    exposition = Exposition([counter, histogram])
    for _ in range(2):  # the second time from what was kept
        text = exposition.write(store.totals(), None)
        assert read(parse, text) == read(parse, generate_latest(registry).decode())
        text = exposition.write(store.totals(), {}) + "# EOF\n"
        assert read(parse_openmetrics, text) == read(
            parse_openmetrics, generate_openmetrics(registry).decode()
        )


def read(parser: Any, text: str) -> dict[str, Any]:
    return {
        family.name: (
            family.type,
            family.documentation,
            {
                (sample.name, *sorted(sample.labels.items())): sample.value
                for sample in family.samples
                if not sample.name.endswith("_created")
            },
        )
        for family in parser(text)
        if not family.name.endswith("_created") and family.samples
    }


# The monitor: the same whether few rows are looked at one by one or many at once.


def reference(label: np.ndarray, score: np.ndarray) -> dict[str, float]:
    found = dict.fromkeys(["nan", "inf", "out_of_range", "small", "large", "other"], 0.0)
    for row in score:
        found["nan"] += np.isnan(row).any()
        found["inf"] += np.isinf(row).any()
        found["out_of_range"] += bool(((row < 0) | (row > 1))[np.isfinite(row)].any())
    for each in label:
        found[("small", "large")[each] if each in (0, 1) else "other"] += 1
    last = [float(each) for each in score[:, -1] if np.isfinite(each)]
    found |= {f"le {edge}": float(sum(each <= edge for each in last)) for edge in SCORE_EDGES}
    return found | {"count": float(len(last))}


floats = st.floats(-1, 2, width=32) | st.sampled_from([0.1, 0.5, 1, np.nan, np.inf, -np.inf])


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60).flatmap(lambda n: st.tuples(
    arrays.arrays(np.int64, n, elements=st.integers(-2, 3)),
    arrays.arrays(np.float32, (n, 2), elements=floats.map(np.float32)),
)))  # fmt: skip
def test_outputs_are_counted_row_by_row(outputs: tuple[np.ndarray, np.ndarray]) -> None:
    metrics = Metrics()
    label, score = outputs
    metrics.monitor("m", 1, CONTRACT).observe({"label": label, "score": score})
    model, all_of = {"model_id": "m", "model_version": "1"}, samples(metrics)

    def read(name: str, **more: str) -> float:
        return all_of[name + str(sorted((model | more).items()))]

    found = {k: read("model_outputs_invalid_total", kind=k) for k in ("nan", "inf", "out_of_range")}
    found |= {c: read("model_class_total", **{"class": c}) for c in ("small", "large", "other")}
    found |= {f"le {e}": read("model_score_bucket", le=str(float(e))) for e in SCORE_EDGES}
    assert found | {"count": read("model_score_count")} == reference(label, score)


def test_classes_may_be_named_by_the_model_itself() -> None:
    metrics = Metrics()
    labels = np.array(["large", "large", "small", "tiny"], dtype=object)
    score = np.array([0.5])
    metrics.monitor("m", 1, CONTRACT).observe({"label": labels, "score": score})
    model = {"model_id": "m", "model_version": "1"}
    assert value(metrics, "model_class_total", **{"class": "large"}, **model) == 2
    assert value(metrics, "model_class_total", **{"class": "other"}, **model) == 1


@pytest.mark.parametrize("rows", [1, 500])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_any_float_output_is_looked_at_without_a_range(kind: Any, rows: int) -> None:
    metrics = Metrics()
    lane = metrics.monitor("m", 1, ModelContract())
    lane.observe({"y": np.zeros((rows, 1), kind), "n": np.arange(rows), "s": np.array(["a"])})
    broken = np.zeros((rows, 3), kind)
    broken[-1, 0] = np.nan
    lane.observe({"y": broken})
    assert value(
        metrics, "model_outputs_invalid_total", kind="nan", model_id="m", model_version="1"
    ) == 1  # fmt: skip
