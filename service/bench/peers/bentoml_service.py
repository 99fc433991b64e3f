"""BentoML: a service with adaptive batching, or without.

Settings: docs.bentoml.com, "Adaptive batching", "Workers" and "Configurations" (access log and
metrics off, as for the other peers).
"""

import os
import sys
from pathlib import Path

import bentoml
import numpy as np
from session import INPUT, session

BATCH = int(os.environ.get("BATCH", "0"))


@bentoml.service(
    name="mlp",
    workers=int(os.environ.get("WORKERS", "1")),
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
    traffic={"timeout": 60},
)
class Service:
    """A model file, run by ONNX Runtime."""

    def __init__(self) -> None:
        self.session = session()

    @bentoml.api(batchable=BATCH > 0, max_batch_size=BATCH or 2, max_latency_ms=1000)
    async def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Run the model."""
        return self.session.run(None, {INPUT: inputs.astype(np.float32)})[0]


def main() -> None:
    """Serve in this process's place."""
    from session import arguments

    options = arguments()
    os.environ |= {"BATCH": str(options.batch), "WORKERS": str(options.workers)}
    os.environ |= {"BENTOML_HOME": str(options.folder), "BENTOML_DO_NOT_TRACK": "true"}
    command = [sys.executable, "-m", "bentoml", "serve", "bentoml_service:Service"]
    more = ["--host", "127.0.0.1", "--port", str(options.port), "--quiet"]
    os.chdir(Path(__file__).parent)
    os.execv(command[0], command + more)


if __name__ == "__main__":
    main()
