"""A convolutional network that keeps a GPU busy."""

from pathlib import Path

import numpy as np

from ..onnx_models import FLOAT, node, value, write
from .throughput import SIDE

CHANNELS = 64
LAYERS = 8
CLASSES = 10


def convolutional(path: Path) -> Path:
    """`images` [N,3,SIDE,SIDE] to `scores` [N,10]: eight 3x3 convolutions, then a mean."""
    numbers = np.random.default_rng(7)
    constants, nodes, before, channels = {}, [], "images", 3
    for layer in range(LAYERS):
        fan = channels * 9
        weights = numbers.normal(0, (2 / fan) ** 0.5, (CHANNELS, channels, 3, 3))
        constants[f"w{layer}"] = weights.astype(np.float32)
        pads = [1, 1, 1, 1]
        nodes.append(node("Conv", f"{before} w{layer}", f"c{layer}", pads=pads))
        nodes.append(node("Relu", f"c{layer}", f"r{layer}"))
        before, channels = f"r{layer}", CHANNELS
    constants["head"] = numbers.normal(0, 0.1, (CHANNELS, CLASSES)).astype(np.float32)
    nodes += [
        node("GlobalAveragePool", before, "pooled"),
        node("Flatten", "pooled", "flat"),
        node("MatMul", "flat head", "scores"),
    ]
    return write(
        path,
        nodes,
        [value("images", FLOAT, "N", 3, SIDE, SIDE)],
        [value("scores", FLOAT, "N", CLASSES)],
        constants,
    )
