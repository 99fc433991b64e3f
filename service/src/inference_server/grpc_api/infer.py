"""ModelInfer: a protobuf request to feeds, outputs to a protobuf answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from inference_server.errors import RequestError
from inference_server.grpc_api import schema
from inference_server.grpc_api.contents import from_lists, from_raw, has_list, to_lists, to_raw
from inference_server.inference.call import Answer, Asked, Call
from inference_server.models.model import Model
from inference_server.models.signature import Tensor, TensorSpec
from inference_server.protocol.tensors import check_names, check_shape

_MAX_RANK = 32
_Request = schema.message("inference.ModelInferRequest")
_Response = schema.message("inference.ModelInferResponse")


def parse(body: bytes) -> tuple[Any, RequestError | None]:
    """The ModelInferRequest in these bytes, or an empty one and what is wrong with them."""
    try:
        return _Request.FromString(body), None
    except DecodeError:
        return _Request(), RequestError(400, "the message is no ModelInferRequest")


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one parsed request; see Read."""

    request: Any

    def __call__(self, call: Call, model: Model) -> Asked:  # noqa: ARG002
        """Check the request against the model's signature; raises RequestError (400)."""
        request = self.request
        check_names([each.name for each in request.inputs], model.inputs)
        raw = request.raw_input_contents
        if raw and len(raw) != len(request.inputs):
            raise RequestError(
                400, f"{len(raw)} raw_input_contents for {len(request.inputs)} inputs"
            )
        sizes: dict[str, int] = {}
        feeds = {
            each.name: _tensor(model.inputs[each.name], each, raw[index] if raw else None, sizes)
            for index, each in enumerate(request.inputs)
        }
        outputs = _wanted([each.name for each in request.outputs], model)
        lists = not raw and all(has_list(model.outputs[name].datatype) for name in outputs)
        return InferRequest(model, feeds, _rows(feeds), outputs, request.id, lists)


@dataclass(slots=True)
class InferRequest:
    """A request that fits the model; `lists` answers as it asked, without raw bytes."""

    model: Model
    feeds: Mapping[str, Tensor]
    rows: int
    outputs: list[str]
    id: str
    lists: bool

    def write(self, outputs: Mapping[str, Tensor]) -> Answer:
        """A serialized ModelInferResponse."""
        model = self.model
        response = _Response(model_name=model.name, model_version=str(model.version), id=self.id)
        for name in self.outputs:
            datatype, tensor = model.outputs[name].datatype, outputs[name]
            written = response.outputs.add(name=name, datatype=datatype, shape=tensor.shape)
            if self.lists:
                to_lists(datatype, tensor, written.contents)
            else:
                response.raw_output_contents.append(to_raw(datatype, tensor))
        return Answer(200, (), response.SerializeToString())


def _tensor(spec: TensorSpec, given: Any, raw: bytes | None, sizes: dict[str, int]) -> Tensor:
    if given.datatype != spec.datatype:
        raise RequestError(
            400,
            f"input {spec.name!r}: datatype {given.datatype[:16]!r}, expected {spec.datatype!r}",
        )
    shape = given.shape
    if len(shape) > _MAX_RANK or any(size <= 0 for size in shape):
        raise RequestError(400, f"input {spec.name!r}: a size in 'shape' is no positive integer")
    check_shape(spec, shape, sizes)
    if raw is None:
        return from_lists(spec, given.contents, shape)
    if given.HasField("contents"):
        raise RequestError(400, f"input {spec.name!r}: contents beside raw_input_contents")
    return from_raw(spec, raw, shape)


def _wanted(names: list[str], model: Model) -> list[str]:
    for name in names:
        if name not in model.outputs:
            raise RequestError(400, f"unknown output {name[:128]!r}")
    if len(set(names)) != len(names):
        raise RequestError(400, "an output is asked for twice")
    return names or list(model.outputs)


def _rows(feeds: Mapping[str, Tensor]) -> int:
    first = next(iter(feeds.values()), None)
    return first.shape[0] if first is not None and first.ndim else 1
