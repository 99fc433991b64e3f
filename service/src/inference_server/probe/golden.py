"""The golden set of a model version: inputs, and the outputs recorded when it was made.

It is a request and a response of the Open Inference Protocol, as JSON in the ONNX metadata
`golden_set`: the sha256 of the release covers it, and a new version brings a new one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from inference_server.models.contract import ContractError, ModelContract, read_contract
from inference_server.models.naming import MODEL_FILE
from inference_server.probe.onnx_file import OnnxFileError, read_metadata
from inference_server.probe.outcome import FAIL, MISUSE, ProbeError

METADATA_KEY = "golden_set"
MAX_CASES = 1000

_FLOATS = frozenset({"FP16", "FP32", "FP64"})


@dataclass(frozen=True)
class Tensor:
    """A tensor of the protocol; the first dimension of `shape` counts the cases."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: tuple[Any, ...]

    @property
    def is_float(self) -> bool:
        """Whether its values are compared within a tolerance."""
        return self.datatype in _FLOATS

    def case(self, number: int) -> "Tensor":
        """One case of it, counted from 0: the first dimension becomes 1."""
        size = math.prod(self.shape[1:])
        data = self.data[number * size : (number + 1) * size]
        return Tensor(self.name, self.datatype, (1, *self.shape[1:]), data)

    def as_json(self) -> dict[str, Any]:
        """The tensor as a request carries it."""
        return {
            "name": self.name,
            "datatype": self.datatype,
            "shape": list(self.shape),
            "data": list(self.data),
        }


@dataclass(frozen=True)
class Case:
    """One input and the output that belongs to it."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True)
class GoldenSet:
    """The cases of a model version, and what its contract says about the outputs."""

    cases: tuple[Case, ...]
    contract: ModelContract


def read_golden_set(repository: Path, name: str, version: int) -> GoldenSet:
    """The golden set of a fetched model version.

    Raises ProbeError: misuse where there is no model, fail where it brings no usable set.
    """
    path = repository / name / str(version) / MODEL_FILE
    try:
        metadata = read_metadata(path)
    except OSError as error:
        raise ProbeError(MISUSE, f"{path} cannot be read: {error.strerror}") from None
    except OnnxFileError as error:
        raise ProbeError(FAIL, f"{path} is no ONNX model: {error}") from None
    if METADATA_KEY not in metadata:
        raise ProbeError(FAIL, f"{name} version {version} brings no golden set in its metadata")
    try:
        return parse(metadata)
    except (ContractError, ValueError) as error:
        raise ProbeError(FAIL, f"{name} version {version}: its golden set: {error}") from None


def parse(metadata: Mapping[str, str]) -> GoldenSet:
    """The golden set in `metadata_props`; raises ValueError, ContractError."""
    content = orjson.loads(metadata[METADATA_KEY])
    inputs, outputs = _tensors(content, "inputs"), _tensors(content, "outputs")
    counts = {tensor.shape[0] for tensor in (*inputs, *outputs)}
    if len(counts) != 1 or not 1 <= min(counts) <= MAX_CASES:
        raise ValueError(f"its tensors hold {sorted(counts)} cases, not one number up to 1000")
    cases = tuple(
        Case(tuple(t.case(number) for t in inputs), tuple(t.case(number) for t in outputs))
        for number in range(min(counts))
    )
    return GoldenSet(cases, read_contract(metadata, {tensor.name for tensor in outputs}))


def _tensors(content: Any, key: str) -> tuple[Tensor, ...]:
    items = content.get(key) if isinstance(content, dict) else None
    if not isinstance(items, list) or not items:
        raise ValueError(f"{key!r} is no array of tensors")
    return tuple(_tensor(item) for item in items)


def _tensor(item: Any) -> Tensor:
    try:
        shape, data = tuple(item["shape"]), tuple(item["data"])
        tensor = Tensor(str(item["name"]), str(item["datatype"]), shape, data)
    except (TypeError, KeyError):
        raise ValueError("a tensor lacks name, datatype, shape or data") from None
    if not shape or not all(type(size) is int and size > 0 for size in shape):
        raise ValueError(f"{tensor.name!r}: a size of its shape is no positive integer")
    if len(data) != math.prod(shape):
        raise ValueError(f"{tensor.name!r} has {len(data)} values for the shape {list(shape)}")
    if tensor.is_float and not all(type(value) in (int, float) for value in data):
        raise ValueError(f"{tensor.name!r}: a value is no number")
    return tensor


@dataclass(frozen=True)
class Deviation:
    """The largest difference of one answer from its case, and what is wrong with it."""

    size: float
    problem: str | None = None


def compare(case: Case, outputs: Mapping[str, Mapping[str, Any]], tolerance: float) -> Deviation:
    """How far the tensors of an answer, by name, are from the recorded ones.

    A float may differ by `tolerance`, times its own size where that is above 1; anything
    else has to be equal. The first value that differs is the problem.
    """
    worst = Deviation(0.0)
    for expected in case.outputs:
        deviation = _difference(expected, outputs.get(expected.name), tolerance)
        if deviation.problem is not None:
            return deviation
        worst = max(worst, deviation, key=lambda each: each.size)
    return worst


def _difference(expected: Tensor, got: Mapping[str, Any] | None, tolerance: float) -> Deviation:
    if got is None:
        return Deviation(0.0, f"the output {expected.name!r} is missing")
    kind = (got.get("datatype"), got.get("shape"))
    if kind != (expected.datatype, list(expected.shape)):
        return Deviation(
            0.0,
            f"{expected.name} is {kind[0]} of shape {kind[1]}, "
            f"expected {expected.datatype} of shape {list(expected.shape)}",
        )
    data = got.get("data")
    if not isinstance(data, list) or len(data) != len(expected.data):
        return Deviation(0.0, f"{expected.name} does not hold {len(expected.data)} values")
    worst = 0.0
    for position, (value, wanted) in enumerate(zip(data, expected.data, strict=True)):
        distance = _distance(value, wanted) if expected.is_float else float(value != wanted)
        if distance > (tolerance if expected.is_float else 0):
            shown = "null (NaN or infinite)" if value is None else repr(value)[:40]
            return Deviation(
                distance, f"{expected.name}[{position}] is {shown}, expected {wanted!r}"
            )
        worst = max(worst, distance)
    return Deviation(worst)


def _distance(value: Any, wanted: float) -> float:
    if type(value) not in (int, float):
        return math.inf
    return float(abs(value - wanted) / max(1.0, abs(wanted)))
