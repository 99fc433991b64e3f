"""What KServe's client gets over gRPC; a process of its own, as its messages and Triton's clash."""

import asyncio
import json
import sys

import numpy as np
from grpc_fields import compare
from kserve import InferenceGRPCClient, InferInput, InferRequest
from kserve.protocol.grpc import grpc_predict_v2_pb2

ROWS = np.array([[1, 1, 1], [-1, -1, -1]], dtype=np.float32)


async def main(address: str) -> None:
    client = InferenceGRPCClient(address)
    service = grpc_predict_v2_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    found = {
        "fields": compare(service),
        "live": await client.is_server_live(),
        "ready": await client.is_server_ready(),
        "model ready": await client.is_model_ready("flowers"),
    }
    for name, binary in (("lists", False), ("raw", True)):
        tensor = InferInput("features", list(ROWS.shape), "FP32")
        tensor.set_data_from_numpy(ROWS, binary_data=binary)
        answer = await client.infer(InferRequest("flowers", [tensor], request_id="k-1"))
        labels, probabilities = answer.outputs
        found[name] = [answer.id, labels.as_numpy().tolist(), list(probabilities.as_numpy().shape)]
    await client.close()
    print(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
