"""What every peer shares: the same ONNX Runtime session, and the same command line."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import onnxruntime

INPUT, OUTPUT = "features", "probabilities"
MODEL = "MODEL_FILE"


def arguments() -> argparse.Namespace:
    """Options of a peer: the model file, the port, server processes, and batching or not."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="for files it has to make")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--batch", type=int, default=0, help="rows; 0: no batching")
    options = parser.parse_args()
    os.environ[MODEL] = str(options.model)  # worker processes read it
    return options


def session() -> onnxruntime.InferenceSession:
    """Return a session with one thread: the fastest for a model of microseconds."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        os.environ[MODEL], options, providers=["CPUExecutionProvider"]
    )
