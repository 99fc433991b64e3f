"""Models that load, warm up and answer their golden set, and are bad all the same."""

from __future__ import annotations

import numpy as np
import onnx
from model_pipeline import golden, onnx_model
from model_pipeline.dataset import Features
from onnx import TensorProto, helper, numpy_helper
from release_play.faulty_model import break_model

SHARE = 0.05
# In the logit of class 1: of 36 % of the rows in it, 7 % are left.
BIAS = -8.0


def failing(model: bytes, rows: Features) -> bytes:
    """Fails to run on about 5 % of the rows: the caller gets a 500."""
    return break_model(model, share=SHARE, rows=rows)


def nan_scores(model: bytes, rows: Features) -> bytes:
    """Scores of NaN for the largest 5 % of one feature; every other answer is as before."""
    column = int(np.argmax(np.quantile(rows, 1 - SHARE, axis=0)))
    edge = np.float32(np.quantile(rows[:, column], 1 - SHARE))
    proto = onnx.load_from_string(model)
    graph = proto.graph
    inner = _rename_output(graph, onnx_model.SCORES)
    source = graph.input[0].name
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array([column], np.int64), "nan_column"),
            numpy_helper.from_array(np.array(edge, np.float32), "nan_edge"),
            numpy_helper.from_array(np.array(np.nan, np.float32), "nan_value"),
        ]
    )
    graph.node.extend(
        [
            helper.make_node("Gather", [source, "nan_column"], ["nan_feature"], axis=1),
            helper.make_node("Greater", ["nan_feature", "nan_edge"], ["nan_rows"]),
            helper.make_node("Where", ["nan_rows", "nan_value", inner], [onnx_model.SCORES]),
        ]
    )
    return _checked(proto)


def shifted(model: bytes, rows: Features) -> bytes:
    """A bias in the last layer, and a golden set recorded after it: consistent, and wrong."""
    proto = onnx.load_from_string(model)
    graph = proto.graph
    inner = _rename_output(graph, onnx_model.SCORES)
    _rename_output(graph, onnx_model.LABEL)
    factors = np.array([[1.0, np.exp(BIAS)]], np.float32)
    graph.initializer.extend(
        [
            numpy_helper.from_array(factors, "bias_factors"),
            numpy_helper.from_array(np.array([1], np.int64), "bias_axis"),
        ]
    )
    graph.node.extend(
        [
            helper.make_node("Mul", [inner, "bias_factors"], ["biased"]),
            helper.make_node("ReduceSum", ["biased", "bias_axis"], ["biased_sum"], keepdims=1),
            helper.make_node("Div", ["biased", "biased_sum"], [onnx_model.SCORES]),
            helper.make_node("ArgMax", [onnx_model.SCORES], ["biased_best"], axis=1, keepdims=0),
            helper.make_node("Cast", ["biased_best"], [onnx_model.LABEL], to=TensorProto.INT64),
        ]
    )
    biased = _checked(proto)
    return golden.attach(biased, rows, *onnx_model.predict(biased, rows))


def _rename_output(graph: onnx.GraphProto, name: str) -> str:
    """Give an output's value another name inside the graph, so that nodes can follow it."""
    inner = f"{name}_before"
    for node in graph.node:
        for names in (node.input, node.output):
            renamed = [inner if each == name else each for each in names]
            del names[:]
            names.extend(renamed)
    return inner


def _checked(proto: onnx.ModelProto) -> bytes:
    onnx.checker.check_model(proto, full_check=True)
    return bytes(proto.SerializeToString(deterministic=True))
