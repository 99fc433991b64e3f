"""Make an image model: handwritten digits, 8 by 8 pixels, by a small convolutional network.

The filters of its one convolution are the most typical patches of the training images (k-means on
normalised patches; Coates, Ng, Lee 2011), so only the last layer needs training: two seconds.

    python service/examples/digits.py models/    writes models/digits/1/model.onnx
"""

import json
import sys
from pathlib import Path

import numpy as np
import sklearn
from numpy.lib.stride_tricks import sliding_window_view
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper
from sklearn.cluster import MiniBatchKMeans
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

SIZE, BRIGHTEST, PATCH, FILTERS = 8, 16, 3, 32


def main(repository: Path) -> float:
    """Train, write the model into the repository, and return its accuracy on unseen images."""
    digits = load_digits()
    images = digits.images.astype(np.float32)
    train, test, train_labels, test_labels = train_test_split(
        images, digits.target, test_size=0.25, random_state=0, stratify=digits.target
    )
    filters = typical_patches(train / BRIGHTEST)
    head = LogisticRegression(C=1, max_iter=2000)
    head.fit(features(train / BRIGHTEST, filters), train_labels)
    file = repository / "digits" / "1" / "model.onnx"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(network(filters, head).SerializeToString())
    accuracy = float(head.score(features(test / BRIGHTEST, filters), test_labels))
    print(f"{file}: {accuracy:.1%} of {len(test)} unseen digits read rightly")
    return accuracy


def typical_patches(images: np.ndarray) -> np.ndarray:
    """Filters [FILTERS, PATCH, PATCH] of unit length without mean."""
    patches = sliding_window_view(images, (PATCH, PATCH), axis=(1, 2)).reshape(-1, PATCH**2)
    patches = unit(patches - patches.mean(axis=1, keepdims=True))
    clusters = MiniBatchKMeans(FILTERS, random_state=0, n_init=1, batch_size=2048).fit(patches)
    centres = clusters.cluster_centers_
    centres = unit(centres - centres.mean(axis=1, keepdims=True))
    return centres.reshape(FILTERS, PATCH, PATCH).astype(np.float32)


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1; an empty one stays empty."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def features(images: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """What the network's last layer sees of images [N, 8, 8]: filtered, rectified, pooled."""
    patches = sliding_window_view(np.pad(images, ((0, 0), (1, 1), (1, 1))), (PATCH, PATCH), (1, 2))
    maps = np.maximum(np.einsum("nhwij,fij->nfhw", patches, filters, optimize=True), 0)
    half = SIZE // 2
    return maps.reshape(-1, FILTERS, half, 2, half, 2).max(axis=(3, 5)).reshape(len(images), -1)


def network(filters: np.ndarray, head: LogisticRegression) -> ModelProto:
    """`image` [N, 1, 8, 8] of 0 to 16 to `label` [N] and `probabilities` [N, 10]."""
    constants = {
        "brightest": np.array(BRIGHTEST, dtype=np.float32),
        "filters": filters[:, None],
        "weights": head.coef_.astype(np.float32),
        "bias": head.intercept_.astype(np.float32),
    }
    nodes = [
        helper.make_node("Div", ["image", "brightest"], ["scaled"]),
        helper.make_node("Conv", ["scaled", "filters"], ["maps"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["maps"], ["rectified"]),
        helper.make_node("MaxPool", ["rectified"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights", "bias"], ["logits"], transB=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "digits",
        [value("image", TensorProto.FLOAT, ["N", 1, SIZE, SIZE])],
        [
            value("label", TensorProto.INT64, ["N"]),
            value("probabilities", TensorProto.FLOAT, ["N", 10]),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(
        model,
        {
            "framework": f"scikit-learn {sklearn.__version__}",
            "class_names": json.dumps(
                ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
            ),
            "class_output": "label",
            "score_output": "probabilities",
            "output_ranges": json.dumps({"probabilities": [0, 1]}),
        },
    )
    checker.check_model(model)
    return model


if __name__ == "__main__":
    main(Path(sys.argv[1]))
