"""The ONNX side: export, the model contract, and agreement with scikit-learn."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from model_pipeline.dataset import CLASS_NAMES, Features, Labels
from model_pipeline.errors import GateError, PipelineError

INPUT = "features"
LABEL = "label"
SCORES = "probabilities"
OPSETS = {"": 17, "ai.onnx.ml": 3}
TOLERANCE = 1e-5

Scores = npt.NDArray[np.float32]


def export(estimator: Any, graph_name: str, feature_names: Sequence[str]) -> bytes:
    """Convert a fitted classifier; the same estimator gives the same bytes.

    The graph's name is given: skl2onnx's own is random or a class name, by entry point.
    """
    import sklearn
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    model = to_onnx(
        estimator,
        name=graph_name,
        initial_types=[(INPUT, FloatTensorType([None, len(feature_names)]))],
        options={id(estimator): {"zipmap": False}},
        target_opset=OPSETS,
    )
    metadata = {
        "framework": f"scikit-learn {sklearn.__version__}",
        "feature_names": json.dumps(list(feature_names)),
        "class_names": json.dumps(list(CLASS_NAMES)),
        "class_output": LABEL,
        "score_output": SCORES,
        "output_ranges": json.dumps({SCORES: [0, 1]}),
    }
    # skl2onnx lists the operator sets in the order of a set, which differs between processes.
    opsets = sorted(model.opset_import, key=lambda opset: opset.domain)
    del model.opset_import[:]
    model.opset_import.extend(opsets)
    for key, value in sorted(metadata.items()):
        model.metadata_props.add(key=key, value=value)
    return bytes(model.SerializeToString(deterministic=True))


def predict(model: bytes, features: Features) -> tuple[Labels, Scores]:
    """Run features [N, 30] through ONNX Runtime: labels [N], probabilities [N, 2]."""
    labels, scores = _session(model).run([LABEL, SCORES], {INPUT: features})
    return labels, scores


def check_agreement(estimator: Any, model: bytes, features: Features) -> float:
    """Compare scikit-learn and ONNX Runtime on every row.

    Returns the largest difference of a probability; raises GateError where a label
    differs or a probability is further away than TOLERANCE.
    """
    labels, scores = predict(model, features)
    differing = int(np.sum(labels != estimator.predict(features)))
    if differing:
        raise GateError(
            f"agreement: {differing} of {len(features)} test rows get another label from "
            "ONNX Runtime than from scikit-learn: the export is wrong, nothing is registered"
        )
    distance = float(np.max(np.abs(scores - estimator.predict_proba(features))))
    if not distance <= TOLERANCE:
        raise GateError(
            f"agreement: ONNX Runtime's probabilities are up to {distance:.2g} away from "
            f"scikit-learn's, {TOLERANCE:g} is allowed: nothing is registered"
        )
    return distance


def check_contract(model: bytes, source: str) -> bytes:
    """Refuse what is no ONNX model of the contract; returns it as MLflow will write it.

    `source` names the file in the error (PipelineError).
    """
    import onnx

    try:
        proto = onnx.load_from_string(model)
        onnx.checker.check_model(proto, full_check=True)
        session = _session(model)
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise PipelineError(f"{source}: not an ONNX model that loads: {reason}") from None
    found = [
        (value.name, value.type, len(value.shape))
        for value in (*session.get_inputs(), *session.get_outputs())
    ]
    wanted = [
        (INPUT, "tensor(float)", 2),
        (LABEL, "tensor(int64)", 1),
        (SCORES, "tensor(float)", 2),
    ]
    if found != wanted:
        raise PipelineError(
            f"{source}: inputs and outputs are {_names(found)}, the contract wants {_names(wanted)}"
        )
    return bytes(proto.SerializeToString(deterministic=True))


def _names(values: list[tuple[str, str, int]]) -> str:
    return ", ".join(f"{name} {kind} of rank {rank}" for name, kind, rank in values)


def _session(model: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
