"""Clients that people have, unchanged: Triton's and KServe's."""

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from onnx import TensorProto
from tritonclient.http import aio as triton_aio
from tritonclient.utils import InferenceServerException

from .conftest import Server, Start
from .onnx_models import classifier, echo

ROWS = np.array([[3, 1, 1], [-3, -1, -1]], dtype=np.float32)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, start_anywhere: Start) -> Server:
    folder = tmp_path_factory.mktemp("clients")
    classifier(folder / "flowers" / "2" / "model.onnx", scale=1)
    classifier(folder / "flowers" / "10" / "model.onnx", scale=2)
    echo(folder / "text" / "1" / "model.onnx", TensorProto.STRING)
    echo(folder / "half" / "1" / "model.onnx", TensorProto.FLOAT16)
    return start_anywhere(folder)


def address(server: Server) -> str:
    return f"{server.client.base_url.host}:{server.client.base_url.port}"


@pytest.fixture
def client(served: Server) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(address(served)) as client:
        yield client


def features(binary: bool) -> triton.InferInput:
    given = triton.InferInput("features", [2, 3], "FP32")
    given.set_data_from_numpy(ROWS, binary_data=binary)
    return given


@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize("asked", [False, True])
def test_triton_s_client_sends_and_gets_json_and_binary_tensors(
    client: triton.InferenceServerClient, sent: bool, asked: bool
) -> None:
    outputs = [
        triton.InferRequestedOutput("probabilities", binary_data=asked),
        triton.InferRequestedOutput("label", binary_data=asked),
    ]
    result = client.infer("flowers", [features(sent)], outputs=outputs, request_id="7")
    assert result.as_numpy("label").tolist() == [1, 0]
    assert result.as_numpy("probabilities").sum(axis=1) == pytest.approx([1, 1])
    assert result.get_response()["id"] == "7"
    assert result.get_response()["model_version"] == "10"


def test_triton_s_client_gets_every_output_where_it_names_none(
    client: triton.InferenceServerClient,
) -> None:
    result = client.infer("flowers", [features(True)], model_version="2")
    assert result.get_response()["model_version"] == "2"
    assert result.as_numpy("label").tolist() == [1, 0]
    assert result.as_numpy("probabilities").shape == (2, 2)


def test_triton_s_client_compresses_and_asks_for_compression(
    client: triton.InferenceServerClient,
) -> None:
    for algorithm in ("gzip", "deflate"):
        result = client.infer(
            "flowers",
            [features(True)],
            request_compression_algorithm=algorithm,
            response_compression_algorithm=algorithm,
        )
        assert result.as_numpy("label").tolist() == [1, 0]


@pytest.mark.parametrize("binary", [False, True])
def test_triton_s_client_sends_strings(client: triton.InferenceServerClient, binary: bool) -> None:
    words = np.array(["größer", "", "a:b"], dtype=object)
    given = triton.InferInput("x", [3], "BYTES")
    given.set_data_from_numpy(words, binary_data=binary)
    asked = triton.InferRequestedOutput("y", binary_data=binary)
    answer = client.infer("text", [given], outputs=[asked]).as_numpy("y")
    assert [each.decode() if isinstance(each, bytes) else each for each in answer] == list(words)


def test_triton_s_client_sends_half_precision(client: triton.InferenceServerClient) -> None:
    values = np.array([0.5, -2, np.inf], dtype=np.float16)
    given = triton.InferInput("x", [3], "FP16")
    given.set_data_from_numpy(values)
    answer = client.infer("half", [given]).as_numpy("y")
    assert answer.dtype == np.float16
    assert answer.tolist() == values.tolist()


def test_triton_s_client_reads_metadata_configuration_and_health(
    client: triton.InferenceServerClient,
) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("flowers")
    assert client.is_model_ready("flowers", "2")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    assert client.get_model_metadata("flowers", "2")["versions"] == ["2", "10"]
    config = client.get_model_config("flowers")
    assert config["max_batch_size"] >= 32
    assert config["input"] == [{"name": "features", "data_type": "TYPE_FP32", "dims": [3]}]
    assert client.get_model_config("text", "1")["input"][0]["data_type"] == "TYPE_STRING"


def test_triton_s_client_reads_statistics(client: triton.InferenceServerClient) -> None:
    def rows(version: str) -> int:
        stats = client.get_inference_statistics("flowers", version)["model_stats"]
        assert [(each["name"], each["version"]) for each in stats] == [("flowers", version)]
        return int(stats[0]["inference_count"])

    before, other = rows("10"), rows("2")
    client.infer("flowers", [features(True)])
    assert rows("10") == before + 2
    assert rows("2") == other
    everything = client.get_inference_statistics()["model_stats"]
    assert {each["name"] for each in everything} == {"flowers", "half", "text"}


def test_statistics_of_a_model_with_one_version_count_requests_and_time(
    client: triton.InferenceServerClient,
) -> None:
    given = triton.InferInput("x", [1], "BYTES")
    given.set_data_from_numpy(np.array(["a"], dtype=object))
    client.infer("text", [given])
    (stats,) = client.get_inference_statistics("text")["model_stats"]
    timings = stats["inference_stats"]
    assert timings["success"]["count"] >= 1
    assert timings["success"]["ns"] >= timings["compute_infer"]["ns"] > 0
    assert timings["fail"] == {"count": 0, "ns": 0}
    assert stats["execution_count"] <= stats["inference_count"]
    assert stats["last_inference"] > 1_700_000_000_000
    sizes = [each["compute_infer"]["count"] for each in stats["batch_stats"]]
    assert sum(sizes) == stats["execution_count"]


def test_triton_s_client_reads_the_index(client: triton.InferenceServerClient) -> None:
    index = client.get_model_repository_index()
    assert {"name": "flowers", "version": "10", "state": "READY"} in index


def test_triton_s_client_is_told_what_was_wrong(client: triton.InferenceServerClient) -> None:
    given = triton.InferInput("feature", [2, 3], "FP32")
    given.set_data_from_numpy(ROWS)
    with pytest.raises(InferenceServerException, match="unknown input 'feature'"):
        client.infer("flowers", [given])
    with pytest.raises(InferenceServerException, match="sequences are not supported"):
        client.infer("flowers", [features(True)], sequence_id=5)
    with pytest.raises(InferenceServerException, match="unknown model 'roses'"):
        client.infer("roses", [features(True)])


def test_triton_s_async_client_works_too(served: Server) -> None:
    async def ask() -> list[list[int]]:
        async with triton_aio.InferenceServerClient(address(served)) as client:
            assert await client.is_server_ready()
            given = [features(True)]
            answers = await asyncio.gather(*(client.infer("flowers", given) for _ in range(8)))
            return [answer.as_numpy("label").tolist() for answer in answers]

    assert asyncio.run(ask()) == [[1, 0]] * 8


def kserve_input(binary: bool) -> InferInput:
    given = InferInput(name="features", shape=[2, 3], datatype="FP32")
    given.set_data_from_numpy(ROWS, binary_data=binary)
    return given


@pytest.mark.parametrize("binary", [False, True])
def test_kserve_s_client_speaks_v2(served: Server, binary: bool) -> None:
    async def ask() -> Any:
        async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
            url = f"http://{address(served)}"
            assert await client.is_server_live(url)
            assert await client.is_server_ready(url)
            assert await client.is_model_ready(url, "flowers")
            request = InferRequest(
                model_name="flowers",
                infer_inputs=[kserve_input(binary)],
                request_id="9",
                parameters={"binary_data_output": binary},
            )
            return await client.infer(url, request, model_name="flowers")

    answer = asyncio.run(ask())
    assert answer.id == "9"
    assert answer.outputs[0].as_numpy().tolist() == [1, 0]


def test_kserve_s_client_speaks_v1(served: Server) -> None:
    async def ask() -> Any:
        async with InferenceRESTClient(RESTConfig(protocol="v1")) as client:
            url = f"http://{address(served)}"
            assert await client.is_server_live(url)
            assert await client.is_model_ready(url, "flowers")
            return await client.infer(url, {"instances": ROWS.tolist()}, model_name="flowers")

    predictions = asyncio.run(ask())["predictions"]
    assert [row["label"] for row in predictions] == [1, 0]
