"""Small ONNX models, each with one property that a test is about."""

import itertools
import json
from pathlib import Path

import numpy as np
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper, save

FEATURES = 3
FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING


def write(
    path: Path,
    nodes: list[NodeProto],
    inputs: list[ValueInfoProto],
    outputs: list[ValueInfoProto],
    constants: dict[str, np.ndarray] | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    initializers = [numpy_helper.from_array(v, k) for k, v in (constants or {}).items()]
    graph = helper.make_graph(nodes, "test", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, metadata or {})
    path.parent.mkdir(parents=True, exist_ok=True)
    save(model, path)
    return path


def value(name: str, kind: int, *shape: int | str) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(shape))


def node(kind: str, inputs: str, outputs: str, **attributes: object) -> NodeProto:
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


def classifier(path: Path, scale: float = 1, **metadata: str) -> Path:
    """`features` [N,3] to `label` [N] and `probabilities` [N,2]; the sum decides."""
    weights = np.array([[-scale, scale]] * FEATURES, dtype=np.float32)
    facts = {
        "framework": "numpy 2",
        "feature_names": json.dumps(["length", "width", "height"]),
        "class_names": json.dumps(["small", "large"]),
        "class_output": "label",
        "score_output": "probabilities",
        "output_ranges": json.dumps({"probabilities": [0, 1]}),
    }
    return write(
        path,
        [
            node("MatMul", "features weights", "logits"),
            node("Softmax", "logits", "probabilities", axis=1),
            node("ArgMax", "probabilities", "label", axis=1, keepdims=0),
        ],
        [value("features", FLOAT, "N", FEATURES)],
        [value("label", INT64, "N"), value("probabilities", FLOAT, "N", 2)],
        {"weights": weights},
        facts | metadata,
    )


def lookup(path: Path, **metadata: str) -> Path:
    """Fails inside ONNX Runtime for every `x` outside -3..2: its table has three rows."""
    return write(
        path,
        [node("Cast", "x", "index", to=INT64), node("Gather", "table index", "y")],
        [value("x", FLOAT, "N")],
        [value("y", FLOAT, "N")],
        {"table": np.array([1, 2, 3], dtype=np.float32)},
        metadata,
    )


def logarithm(path: Path, **metadata: str) -> Path:
    """NaN for negative `x`, -inf for zero."""
    return write(
        path,
        [node("Log", "x", "y")],
        [value("x", FLOAT, "N")],
        [value("y", FLOAT, "N")],
        metadata=metadata,
    )


def pair(path: Path) -> Path:
    """Two inputs that share the dimension N: `left` [N,1] float and `right` [N] int64."""
    return write(
        path,
        [
            node("Cast", "right", "number", to=FLOAT),
            node("Squeeze", "left axes", "flat"),
            node("Add", "flat number", "sum"),
        ],
        [value("left", FLOAT, "N", 1), value("right", INT64, "N")],
        [value("sum", FLOAT, "N")],
        {"axes": np.array([1], dtype=np.int64)},
    )


def echo(path: Path, kind: int, **metadata: str) -> Path:
    """Answers `x` [N] as it came."""
    return write(
        path,
        [node("Identity", "x", "y")],
        [value("x", kind, "N")],
        [value("y", kind, "N")],
        metadata=metadata,
    )


def slow(path: Path, size: int = 1200, products: int = 60, **metadata: str) -> Path:
    """Takes long for a large `x` [N,size]: a chain of matrix products."""
    eye = np.eye(size, dtype=np.float32)
    names = ["x", *(f"h{i}" for i in range(products - 1)), "y"]
    return write(
        path,
        [node("MatMul", f"{a} eye", b) for a, b in itertools.pairwise(names)],
        [value("x", FLOAT, "N", size)],
        [value("y", FLOAT, "N", size)],
        {"eye": eye},
        metadata,
    )
