"""Which versions answer, how they are swapped and evicted, and what a bad one does to the rest."""

import asyncio
import errno
import hashlib
import shutil
import threading
from collections.abc import Callable, Coroutine, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inference_server.errors import RequestError
from inference_server.models.catalog import Loading, State
from inference_server.models.model import Model
from inference_server.observability.metrics import Metrics
from inference_server.supervisor.board import Board

from .model_catalog import Opened, ask, catalog_of, find, until
from .onnx_models import FLOAT, classifier, node, value, write

Test = Callable[..., Coroutine[Any, Any, None]]


def in_loop(test: Test) -> Callable[..., None]:
    @wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*arguments, **named), 30))

    return run


def put(repository: Path, name: str = "m", version: int = 1, scale: float = 1) -> Path:
    """Write a version as a careful person does: complete, then under its name."""
    path = repository / name / str(version) / "model.onnx"
    draft = classifier(repository / ".draft" / "model.onnx", scale=scale)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft.replace(path)
    return path


def configure(repository: Path, name: str, text: str) -> None:
    (repository / name).mkdir(parents=True, exist_ok=True)
    (repository / name / "config.yaml").write_text(text)


def sample(metrics: Metrics, name: str) -> float | None:
    for line in metrics.render().decode().splitlines():
        key, _, value = line.rpartition(" ")
        if key == name:
            return float(value)
    return None


# Who answers.


@in_loop
async def test_the_highest_version_answers_unless_one_is_named(tmp_path: Path) -> None:
    put(tmp_path, version=2)
    put(tmp_path, version=10)
    async with catalog_of(tmp_path) as catalog:
        assert catalog.ready
        assert catalog.find(None, None, {}).model.version == 10
        assert catalog.find("m", "2", {}).model.version == 2
        assert catalog.versions("m") == [2, 10]


@pytest.mark.parametrize(
    ("name", "version", "status"),
    [
        (None, None, 400),
        ("nope", None, 404),
        ("a", "3", 404),
        ("a", "01", 404),
        ("a", "x", 404),
        ("a", "-1", 404),
        ("a", "9" * 40, 404),
        ("", None, 404),
    ],
)
def test_an_unknown_model_is_refused(
    tmp_path: Path, name: str | None, version: str | None, status: int
) -> None:
    @in_loop
    async def run() -> None:
        put(tmp_path, "a")
        put(tmp_path, "b")
        async with catalog_of(tmp_path) as catalog:
            with pytest.raises(RequestError) as caught:
                catalog.find(name, version, {})
            assert caught.value.status == status

    run()


@in_loop
async def test_a_default_model_answers_where_none_is_named(tmp_path: Path) -> None:
    put(tmp_path, "a")
    put(tmp_path, "b")
    async with catalog_of(tmp_path, default_model="b") as catalog:
        assert catalog.find(None, None, {}).model.name == "b"


@in_loop
async def test_nothing_answers_before_it_is_loaded(tmp_path: Path) -> None:
    put(tmp_path)
    async with catalog_of(tmp_path, started=False) as catalog:
        assert not catalog.ready
        with pytest.raises(RequestError) as caught:
            catalog.find("m", None, {})
        assert caught.value.status == 503
        assert caught.value.headers == {"Retry-After": "5"}


@pytest.mark.parametrize(
    ("policy", "expected", "default"),
    [
        ("version_policy: all", [1, 2, 5], 5),
        ("version_policy: {latest: 2}", [2, 5], 5),
        ("version_policy: {specific: [1, 5, 9]}", [1, 5], 5),
        ("default_version: 2", [1, 2, 5], 2),
    ],
)
def test_the_version_policy_chooses(
    tmp_path: Path, policy: str, expected: list[int], default: int
) -> None:
    @in_loop
    async def run() -> None:
        for version in (1, 2, 5):
            put(tmp_path, version=version)
        configure(tmp_path, "m", policy)
        async with catalog_of(tmp_path) as catalog:
            assert catalog.versions("m") == expected
            assert catalog.find("m", None, {}).model.version == default

    run()


@in_loop
async def test_another_hash_than_expected_is_never_ready(tmp_path: Path) -> None:
    put(tmp_path)
    async with catalog_of(tmp_path, started=False) as catalog:
        catalog.expect("m", 1, "0" * 64)
        await catalog.start()
        assert not catalog.ready
        assert "sha256 is" in str(catalog.entry("m").reason)


@in_loop
async def test_attested_bytes_are_not_replaced_by_others(tmp_path: Path) -> None:
    digest = hashlib.sha256(put(tmp_path).read_bytes()).hexdigest()
    async with catalog_of(tmp_path, started=False, mode="poll", poll_seconds=3600) as catalog:
        catalog.expect("m", 1, digest)
        await catalog.start()
        put(tmp_path, scale=3)
        await catalog.refresh()
        assert catalog.ready
        assert catalog.find("m", None, {}).model.sha256 == digest
        assert "sha256 is" in str(catalog.entry("m").reason)
        put(tmp_path, "other")
        shutil.rmtree(tmp_path / "m")
        await catalog.refresh()
        assert not catalog.ready


@in_loop
async def test_a_repository_that_is_away_takes_no_model_out(tmp_path: Path) -> None:
    put(tmp_path)
    async with catalog_of(tmp_path, mode="poll", poll_seconds=3600) as catalog:
        shutil.rmtree(tmp_path / "m")
        await catalog.refresh()
        assert catalog.ready
        assert catalog.find("m", None, {}).model.version == 1


# Hot changes.


@in_loop
async def test_a_version_that_is_removed_leaves_no_gap(tmp_path: Path) -> None:
    put(tmp_path, version=1)
    put(tmp_path, version=2)
    async with catalog_of(tmp_path, mode="explicit", preload=frozenset({"m"})) as catalog:
        assert catalog.find("m", None, {}).model.version == 2
        shutil.rmtree(tmp_path / "m" / "2")
        removing = asyncio.ensure_future(catalog.load_model("m"))
        while not removing.done():
            assert catalog.find("m", None, {}).model.version in (1, 2)
            await asyncio.sleep(0)
        await removing
        assert catalog.find("m", None, {}).model.version == 1


@in_loop
async def test_reloads_under_concurrent_load_lose_no_request(tmp_path: Path) -> None:
    put(tmp_path)
    async with catalog_of(tmp_path, mode="poll", poll_seconds=3600) as catalog:
        answered: list[float] = []
        end = asyncio.Event()

        async def client() -> None:
            while not end.is_set():
                answered.append(float((await ask(catalog, "m"))["probabilities"][0, 1]))

        clients = [asyncio.create_task(client()) for _ in range(16)]
        digests = {catalog.find("m", None, {}).model.sha256}
        await until(lambda: len(answered) > 16)
        for scale in range(2, 8):
            put(tmp_path, scale=scale / 10)
            await catalog.refresh()
            before = len(answered)
            digests.add(catalog.find("m", None, {}).model.sha256)
            await until(lambda before=before: len(answered) > before + 64)
        end.set()
        await asyncio.gather(*clients)
        assert len(digests) == 7
        assert len({round(score, 4) for score in answered}) == 7


@in_loop
async def test_the_old_lane_finishes_after_the_swap(tmp_path: Path) -> None:
    put(tmp_path)
    opened = Opened()
    async with catalog_of(tmp_path, mode="poll", poll_seconds=3600, opened=opened) as catalog:
        old = opened.lanes[0]
        old.gate.clear()
        waiting = asyncio.create_task(ask(catalog, "m"))
        await until(lambda: not old.idle)
        put(tmp_path, scale=2)
        await catalog.refresh()
        assert catalog.find("m", None, {}).lane is opened.lanes[1]
        await until(lambda: old.closed)
        assert not waiting.done()
        old.gate.set()
        assert (await waiting)["label"].tolist() == [1]


@in_loop
async def test_polling_finds_new_versions_and_lets_removed_ones_go(tmp_path: Path) -> None:
    put(tmp_path, version=1)
    metrics = Metrics()
    async with catalog_of(tmp_path, mode="poll", poll_seconds=0.05, metrics=metrics) as catalog:
        put(tmp_path, version=2)
        await until(lambda: catalog.find("m", None, {}).model.version == 2)
        put(tmp_path, "other")
        await until(lambda: "other" in catalog.names and catalog.entry("other").served is not None)
        shutil.rmtree(tmp_path / "m" / "2")
        await until(lambda: catalog.versions("m") == [1])
        assert catalog.find("m", None, {}).model.version == 1
        assert sample(metrics, 'model_ready{model_id="m",model_version="2"}') is None
        assert sample(metrics, 'model_ready{model_id="m",model_version="1"}') == 1


@in_loop
async def test_a_broken_new_version_leaves_the_old_one_and_the_pod_alone(tmp_path: Path) -> None:
    configure(tmp_path, "m", "version_policy: {latest: 1}")
    put(tmp_path, version=1)
    async with catalog_of(tmp_path, mode="poll", poll_seconds=3600) as catalog:
        broken = tmp_path / "m" / "2" / "model.onnx"
        broken.parent.mkdir()
        broken.write_bytes(b"no model")
        await catalog.refresh()
        assert catalog.entry("m", "2").state is State.UNAVAILABLE
        assert catalog.find("m", None, {}).model.version == 1
        assert catalog.ready
        put(tmp_path, version=2)
        await catalog.refresh()
        assert catalog.find("m", None, {}).model.version == 2
        assert catalog.versions("m") == [2]


@in_loop
async def test_a_broken_reload_keeps_what_is_served_and_says_so(tmp_path: Path) -> None:
    path = put(tmp_path)
    async with catalog_of(tmp_path, mode="poll", poll_seconds=3600) as catalog:
        served = catalog.find("m", None, {})
        path.write_bytes(b"no model")
        await catalog.refresh()
        entry = catalog.entry("m")
        assert (entry.served, entry.state) == (served, State.READY)
        assert "no usable ONNX model" in str(entry.reason)


@in_loop
async def test_a_wrong_config_changes_nothing_that_runs(tmp_path: Path) -> None:
    put(tmp_path)
    async with catalog_of(tmp_path, mode="poll", poll_seconds=3600) as catalog:
        configure(tmp_path, "m", "max_batch_size: many")
        await catalog.refresh()
        assert "m/config.yaml: max_batch_size" in str(catalog.entry("m").reason)
        assert catalog.find("m", None, {}).model.max_batch_size >= 32
        configure(tmp_path, "m", "max_batch_size: 4")
        await catalog.refresh()
        assert catalog.find("m", None, {}).model.max_batch_size == 4
        assert catalog.entry("m").reason is None


@in_loop
async def test_an_unchanged_model_is_not_loaded_again(tmp_path: Path) -> None:
    put(tmp_path)
    async with catalog_of(tmp_path, mode="poll", poll_seconds=3600) as catalog:
        served = catalog.find("m", None, {})
        await catalog.refresh()
        assert catalog.find("m", None, {}) is served


@in_loop
async def test_a_repository_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    put(tmp_path / "models")
    async with catalog_of(tmp_path / "models", mode="poll", poll_seconds=0.01) as catalog:
        (tmp_path / "models").rename(tmp_path / "away")
        await asyncio.sleep(0.1)
        assert catalog.find("m", None, {}).model.version == 1
        (tmp_path / "away").rename(tmp_path / "models")
        put(tmp_path / "models", version=2)
        await until(lambda: catalog.versions("m") == [1, 2])


@in_loop
async def test_a_model_whose_folder_cannot_be_read_is_served_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "good")
    put(tmp_path, "stale")
    iterdir = Path.iterdir

    def listed(folder: Path) -> Iterator[Path]:
        if folder.name == "stale":
            raise OSError(errno.ESTALE, "Stale file handle")
        return iterdir(folder)

    async with catalog_of(tmp_path, mode="poll", poll_seconds=3600) as catalog:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "iterdir", listed)
            put(tmp_path, "good", version=2)
            await catalog.refresh()
            assert catalog.versions("good") == [1, 2]
            assert catalog.find("stale", None, {}).model.version == 1
            assert catalog.problems == ["stale: cannot be read (Stale file handle)"]
        shutil.rmtree(tmp_path / "stale")
        await catalog.refresh()
        assert catalog.names == ["good"]
        assert catalog.problems == []


# By request.


@in_loop
async def test_explicit_mode_loads_and_unloads_by_request_only(tmp_path: Path) -> None:
    put(tmp_path, "a")
    put(tmp_path, "b")
    opened = Opened()
    async with catalog_of(
        tmp_path, mode="explicit", preload=frozenset({"a"}), opened=opened
    ) as catalog:
        assert catalog.ready
        assert catalog.entry("b").state is State.UNLOADED
        with pytest.raises(RequestError) as caught:
            catalog.find("b", None, {})
        assert caught.value.status == 503
        await catalog.load_model("b")
        assert catalog.find("b", None, {}).model.name == "b"
        await catalog.unload_model("a")
        assert catalog.entry("a").state is State.UNLOADED
        assert opened.lanes[0].closed
        put(tmp_path, "c")
        await catalog.load_model("c")
        assert catalog.find("c", None, {}).model.name == "c"


@in_loop
async def test_loading_by_request_says_what_is_wrong(tmp_path: Path) -> None:
    put(tmp_path, "a").write_bytes(b"no model")
    async with catalog_of(tmp_path, mode="explicit") as catalog:
        for name, status, text in (("a", 503, "no usable ONNX model"), ("z", 404, "unknown")):
            with pytest.raises(RequestError, match=text) as caught:
                await catalog.load_model(name)
            assert caught.value.status == status
        put(tmp_path, "a")
        await catalog.load_model("a")
        assert catalog.find("a", None, {}).model.name == "a"
    async with catalog_of(tmp_path) as catalog:
        with pytest.raises(RequestError, match="MODEL_CONTROL"):
            await catalog.load_model("a")


@in_loop
async def test_unloading_waits_for_what_is_asked_already(tmp_path: Path) -> None:
    put(tmp_path)
    opened = Opened()
    preload = frozenset({"m"})
    async with catalog_of(tmp_path, mode="explicit", preload=preload, opened=opened) as catalog:
        opened.lanes[0].gate.clear()
        waiting = asyncio.create_task(ask(catalog, "m"))
        await until(lambda: not opened.lanes[0].idle)
        unloading = asyncio.create_task(catalog.unload_model("m"))
        await until(lambda: catalog.entry("m").state is State.UNLOADING)
        with pytest.raises(RequestError):
            catalog.find("m", None, {})
        opened.lanes[0].gate.set()
        assert (await waiting)["label"].tolist() == [1]
        await unloading
        assert catalog.entry("m").state is State.UNLOADED


@in_loop
async def test_a_model_that_is_being_unloaded_can_be_loaded_again(tmp_path: Path) -> None:
    put(tmp_path)
    opened = Opened()
    preload = frozenset({"m"})
    async with catalog_of(tmp_path, mode="explicit", preload=preload, opened=opened) as catalog:
        opened.lanes[0].gate.clear()
        waiting = asyncio.create_task(ask(catalog, "m"))
        await until(lambda: not opened.lanes[0].idle)
        unloading = asyncio.create_task(catalog.unload_model("m"))
        await until(lambda: catalog.entry("m").state is State.UNLOADING)
        await catalog.load_model("m")
        assert catalog.find("m", None, {}).lane is opened.lanes[1]
        opened.lanes[0].gate.set()
        assert (await waiting)["label"].tolist() == [1]
        await unloading
        assert catalog.entry("m").state is State.READY


# On demand, within a budget.


@in_loop
async def test_many_requests_for_a_lazy_model_load_it_once(tmp_path: Path) -> None:
    put(tmp_path, "eager")
    put(tmp_path, "lazy")
    opened = Opened()
    async with catalog_of(tmp_path, preload=frozenset({"eager"}), opened=opened) as catalog:
        assert catalog.ready
        assert catalog.entry("lazy").state is State.UNLOADED
        with pytest.raises(Loading):
            catalog.find("lazy", None, {})
        answers = await asyncio.gather(*(ask(catalog, "lazy") for _ in range(20)))
        assert len(answers) == 20
        assert [lane.model.name for lane in opened.lanes] == ["eager", "lazy"]


@in_loop
async def test_a_lazy_model_that_cannot_be_loaded_is_not_tried_by_every_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(tmp_path, "m", "preload: false")
    put(tmp_path).write_bytes(b"no model")
    metrics = Metrics()
    failures = 'model_load_failures_total{model_id="m",model_version="1",reason="file"}'
    async with catalog_of(tmp_path, metrics=metrics) as catalog:
        for _ in range(5):
            with pytest.raises(RequestError) as caught:
                await find(catalog, "m")
            assert caught.value.status == 503
            assert int((caught.value.headers or {})["Retry-After"]) >= 1
        assert sample(metrics, failures) == 1
        loop, entry = asyncio.get_running_loop(), catalog.entry("m")
        for pause in (2, 4, 8, 16):
            entry.retry_at = 0
            begin = loop.time()
            with pytest.raises(RequestError):
                await find(catalog, "m")
            assert begin + pause <= entry.retry_at <= loop.time() + pause


@pytest.fixture
def megabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model takes 10 MB, as loading it would have measured."""
    monkeypatch.setattr("inference_server.models.lifecycle.size_on_disk", lambda _: 10_000_000)
    monkeypatch.setattr("inference_server.models.loader.resident_bytes", lambda: 0)
    monkeypatch.setattr("inference_server.models.residency._GRACE", 0.0)


@pytest.mark.usefixtures("megabytes")
def test_the_least_recently_used_model_leaves(tmp_path: Path) -> None:
    @in_loop
    async def run() -> None:
        for name in "abc":
            put(tmp_path, name)
        metrics = Metrics()
        async with catalog_of(tmp_path, memory_bytes=20_000_000, metrics=metrics) as catalog:
            states = [entry.state for entry in catalog.entries]
            assert states == [State.READY, State.READY, State.UNLOADED]
            assert catalog.ready
            await find(catalog, "b")
            await find(catalog, "a")
            await find(catalog, "c")
            assert catalog.entry("b").state is State.UNLOADED
            assert catalog.entry("b").reason == "evicted: others needed the memory"
            assert sample(metrics, 'model_evictions_total{model_id="b"}') == 1
            await find(catalog, "b")
            assert catalog.entry("a").state is State.UNLOADED
            assert sample(metrics, 'model_ready{model_id="a",model_version="1"}') == 0

    run()


@pytest.mark.usefixtures("megabytes")
def test_a_model_in_use_is_never_evicted(tmp_path: Path) -> None:
    @in_loop
    async def run() -> None:
        for name in "abc":
            put(tmp_path, name)
        opened = Opened()
        async with catalog_of(tmp_path, memory_bytes=20_000_000, opened=opened) as catalog:
            lane = next(lane for lane in opened.lanes if lane.model.name == "a")
            lane.gate.clear()
            running = asyncio.create_task(ask(catalog, "a"))
            await until(lambda: not lane.idle)
            await find(catalog, "b")
            await find(catalog, "c")
            assert catalog.entry("b").state is State.UNLOADED
            assert catalog.entry("a").state is State.READY
            lane.gate.set()
            await running

    run()


@pytest.mark.usefixtures("megabytes")
def test_a_model_larger_than_the_budget_says_so(tmp_path: Path) -> None:
    @in_loop
    async def run() -> None:
        put(tmp_path)
        async with catalog_of(tmp_path, memory_bytes=5_000_000) as catalog:
            with pytest.raises(RequestError) as caught:
                await find(catalog, "m")
            assert caught.value.status == 503
            assert "needs 10000000 bytes of the 5000000" in str(catalog.entry("m").reason)

    run()


@in_loop
async def test_a_loaded_model_tells_what_memory_it_takes(tmp_path: Path) -> None:
    weights = np.ones((3, 4_000_000), np.float32)
    write(
        tmp_path / "m" / "1" / "model.onnx",
        [node("MatMul", "x w", "z"), node("ReduceMean", "z axes", "y", keepdims=0)],
        [value("x", FLOAT, "N", 3)],
        [value("y", FLOAT, "N")],
        {"w": weights, "axes": np.array([1])},
    )
    configure(tmp_path, "m", "max_batch_size: 1")
    async with catalog_of(tmp_path) as catalog:
        taken = catalog.entry("m").memory
        assert weights.nbytes <= taken < 20 * weights.nbytes


# What goes wrong.


@in_loop
async def test_a_model_that_fails_while_it_runs_is_taken_out_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference_server.models.lifecycle._RUN_BACKOFF", 0.2)
    put(tmp_path, "good")
    put(tmp_path, "bad")
    metrics = Metrics()
    async with catalog_of(tmp_path, metrics=metrics) as catalog:
        served = catalog.find("bad", None, {})
        catalog.model_failed("bad", 1, "hung: a run has not ended", served.model)
        entry = catalog.entry("bad")
        assert (entry.state, entry.reason) == (State.UNAVAILABLE, "hung: a run has not ended")
        with pytest.raises(RequestError) as caught:
            catalog.find("bad", None, {})
        assert caught.value.status == 503
        assert sample(metrics, 'model_ready{model_id="bad",model_version="1"}') == 0
        assert catalog.ready
        assert (await ask(catalog, "good"))["label"].tolist() == [1]
        await until(lambda: entry.state is State.READY)
        assert catalog.find("bad", None, {}) is not served
        catalog.model_failed("bad", 1, "an old lane's late word", served.model)
        assert entry.state is State.READY


@in_loop
async def test_a_model_that_failed_is_tried_until_it_can_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for backoff in ("_RUN_BACKOFF", "_LOAD_BACKOFF"):
        monkeypatch.setattr(f"inference_server.models.lifecycle.{backoff}", 0.05)
    put(tmp_path)
    file = tmp_path / "m" / "1" / "model.onnx"
    async with catalog_of(tmp_path) as catalog:
        away = file.rename(tmp_path / "away")
        catalog.model_failed("m", 1, "hung")
        await until(lambda: catalog.entry("m").failures > 3)
        assert not catalog.ready
        away.rename(file)
        await until(lambda: catalog.entry("m").state is State.READY)
        assert catalog.ready


@in_loop
async def test_without_any_model_left_the_pod_gets_no_traffic(tmp_path: Path) -> None:
    put(tmp_path)
    async with catalog_of(tmp_path) as catalog:
        assert catalog.ready
        catalog.model_failed("m", 1, "broken")
        assert not catalog.ready


@in_loop
async def test_a_lower_version_answers_for_one_that_fails(tmp_path: Path) -> None:
    put(tmp_path, version=1)
    put(tmp_path, version=2)
    async with catalog_of(tmp_path) as catalog:
        catalog.model_failed("m", 2, "broken")
        assert catalog.find("m", None, {}).model.version == 1


@in_loop
async def test_a_quarantined_version_is_not_loaded_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "models", version=1)
    put(tmp_path / "models", version=11)
    (tmp_path / "quarantine").write_text("m/11 SIGSEGV while it ran\n\nother/1 x\n")
    monkeypatch.setenv("INFERENCE_QUARANTINE_FILE", str(tmp_path / "quarantine"))
    async with catalog_of(tmp_path / "models") as catalog:
        assert catalog.entry("m", "11").reason == "quarantined: SIGSEGV while it ran"
        assert catalog.find("m", "1", {}).model.version == 1


@in_loop
async def test_a_load_that_ends_the_process_is_seen_by_its_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Board(None, 1).places[0]
    suspects: list[list[str]] = []

    def build(file: Any, hardware: Any) -> Any:
        suspects.append(place.suspects())
        return Model(file, hardware)

    monkeypatch.setattr("inference_server.models.loader.Model", build)
    put(tmp_path)
    async with catalog_of(tmp_path, markers=place):
        assert suspects == [["m/1"]]
        assert place.suspects() == []


@in_loop
async def test_a_load_that_hangs_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    put(tmp_path, "slow")
    put(tmp_path, "fine")

    def build(file: Any, hardware: Any) -> Any:
        if file.name == "slow":
            release.wait()
        return Model(file, hardware)

    monkeypatch.setattr("inference_server.models.loader.Model", build)
    async with catalog_of(tmp_path, load_seconds=2) as catalog:
        assert catalog.entry("slow").reason == "not loaded after 2 s"
        assert catalog.find("fine", None, {}).model.name == "fine"
    release.set()


@in_loop
async def test_a_file_that_changes_while_it_is_loaded_is_not_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path)

    def build(file: Any, hardware: Any) -> Any:
        loaded = Model(file, hardware)
        put(tmp_path, scale=2)
        return loaded

    async with catalog_of(tmp_path, started=False, mode="poll", poll_seconds=3600) as catalog:
        with monkeypatch.context() as patch:
            patch.setattr("inference_server.models.loader.Model", build)
            await catalog.start()
        assert "changed while it was loaded" in str(catalog.entry("m").reason)
        await catalog.refresh()
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert catalog.find("m", None, {}).model.sha256 == digest


@in_loop
async def test_the_event_loop_goes_on_while_a_model_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    put(tmp_path)

    def build(file: Any, hardware: Any) -> Any:
        assert release.wait(30)
        return Model(file, hardware)

    monkeypatch.setattr("inference_server.models.loader.Model", build)
    async with catalog_of(tmp_path, started=False) as catalog:
        starting = asyncio.create_task(catalog.start())
        await until(lambda: catalog.entry("m").state is State.LOADING)
        release.set()
        await starting
        assert catalog.ready
