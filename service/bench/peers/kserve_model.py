"""KServe's Python model server, which its custom predictors use; protocol v1, its fastest.

Settings: kserve.github.io, "Custom Predictor" (workers). Its batcher is a sidecar of the cluster.
"""

import kserve
import numpy as np
from session import INPUT, arguments, session


class Onnx(kserve.Model):
    """A model file, run by ONNX Runtime."""

    def __init__(self, name: str):
        super().__init__(name)
        self.session = None
        self.ready = True

    def load(self) -> bool:
        """Open the model, once in each worker."""
        self.session = session()
        return True

    async def predict(self, payload, headers=None, response_headers=None):
        """Answer one request by one inference."""
        if self.session is None:
            self.load()
        rows = np.array(payload["instances"], dtype=np.float32)
        return {"predictions": self.session.run(None, {INPUT: rows})[0].tolist()}


if __name__ == "__main__":
    options = arguments()
    kserve.ModelServer(
        http_port=options.port,
        workers=options.workers,
        enable_grpc=False,
        enable_latency_logging=False,
        access_log_format=None,
    ).start([Onnx("mlp")])
