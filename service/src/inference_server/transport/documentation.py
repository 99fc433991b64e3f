"""OpenAPI document of the endpoints, for /docs and for client generators."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from starlette.routing import Route

_REF = "#/components/schemas/"
_EXAMPLE = {
    "inputs": [{"name": "features", "shape": [1, 3], "datatype": "FP32", "data": [0.1, 0.2, 0.3]}]
}


class RequestInput(BaseModel):
    """One input tensor; data is flat or nested like the shape."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]
    parameters: dict[str, Any] | None = None


class RequestOutput(BaseModel):
    """An output that the answer should hold."""

    name: str
    parameters: dict[str, Any] | None = None


class InferRequest(BaseModel):
    """Open Inference Protocol v2 request."""

    id: str | None = None
    parameters: dict[str, Any] | None = None
    inputs: list[RequestInput]
    outputs: list[RequestOutput] | None = None


class PredictRequest(BaseModel):
    """Rows, or named columns: one of the two."""

    instances: list[Any] | None = Field(None, description="rows: arrays, or objects by name")
    columns: dict[str, list[Any]] | None = Field(None, description="values by name")


_BODIES: dict[str, tuple[type[BaseModel], Any]] = {
    "infer": (InferRequest, _EXAMPLE),
    "predict": (PredictRequest, {"instances": [[0.1, 0.2, 0.3]]}),
}


def openapi(app: FastAPI) -> dict[str, Any]:
    """The document; the routes themselves are plain Starlette ones, which FastAPI leaves out."""
    if app.openapi_schema is None:
        routes = [_documented(route) for route in app.routes if isinstance(route, Route)]
        document = get_openapi(
            title=app.title, version=app.version, routes=[each for each in routes if each]
        )
        bodies: list[tuple[type[BaseModel], JsonSchemaMode]] = [
            (model, "validation") for model, _ in _BODIES.values()
        ]
        _, definitions = models_json_schema(bodies, ref_template=_REF + "{model}")
        document["components"] = {"schemas": definitions["$defs"]}
        app.openapi_schema = document
    return app.openapi_schema


def _documented(route: Route) -> APIRoute | None:
    if not route.path.startswith(("/v2", "/predict", "/health", "/metrics", "/info")):
        return None
    name = route.endpoint.__name__
    extra = {}
    if name in _BODIES:
        model, example = _BODIES[name]
        body = {"schema": {"$ref": _REF + model.__name__}, "example": example}
        extra = {"requestBody": {"required": True, "content": {"application/json": body}}}
    return APIRoute(
        route.path,
        route.endpoint,
        methods=sorted((route.methods or set()) - {"HEAD"}),
        summary=(route.endpoint.__doc__ or "").strip().splitlines()[0],
        openapi_extra=extra,
    )
