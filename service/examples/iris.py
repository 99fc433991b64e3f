"""Make a tabular model: a scikit-learn pipeline that tells irises apart, converted to ONNX.

python service/examples/iris.py models/    writes models/iris/1/model.onnx
"""

import json
import sys
from pathlib import Path

import sklearn
from onnx import helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main(repository: Path) -> float:
    """Train, write the model into the repository, and return its accuracy on unseen flowers."""
    iris = load_iris()
    train, test, train_labels, test_labels = train_test_split(
        iris.data, iris.target, random_state=0, stratify=iris.target
    )
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(train, train_labels)
    model = to_onnx(
        pipeline,
        initial_types=[("features", FloatTensorType([None, len(iris.feature_names)]))],
        options={"zipmap": False},  # probabilities as a tensor, not as a list of maps
        target_opset={"": 18, "ai.onnx.ml": 3},
    )
    helper.set_model_props(
        model,
        {
            "framework": f"scikit-learn {sklearn.__version__}",
            "feature_names": json.dumps(
                [name.removesuffix(" (cm)") for name in iris.feature_names]
            ),
            "class_names": json.dumps(iris.target_names.tolist()),
            "class_output": "label",
            "score_output": "probabilities",
            "output_ranges": json.dumps({"probabilities": [0, 1]}),
        },
    )
    file = repository / "iris" / "1" / "model.onnx"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(model.SerializeToString())
    accuracy = float(pipeline.score(test, test_labels))
    print(f"{file}: {accuracy:.1%} of {len(test)} unseen irises told rightly")
    return accuracy


if __name__ == "__main__":
    main(Path(sys.argv[1]))
