"""ModelInfer: a protobuf request to feeds, outputs to a protobuf answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from inference_server.errors import RequestError
from inference_server.grpc_api import schema
from inference_server.grpc_api.contents import has_list, read_lists, write_lists
from inference_server.inference.call import Answer, Asked, Call
from inference_server.models.model import Model
from inference_server.models.signature import Tensor, TensorSpec
from inference_server.protocol.binary import read_tensor, write_tensor
from inference_server.protocol.parameters import read_parameters, schedule
from inference_server.protocol.plan import Plan, plan_of
from inference_server.protocol.tensors import check_names, check_shape, count_rows

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

    def __call__(self, call: Call, model: Model) -> Asked:
        """Check the request against the model's signature; raises RequestError (400)."""
        request, plan = self.request, plan_of(model)
        schedule(call, _parameters(request, "request"))
        check_names([each.name for each in request.inputs], plan.inputs)
        raw = request.raw_input_contents
        if raw and len(raw) != len(request.inputs):
            raise RequestError(
                400, f"{len(raw)} raw_input_contents for {len(request.inputs)} inputs"
            )
        sizes: dict[str, int] = {}
        feeds = {
            each.name: _tensor(plan.inputs[each.name], each, raw[index] if raw else None, sizes)
            for index, each in enumerate(request.inputs)
        }
        names = _wanted(request.outputs, plan)
        lists = not raw and all(has_list(plan.outputs[name].datatype) for name in names)
        rows = count_rows(feeds, plan.batchable)
        return InferRequest(feeds, rows, plan, names, request.id, lists)


@dataclass(slots=True)
class InferRequest:
    """A request that fits the model; `lists` answers as it asked, without raw bytes."""

    feeds: Mapping[str, Tensor]
    rows: int
    plan: Plan
    names: Sequence[str]
    id: str
    lists: bool

    def write(self, outputs: Mapping[str, Tensor]) -> Answer:
        """A serialized ModelInferResponse."""
        plan = self.plan
        header, version = plan.version
        response = _Response(model_name=plan.name, model_version=version.decode(), id=self.id)
        for name in self.names:
            datatype, tensor = plan.outputs[name].datatype, outputs[name]
            written = response.outputs.add(name=name, datatype=datatype, shape=tensor.shape)
            if self.lists:
                write_lists(datatype, tensor, written.contents)
            else:
                response.raw_output_contents.append(write_tensor(tensor))
        return Answer(200, ((header, version),), response.SerializeToString())


def _parameters(item: Any, where: str) -> dict[str, Any]:
    given = {}
    for name, value in item.parameters.items():
        chosen = value.WhichOneof("parameter_choice")
        given[name] = getattr(value, chosen) if chosen else None
    return read_parameters({"parameters": given}, where)


def _tensor(spec: TensorSpec, given: Any, raw: bytes | None, sizes: dict[str, int]) -> Tensor:
    _parameters(given, spec.name)
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
        return read_lists(spec, given.contents, shape)
    if given.HasField("contents"):
        raise RequestError(400, f"input {spec.name!r}: contents beside raw_input_contents")
    return read_tensor(spec, memoryview(raw), shape)


def _wanted(outputs: Any, plan: Plan) -> Sequence[str]:
    names = [each.name for each in outputs]
    for each in outputs:
        if each.name not in plan.outputs:
            raise RequestError(400, f"unknown output {each.name[:128]!r}")
        _parameters(each, each.name)
    if len(set(names)) != len(names):
        raise RequestError(400, "an output is asked for twice")
    return names or plan.output_names
