"""Ask for eight digits over gRPC: python with_grpc.py localhost:8081."""

import sys

import numpy as np
import tritonclient.grpc as protocol
from sklearn.datasets import load_digits


def main(address: str) -> None:
    """Print what the model reads in eight images."""
    images = load_digits().images[:8, None].astype(np.float32)
    tensor = protocol.InferInput("image", list(images.shape), "FP32")
    tensor.set_data_from_numpy(images)
    with protocol.InferenceServerClient(address) as client:
        print(*client.infer("digits", [tensor]).as_numpy("label"))


if __name__ == "__main__":
    main(sys.argv[1])
