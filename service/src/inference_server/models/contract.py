"""The model contract: what the training pipeline wrote into the ONNX metadata."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson


class ContractError(Exception):
    """Metadata that contradicts itself or the model."""


@dataclass(frozen=True)
class ModelContract:
    """Optional facts about a model; each is empty where the file does not say."""

    framework: str = "unknown"
    feature_names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    class_output: str | None = None
    score_output: str | None = None
    output_ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def read_contract(metadata: Mapping[str, str], outputs: set[str]) -> ModelContract:
    """The contract in `metadata_props`; raises ContractError that names the wrong key."""
    contract = ModelContract(
        framework=metadata.get("framework", "unknown"),
        feature_names=_names(metadata, "feature_names"),
        class_names=_names(metadata, "class_names"),
        class_output=metadata.get("class_output"),
        score_output=metadata.get("score_output"),
        output_ranges=_ranges(metadata),
    )
    named = {contract.class_output, contract.score_output, *contract.output_ranges} - {None}
    if missing := sorted(str(name) for name in named - outputs):
        raise ContractError(f"metadata names the output {missing[0]!r}, which the model lacks")
    return contract


def _names(metadata: Mapping[str, str], key: str) -> tuple[str, ...]:
    value = _json(metadata, key, [])
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ContractError(f"metadata {key!r} is no JSON array of strings")
    return tuple(value)


def _ranges(metadata: Mapping[str, str]) -> dict[str, tuple[float, float]]:
    value = _json(metadata, "output_ranges", {})
    if not isinstance(value, dict) or not all(map(_is_range, value.values())):
        raise ContractError("metadata 'output_ranges' is no JSON object of [low, high]")
    return {name: (float(low), float(high)) for name, (low, high) in value.items()}


def _is_range(value: Any) -> bool:
    numbers = isinstance(value, list) and all(type(bound) in (int, float) for bound in value)
    return numbers and len(value) == 2 and value[0] <= value[1]


def _json(metadata: Mapping[str, str], key: str, default: Any) -> Any:
    if key not in metadata:
        return default
    try:
        return orjson.loads(metadata[key])
    except orjson.JSONDecodeError as error:
        raise ContractError(f"metadata {key!r} is no JSON: {error}") from None
