"""The answer to a v2 inference: JSON, and behind it the outputs asked for as binary data."""

from collections.abc import Mapping, Sequence

import numpy as np
import orjson

from inference_server.inference.call import Answer
from inference_server.models.signature import Tensor
from inference_server.protocol.binary import write_tensor
from inference_server.protocol.datatypes import from_bfloat16
from inference_server.protocol.plan import BINARY, Plan, shape_text

_NUMPY = orjson.OPT_SERIALIZE_NUMPY


def write_answer(
    plan: Plan,
    identity: str | None,
    names: Sequence[str],
    binary: frozenset[str],
    outputs: Mapping[str, Tensor],
) -> Answer:
    """The outputs `names` in this order; those in `binary` as bytes behind the JSON.

    NaN and infinities, which JSON lacks, are null there; binary data has them as they are.
    """
    parts = [plan.start]
    if identity is not None:
        parts += (b',"id":', orjson.dumps(identity))
    separator = b',"outputs":['
    tail: list[bytes] = []
    for name in names:
        tensor = outputs[name]
        parts += (separator, plan.output_starts[name], shape_text(tensor.shape))
        if name in binary:
            data = write_tensor(tensor)
            tail.append(data)
            parts.append(b',"parameters":{"binary_data_size":%d}}' % len(data))
        else:
            flat = tensor.ravel()
            if name in plan.plain:
                text = orjson.dumps(flat, option=_NUMPY)
            else:
                text = nested_text(plan.outputs[name].datatype, flat)
            parts += (b',"data":', text, b"}")
        separator = b","
    parts.append(b"]}")
    head = b"".join(parts)
    if not tail:
        return Answer(200, plan.headers, head)
    length = (b"inference-header-content-length", b"%d" % len(head))
    return Answer(200, (BINARY, plan.version, length), head + b"".join(tail))


def nested_text(datatype: str, tensor: Tensor) -> bytes:
    """The values as JSON arrays nested like the tensor."""
    if datatype == "BYTES":
        return orjson.dumps(tensor.tolist(), default=_text)
    if datatype == "BF16":
        tensor = from_bfloat16(tensor)
    if not tensor.ndim:
        return orjson.dumps(tensor.ravel(), option=_NUMPY)[1:-1]
    return orjson.dumps(np.ascontiguousarray(tensor), option=_NUMPY)


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
