"""A model's configuration as Triton's configuration extension writes it."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from inference_server.models.model import Model
from inference_server.models.signature import TensorSpec
from inference_server.protocol.metadata import PLATFORM, find_entry, loaded
from inference_server.protocol.responses import json_response

_NAMES = {"BYTES": "TYPE_STRING"}


async def model_config(request: Request) -> Response:
    """Configuration of a model version."""
    model = loaded(find_entry(request))
    return json_response(_describe(model), version=model.version)


def _describe(model: Model) -> dict[str, Any]:
    """A batch dimension is said by `max_batch_size`, and left out of the shapes."""
    config = model.config
    content: dict[str, Any] = {
        "name": model.name,
        "platform": PLATFORM,
        "backend": "onnxruntime",
        "max_batch_size": model.max_batch_size if model.batchable else 0,
        "input": [_tensor(spec, model) for spec in model.inputs.values()],
        "output": [_tensor(spec, model) for spec in model.outputs.values()],
        "instance_group": [
            {"count": config.instances or 1, "kind": f"KIND_{model.device[:3].upper()}"}
        ],
        "version_policy": _policy(model),
        "parameters": {
            key: {"string_value": str(value)}
            for key, value in config.model_dump(mode="json", exclude_defaults=True).items()
        },
    }
    if model.batchable:
        content["dynamic_batching"] = {
            "preferred_batch_size": list(model.buckets),
            "max_queue_delay_microseconds": round(config.batch_delay_ms * 1000),
        }
    return content


def _policy(model: Model) -> dict[str, Any]:
    policy = model.config.version_policy
    if policy.specific is not None:
        return {"specific": {"versions": list(policy.specific)}}
    if policy.latest is not None:
        return {"latest": {"num_versions": policy.latest}}
    return {"all": {}}


def _tensor(spec: TensorSpec, model: Model) -> dict[str, Any]:
    return {
        "name": spec.name,
        "data_type": _NAMES.get(spec.datatype, f"TYPE_{spec.datatype}"),
        "dims": spec.wire_shape[1:] if model.batchable else spec.wire_shape,
    }
