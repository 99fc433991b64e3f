"""Whether a lane runs inside the event loop, by the time that its runs take."""

import numpy as np
import pytest
from inference_server.models.signature import TensorSpec
from inference_server.scheduling.pace import Pace
from inference_server.scheduling.plan import LanePlan, inline_rows, is_uniform

LIMIT = 0.001
FAST, SLOW = LIMIT / 2, LIMIT * 2


def observe(pace: Pace, *seconds: float, now: float = 1.0) -> None:
    for each in seconds:
        pace.observe(each, now)


def demoted(now: float = 1.0) -> Pace:
    pace = Pace(FAST, LIMIT)
    observe(pace, *[SLOW] * 9, now=now)
    assert not pace.inline
    return pace


def test_the_time_at_warm_up_decides_at_first() -> None:
    assert Pace(FAST, LIMIT).inline
    assert not Pace(SLOW, LIMIT).inline
    assert not Pace(0.0, 0.0).inline


def test_now_and_then_a_slow_run_is_the_machines_fault() -> None:
    pace = Pace(FAST, LIMIT)
    for _ in range(100):
        observe(pace, 50 * LIMIT, *[FAST] * 9)
    assert pace.inline


def test_many_slow_runs_demote_a_lane() -> None:
    pace = Pace(FAST, LIMIT)
    observe(pace, *[SLOW, FAST] * 20)
    assert not pace.inline


def test_after_a_calm_the_event_loop_is_tried_again() -> None:
    pace = demoted()
    assert not pace.observe(FAST, now=20.0)
    assert pace.observe(FAST, now=32.0)
    assert pace.inline
    observe(pace, *[FAST] * 20, SLOW, now=33.0)
    assert pace.inline


def test_a_slow_run_on_probation_demotes_at_once_and_for_twice_as_long() -> None:
    pace = demoted()
    assert pace.observe(FAST, now=32.0)
    observe(pace, *[FAST] * 10, now=32.0)
    assert pace.observe(SLOW, now=32.0)
    assert not pace.observe(FAST, now=32.0 + 59)
    assert pace.observe(FAST, now=32.0 + 61)


def test_a_model_far_too_slow_is_not_tried_again() -> None:
    pace = demoted()
    observe(pace, *[100 * LIMIT] * 50, now=40.0)
    assert not pace.inline


def test_a_lane_that_began_in_threads_stays_there() -> None:
    pace = Pace(SLOW, LIMIT)
    observe(pace, *[FAST] * 100, now=1e6)
    assert not pace.inline


@pytest.mark.parametrize(
    ("batches", "seconds", "after"), [(0, 0.1, 1), (8, 0.1, 1), (25, 0.1, 3), (1e6, 0.1, 60)]
)
def test_clients_are_sent_away_for_whole_seconds(
    batches: float, seconds: float, after: int
) -> None:
    assert Pace(seconds, 0).retry_after(batches) == after


def test_rows_that_run_inside_the_event_loop_take_less_than_the_limit() -> None:
    plan = LanePlan(max_rows=32, seconds=LIMIT / 4, inline_seconds=LIMIT)
    assert inline_rows(plan) == 128
    assert inline_rows(LanePlan(max_rows=32, seconds=LIMIT, inline_seconds=LIMIT)) == 0
    assert inline_rows(LanePlan(max_rows=32, seconds=LIMIT, inline_seconds=0)) == 0


@pytest.mark.parametrize(
    ("shape", "uniform"), [(("N", 3), True), ((None,), True), (("N", "M"), False), ((1, -1), False)]
)
def test_only_the_first_dimension_may_be_open(
    shape: tuple[int | str | None, ...], uniform: bool
) -> None:
    class Model:
        inputs = {"x": TensorSpec("x", "FP32", np.float32, shape)}  # noqa: RUF012

    assert is_uniform(Model()) == uniform  # type: ignore[arg-type]
