"""The golden set: rows and the answers recorded for them, carried in the ONNX metadata.

The service's golden-set probe asks a canary the same rows before it gets traffic.
"""

import json
from typing import Any

import numpy as np

from model_pipeline.dataset import Features, Labels
from model_pipeline.errors import PipelineError
from model_pipeline.onnx_model import INPUT, LABEL, SCORES, Scores

METADATA_KEY = "golden_set"
MAX_CASES = 64
# A row nearer to a tie than this may get the other class on another processor.
MARGIN = 0.01


def attach(model: bytes, features: Features, labels: Labels, scores: Scores) -> bytes:
    """Record the first MAX_CASES rows that are no near tie; replaces a set that is there.

    Features [N, F], labels [N] and scores [N, C] of the same rows. It is one request and
    its response of the Open Inference Protocol, the floats as short as float32 allows.
    Raises PipelineError where no row is left, or a value is NaN or infinite.
    """
    import onnx

    if not (np.all(np.isfinite(features)) and np.all(np.isfinite(scores))):
        raise PipelineError("golden set: a feature or a score is NaN or infinite")
    best = np.sort(scores, axis=1)
    rows = np.flatnonzero(best[:, -1] - best[:, -2] > MARGIN)[:MAX_CASES]
    if not len(rows):
        raise PipelineError("golden set: every row is near a tie")
    content = {
        "inputs": [_floats(INPUT, features[rows])],
        "outputs": [
            {
                "name": LABEL,
                "datatype": "INT64",
                "shape": [len(rows)],
                "data": labels[rows].tolist(),
            },
            _floats(SCORES, scores[rows]),
        ],
    }
    proto = onnx.load_from_string(model)
    facts = {entry.key: entry.value for entry in proto.metadata_props}
    facts[METADATA_KEY] = json.dumps(content, separators=(",", ":"))
    del proto.metadata_props[:]
    for key, value in sorted(facts.items()):
        proto.metadata_props.add(key=key, value=value)
    return bytes(proto.SerializeToString(deterministic=True))


def is_in(model: bytes) -> bool:
    """Whether an ONNX model brings a golden set."""
    import onnx

    metadata = onnx.load_from_string(model).metadata_props
    return any(entry.key == METADATA_KEY for entry in metadata)


def _floats(name: str, values: Scores) -> dict[str, Any]:
    data = [float(str(value)) for value in values.astype(np.float32).ravel()]
    return {"name": name, "datatype": "FP32", "shape": list(values.shape), "data": data}
