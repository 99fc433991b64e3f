"""MLServer with a custom runtime, as its documentation says for a framework that it lacks.

Settings: docs.seldon.ai/mlserver, "Adaptive Batching" and "Parallel Inference" (`parallel_workers`
as many as cores; 0 is the process itself), `debug` off.
"""

import json
import sys

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from session import INPUT, OUTPUT, session


class Onnx(MLModel):
    """A model file, run by ONNX Runtime."""

    async def load(self) -> bool:
        """Open the model."""
        self.session = session()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer one request, or a batch that MLServer made of several."""
        rows = NumpyCodec.decode_input(payload.inputs[0])
        [found] = self.session.run(None, {INPUT: rows})
        output = NumpyCodec.encode_output(OUTPUT, found)
        return InferenceResponse(model_name=self.name, outputs=[output])


def main() -> None:
    """Write the two settings files and start the server."""
    from mlserver.cli import main as command
    from session import arguments

    options = arguments()
    write(options)
    sys.argv = ["mlserver", "start", str(options.folder)]
    command()


def write(options) -> None:
    """Write what `mlserver start` reads."""
    server = {
        "http_port": options.port,
        "grpc_port": options.port + 1000,
        "metrics_port": options.port + 2000,
        "host": "127.0.0.1",
        "debug": False,
        "parallel_workers": options.workers if options.workers > 1 else 0,
        "metrics_endpoint": None,
        "logging_settings": None,
    }
    model = {
        "name": "mlp",
        "implementation": "mlserver_runtime.Onnx",
        "max_batch_size": options.batch,
        "max_batch_time": 0.001 if options.batch else 0,
    }
    for name, content in (("settings", server), ("model-settings", model)):
        (options.folder / f"{name}.json").write_text(json.dumps(content))


if __name__ == "__main__":
    main()
