"""The model files that every server gets: the same bytes each time they are made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper, save

FEATURES, CLASSES, PIXELS = 30, 2, 224
INPUT, OUTPUT = "features", "probabilities"
IMAGE, LOGITS = "image", "logits"


class _Graph:
    """Collects nodes and seeded weights."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []

    def add(self, kind: str, *inputs: str, **attributes: object) -> str:
        """Add a node; returns the name of its output."""
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def weight(self, *shape: int) -> str:
        """Add weights that keep the size of what passes (He et al., 2015)."""
        name = f"weight{len(self.weights)}"
        spread = np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0.01
        values = (self.random.standard_normal(shape) * spread).astype(np.float32)
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def dense(self, before: str, inputs: int, outputs: int) -> str:
        return self.add(
            "Gemm", before, self.weight(outputs, inputs), self.weight(outputs), transB=1
        )

    def convolution(self, before: str, inputs: int, outputs: int, size: int, stride: int) -> str:
        weights = self.weight(outputs, inputs, size, size), self.weight(outputs)
        return self.add("Conv", before, *weights, kernel_shape=[size, size],
                        strides=[stride, stride], pads=[size // 2] * 4)  # fmt: skip

    def save(self, path: Path, given: tuple[str, list[object]], made: tuple[str, int]) -> Path:
        self.nodes[-1].output[0] = made[0]
        graph = helper.make_graph(
            self.nodes,
            path.parts[-3],
            [helper.make_tensor_value_info(given[0], TensorProto.FLOAT, ["N", *given[1]])],
            [helper.make_tensor_value_info(made[0], TensorProto.FLOAT, ["N", made[1]])],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        path.parent.mkdir(parents=True, exist_ok=True)
        save(model, path)
        return path


def mlp(path: Path, seed: int = 1) -> Path:
    """Write a perceptron 30 -> 256 -> 256 -> 2 to `<name>/<version>/model.onnx`."""
    graph = _Graph(seed)
    found = graph.add("Relu", graph.dense(INPUT, FEATURES, 256))
    found = graph.add("Relu", graph.dense(found, 256, 256))
    graph.add("Softmax", graph.dense(found, 256, CLASSES), axis=1)
    return graph.save(path, (INPUT, [FEATURES]), (OUTPUT, CLASSES))


def resnet(path: Path, seed: int = 2) -> Path:
    """Write the layers of ResNet-18 (He et al., 2015), normalisation folded, random weights."""
    graph = _Graph(seed)
    found = graph.add("Relu", graph.convolution(IMAGE, 3, 64, 7, 2))
    found = graph.add("MaxPool", found, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    width = 64
    for stage in range(4):
        for block in range(2):
            after, stride = 64 << stage, 2 if stage and not block else 1
            found = _block(graph, found, width, after, stride)
            width = after
    found = graph.add("Flatten", graph.add("GlobalAveragePool", found))
    graph.dense(found, width, 1000)
    return graph.save(path, (IMAGE, [3, PIXELS, PIXELS]), (LOGITS, 1000))


def _block(graph: _Graph, before: str, width: int, after: int, stride: int) -> str:
    found = graph.add("Relu", graph.convolution(before, width, after, 3, stride))
    found = graph.convolution(found, after, after, 3, 1)
    if width != after:
        before = graph.convolution(before, width, after, 1, stride)
    return graph.add("Relu", graph.add("Add", found, before))


def rows(number: int, seed: int = 3) -> np.ndarray:
    """Return rows of features, FP32 [number, 30], with few digits as a client would send."""
    drawn = np.random.default_rng(seed).standard_normal((number, FEATURES))
    return np.round(drawn, 4).astype(np.float32)


def images(number: int, seed: int = 4) -> np.ndarray:
    """Return images, FP32 [number, 3, 224, 224], from 0 to 1 in steps of 1/255."""
    shape = (number, 3, PIXELS, PIXELS)
    drawn = np.random.default_rng(seed).integers(0, 256, shape)
    return (drawn / 255).astype(np.float32)
