"""Is the service alive, ready, described, and does it answer by both of its interfaces?"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from inference_server.probe.client import wait_until_served
from inference_server.probe.golden_set import Target
from inference_server.probe.outcome import FAIL, PASS, Report

_ZEROS: dict[str, Any] = {"BYTES": "", "BOOL": False, "FP16": 0.0, "FP32": 0.0, "FP64": 0.0}


async def ask_smoke(target: Target) -> Report:
    """Five questions, all of them asked; raises ProbeError."""
    async with target.address() as address:
        await wait_until_served(address, target.name, target.version, target.patience)
        metadata = await address.get(f"/v2/models/{target.name}")
        inputs = sample_inputs(metadata.content)
        inferred = await address.infer(target.name, {"inputs": list(map(_on_the_wire, inputs))})
        predicted = await address.post(
            f"/predict?model={target.name}", orjson.dumps(_plain(inputs))
        )
        found = {
            "live": (await address.get("/v2/health/live")).problem,
            "ready": (await address.get("/v2/health/ready")).problem,
            "metadata": metadata.problem or (None if inputs else "it describes no inputs"),
            "infer": inferred.problem_as(target.version),
            "predict": predicted.problem_as(target.version),
        }
    wrong = tuple(f"{name}: {problem}" for name, problem in found.items() if problem is not None)
    counted = f"{len(found) - len(wrong)} of {len(found)} answers are right"
    return Report(FAIL if wrong else PASS, counted, wrong)


def sample_inputs(metadata: Any) -> list[tuple[str, str, list[Any]]]:
    """Name, datatype and one row of zeros (nested lists) for each input of the signature.

    Empty where the metadata does not describe inputs.
    """
    try:
        return [
            (each["name"], each["datatype"], _zeros(each["datatype"], each["shape"]))
            for each in metadata["inputs"]
        ]
    except (TypeError, KeyError, ValueError):
        return []


def _zeros(datatype: str, shape: Sequence[int]) -> list[Any]:
    sizes = [size if size > 0 else 1 for size in shape]
    return list(np.full(sizes, _ZEROS.get(datatype, 0), dtype=np.object_).tolist())


def _on_the_wire(sampled: tuple[str, str, list[Any]]) -> dict[str, Any]:
    name, datatype, rows = sampled
    shape = list(np.shape(np.array(rows, dtype=np.object_)))
    return {"name": name, "datatype": datatype, "shape": shape, "data": rows}


def _plain(inputs: list[tuple[str, str, list[Any]]]) -> dict[str, Any]:
    """The body of /predict: rows for a model with one input, else a column for each input."""
    if len(inputs) == 1:
        return {"instances": inputs[0][2]}
    return {"columns": {name: rows for name, _, rows in inputs}}
