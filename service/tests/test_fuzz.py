"""Whatever JSON a client sends, the answer is a 4xx with a reason or a right 200: never 5xx."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import Server
from .fuzzing import TIMES

INFER = "/v2/models/flowers/infer"
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


def near(value: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly right, sometimes anything."""
    return value | value | value | anything


numbers = st.floats(-1e6, 1e6, width=32) | st.integers(-1000, 1000)
tensors = st.fixed_dictionaries(
    {
        "name": near(st.just("features")),
        "shape": near(st.sampled_from([[1, 3], [2, 3]]) | st.lists(st.integers(-2, 2**65))),
        "datatype": near(st.just("FP32")),
        "data": near(st.lists(numbers, min_size=3, max_size=6))
        | st.lists(st.lists(near(numbers), max_size=4), max_size=3),
    },
    optional={"parameters": near(st.just({}))},
)
requests = st.fixed_dictionaries(
    {"inputs": near(st.lists(tensors, min_size=1, max_size=2))},
    optional={
        "id": near(st.text(max_size=5)),
        "outputs": near(st.just([{"name": "label"}])),
        "parameters": anything,
    },
)
rows = st.fixed_dictionaries(
    {},
    optional={
        "instances": near(st.lists(near(st.lists(near(numbers), max_size=4)), max_size=3))
        | st.lists(st.dictionaries(st.sampled_from(["length", "width", "height"]), near(numbers))),
        "columns": near(
            st.dictionaries(
                st.sampled_from(["length", "width", "height"]), near(st.lists(near(numbers)))
            )
        ),
    },
)
fuzz = settings(
    max_examples=150 * TIMES,
    deadline=None,
    derandomize=TIMES == 1,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def check(server: Server, path: str, content: Any) -> None:
    import orjson

    try:
        body = orjson.dumps(content)
    except TypeError:  # a text with a lone surrogate, an integer of 80 bits
        import json

        body = json.dumps(content).encode()
    answer = server.post(path, body)
    assert answer.status_code in (200, 400), answer.text
    if answer.status_code == 400:
        assert answer.json()["error"]
    assert "Traceback" not in answer.text


@fuzz
@given(content=requests | anything)
def test_the_protocol_survives_any_json(server: Server, content: Any) -> None:
    check(server, INFER, content)


@fuzz
@given(content=rows | anything)
def test_predict_survives_any_json(server: Server, content: Any) -> None:
    check(server, "/predict", content)


@fuzz
@given(body=st.binary(max_size=200))
def test_any_bytes_are_refused(server: Server, body: bytes) -> None:
    answer = server.post(INFER, body)
    assert answer.status_code == 400


@fuzz
@given(values=st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=1, max_size=8))
def test_right_rows_are_always_answered_one_by_one(
    server: Server, values: list[list[float]]
) -> None:
    answer = server.post("/predict", {"instances": values})
    assert answer.status_code == 200
    predictions = answer.json()["predictions"]
    alone: Callable[[list[float]], Any] = lambda row: server.post(  # noqa: E731
        "/predict", {"instances": [row]}
    ).json()["predictions"]
    assert predictions == [label for row in values for label in alone(row)]


@pytest.mark.parametrize("path", [INFER, "/predict"])
def test_deep_nesting_is_refused(server: Server, path: str) -> None:
    answer = server.post(path, b'{"instances": ' + b"[" * 900 + b"]" * 900 + b"}")
    assert answer.status_code == 400
