"""Models with a golden set, computed here and not by the server, and a way to probe them."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
from inference_server.cli import main

from .onnx_models import FEATURES, classifier

ROWS = np.random.default_rng(7).normal(size=(24, FEATURES)).astype(np.float32)
_DATATYPES = {"float32": "FP32", "int64": "INT64", "object": "BYTES"}


def tensor(name: str, values: np.ndarray) -> dict[str, object]:
    """As the protocol writes it."""
    datatype = _DATATYPES[str(values.dtype)]
    shape, data = list(values.shape), values.ravel().tolist()
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def golden_set(inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> str:
    """The metadata `golden_set` of these arrays [cases, ...]."""
    return json.dumps(
        {
            "inputs": [tensor(name, values) for name, values in inputs.items()],
            "outputs": [tensor(name, values) for name, values in outputs.items()],
        }
    )


def classified(rows: np.ndarray, scale: float) -> dict[str, np.ndarray]:
    """What `classifier` of this scale has to answer: the sum of a row decides."""
    large = 1 / (1 + np.exp(-2.0 * scale * rows.sum(axis=1)))
    probabilities = np.stack([1 - large, large], axis=1)
    return {
        "label": probabilities.argmax(axis=1),
        "probabilities": probabilities.astype(np.float32),
    }


def golden_classifier(path: Path, scale: float = 1, recorded: float | None = None) -> Path:
    """A classifier with its golden set; `recorded` is the scale of the model that made the set."""
    outputs = classified(ROWS, scale if recorded is None else recorded)
    return classifier(path, scale, golden_set=golden_set({"features": ROWS}, outputs))


def ask(*words: str) -> tuple[int, list[str], str]:
    """Exit status, lines on stdout and stderr of `inference-server probe` in this process."""
    with (
        contextlib.redirect_stdout(io.StringIO()) as stdout,
        contextlib.redirect_stderr(io.StringIO()) as stderr,
    ):
        try:
            status = main(["probe", *words])
        except SystemExit as misuse:
            status = int(str(misuse.code))
    return status, stdout.getvalue().splitlines(), stderr.getvalue()
