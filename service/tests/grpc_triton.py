"""What tritonclient gets over gRPC; a process of its own, as its messages and KServe's clash."""

import json
import sys
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from grpc_fields import compare
from tritonclient.grpc import service_pb2
from tritonclient.utils import np_to_triton_dtype

ECHOES = {
    "BOOL": np.array([True, False]),
    **{
        f"{sign}INT{bits}": np.array([0, 1, np.iinfo(f"{sign.lower()}int{bits}").max]).astype(
            f"{sign.lower()}int{bits}"
        )
        for sign in ("", "U")
        for bits in (8, 16, 32, 64)
    },
    "FP16": np.array([0, 1.5, -65504], dtype=np.float16),
    "FP32": np.array([0.1, -3e38], dtype=np.float32),
    "FP64": np.array([0.1, -1e308]),
    "BYTES": np.array(["", "a", "Grüße"], dtype=np.object_),
}


def infer(client: Any, model: str, name: str, array: np.ndarray, **more: Any) -> Any:
    tensor = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(array)
    return client.infer(model, [tensor], **more)


def returned(client: Any, datatype: str, array: np.ndarray) -> bool:
    answered = infer(client, datatype.lower(), "x", array).as_numpy("y")
    if datatype == "BYTES":
        answered = np.array([text.decode() for text in answered], dtype=np.object_)
    return answered.dtype == array.dtype and bool((answered == array).all())


def main(address: str) -> None:
    rows = np.array([[1, 1, 1], [-1, -1, -1]], dtype=np.float32)
    with triton.InferenceServerClient(address) as client:
        outputs = [triton.InferRequestedOutput("label")]
        classified = infer(
            client, "flowers", "features", rows, request_id="r-1", outputs=outputs, priority=1
        )
        metadata = client.get_model_metadata("flowers", "2")
        found = {
            "fields": compare(service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]),
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "model ready": client.is_model_ready("flowers", "2"),
            "server": client.get_server_metadata().name,
            "versions": list(metadata.versions),
            "inputs": [[each.name, each.datatype, *each.shape] for each in metadata.inputs],
            "config": client.get_model_config("flowers").config.name,
            "counted": client.get_inference_statistics("flowers").model_stats[-1].inference_count,
            "index": sorted({each.name for each in client.get_model_repository_index().models}),
            "label": classified.as_numpy("label").tolist(),
            "id": classified.get_response().id,
            "outputs": [each.name for each in classified.get_response().outputs],
            "returned": [name for name, array in ECHOES.items() if returned(client, name, array)],
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
