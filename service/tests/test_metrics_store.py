"""The server's own slots against prometheus_client, for one worker and for several."""

import signal
import subprocess
import sys
import threading
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import prometheus_client
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_server.observability.store import Counter, Family, Gauge, Histogram, Store

EDGES = (0.1, 0.5, 1.0, 5.0)
COUNTER = Family("answers", "Answers", "counter", ("color",))
SUM = Family("waiting", "Waiting", "gauge", ("color",))
MAX = Family("highest", "Highest", "gauge", ("color",), merge="max")
MIN = Family("lowest", "Lowest", "gauge", ("color",), merge="min")
HISTOGRAM = Family("seconds", "Seconds", "histogram", ("color",), EDGES)
OF_A_MODEL = Family("rows", "Rows", "counter", ("model_id",))
FAMILIES = (COUNTER, SUM, MAX, MIN, HISTOGRAM, OF_A_MODEL)

colors = st.sampled_from(["red", "green", 'a"b\\c\nd'])
amounts = st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0, 3.0, 5.0, 7.5, 1e6])
kinds = st.sampled_from(["counter", "sum", "max", "min", "histogram"])


class Reference:
    """prometheus_client's counters and histograms; gauges of living workers in a dictionary."""

    def __init__(self) -> None:
        self.registry = prometheus_client.CollectorRegistry()
        labels, registry = ("color",), self.registry
        self.counter = prometheus_client.Counter("answers", "Answers", labels, registry=registry)
        self.histogram = prometheus_client.Histogram(
            "seconds", "Seconds", labels, registry=registry, buckets=EDGES
        )
        self.gauges: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)

    def totals(self) -> dict[Any, list[float]]:
        found: dict[Any, list[float]] = {}
        for family in self.registry.collect():
            rows: dict[str, dict[str, float]] = defaultdict(dict)
            for sample in family.samples:
                suffix = sample.name.removeprefix(family.name) + sample.labels.get("le", "")
                rows[sample.labels["color"]][suffix] = sample.value
            for color, values in rows.items():
                key = (family.name, (color,))
                if family.type == "counter":
                    found[key] = [values["_total"]]
                else:
                    steps = [values[f"_bucket{edge}"] for edge in (*EDGES, "+Inf")]
                    counts = [b - a for a, b in zip([0, *steps], steps, strict=False)]
                    found[key] = [*counts, values["_sum"]]
        merge = {"waiting": sum, "highest": max, "lowest": min}
        for (name, color), values in self.gauges.items():
            if values:
                found[name, (color,)] = [merge[name](values.values())]
        return found


def happen(store: Store, reference: Reference, worker: int, event: tuple[str, str, float]) -> None:
    kind, color, amount = event
    if kind == "counter":
        store.series(Counter, COUNTER, color).inc(amount)
        reference.counter.labels(color).inc(amount)
    elif kind == "histogram":
        store.series(Histogram, HISTOGRAM, color).observe(amount)
        reference.histogram.labels(color).observe(amount)
    else:
        family = {"sum": SUM, "max": MAX, "min": MIN}[kind]
        store.series(Gauge, family, color).set(amount)
        reference.gauges[family.name, color][worker] = amount


def assert_equal(found: dict[Any, list[float]], expected: dict[Any, list[float]]) -> None:
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        assert found[key] == pytest.approx(values), key


@settings(deadline=None)
@given(st.lists(st.tuples(kinds, colors, amounts), max_size=60))
def test_one_worker_counts_like_prometheus_client(events: list[tuple[str, str, float]]) -> None:
    store, reference = Store(FAMILIES), Reference()
    for event in events:
        happen(store, reference, 0, event)
    assert_equal(store.totals(), reference.totals())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.integers(0, 2), st.tuples(kinds, colors, amounts)),
            st.tuples(st.integers(0, 2), st.just("replace")),
        ),
        max_size=40,
    )
)
def test_workers_count_together_whoever_ends_and_whoever_is_asked(events: list[Any]) -> None:
    with TemporaryDirectory() as name:
        stores = [Store(FAMILIES, Path(name)) for _ in range(3)]
        numbers, ended, reference = [0, 1, 2], 0, Reference()
        for worker, event in events:
            if event == "replace":
                stores[worker].close()
                for values in reference.gauges.values():
                    values.pop(numbers[worker], None)
                ended += 1
                numbers[worker] = 2 + ended
                assert_equal(stores[worker - 1].totals(), reference.totals())  # before its burial
                stores[worker] = Store(FAMILIES, Path(name))
            else:
                happen(stores[worker], reference, numbers[worker], event)
        for store in stores:
            assert_equal(store.totals(), reference.totals())
            assert store.deaths == ended
        for store in stores:
            store.close()


def test_what_a_killed_worker_counted_before_its_work_is_seen(tmp_path: Path) -> None:
    program = f"""
import json, sys, time
from pathlib import Path
from inference_server.observability.store import Counter, Gauge, Family, Store
started = Family("answers", "Answers", "counter", ("color",))
active = Family("waiting", "Waiting", "gauge", ("color",))
store = Store((started, active), Path({str(tmp_path)!r}))
store.series(Counter, started, "red").inc()
store.series(Gauge, active, "red").inc()
print("working", flush=True)
time.sleep(60)
"""
    worker = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"working\n"
    survivor = Store(FAMILIES, tmp_path)
    seen = ("waiting", ("red",))
    assert survivor.totals()[seen] == [1]
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    assert survivor.totals() == {("answers", ("red",)): [1]}
    assert survivor.deaths == 1
    replacement = Store(FAMILIES, tmp_path)
    assert replacement.totals() == {("answers", ("red",)): [1]}
    assert {path.suffix for path in tmp_path.iterdir()} == {"", ".json", ".series", ".values"}
    assert len(list(tmp_path.glob("*.values"))) == 2, "the dead worker's files are gone"


@pytest.fixture(params=["alone", "shared"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return None if request.param == "alone" else tmp_path


def test_a_dropped_series_is_gone_and_its_holder_counts_into_nothing(folder: Path | None) -> None:
    store = Store(FAMILIES, folder)
    held = store.series(Histogram, HISTOGRAM, "red")
    held.observe(1)
    store.drop(lambda key: key[1] == ("red",))
    other = store.series(Histogram, HISTOGRAM, "green")  # takes the same slots
    held.observe(1)
    assert other.values == [0] * 6
    if folder is None:
        assert store.totals() == {("seconds", ("green",)): other.values}


def test_a_series_of_a_model_lasts_while_one_worker_has_it(tmp_path: Path) -> None:
    first, second = Store(FAMILIES, tmp_path), Store(FAMILIES, tmp_path)
    for store in (first, second):
        store.series(Counter, OF_A_MODEL, "flowers").inc(5)
    key = ("rows", ("flowers",))
    first.drop(lambda each: each == key)
    assert second.totals()[key] == [10], "a counter must not fall while others count on"
    second.drop(lambda each: each == key)
    assert key not in first.totals()
    first.series(Counter, OF_A_MODEL, "flowers").inc()
    assert second.totals()[key] == [11]


def test_loading_and_unloading_for_ever_takes_no_more_room(tmp_path: Path) -> None:
    store = Store(FAMILIES, tmp_path)
    for number in range(1500):
        store.series(Histogram, HISTOGRAM, f"c{number}").observe(1)
        store.drop(lambda key: key[0] == "seconds")
    assert sum(path.stat().st_size for path in tmp_path.glob("*.values")) == 64 * 1024
    assert sum(path.stat().st_size for path in tmp_path.glob("*.series")) == 0


def test_many_series_take_several_pages(folder: Path | None) -> None:
    store = Store(FAMILIES, folder)
    held = [store.series(Histogram, HISTOGRAM, str(number)) for number in range(3000)]
    for number, series in enumerate(held):
        series.observe(number)
    totals = store.totals()
    assert all(totals["seconds", (str(n),)][-1] == n for n in range(3000))


def test_threads_lose_no_count() -> None:
    store = Store(FAMILIES)
    counter = store.series(Counter, COUNTER, "red")

    def count() -> None:
        for _ in range(50_000):
            counter.inc()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert counter.values == [200_000]


def test_a_worker_may_start_while_others_are_read(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path;"
        "from inference_server.observability.store import *;"
        "family = Family('answers', 'Answers', 'counter', ('color',));"
        f"store = Store((family,), Path({str(tmp_path)!r}));"
        "[store.series(Counter, family, str(n)).inc() for n in range(500)]"
    )
    store = Store(FAMILIES, tmp_path)
    workers = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(3)]
    while any(worker.poll() is None for worker in workers):
        assert all(values[0] <= 3 for values in store.totals().values())
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert store.totals() == {("answers", (str(n),)): [3] for n in range(500)}
    assert store.deaths == 3
