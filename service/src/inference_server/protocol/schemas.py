"""JSON Schemas of what the endpoints take and answer, by name, as the OpenAPI document has them."""

from typing import Any

from inference_server.protocol.datatypes import DATATYPES

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """A reference to one of the schemas below."""
    return {"$ref": f"#/components/schemas/{name}"}


def record(required: dict[str, Any], optional: dict[str, Any] | None = None, **more: Any) -> Schema:
    """An object with these properties."""
    properties = required | (optional or {})
    return {"type": "object", "required": list(required), "properties": properties, **more}


def listing(items: Any, **more: Any) -> Schema:
    """An array of one kind of thing."""
    return {"type": "array", "items": items, **more}


_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_FLAG: Schema = {"type": "boolean"}
_ANYTHING: Schema = {}
_MAYBE_TEXT: Schema = {"type": ["string", "null"]}
_SIZES = listing({"type": "integer", "minimum": 1}, maxItems=32)
_DATATYPE: Schema = {"type": "string", "enum": list(DATATYPES)}
_DURATION = record({"count": _COUNT}, {"ns": _COUNT})

SCHEMAS: dict[str, Schema] = {
    "Parameters": {
        "type": "object",
        "description": "Unknown names pass; binary_data_output, binary_data_size and binary_data "
        "belong to the binary tensor extension.",
        "additionalProperties": {"type": ["string", "number", "boolean"]},
    },
    "RequestInput": record(
        {"name": _TEXT, "shape": _SIZES, "datatype": _DATATYPE},
        {
            "data": {**listing(_ANYTHING), "description": "flat, or nested like the shape"},
            "parameters": ref("Parameters"),
        },
    ),
    "RequestOutput": record({"name": _TEXT}, {"parameters": ref("Parameters")}),
    "InferRequest": record(
        {"inputs": listing(ref("RequestInput"), minItems=1)},
        {
            "id": _TEXT,
            "parameters": ref("Parameters"),
            "outputs": listing(ref("RequestOutput")),
        },
    ),
    "ResponseOutput": record(
        {"name": _TEXT, "shape": listing(_COUNT), "datatype": _DATATYPE},
        {
            "data": {**listing(_ANYTHING), "description": "flat; NaN and infinities are null"},
            "parameters": ref("Parameters"),
        },
    ),
    "InferResponse": record(
        {
            "model_name": _TEXT,
            "model_version": _TEXT,
            "outputs": listing(ref("ResponseOutput")),
        },
        {"id": _TEXT},
    ),
    "PredictRequest": {
        "description": "Exactly one of the three.",
        "oneOf": [
            record({"instances": listing(_ANYTHING, minItems=1)}, additionalProperties=False),
            record({"instance": _ANYTHING}, additionalProperties=False),
            record(
                {"columns": {"type": "object", "additionalProperties": listing(_ANYTHING)}},
                additionalProperties=False,
            ),
        ],
    },
    "PredictResponse": record(
        {"model": _TEXT, "model_version": _TEXT, "predictions": _ANYTHING},
        {"classes": listing(_MAYBE_TEXT), "probabilities": _ANYTHING},
    ),
    "V1Request": {
        "description": "Rows, or whole inputs.",
        "oneOf": [
            record(
                {"instances": listing(_ANYTHING, minItems=1)},
                {"signature_name": {"const": "serving_default"}},
                additionalProperties=False,
            ),
            record(
                {"inputs": _ANYTHING},
                {"signature_name": {"const": "serving_default"}},
                additionalProperties=False,
            ),
        ],
    },
    "V1Response": {
        "oneOf": [
            record({"predictions": _ANYTHING}),
            record({"outputs": _ANYTHING}),
        ]
    },
    "Live": record({"live": _FLAG}),
    "Alive": record({"status": {"const": "alive"}}),
    "Ready": record({"ready": _FLAG}),
    "ModelReady": record({"name": _TEXT, "ready": _FLAG}),
    "ModelState": record(
        {"name": _TEXT, "version": _TEXT, "state": _TEXT},
        {
            "reason": _MAYBE_TEXT,
            "sha256": _MAYBE_TEXT,
            "provider": _MAYBE_TEXT,
            "device": _MAYBE_TEXT,
            "framework": _MAYBE_TEXT,
        },
    ),
    "Readiness": record(
        {
            "ready": _FLAG,
            "reasons": listing(_TEXT),
            "gpu_required": _FLAG,
            "models": listing(ref("ModelState")),
        }
    ),
    "Info": record(
        {
            "name": _TEXT,
            "version": _TEXT,
            "python": _TEXT,
            "onnxruntime": _TEXT,
            "providers_available": listing(_TEXT),
            "models": listing(ref("ModelState")),
        }
    ),
    "ServerMetadata": record({"name": _TEXT, "version": _TEXT, "extensions": listing(_TEXT)}),
    "TensorMetadata": record(
        {"name": _TEXT, "datatype": _DATATYPE, "shape": listing({"type": "integer", "minimum": -1})}
    ),
    "ModelMetadata": record(
        {
            "name": _TEXT,
            "versions": listing(_TEXT),
            "platform": _TEXT,
            "inputs": listing(ref("TensorMetadata")),
            "outputs": listing(ref("TensorMetadata")),
        },
        {"parameters": {"type": "object", "additionalProperties": _TEXT}},
    ),
    "ModelConfig": record(
        {
            "name": _TEXT,
            "platform": _TEXT,
            "backend": _TEXT,
            "max_batch_size": _COUNT,
            "input": listing({"type": "object"}),
            "output": listing({"type": "object"}),
        }
    ),
    "InferenceStatistics": {
        "type": "object",
        "description": "Counts and nanoseconds, all workers together.",
        "additionalProperties": _DURATION,
    },
    "ModelStatistics": record(
        {
            "name": _TEXT,
            "version": _TEXT,
            "last_inference": _COUNT,
            "inference_count": _COUNT,
            "execution_count": _COUNT,
            "inference_stats": ref("InferenceStatistics"),
            "batch_stats": listing(record({"batch_size": _COUNT, "compute_infer": _DURATION})),
        }
    ),
    "Statistics": record({"model_stats": listing(ref("ModelStatistics"))}),
    "IndexRequest": record({}, {"ready": _FLAG}, additionalProperties=False),
    "Index": listing(
        record(
            {
                "name": _TEXT,
                "version": _TEXT,
                "state": {"enum": ["READY", "UNAVAILABLE", "LOADING", "UNLOADING"]},
            },
            {"reason": _TEXT},
        )
    ),
    "LoadRequest": record(
        {}, {"parameters": {"type": "object", "maxProperties": 0}}, additionalProperties=False
    ),
    "UnloadRequest": record(
        {},
        {"parameters": record({}, {"unload_dependents": _FLAG}, additionalProperties=False)},
        additionalProperties=False,
    ),
    "Empty": {"type": "object", "maxProperties": 0},
    "V1Models": record({"models": listing(_TEXT)}),
    "V1Model": record(
        {
            "name": _TEXT,
            "ready": _FLAG,
            "model_version_status": listing(
                record({"version": _TEXT, "state": _TEXT, "status": {"type": "object"}})
            ),
        }
    ),
    "Error": record({"error": _TEXT}, description="The form of the Open Inference Protocol."),
    "Problem": record(
        {
            "type": _TEXT,
            "title": _TEXT,
            "status": {"type": "integer"},
            "detail": _TEXT,
            "error": _TEXT,
        },
        description="Problem details, RFC 9457.",
    ),
}
