"""Lanes: who runs with whom, who waits, who is refused, and what becomes of those that fail."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable, Coroutine
from math import ceil
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytest
import uvloop
from inference_server.errors import RequestError
from inference_server.models.failures import InferenceError
from inference_server.models.signature import TensorSpec
from inference_server.scheduling.lane import Lane
from inference_server.scheduling.plan import LanePlan

from .conftest import PATIENCE, wait_until
from .lanes import (
    INLINE,
    THREADS,
    Counts,
    Gate,
    Session,
    mlp,
    open_lane,
    soon,
    statuses,
    sums,
)
from .onnx_models import STRING, echo, lookup

Scenario = Coroutine[Any, Any, None]
both_runners = pytest.mark.parametrize("runner", [INLINE, THREADS], ids=["inline", "threads"])


@pytest.fixture(params=["uvloop", "asyncio"])
def play(request: pytest.FixtureRequest) -> Callable[[Scenario], None]:
    """Runs a scenario on the event loop that serves, and on Python's own."""
    return uvloop.run if request.param == "uvloop" else asyncio.run


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Any:
    before = set(threading.enumerate())
    yield
    left = [each for each in threading.enumerate() if each not in before and "-1-" in each.name]
    for each in left:
        each.join(PATIENCE)
    assert not [each for each in left if each.is_alive()]


def value(outcome: Any) -> list[float]:
    assert outcome.error is None
    return next(iter(outcome.outputs.values())).ravel().tolist()


@both_runners
def test_each_request_is_answered_with_its_own_rows(
    play: Callable[[Scenario], None], runner: dict[str, Any], tmp_path: Path
) -> None:
    async def scenario() -> None:
        asked = open_lane(Session(sums(tmp_path / "m.onnx")), **runner)
        x = [np.full((rows, 2), rows, dtype=np.float32) for rows in (1, 3, 2)]
        futures = [asked.submit({"x": each}, len(each)) for each in x]
        assert [value(await each) for each in futures] == [[2], [6, 6, 6], [4, 4]]
        await asked.lane.close()

    play(scenario())


def test_what_one_iteration_of_the_loop_brought_runs_together(
    play: Callable[[Scenario], None], tmp_path: Path
) -> None:
    async def scenario() -> None:
        model, counts = Session(mlp(tmp_path / "m.onnx")), Counts()
        asked = open_lane(model, counts, **INLINE)
        row = {"x": np.ones((1, 30), dtype=np.float32)}
        outcomes = await asyncio.gather(*(asked.submit(row) for _ in range(11)))
        assert model.sizes == [8, 3]
        assert counts.runs == [(8, 8), (3, 3)]
        assert len(counts.waits) == 11
        assert [each.batch_rows for each in outcomes] == [8] * 8 + [3] * 3
        assert all(each.queued >= 0 and each.inference > 0 for each in outcomes)
        assert threading.active_count() == 1 or not asked.lane._threads._threads
        await asked.lane.close()

    play(scenario())


def test_what_waits_for_a_busy_thread_is_its_next_batch() -> None:
    async def scenario() -> None:
        model = Gate()
        asked = open_lane(model)
        futures = [asked.submit(0)]
        await model.begun()
        futures += [asked.submit(number) for number in range(1, 7)]
        model.open.set()
        assert [value(await each) for each in futures] == [[n + 1] for n in range(7)]
        assert model.runs == [[0], [1, 2, 3, 4], [5, 6]]
        await asked.lane.close()

    asyncio.run(scenario())


@both_runners
def test_with_a_delay_a_batch_waits_to_be_filled(runner: dict[str, Any]) -> None:
    async def scenario() -> None:
        model = Gate()
        model.open.set()
        asked = open_lane(model, delay_seconds=20.0, **runner)
        futures = []
        for number in range(4):
            assert not futures or not futures[0].done()
            futures.append(asked.submit(number))
            await asyncio.sleep(0.01)
        await asyncio.wait_for(asyncio.gather(*futures), 10)
        assert model.runs == [[0, 1, 2, 3]]
        await asked.lane.close()

    asyncio.run(scenario())


@both_runners
def test_after_the_delay_a_batch_runs_as_it_is(runner: dict[str, Any]) -> None:
    async def scenario() -> None:
        model = Gate()
        model.open.set()
        asked = open_lane(model, delay_seconds=0.05, **runner)
        outcomes = await asyncio.gather(asked.submit(1), asked.submit(2))
        assert model.runs == [[1, 2]]
        assert outcomes[0].queued >= 0.045
        await asked.lane.close()

    asyncio.run(scenario())


def test_requests_of_other_shapes_form_batches_of_their_own() -> None:
    async def scenario() -> None:
        model = Gate()
        model.inputs = {"x": TensorSpec("x", "FP32", np.float32, ("N", "M"))}
        asked = open_lane(model)
        x = [np.full((1, width), n, np.float32) for n, width in enumerate((1, 2, 3, 2, 3, 2))]
        futures = [asked.submit({"x": x[0]})]
        await model.begun()
        futures += [asked.submit({"x": each}) for each in x[1:]]
        model.open.set()
        outcomes = await asyncio.gather(*futures)
        assert [value(each) for each in outcomes] == [(each + 1).ravel().tolist() for each in x]
        assert model.runs == [[0], [1, 1, 3, 3, 5, 5], [2, 2, 2, 4, 4, 4]]
        await asked.lane.close()

    asyncio.run(scenario())


@both_runners
def test_a_request_larger_than_a_batch_runs_alone(runner: dict[str, Any]) -> None:
    async def scenario() -> None:
        model = Gate()
        model.open.set()
        asked = open_lane(model, **runner)
        outcomes = await asyncio.gather(asked.submit(1), asked.submit(2, rows=9), asked.submit(3))
        assert [len(value(each)) for each in outcomes] == [1, 9, 1]
        assert [2.0] * 9 in model.runs
        await asked.lane.close()

    asyncio.run(scenario())


def test_what_would_block_the_event_loop_for_long_runs_in_a_thread() -> None:
    async def scenario() -> None:
        model = Gate()
        asked = open_lane(model, inline_seconds=0.001, seconds=0.0005)
        large = asked.submit(1, rows=9)  # at .125 ms a row more than the millisecond
        await model.begun()
        assert not large.done()
        model.open.set()
        await large
        assert value(await asked.submit(5)) == [6]
        assert asked.lane.inline
        await asked.lane.close()

    asyncio.run(scenario())


def test_strings_run_in_batches(tmp_path: Path) -> None:
    async def scenario() -> None:
        model = Session(echo(tmp_path / "m.onnx", STRING))
        asked = open_lane(model, **INLINE)
        words = [np.array(each, dtype=np.object_) for each in (["a", "ä"], [""], ["b" * 99])]
        outcomes = await asyncio.gather(*(asked.submit({"x": w}, len(w)) for w in words))
        assert [value(each) for each in outcomes] == [["a", "ä"], [""], ["b" * 99]]
        assert model.sizes == [4]
        await asked.lane.close()

    asyncio.run(scenario())


def test_batches_are_padded_to_a_bucket_and_the_padding_is_dropped() -> None:
    async def scenario() -> None:
        model, counts = Gate(), Counts()
        asked = open_lane(model, counts, buckets=(2, 4))
        futures = [asked.submit(7)]
        await model.begun()
        futures += [asked.submit(1, rows=2), asked.submit(2)]
        model.open.set()
        assert [value(await each) for each in futures] == [[8], [2, 2], [3]]
        assert model.runs == [[7, 7], [1, 1, 2, 2]]
        assert counts.runs == [(1, 2), (3, 4)]
        assert counts.observed == [1, 3]
        await asked.lane.close()

    asyncio.run(scenario())


def test_a_model_without_a_row_for_each_row_is_run_one_by_one_from_then_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        class Total(Gate):
            def run(self, feeds: Any) -> Any:
                return {"y": super().run(feeds)["y"].sum(keepdims=True)}

        model = Total()
        model.open.set()
        asked = open_lane(model, **INLINE)
        outcomes = await asyncio.gather(*(asked.submit(number) for number in range(3)))
        assert [value(each) for each in outcomes] == [[1], [2], [3]]
        await asyncio.gather(*(asked.submit(number) for number in range(3)))
        assert model.runs == [[0, 1, 2], [0], [1], [2], [0], [1], [2]]
        await asked.lane.close()

    asyncio.run(scenario())


# Refusals.


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back() -> None:
    async def scenario() -> None:
        model, counts = Gate(), Counts()
        asked = open_lane(model, counts, max_queue=8, seconds=1.5)
        futures = [asked.submit(0)]
        await model.begun()
        futures += [asked.submit(number) for number in range(8)]
        with pytest.raises(RequestError) as refused:
            asked.submit(9)
        assert refused.value.status == 429
        assert refused.value.headers == {"Retry-After": str(ceil(8 / 4 * 1.5))}
        assert counts.rejections == ["queue_full"]
        model.open.set()
        assert statuses(await asyncio.gather(*futures)) == [200] * 9
        assert value(await asked.submit(1)) == [2]
        await asked.lane.close()

    asyncio.run(scenario())


def test_waiting_rows_are_bounded_too_but_an_empty_queue_takes_any_request() -> None:
    async def scenario() -> None:
        model = Gate()
        asked = open_lane(model, max_queue=4)
        futures = [asked.submit(0)]
        await model.begun()
        futures.append(asked.submit(1, rows=100))
        with pytest.raises(RequestError, match="too many"):
            asked.submit(1, rows=5)
        model.open.set()
        assert statuses(await asyncio.gather(*futures)) == [200, 200]
        await asked.lane.close()

    asyncio.run(scenario())


@both_runners
def test_a_deadline_that_has_passed_is_refused(runner: dict[str, Any]) -> None:
    async def scenario() -> None:
        counts = Counts()
        asked = open_lane(Gate(), counts, **runner)
        with pytest.raises(RequestError) as refused:
            asked.submit(1, deadline=perf_counter())
        assert refused.value.status == 504
        assert counts.rejections == ["deadline"]
        await asked.lane.close()

    asyncio.run(scenario())


def test_a_deadline_is_kept_while_waiting_and_while_running(
    play: Callable[[Scenario], None],
) -> None:
    async def scenario() -> None:
        model, counts = Gate(), Counts()
        asked = open_lane(model, counts)
        running = asked.submit(0, deadline=soon(1))
        await model.begun()
        waiting = asked.submit(1, deadline=soon(0.05))
        patient = asked.submit(2, deadline=soon(PATIENCE))
        assert statuses([await waiting]) == [504]
        assert not running.done()
        assert statuses([await running]) == [504]
        assert not patient.done()
        model.open.set()
        assert value(await patient) == [3]
        assert model.runs == [[0], [2]]  # the one that waited has never run
        assert counts.rejections == ["deadline"] * 2
        assert [len(each) for each in asked.outcomes.values()] == [1, 1, 1]
        await asked.lane.close()

    play(scenario())


def test_deadlines_need_one_timer_however_many_requests_wait() -> None:
    async def scenario() -> None:
        model = Gate()
        asked = open_lane(model)
        loop = asyncio.get_running_loop()
        futures = [asked.submit(number, deadline=soon(9)) for number in range(50)]
        gc.collect()
        assert sum(not each.cancelled() for each in loop._scheduled) == 1  # type: ignore[attr-defined]
        model.open.set()
        await asyncio.gather(*futures)
        await asked.lane.close()
        assert not [each for each in loop._scheduled if not each.cancelled()]  # type: ignore[attr-defined]

    asyncio.run(scenario())


def test_a_request_whose_client_went_away_is_not_run() -> None:
    async def scenario() -> None:
        model = Gate()
        asked = open_lane(model)
        futures = [asked.submit(number) for number in range(1)]
        await model.begun()
        futures += [asked.submit(1), asked.submit(2)]
        asked.lane.cancel(asked.requests[0])
        asked.lane.cancel(asked.requests[1])
        assert statuses([await futures[0], await futures[1]]) == [499, 499]
        asked.lane.cancel(asked.requests[1])
        model.open.set()
        assert value(await futures[2]) == [3]
        assert model.runs == [[0], [2]]
        await asked.lane.close()
        assert [len(each) for each in asked.outcomes.values()] == [1, 1, 1]

    asyncio.run(scenario())


def test_higher_priorities_go_first() -> None:
    async def scenario() -> None:
        model = Gate()
        asked = open_lane(model, levels=2)
        futures = [asked.submit(0)]
        await model.begun()
        for number, level in enumerate((1, 1, 0, 7, 0, 0), start=1):
            futures.append(asked.submit(number, priority=level))
        model.open.set()
        await asyncio.gather(*futures)
        assert model.runs == [[0], [3, 5, 6, 1], [2, 4]]
        await asked.lane.close()

    asyncio.run(scenario())


# Failures.


@both_runners
def test_a_request_that_fails_does_not_fail_its_neighbours(
    runner: dict[str, Any], tmp_path: Path
) -> None:
    async def scenario() -> None:
        model, counts = Session(lookup(tmp_path / "m.onnx")), Counts()
        asked = open_lane(model, counts, **runner)
        futures = [
            asked.submit({"x": np.array([number], dtype=np.float32)})
            for number in (0, 1, 99, 2, -50, 1)
        ]
        outcomes = await asyncio.gather(*futures)
        assert statuses(outcomes) == [200, 200, 500, 200, 500, 200]
        assert isinstance(outcomes[2].error, InferenceError)
        assert [value(outcomes[at]) for at in (0, 1, 3, 5)] == [[1], [2], [3], [2]]
        assert counts.failures == ["runtime"] * 2
        await asked.lane.close()

    asyncio.run(scenario())


def test_a_batch_that_fails_in_a_thread_is_run_again_one_by_one() -> None:
    class Picky(Gate):
        def run(self, feeds: Any) -> Any:
            outputs = super().run(feeds)
            if 99 in feeds["x"]:
                raise InferenceError("no such row")
            return outputs

    async def scenario() -> None:
        model = Picky()
        asked = open_lane(model, threads=2)
        futures = [asked.submit(0)]
        await model.begun()
        futures.append(asked.submit(9))
        await model.begun()
        futures += [asked.submit(number) for number in (1, 99, 2)]
        model.open.set()
        wait_until(lambda: asked.lane._threads._idle == 2)  # while the event loop knows nothing
        outcomes = await asyncio.wait_for(asyncio.gather(*futures), 10)
        assert statuses(outcomes) == [200, 200, 200, 500, 200]
        assert model.runs[2] == [1, 99, 2]
        assert sorted(model.runs[3:]) == [[1], [2], [99]]
        await asked.lane.close()

    asyncio.run(scenario())


@both_runners
def test_bad_requests_in_a_row_are_no_reason_to_give_the_model_up(
    runner: dict[str, Any], tmp_path: Path
) -> None:
    async def scenario() -> None:
        failures: list[str] = []
        model = Session(lookup(tmp_path / "m.onnx"))
        asked = open_lane(model, on_failure=lambda reason, _: failures.append(reason), **runner)
        bad = {"x": np.array([99], dtype=np.float32)}
        for _ in range(20):
            assert statuses([await asked.submit(bad)]) == [500]
        assert value(await asked.submit({"x": np.array([2], dtype=np.float32)})) == [3]
        assert failures == []
        await asked.lane.close()

    asyncio.run(scenario())


@both_runners
def test_a_model_that_fails_on_what_warmed_it_up_ends_its_lane(runner: dict[str, Any]) -> None:
    async def scenario() -> None:
        failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        model, counts = Gate(), Counts()
        model.open.set()
        model.error = InferenceError("Failed to allocate memory", memory=True)
        asked = open_lane(model, counts, lambda reason, _: failed.set_result(reason), **runner)
        for _ in range(3):
            assert statuses([await asked.submit(1)]) == [500]
        assert await asyncio.wait_for(failed, 10) == "broken"
        with pytest.raises(RequestError) as refused:
            asked.submit(1)
        assert refused.value.status == 503
        assert refused.value.headers == {"Retry-After": "1"}
        assert counts.failures[:3] == ["memory"] * 3
        assert counts.rejections == ["not_ready"]
        assert asked.lane.ended
        await asked.lane.close()

    asyncio.run(scenario())


def test_an_error_of_our_own_fails_the_request_like_one_of_the_model() -> None:
    async def scenario() -> None:
        model = Gate()
        model.open.set()
        model.error = ValueError("secret")
        outcome = await (asked := open_lane(model)).submit(1)
        assert isinstance(outcome.error, InferenceError)
        assert "secret" not in str(outcome.error)
        await asked.lane.close()

    asyncio.run(scenario())


def test_a_run_that_hangs_ends_its_lane_and_nobody_waits_for_it() -> None:
    async def scenario() -> None:
        failures: list[tuple[str, str]] = []
        model, counts = Gate(), Counts()
        asked = open_lane(
            model, counts, lambda *what: failures.append(what), hang_seconds=50.0, seconds=0.1
        )
        running = asked.submit(0)
        await model.begun()
        waiting = asked.submit(1)
        asked.lane.check(perf_counter() + 10)
        assert not failures
        asked.lane.check(perf_counter() + 51)
        asked.lane.check(perf_counter() + 52)
        assert [reason for reason, _ in failures] == ["hung"]
        assert statuses([await running, await waiting]) == [503, 503]
        with pytest.raises(RequestError, match="not ready"):
            asked.submit(2)
        await asyncio.wait_for(asked.lane.close(), PATIENCE)
        assert (counts.hangs, counts.depths[-1]) == (1, 0)
        model.open.set()
        await asyncio.sleep(0.05)
        assert [len(each) for each in asked.outcomes.values()] == [1, 1]
        assert model.runs == [[0]]

    asyncio.run(scenario())


def test_a_model_that_is_always_slow_does_not_hang() -> None:
    async def scenario() -> None:
        model = Gate()
        asked = open_lane(model, hang_seconds=5.0, seconds=2.0)
        running = asked.submit(0)
        await model.begun()
        asked.lane.check(perf_counter() + 12)
        assert not asked.lane.ended
        model.open.set()
        assert value(await running) == [1]
        await asked.lane.close()

    asyncio.run(scenario())


def test_a_model_that_became_slow_leaves_the_event_loop() -> None:
    async def scenario() -> None:
        class Slow(Gate):
            def run(self, feeds: Any) -> Any:
                _work(0.002)
                return super().run(feeds)

        model = Slow()
        model.open.set()
        asked = open_lane(model, inline_seconds=0.001, seconds=0.0005)
        runs = 0
        while asked.lane.inline:
            assert value(await asked.submit(1)) == [2]
            runs += 1
        assert 2 <= runs <= 8  # one slow run may be the machine's fault
        model.open.clear()
        outcome = asked.submit(4)
        await model.begun(runs + 1)
        assert not outcome.done()  # the loop goes on while the model runs
        model.open.set()
        assert value(await outcome) == [5]
        await asked.lane.close()

    asyncio.run(scenario())


# The end.


@both_runners
def test_a_closed_lane_keeps_no_model_though_somebody_keeps_the_lane(
    runner: dict[str, Any],
) -> None:
    async def scenario() -> None:
        model = Gate()
        model.open.set()
        asked = open_lane(model, on_failure=lambda *_, kept=model: kept.close(), **runner)
        await asked.submit(1)
        kept = weakref.ref(model)
        await asked.lane.close()
        del model
        assert kept() is None

    asyncio.run(scenario())


@both_runners
def test_closing_finishes_what_waits_and_refuses_what_comes(runner: dict[str, Any]) -> None:
    async def scenario() -> None:
        model, counts = Gate(), Counts()
        model.open.set()
        asked = open_lane(model, counts, **runner)
        futures = [asked.submit(number) for number in range(9)]
        closing = asyncio.ensure_future(asked.lane.close())
        await asyncio.sleep(0)
        with pytest.raises(RequestError) as refused:
            asked.submit(1)
        assert refused.value.status == 503
        await closing
        assert statuses([each.result() for each in futures]) == [200] * 9
        assert counts.rejections == ["draining"]
        await asked.lane.close()

    asyncio.run(scenario())


def test_an_outcome_that_cannot_be_delivered_is_not_the_neighbours_problem() -> None:
    async def scenario() -> None:
        model = Gate()
        model.open.set()
        asked = open_lane(model, **INLINE)

        def broken(_: object) -> None:
            raise RuntimeError

        futures = [asked.submit(1)]
        asked.lane.submit({"x": np.ones((1, 1), np.float32)}, 1, broken)
        futures.append(asked.submit(2))
        assert [value(await each) for each in futures] == [[2], [3]]
        await asked.lane.close()

    asyncio.run(scenario())


def test_an_abandoned_lane_answers_everyone_at_once() -> None:
    async def scenario() -> None:
        model = Gate()
        asked = open_lane(model)
        futures = [asked.submit(0)]
        await model.begun()
        futures.append(asked.submit(1))
        asked.lane.abandon()
        assert statuses(await asyncio.gather(*futures)) == [503, 503]
        model.open.set()

    asyncio.run(scenario())


def test_whoever_watches_for_crashes_hears_of_every_run_and_its_end() -> None:
    class Marker:
        def __init__(self) -> None:
            self.heard: list[tuple[str, int]] = []

        def begin(self) -> None:
            self.heard.append(("begin", len(model.runs)))

        def end(self) -> None:
            self.heard.append(("end", len(model.runs)))

        def release(self) -> None:
            self.heard.append(("release", len(model.runs)))

    async def scenario() -> None:
        model.open.set()
        done = asyncio.get_running_loop().create_future()
        lane = Lane(model, LanePlan(), Counts(), marker=marker)
        lane.submit({"x": np.ones((1, 1), np.float32)}, 1, done.set_result)
        await done
        assert marker.heard == [("begin", 0), ("end", 1)]
        await lane.close()

    marker, model = Marker(), Gate()
    asyncio.run(scenario())


def test_one_iteration_of_the_event_loop_may_bring_more_than_the_queue_holds() -> None:
    async def scenario() -> None:
        model = Gate()
        model.open.set()
        asked = open_lane(model, max_queue=8, **INLINE)
        outcomes = [asked.submit(number) for number in range(100)]
        assert [value(await outcome) for outcome in outcomes] == [[n + 1] for n in range(100)]
        await asked.lane.close()

    asyncio.run(scenario())


def test_a_full_queue_is_known_before_a_request_is_read() -> None:
    async def scenario() -> None:
        model = Gate()
        asked = open_lane(model, max_queue=2)
        asked.lane.require_room()
        running = asked.submit(0)
        await model.begun()
        waiting = [asked.submit(number) for number in (1, 2)]
        with pytest.raises(RequestError) as refused:
            asked.lane.require_room()
        assert refused.value.status == 429
        model.open.set()
        for outcome in (running, *waiting):
            await outcome
        asked.lane.require_room()
        await asked.lane.close()

    asyncio.run(scenario())


def _work(seconds: float) -> None:
    """Compute for so long; a thread that sleeps or is not scheduled counts as fast."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
