"""Triton's own server program from the wheel of PyTriton, with its Python backend.

The wheel has no ONNX Runtime backend. Settings: Triton's "Model Configuration" (`instance_group`,
`dynamic_batching`) and "Optimization" guides; metrics, gRPC and logs off, as for the other peers.
"""

import os
import shutil
import sys
from pathlib import Path

import pytriton
from session import INPUT, OUTPUT, arguments

CONFIG = """
name: "mlp"
backend: "python"
max_batch_size: {most}
input [{{ name: "{input}" data_type: TYPE_FP32 dims: [30] }}]
output [{{ name: "{output}" data_type: TYPE_FP32 dims: [2] }}]
instance_group [{{ kind: KIND_CPU count: {workers} }}]
{batching}
"""
MODEL = '''
import numpy as np
import triton_python_backend_utils as pb
from session import session


class TritonPythonModel:
    """Runs the requests of a batch as one inference."""

    def initialize(self, args):
        self.session = session()

    def execute(self, requests):
        rows = [pb.get_input_tensor_by_name(one, "INPUT").as_numpy() for one in requests]
        if len(rows) == 1:
            return [self.answer(self.session.run(None, {"INPUT": rows[0]})[0])]
        [found] = self.session.run(None, {"INPUT": np.concatenate(rows)})
        ends = np.cumsum([len(one) for one in rows])[:-1]
        return [self.answer(part) for part in np.split(found, ends)]

    def answer(self, part):
        return pb.InferenceResponse([pb.Tensor("OUTPUT", part)])
'''


def main() -> None:
    """Write the model repository and become the server."""
    options = arguments()
    server = Path(pytriton.__file__).parent / "tritonserver"
    models, backends = options.folder / "models", options.folder / "backends"
    (models / "mlp" / "1").mkdir(parents=True)
    batching = "dynamic_batching { }" if options.batch else ""
    config = CONFIG.format(most=options.batch or 1, input=INPUT, output=OUTPUT,
                           workers=options.workers, batching=batching)  # fmt: skip
    (models / "mlp" / "config.pbtxt").write_text(config)
    model = MODEL.replace('"INPUT"', f'"{INPUT}"').replace('"OUTPUT"', f'"{OUTPUT}"')
    (models / "mlp" / "1" / "model.py").write_text(model)
    shutil.copytree(server / "backends", backends)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = server / "python_backend_stubs" / version / "triton_python_backend_stub"
    shutil.copy(stub, backends / "python")
    shutil.copy(Path(__file__).with_name("session.py"), models / "mlp" / "1")
    environment = os.environ | {
        # The backend's Python is the one that PATH has first, as PyTriton starts it.
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": ":".join(map(str, libraries(server))),
    }
    program = server / "bin" / "tritonserver"
    flags = {
        "model-repository": models, "backend-directory": backends,
        "http-address": "127.0.0.1", "http-port": options.port,
        "allow-grpc": "false", "allow-metrics": "false", "log-info": "false",
    }  # fmt: skip
    command = [str(program), *(f"--{name}={value}" for name, value in flags.items())]
    os.execve(command[0], command, environment)


def libraries(server: Path) -> list[Path]:
    """Return folders with the shared libraries that the wheel and this Python bring."""
    bundled = server.parents[1] / "nvidia_pytriton.libs"
    return [bundled, server / "external_libs", Path(sys.base_prefix) / "lib"]


if __name__ == "__main__":
    main()
