"""The response cache: bounded, read-only, and never the answer to something else."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from inference_server.scheduling.cache import ResponseCache, cache_key

from .lanes import INLINE, Counts, Session, mlp, open_lane

TENSORS = st.one_of(
    arrays.arrays(np.float32, arrays.array_shapes(max_dims=2, max_side=3)),
    arrays.arrays(np.int64, arrays.array_shapes(max_dims=2, max_side=3)),
    st.lists(st.one_of(st.text(max_size=3), st.binary(max_size=3)), max_size=3).map(
        lambda words: np.array([*words, None], dtype=np.object_)[:-1]
    ),
)
FEEDS = st.dictionaries(st.sampled_from(["a", "b"]), TENSORS, min_size=1)


@given(FEEDS, FEEDS)
def test_only_equal_feeds_have_equal_keys(
    left: dict[str, np.ndarray], right: dict[str, np.ndarray]
) -> None:
    equal = left.keys() == right.keys() and all(same(left[name], right[name]) for name in left)
    assert (cache_key(left) == cache_key(right)) == equal


def same(left: np.ndarray, right: np.ndarray) -> bool:
    if (left.dtype, left.shape) != (right.dtype, right.shape):
        return False
    return (
        left.tolist() == right.tolist()
        if left.dtype.hasobject
        else left.tobytes() == right.tobytes()
    )


def test_the_key_hears_neither_of_order_nor_of_memory_layout() -> None:
    x, y = np.arange(6, dtype=np.float32).reshape(2, 3), np.array(["a"], dtype=np.object_)
    assert cache_key({"x": x, "y": y}) == cache_key({"y": y, "x": np.asfortranarray(x)})


def test_words_that_run_together_alike_are_told_apart() -> None:
    def key(*words: str | bytes) -> bytes:
        return cache_key({"x": np.array(words, dtype=np.object_)})

    assert len({key("ab", "c"), key("a", "bc"), key("abc", ""), key(b"ab", "c")}) == 4


def outputs(number: float, size: int = 100) -> dict[str, np.ndarray]:
    return {"y": np.full(size, number, dtype=np.float64)}


def test_the_least_recently_used_answer_goes_first() -> None:
    cache = ResponseCache(4000)
    for number in range(3):
        cache.put(b"%d" % number, outputs(number))
    assert cache.get(b"0") is not None
    cache.put(b"3", outputs(3))
    assert [cache.get(b"%d" % number) is None for number in range(4)] == [False, True, False, False]
    assert cache.bytes <= 4000


def test_an_answer_larger_than_the_cache_is_not_kept() -> None:
    cache = ResponseCache(4000)
    cache.put(b"small", outputs(1))
    cache.put(b"large", outputs(1, size=1000))
    assert cache.get(b"large") is None
    assert cache.get(b"small") is not None


def test_the_bytes_of_strings_count() -> None:
    cache = ResponseCache(4000)
    cache.put(b"k", {"y": np.array(["x" * 5000], dtype=np.object_)})
    assert len(cache) == 0


def test_what_is_kept_is_a_copy_that_nobody_can_change() -> None:
    cache, kept = ResponseCache(4000), outputs(1)
    cache.put(b"k", kept)
    kept["y"][:] = 2
    found = cache.get(b"k")
    assert found is not None
    assert (found["y"] == 1).all()
    with pytest.raises(ValueError, match="read-only"):
        found["y"][0] = 3


@given(st.lists(st.tuples(st.binary(max_size=1), st.integers(0, 300)), max_size=50))
def test_the_bound_holds_whatever_is_put(puts: list[tuple[bytes, int]]) -> None:
    cache = ResponseCache(3000)
    for key, size in puts:
        cache.put(key, outputs(0, size))
        assert cache.bytes <= 3000
    kept = [cache.get(key) for key in {key for key, _ in puts}]
    assert cache.bytes == sum(512 + each["y"].nbytes for each in kept if each is not None)
    cache.clear()
    assert (cache.bytes, len(cache)) == (0, 0)


def test_a_lane_answers_a_repeated_request_without_a_run(tmp_path: Path) -> None:
    async def scenario() -> None:
        model, counts = Session(mlp(tmp_path / "m.onnx")), Counts()
        asked = open_lane(model, counts, cache_bytes=100_000, **INLINE)
        x = np.random.default_rng(0).normal(size=(3, 30)).astype(np.float32)
        first = await asked.submit({"x": x}, 3)
        again = await asked.submit({"x": x.copy()}, 3)
        other = await asked.submit({"x": x + 1}, 3)
        assert counts.hits == [False, True, False]
        assert model.sizes == [3, 3]
        assert (again.batch_rows, again.inference) == (0, 0)
        assert first.outputs is not None
        assert again.outputs is not None
        assert other.outputs is not None
        for name, tensor in first.outputs.items():
            assert np.array_equal(tensor, again.outputs[name])
            assert not np.array_equal(tensor, other.outputs[name])
        assert counts.observed == [3, 3, 3]
        await asked.lane.close()

    asyncio.run(scenario())


def test_without_a_size_nothing_is_kept(tmp_path: Path) -> None:
    async def scenario() -> None:
        model, counts = Session(mlp(tmp_path / "m.onnx")), Counts()
        asked = open_lane(model, counts, **INLINE)
        x = np.ones((1, 30), dtype=np.float32)
        for _ in range(2):
            await asked.submit({"x": x})
        assert (len(model.sizes), counts.hits) == (2, [])
        await asked.lane.close()

    asyncio.run(scenario())
