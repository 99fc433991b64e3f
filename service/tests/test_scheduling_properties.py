"""Sixty-four clients at once: nobody gets another's rows, and everybody gets one outcome."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_server.errors import RequestError
from inference_server.models.failures import InferenceError

from .lanes import Asked, Gate, Session, mlp, open_lane, soon, statuses, sums

CLIENTS = 64

PLANS = st.fixed_dictionaries(
    {
        "inline_seconds": st.sampled_from([0.0, 1.0]),
        "seconds": st.just(0.0001),
        "buckets": st.sampled_from([(), (), (2, 8)]),
        "delay_seconds": st.sampled_from([0.0, 0.0, 0.002]),
        "max_queue": st.sampled_from([20, 1000]),
        "threads": st.integers(1, 3),
        "levels": st.integers(1, 3),
        "cache_bytes": st.sampled_from([0, 0, 20_000]),
    }
)


@pytest.fixture(scope="module")
def models() -> Iterator[dict[str, Session]]:
    with tempfile.TemporaryDirectory() as folder:
        yield {
            "mlp": Session(mlp(Path(folder) / "mlp.onnx", features=5)),
            "sums": Session(sums(Path(folder) / "sums.onnx")),
        }


@settings(max_examples=150, deadline=None)
@given(
    plan=PLANS,
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(["mlp", "sums"]),
    impatient=st.booleans(),
)
def test_answers_are_bit_for_bit_those_of_requests_that_run_alone(
    models: dict[str, Session], plan: dict[str, Any], seed: int, kind: str, impatient: bool
) -> None:
    model = models[kind]
    if kind == "sums":
        plan["inline_seconds"] = 0.0  # as `plan_lane` decides for a second open dimension

    async def scenario() -> None:
        random = np.random.default_rng(seed)
        asked = open_lane(model, **plan)
        results = await asyncio.gather(
            *(client(asked, random, kind, impatient) for _ in range(CLIENTS))
        )
        await asked.lane.close()
        check(model, asked, [each for result in results for each in result])

    uvloop.run(scenario())


async def client(
    asked: Asked, random: np.random.Generator, kind: str, impatient: bool
) -> list[tuple[np.ndarray, Any]]:
    """A few requests, one after the other or at once; some are given up."""
    results = []
    for _ in range(2):
        rows = int(random.choice([1, 1, 1, 2, 3, 8, 12]))
        width = 5 if kind == "mlp" else int(random.integers(1, 4))
        x = random.normal(size=(rows, width)).astype(np.float32)
        if kind == "sums":
            x = np.round(100 * x)  # whose sums are the same in any order
        more = {"priority": int(random.integers(0, 4))}
        if impatient and random.random() < 0.3:
            more["deadline"] = soon(random.random() * 0.003)
        try:
            future = asked.submit({"x": x}, rows, **more)
        except RequestError:
            await asyncio.sleep(0)
            continue
        if impatient and random.random() < 0.2:
            request = list(asked.requests.values())[-1]
            asyncio.get_running_loop().call_soon(asked.lane.cancel, request)
        results.append((x, await future))
    return results


def check(model: Session, asked: Asked, results: list[tuple[np.ndarray, Any]]) -> None:
    assert [len(each) for each in asked.outcomes.values()] == [1] * len(asked.outcomes)
    assert asked.lane._unanswered == 0
    assert asked.lane.depth == 0
    for x, outcome in results:
        if outcome.error is not None:
            assert outcome.error.status in (499, 504)
            continue
        for row in range(len(x)):
            for name, tensor in model.run({"x": x[row : row + 1]}).items():
                assert len(outcome.outputs[name]) == len(x)
                assert np.array_equal(outcome.outputs[name][row], tensor[0])


@settings(max_examples=400, deadline=None)
@given(
    steps=st.lists(
        st.sampled_from(
            ["submit", "submit", "submit", "impatient", "large", "cancel", "turn", "wait", "break"]
        ),
        max_size=40,
    ),
    end=st.sampled_from(["close", "abandon", "fail", "hang"]),
    plan=PLANS,
)
def test_every_request_gets_exactly_one_outcome_whatever_happens(
    steps: list[str], end: str, plan: dict[str, Any]
) -> None:
    async def scenario() -> None:
        model = Gate()
        model.open.set()
        asked = open_lane(model, **plan | {"buckets": ()})
        for number, step in enumerate(steps):
            await play(step, number, asked, model)
        if end == "hang":
            asked.lane.check(soon(1e6))
        elif end == "fail":
            asked.lane.fail("broken", "said by the test")
        if end == "abandon":
            asked.lane.abandon()
        await asyncio.wait_for(asked.lane.close(), 20)
        await asyncio.sleep(0)
        assert [len(each) for each in asked.outcomes.values()] == [1] * len(asked.outcomes)
        assert set(asked.refusals) <= {429, 503, 504}
        for outcome in asked.outcomes.values():
            assert statuses(outcome)[0] in (200, 499, 500, 503, 504)

    asyncio.run(scenario())


async def play(step: str, number: int, asked: Asked, model: Gate) -> None:
    if step == "turn":
        await asyncio.sleep(0)
    elif step == "wait":
        await asyncio.sleep(0.001)
    elif step == "break":
        model.error = InferenceError("broken") if model.error is None else None
    elif step == "cancel":
        for request in list(asked.requests.values())[-3:]:
            asked.lane.cancel(request)
    else:
        try:
            asked.submit(
                number,
                rows=9 if step == "large" else 1,
                deadline=soon(0.0005) if step == "impatient" else None,
                priority=number % 3,
            )
        except RequestError as error:
            asked.refusals.append(error.status)
