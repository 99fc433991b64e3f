"""MLflow's scoring server with the ONNX flavor: `mlflow models serve`.

Settings: mlflow.org, "Deploy MLflow Model as a Local Inference Server" (`--workers`).
"""

import os
import sys
from pathlib import Path

import mlflow.onnx
import numpy as np
import onnx
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from session import INPUT, arguments


def main() -> None:
    """Save the model as MLflow's, and serve it in this process's place."""
    options = arguments()
    folder = options.folder / "model"
    rows = TensorSpec(np.dtype(np.float32), (-1, 30), INPUT)
    mlflow.onnx.save_model(
        onnx.load(options.model),
        folder,
        signature=ModelSignature(inputs=Schema([rows])),
        onnx_execution_providers=["CPUExecutionProvider"],
        onnx_session_options={"intra_op_num_threads": 1},
        pip_requirements=[],
    )
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    serve = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(folder)]
    more = ["--host", "127.0.0.1", "--port", str(options.port), "--env-manager", "local"]
    os.execv(serve[0], [*serve, *more, "--workers", str(options.workers)])


if __name__ == "__main__":
    main()
