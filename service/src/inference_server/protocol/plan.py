"""What the protocol prepares once for a model: its checks, and the fixed parts of its answers."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from weakref import finalize

import orjson

from inference_server.inference.call import Headers
from inference_server.models.contract import ModelContract
from inference_server.models.model import Model
from inference_server.models.signature import TensorSpec

_REMEMBERED = 1024
_OWN_WAY = ("BYTES", "BF16")  # what orjson does not write from an array
JSON = (b"content-type", b"application/json")
BINARY = (b"content-type", b"application/octet-stream")


class Plan:
    """One model version as the readers and writers see it; it does not keep the model alive."""

    __slots__ = (
        "accepted",
        "all_binary",
        "batchable",
        "contract",
        "features",
        "headers",
        "inputs",
        "name",
        "output_names",
        "output_starts",
        "outputs",
        "plain",
        "predict_start",
        "single",
        "start",
        "version",
    )

    def __init__(self, model: Model) -> None:
        self.name = model.name
        self.version = (b"x-model-version", b"%d" % model.version)
        self.inputs = model.inputs
        self.outputs = model.outputs
        self.contract = model.contract
        self.features = _features(model.contract, model.inputs)
        self.batchable = model.batchable
        self.single = next(iter(model.inputs.values())) if len(model.inputs) == 1 else None
        self.accepted: set[tuple[int, ...]] = set()
        self.headers: Headers = (JSON, self.version)
        named = orjson.dumps({"model_name": model.name, "model_version": str(model.version)})
        self.start = named[:-1]
        plain = orjson.dumps({"model": model.name, "model_version": str(model.version)})
        self.predict_start = plain[:-1] + b',"predictions":'
        self.output_names = tuple(model.outputs)
        self.all_binary = frozenset(model.outputs)
        self.plain = {name for name, spec in model.outputs.items() if spec.datatype not in _OWN_WAY}
        self.output_starts = {name: _start(spec) for name, spec in model.outputs.items()}

    def accept(self, shape: tuple[int, ...]) -> None:
        """Remember a shape that fits the only input; their number is bounded."""
        if len(self.accepted) < _REMEMBERED:
            self.accepted.add(shape)


def _features(contract: ModelContract, inputs: Mapping[str, TensorSpec]) -> Sequence[str]:
    """Names of the columns of a single [N, features] input, if the model says them."""
    names = contract.feature_names
    shapes = [spec.shape for spec in inputs.values()]
    if len(shapes) == 1 and len(shapes[0]) == 2 and shapes[0][1] in (len(names), None):
        return names
    return ()


def _start(spec: TensorSpec) -> bytes:
    described = orjson.dumps({"name": spec.name, "datatype": spec.datatype})
    return described[:-1] + b',"shape":'


@lru_cache(maxsize=4096)
def shape_text(shape: tuple[int, ...]) -> bytes:
    """A shape as JSON."""
    return orjson.dumps(shape)


_plans: dict[int, Plan] = {}


def plan_of(model: Model) -> Plan:
    """The plan of a model, made at its first request and gone with the model."""
    plan = _plans.get(id(model))
    if plan is None:
        plan = _plans[id(model)] = Plan(model)
        finalize(model, _plans.pop, id(model), None)
    return plan
