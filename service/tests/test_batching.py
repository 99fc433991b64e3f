"""Requests put together and taken apart again; the order in which they wait."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference_server.scheduling.batch import (
    Request,
    UnsplittableError,
    assemble,
    batch_key,
    bucket,
    split,
)
from inference_server.scheduling.waiting import HANDICAP_SECONDS, WaitingRequests


def request(rows: int = 1, arrived: float = 0, **more: object) -> Request:
    feeds = {"x": np.full((rows, 2), arrived, dtype=np.float32)}
    return Request(feeds, rows, lambda _: None, arrived, **more)  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=9), st.integers(0, 4))
def test_every_request_gets_its_own_rows_back_in_order(sizes: list[int], padding: int) -> None:
    requests = [request(rows, number) for number, rows in enumerate(sizes)]
    rows = sum(sizes)
    padding *= sizes[-1] > 0
    feeds = assemble(requests, rows, rows + padding)
    assert len(feeds["x"]) == rows + padding
    parts = split({"y": feeds["x"], "z": feeds["x"][:, 0]}, requests, rows + padding)
    for number, (size, part) in enumerate(zip(sizes, parts, strict=True)):
        assert part["y"].shape == (size, 2)
        assert part["z"].shape == (size,)
        assert (part["y"] == number).all()


def test_one_request_is_run_on_its_own_tensors() -> None:
    single = request(3)
    assert assemble([single], 3, 3) is single.feeds


def test_padding_repeats_a_row_that_the_model_is_known_to_take() -> None:
    feeds = assemble([request(1, 5), request(2, 7)], 3, 8)
    assert feeds["x"][:, 0].tolist() == [5, 7, 7, 7, 7, 7, 7, 7]


def test_strings_are_batched_and_padded_like_numbers() -> None:
    words = [np.array(["a", "bb"], dtype=np.object_), np.array(["", "über"], dtype=np.object_)]
    requests = [Request({"x": each}, 2, None, 0) for each in words]
    feeds = assemble(requests, 4, 6)
    assert feeds["x"].tolist() == ["a", "bb", "", "über", "über", "über"]
    assert split(feeds, requests, 6)[1]["x"].tolist() == ["", "über"]


@pytest.mark.parametrize("output", [np.float32(3), np.zeros((1, 4)), np.zeros(4)])
def test_an_output_without_a_row_for_each_input_row_is_not_shared_out(output: np.ndarray) -> None:
    with pytest.raises(UnsplittableError, match="'y' has no row for each of 3"):
        split({"y": np.asarray(output)}, [request(1), request(2)], 3)


def test_the_smallest_bucket_that_holds_the_rows_is_taken() -> None:
    assert [bucket(rows, (1, 4, 8)) for rows in (1, 2, 4, 5, 8, 9)] == [1, 4, 4, 8, 8, 9]


def test_only_equal_dimensions_and_dtypes_have_equal_keys() -> None:
    base = batch_key({"x": np.zeros((2, 3), np.float32)})
    assert base == batch_key({"x": np.ones((5, 3), np.float32)})
    assert base != batch_key({"x": np.zeros((2, 4), np.float32)})
    assert base != batch_key({"x": np.zeros((2, 3), np.float64)})
    assert base != batch_key({"x": np.zeros((2, 3, 1), np.float32)})
    assert base != batch_key({"z": np.zeros((2, 3), np.float32)})


def drain(waiting: WaitingRequests, limit: int, now: float = 0) -> list[list[Request]]:
    batches = []
    while waiting.requests:
        batch = waiting.take(limit, now)
        assert batch.rows == sum(each.rows for each in batch.requests)
        batches.append(batch.requests)
    assert waiting.rows == 0
    return batches


@pytest.mark.parametrize("uniform", [True, False])
def test_batches_are_full_but_never_larger_than_the_limit(uniform: bool) -> None:
    waiting = WaitingRequests(1, uniform)
    for number, rows in enumerate((2, 1, 1, 3, 2, 9, 1)):
        waiting.put(request(rows, number))
    sizes = [[each.rows for each in batch] for batch in drain(waiting, 4)]
    assert sizes == [[2, 1, 1], [3], [2], [9], [1]]


@given(
    st.lists(st.tuples(st.integers(1, 6), st.sampled_from("abc"), st.integers(0, 2)), max_size=40),
    st.booleans(),
)
def test_whatever_waits_is_taken_once_and_in_order(
    asked: list[tuple[int, str, int]], uniform: bool
) -> None:
    waiting = WaitingRequests(3, uniform)
    requests = []
    for number, (rows, key, level) in enumerate(asked):
        each = request(rows, number / 10, key="" if uniform else key, level=level)
        requests.append(each)
        waiting.put(each)
    batches = drain(waiting, 4)
    assert sorted(each.arrived for batch in batches for each in batch) == [
        each.arrived for each in requests
    ]
    heads = [min(map(rank, batch)) for batch in batches]
    assert heads == sorted(heads)  # whoever waits longest runs next: nobody is passed over for ever
    for batch in batches:
        assert len({each.key for each in batch}) == 1
        assert len(batch) == 1 or sum(each.rows for each in batch) <= 4


def rank(each: Request) -> float:
    return each.arrived + each.level * HANDICAP_SECONDS


def test_a_low_priority_waits_for_later_high_ones_but_not_for_ever() -> None:
    waiting = WaitingRequests(2, uniform=True)
    low = request(1, arrived=0, level=1)
    waiting.put(low)
    high = [request(1, arrived=number / 2) for number in range(6)]
    for each in high:
        waiting.put(each)
    order = [batch[0] for batch in drain(waiting, 1)]
    assert 0 < order.index(low) < len(order) - 1


def test_a_request_that_was_forgotten_is_not_taken() -> None:
    waiting = WaitingRequests(1, uniform=True)
    first, second = request(1, 1), request(2, 2)
    waiting.put(first)
    waiting.put(second)
    waiting.forget(first)
    assert (waiting.requests, waiting.rows) == (1, 2)
    assert drain(waiting, 9) == [[second]]


def test_forgotten_requests_do_not_pile_up() -> None:
    waiting = WaitingRequests(1, uniform=True)
    waiting.put(request(1))
    for number in range(10_000):
        each = request(1, number)
        waiting.put(each)
        waiting.forget(each)
        assert not each.feeds
    assert sum(map(len, waiting._levels)) < 200


@pytest.mark.parametrize("uniform", [True, False])
def test_what_is_late_is_taken_but_not_to_be_run(uniform: bool) -> None:
    waiting = WaitingRequests(1, uniform)
    late, good = request(1, 1, deadline=5.0), request(1, 2, deadline=9.0)
    waiting.put(late)
    waiting.put(good)
    batch = waiting.take(4, now=6.0)
    assert (batch.requests, batch.late) == ([good], [late])
    assert waiting.requests == 0


@pytest.mark.parametrize("uniform", [True, False])
def test_requests_put_back_run_next_and_each_by_itself(uniform: bool) -> None:
    waiting = WaitingRequests(1, uniform)
    first, second, third, fourth = (request(1, number) for number in range(4))
    for each in (first, second):
        waiting.put(each)
    taken = waiting.take(4, 0).requests
    waiting.put(third)
    waiting.put(fourth)
    waiting.put_back_alone(taken)
    assert drain(waiting, 4) == [[first], [second], [third, fourth]]


@pytest.mark.parametrize("uniform", [True, False])
def test_a_request_put_back_waits_once(uniform: bool) -> None:
    waiting = WaitingRequests(2, uniform)
    late, good = request(1, 0, deadline=5.0), request(1, 1)
    waiting.put(late)
    waiting.put(good)
    waiting.put_back_alone(waiting.take(4, 0).requests)
    assert waiting.expire(6.0)[0] == [late]
    assert (waiting.requests, waiting.rows) == (1, 1)
    assert drain(waiting, 4) == [[good]]


@pytest.mark.parametrize("uniform", [True, False])
def test_a_request_without_rows_joins_nobody(uniform: bool) -> None:
    waiting = WaitingRequests(1, uniform)
    for rows in (0, 1, 0):
        waiting.put(request(rows))
    assert [len(batch) for batch in drain(waiting, 1)] == [1, 1, 1]
