"""From a model's configuration to its lane, and the watch over all lanes of a process."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inference_server.errors import RequestError
from inference_server.models.config import ModelConfig
from inference_server.models.contract import ModelContract
from inference_server.models.signature import TensorSpec, sample_feeds
from inference_server.observability.metrics import Metrics
from inference_server.scheduling.lanes import Scheduler
from inference_server.scheduling.plan import LanePlan, plan_lane, worthwhile_rows
from inference_server.settings import Settings

from .lanes import Asked, Gate, statuses


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(model_repository=tmp_path, hang_seconds=1, inline_ms=1, max_queue=7)


class Described(Gate):
    contract = ModelContract()
    batchable = True


def plan(settings: Settings, model: Any = None, **config: Any) -> LanePlan:
    return plan_lane(model or Described(), ModelConfig(**config), settings)


def test_the_models_own_configuration_goes_before_the_settings(settings: Settings) -> None:
    assert plan(settings).max_queue == 7
    own = plan(settings, max_queue=9, instances=3, batch_delay_ms=2, priority_levels=4, cache=99)
    assert (own.max_queue, own.threads, own.levels, own.cache_bytes) == (9, 3, 4, 99)
    assert own.delay_seconds == 0.002


def test_batches_are_as_large_as_warm_up_found_possible(settings: Settings) -> None:
    model = Described()
    model.max_batch_size, model.seconds = 1, {1: 0.5}
    assert (plan(settings, model).max_rows, plan(settings, model).seconds) == (1, 0.5)


def test_only_a_gpu_gets_padded_batches_and_only_a_cpu_runs_in_the_loop(settings: Settings) -> None:
    gpu = Described()
    gpu.provider = "CUDAExecutionProvider"
    assert (plan(settings).buckets, plan(settings).inline_seconds) == ((), 0.001)
    assert (plan(settings, gpu).buckets, plan(settings, gpu).inline_seconds) == ((1, 2, 4), 0)


def test_a_model_whose_cost_depends_on_a_second_dimension_runs_in_threads(
    settings: Settings,
) -> None:
    model = Described()
    model.inputs = {"x": TensorSpec("x", "FP32", np.float32, ("N", "length"))}
    assert plan(settings, model).inline_seconds == 0


def test_the_probe_of_a_failing_model_has_the_shapes_of_its_warm_up(settings: Settings) -> None:
    model = Described()
    model.inputs = {
        "x": TensorSpec("x", "FP32", np.float32, ("N", None, 2, "w")),
        "s": TensorSpec("s", "BYTES", np.object_, ("N", 3)),
    }
    feeds = sample_feeds(
        model.inputs.values(), plan(settings, model, warm_up_shapes={"x": [5, 2, 7]}).sample_shapes
    )
    assert {name: tensor.shape for name, tensor in feeds.items()} == {
        "x": (1, 5, 2, 7),
        "s": (1, 3),
    }
    assert feeds["s"].tolist() == [["", "", ""]]


def test_the_scheduler_finds_a_run_that_hangs_and_leaves_other_models_alone(
    settings: Settings,
) -> None:
    async def scenario() -> None:
        metrics = Metrics()
        scheduler = Scheduler(settings, metrics)
        hanging, healthy = Described(), Described()
        hanging.seconds = healthy.seconds = {4: 0.002}
        healthy.name = "healthy"
        healthy.open.set()
        for model in (hanging, healthy):
            metrics.announce(model.name, 1)
        failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        stuck = Asked(
            scheduler.open(hanging, ModelConfig(), lambda reason, _: failed.set_result(reason))
        )
        other = Asked(scheduler.open(healthy, ModelConfig()))
        waiting = [stuck.submit(number) for number in range(3)]
        assert await asyncio.wait_for(failed, 10) == "hung"
        assert statuses(await asyncio.gather(*waiting)) == [503] * 3
        assert statuses([await other.submit(1)]) == [200]
        text = metrics.render().decode()
        assert 'inference_queue_depth{model_id="gate"} 0' in text
        scheduler.close()
        with pytest.raises(RequestError):
            other.submit(1)
        hanging.open.set()

    asyncio.run(scenario())


def test_a_lane_reports_to_the_metrics_of_its_model(settings: Settings) -> None:
    async def scenario() -> None:
        metrics = Metrics()
        metrics.announce("gate", 1)
        model = Described()
        model.open.set()
        scheduler = Scheduler(settings, metrics)
        asked = Asked(scheduler.open(model, ModelConfig()))
        await asyncio.gather(*(asked.submit(number) for number in range(3)))
        text = metrics.render().decode()
        assert 'inference_batch_size_sum{model_id="gate"} 3' in text
        await asked.lane.close()
        scheduler.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("seconds", "rows"),
    [
        ({1: 1.0, 2: 2.0, 32: 32.0}, 1),
        ({1: 1.0, 2: 1.5, 4: 2.4, 8: 4.7}, 4),
        ({1: 16e-6, 8: 33e-6, 32: 116e-6}, 32),
        ({1: 1.0}, 1),
    ],
    ids=["no gain", "little gain beyond 4", "gain to the end", "one row"],
)
def test_batches_on_a_cpu_grow_while_a_row_gets_cheaper(
    seconds: dict[int, float], rows: int
) -> None:
    assert worthwhile_rows(seconds) == rows


def test_a_configured_batch_size_is_taken_as_it_is(settings: Settings) -> None:
    model = Described()
    model.seconds = {1: 1.0, 4: 4.0}
    assert plan(settings, model).max_rows == 1
    assert plan(settings, model, max_batch_size=4).max_rows == 4
