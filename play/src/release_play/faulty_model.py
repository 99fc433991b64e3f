"""A model that loads and warms up well, and fails on some real inputs.

The fault is one that training really makes: a lookup table that lacks the bin of the
largest values. It is in the artefact alone; the service has no switch for it.
"""

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

# Warm-up sends zeros, ones and the like: the missing bin must begin well above them.
SYNTHETIC_LIMIT = 10.0


def break_model(model: bytes, *, share: float, rows: npt.NDArray[np.float32]) -> bytes:
    """Make an ONNX model fail on about `share` of `rows`, one row per request.

    `model` takes one float32 input [N, F]; `rows` are real inputs [M, F]. In the result
    the input passes a Gather whose index is out of range where the feature with the
    largest values is above its (1 - share) quantile: ONNX Runtime's CPU provider then
    refuses the whole batch. Every other output is bit-equal. Raises ValueError where
    `rows` have no feature that tells them from synthetic inputs.
    """
    proto = onnx.load_from_string(model)
    graph = proto.graph
    column, threshold = _missing_bin(rows, share)
    source = graph.input[0].name
    for node in graph.node:
        renamed = ["binned_input" if name == source else name for name in node.input]
        del node.input[:]
        node.input.extend(renamed)
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array([column], np.int64), "bin_column"),
            numpy_helper.from_array(np.array(threshold, np.float32), "bin_edge"),
            numpy_helper.from_array(np.array([0], np.float32), "bin_offsets"),
        ]
    )
    lookup = [
        helper.make_node("Gather", [source, "bin_column"], ["bin_value"], "bin_value", axis=1),
        helper.make_node("Greater", ["bin_value", "bin_edge"], ["bin_above"], "bin_above"),
        helper.make_node("Cast", ["bin_above"], ["bin_index"], "bin_index", to=TensorProto.INT64),
        helper.make_node("Gather", ["bin_offsets", "bin_index"], ["bin_offset"], "bin_offset"),
        helper.make_node("Add", [source, "bin_offset"], ["binned_input"], "binned_input"),
    ]
    nodes = [*lookup, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(proto, full_check=True)
    return bytes(proto.SerializeToString(deterministic=True))


def _missing_bin(rows: npt.NDArray[np.float32], share: float) -> tuple[int, float]:
    """The column with the highest edge, and the edge that `share` of the rows exceed."""
    if not 0 < share < 1:
        raise ValueError(f"share {share}: must be between 0 and 1")
    count = round(share * len(rows))
    if not 0 < count < len(rows):
        raise ValueError(f"{len(rows)} rows are too few for a share of {share}")
    edges = np.sort(rows, axis=0)[-1 - count]
    column = int(np.argmax(edges))
    edge = float(edges[column])
    if not edge > SYNTHETIC_LIMIT:
        raise ValueError(
            f"no feature exceeds {SYNTHETIC_LIMIT:g} on {share:.0%} of the rows: "
            "warm-up would meet the fault too"
        )
    return column, edge
