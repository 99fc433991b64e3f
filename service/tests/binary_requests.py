"""v2 requests, whole and spoilt, and what they mean by the letter of the protocol.

The reading here shares nothing with the server's: it says which tensors a request carries, or that
it carries none, so that every answer can be held against ONNX Runtime itself.
"""

import copy
import gzip
import json
import math
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort
from onnx import TensorProto

from .onnx_models import FLOAT, INT64, STRING, classifier, echo, pair

DTYPES: dict[str, str] = {
    "BOOL": "?",
    **{f"INT{8 * n}": f"<i{n}" for n in (1, 2, 4, 8)},
    **{f"UINT{8 * n}": f"<u{n}" for n in (1, 2, 4, 8)},
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
    "BYTES": "O",
}
ECHOES = {
    "bool": TensorProto.BOOL,
    "int8": TensorProto.INT8,
    "uint64": TensorProto.UINT64,
    "int64": INT64,
    "fp16": TensorProto.FLOAT16,
    "fp32": FLOAT,
    "bytes": STRING,
}


class Input(NamedTuple):
    """An input of a model; the one dynamic dimension is None."""

    name: str
    datatype: str
    shape: list[int | None]


MODELS: dict[str, list[Input]] = {
    "flowers": [Input("features", "FP32", [None, 3])],
    "pair": [Input("left", "FP32", [None, 1]), Input("right", "INT64", [None])],
    **{name: [Input("x", name.upper(), [None])] for name in ECHOES},
}


def write_models(repository: Path) -> None:
    """The repository that the requests are for."""
    classifier(repository / "flowers" / "1" / "model.onnx")
    pair(repository / "pair" / "1" / "model.onnx")
    for name, kind in ECHOES.items():
        echo(repository / name / "1" / "model.onnx", kind)


class Oracle:
    """ONNX Runtime without a server around it."""

    def __init__(self, repository: Path) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        self.sessions = {
            name: ort.InferenceSession(repository / name / "1" / "model.onnx", options)
            for name in MODELS
        }
        self.outputs = {
            name: [each.name for each in session.get_outputs()]
            for name, session in self.sessions.items()
        }

    def run(self, model: str, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(self.outputs[model], self.sessions[model].run(None, feeds), strict=True))


class Sent(NamedTuple):
    """A request as it goes out, and what was done to it."""

    model: str
    headers: list[tuple[str, str]]
    body: bytes
    spoilt: list[str]

    def wire(self) -> bytes:
        lines = [f"POST /v2/models/{self.model}/infer HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if not any(name.lower() == "content-length" for name, _ in self.headers):
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + self.body

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


class Meaning(NamedTuple):
    """What a request asks."""

    feeds: dict[str, np.ndarray]
    outputs: list[str]
    binary: set[str]
    id: str | None


# --- making requests ---------------------------------------------------------------------------


class Draft:
    """A request while it is being made or spoilt: the JSON, the bytes behind it, the headers."""

    def __init__(self, rng: random.Random, model: str) -> None:
        self.rng = rng
        self.model = model
        self.rows = rng.choice([1, 1, 2, 3, 7])
        self.binary = rng.random() < 0.7
        self.parts: list[bytes] = []
        self.content: Any = {"inputs": [self._input(each) for each in MODELS[model]]}
        self.headers: list[tuple[str, str]] = []
        self.length: str | None = None
        self.text: bytes | None = None
        self.encode: Callable[[bytes], bytes] | None = None
        if rng.random() < 0.3:
            self.content["id"] = rng.choice(["a", "", "Grüße", "x" * 40])
        if rng.random() < 0.3:
            self.content["parameters"] = {"binary_data_output": rng.random() < 0.8}

    def _input(self, spec: Input) -> dict[str, Any]:
        shape = [self.rows if size is None else size for size in spec.shape]
        array = values(self.rng, spec.datatype, math.prod(shape))
        item: dict[str, Any] = {"name": spec.name, "shape": shape, "datatype": spec.datatype}
        if self.binary:
            part = to_bytes(array)
            self.parts.append(part)
            item["parameters"] = {"binary_data_size": len(part)}
        else:
            item["data"] = [float(v) if array.dtype.kind == "f" else v for v in array.tolist()]
        return item

    def finish(self, spoilt: list[str]) -> Sent:
        text = self.text
        if text is None:
            text = json.dumps(self.content, ensure_ascii=self.rng.random() < 0.5).encode(
                errors="surrogatepass"
            )
        body = text + b"".join(self.parts)
        if self.encode is not None:
            body = self.encode(body)
        headers = list(self.headers)
        if self.length is not None or self.parts:
            length = str(len(text)) if self.length is None else self.length
            headers.append(("Inference-Header-Content-Length", length))
            headers.append(("Content-Type", "application/octet-stream"))
        else:
            headers.append(("Content-Type", "application/json"))
        return Sent(self.model, headers, body, spoilt)


def values(rng: random.Random, datatype: str, count: int) -> np.ndarray:
    """Values that JSON can carry as well."""
    if datatype == "BYTES":
        words = ["", "a", "Grüße", "x" * 9, "\x00", "\U0001f600"]
        return np.array([rng.choice(words) for _ in range(count)], dtype=object)
    dtype = np.dtype(DTYPES[datatype])
    if dtype.kind == "f":
        return np.array([rng.uniform(-9, 9) for _ in range(count)]).astype(dtype)
    if dtype.kind == "b":
        return np.array([rng.random() < 0.5 for _ in range(count)])
    limits = np.iinfo(dtype)
    return np.array([rng.randint(limits.min, limits.max) for _ in range(count)], dtype=dtype)


def to_bytes(array: np.ndarray) -> bytes:
    if array.dtype.kind != "O":
        return array.tobytes()
    encoded = [text.encode() for text in array]
    return b"".join(struct.pack("<I", len(each)) + each for each in encoded)


# --- spoiling them -----------------------------------------------------------------------------

ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2, 3, 12, 1.0, 1.5, 2**31, 2**32, 2**63 - 1, 2**63, 2**64, 2**200,
    -(2**63), 1e300, "", "1", "12", "FP32", "x", "features", [], [1], [[1]], {}, {"a": 1},
]  # fmt: skip
ODD_LENGTHS = [
    "0", "1", "-1", "+5", " 5", "5 ", "0x10", "1_0", "1e2", "", "abc", "9" * 18, "9" * 40, "00",
    "4294967296", "18446744073709551616", "5, 5", "5;5", "\xb2", "5.0",
]  # fmt: skip
NAMES = ["features", "left", "right", "x", "", "label", "é", "a" * 300, "__proto__", "\x00"]


def _place(draft: Draft) -> tuple[Any, Any]:
    """A random container of the JSON and a key in it."""
    rng = draft.rng
    place: Any = draft.content
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return {"nowhere": 0}, "nowhere"
        key = rng.choice(keys)
        if isinstance(place[key], (dict, list)) and place[key] and rng.random() < 0.75:
            place = place[key]
        else:
            return place, key


def _first(draft: Draft) -> dict[str, Any]:
    inputs = draft.content.get("inputs") if isinstance(draft.content, dict) else None
    items = [each for each in inputs if isinstance(each, dict)] if isinstance(inputs, list) else []
    return draft.rng.choice(items) if items else {}


def odd_value(draft: Draft) -> None:
    place, key = _place(draft)
    place[key] = copy.deepcopy(draft.rng.choice(ODD))


def lost_key(draft: Draft) -> None:
    place, key = _place(draft)
    del place[key]


def doubled_value(draft: Draft) -> None:
    place, key = _place(draft)
    if isinstance(place, list):
        place.insert(key, copy.deepcopy(place[key]))


def other_shape(draft: Draft) -> None:
    item, rng = _first(draft), draft.rng
    shape = item.get("shape")
    if isinstance(shape, list) and shape:
        at = rng.randrange(len(shape))
        change = rng.randrange(4)
        if change == 0:
            shape[at] = copy.deepcopy(rng.choice(ODD))
        elif change == 1:
            shape.insert(at, 1)
        elif change == 2:
            del shape[at]
        elif isinstance(shape[at], int):
            shape[at] += rng.choice([-1, 1])


def other_datatype(draft: Draft) -> None:
    _first(draft)["datatype"] = draft.rng.choice([*DTYPES, "fp32", "BF16", "STRING", "", "float32"])


def other_name(draft: Draft) -> None:
    _first(draft)["name"] = draft.rng.choice(NAMES)


def other_size(draft: Draft) -> None:
    item, rng = _first(draft), draft.rng
    size = item.get("parameters", {})
    size = size.get("binary_data_size") if isinstance(size, dict) else None
    near = [size - 1, size + 1, size * 2, size // 2] if isinstance(size, int) else []
    item["parameters"] = {"binary_data_size": rng.choice([*near, *near, *ODD])}


def data_and_bytes(draft: Draft) -> None:
    item = _first(draft)
    if draft.rng.random() < 0.5:
        item["data"] = [1, 2, 3]
    else:
        item["parameters"] = {"binary_data_size": 12}


def some_outputs(draft: Draft) -> None:
    if not isinstance(draft.content, dict):
        return
    rng = draft.rng
    names = ["label", "probabilities", "sum", "y", "nope", ""]
    chosen = [{"name": rng.choice(names)} for _ in range(rng.randrange(4))]
    for each in chosen:
        if rng.random() < 0.5:
            each["parameters"] = {"binary_data": rng.choice([True, True, False, 1, None])}
    draft.content["outputs"] = chosen


def some_parameter(draft: Draft) -> None:
    names = [
        "binary_data_output", "binary_data", "sequence_id", "sequence_start", "classification",
        "shared_memory_region", "priority", "timeout", "whatever",
    ]  # fmt: skip
    where = draft.rng.choice([draft.content, _first(draft)])
    if isinstance(where, dict):
        parameters = where.setdefault("parameters", {})
        if isinstance(parameters, dict):
            parameters[draft.rng.choice(names)] = copy.deepcopy(draft.rng.choice(ODD))


def nested_data(draft: Draft) -> None:
    item = _first(draft)
    data, rng = item.get("data"), draft.rng
    if isinstance(data, list) and data:
        width = rng.choice([1, 2, 3])
        item["data"] = [data[at : at + width] for at in range(0, len(data), width)]


def shuffled_inputs(draft: Draft) -> None:
    if isinstance(draft.content, dict) and isinstance(draft.content.get("inputs"), list):
        draft.rng.shuffle(draft.content["inputs"])


def shuffled_bytes(draft: Draft) -> None:
    draft.rng.shuffle(draft.parts)


def flipped_byte(draft: Draft) -> None:
    if draft.parts:
        at = draft.rng.randrange(len(draft.parts))
        part = bytearray(draft.parts[at])
        if part:
            part[draft.rng.randrange(len(part))] ^= 1 << draft.rng.randrange(8)
        draft.parts[at] = bytes(part)


def odd_floats(draft: Draft) -> None:
    """NaN, infinities, denormals: values like any other in binary."""
    if draft.parts:
        odd = [0x7FC00000, 0x7F800000, 0xFF800000, 1, 0x80000000, 0x7F800001]
        part = draft.parts[0]
        draft.parts[0] = b"".join(struct.pack("<I", draft.rng.choice(odd)) for _ in range(8))[
            : len(part)
        ]


def big_endian_length(draft: Draft) -> None:
    if draft.parts and len(draft.parts[0]) >= 4:
        draft.parts[0] = draft.parts[0][:4][::-1] + draft.parts[0][4:]


def huge_length(draft: Draft) -> None:
    if draft.parts and len(draft.parts[0]) >= 4:
        huge = draft.rng.choice([2**32 - 1, 2**31, 65536, 5])
        draft.parts[0] = struct.pack("<I", huge) + draft.parts[0][4:]


def short_tail(draft: Draft) -> None:
    if draft.parts:
        draft.parts[-1] = draft.parts[-1][: draft.rng.randrange(len(draft.parts[-1]) + 1)]


def long_tail(draft: Draft) -> None:
    draft.parts.append(draft.rng.randbytes(draft.rng.choice([1, 4, 12, 300])))


def odd_length(draft: Draft) -> None:
    draft.length = draft.rng.choice(ODD_LENGTHS)


def near_length(draft: Draft) -> None:
    size = len(json.dumps(draft.content).encode(errors="surrogatepass"))
    draft.length = str(max(0, size + draft.rng.randint(-3, 3)))


def raw_body(draft: Draft) -> None:
    draft.text, draft.length = b"", "0"


def no_length(draft: Draft) -> None:
    draft.text = json.dumps(draft.content).encode(errors="surrogatepass") + b"".join(draft.parts)
    draft.parts, draft.length = [], None


def spoilt_text(draft: Draft) -> None:
    rng = draft.rng
    text = bytearray(json.dumps(draft.content).encode(errors="surrogatepass"))
    for _ in range(rng.choice([1, 1, 2])):
        at = rng.randrange(len(text) + 1)
        piece = rng.choice(
            [b"\xff", b"\x00", b",", b"{", b"]", b'"', b"\\", b"NaN", b"-", b"1e999", b"\\ud800",
             b"\xef\xbb\xbf", b"\xed\xa0\x80", b" ", b"0", b"9" * 30, b"/**/", b"e5", b".", b"null"]
        )  # fmt: skip
        if rng.random() < 0.5:
            text[at:at] = piece
        else:
            text[at : at + rng.randrange(1, 4)] = piece
    draft.text = bytes(text)


def doubled_key(draft: Draft) -> None:
    text = json.dumps(draft.content)
    keys = [
        '"inputs": []', '"name": "x"', '"shape": [1]', '"id": "b"', '"parameters": {}',
        '"binary_data_size": 4', '"data": [1]', '"datatype": "FP32"', '"\\u006eame": "x"',
    ]  # fmt: skip
    opened = [at for at, letter in enumerate(text) if letter == "{"]
    at = draft.rng.choice(opened) + 1 if opened else 0
    between = "" if text[at : at + 1] == "}" else ", "
    draft.text = (text[:at] + draft.rng.choice(keys) + between + text[at:]).encode()


def deep_text(draft: Draft) -> None:
    depth = draft.rng.choice([30, 64, 65, 500, 1100, 5000])
    draft.text = b'{"inputs":' + b"[" * depth + b"]" * depth + b"}"


def compressed(draft: Draft) -> None:
    rng = draft.rng
    coding, encode = rng.choice(
        [
            ("gzip", gzip.compress),
            ("deflate", zlib.compress),
            ("identity", bytes),
            ("gzip", bytes),
            ("gzip", zlib.compress),
            ("br", bytes),
            ("gzip, gzip", lambda body: gzip.compress(gzip.compress(body))),
            ("gzip", lambda body: gzip.compress(body)[:-3]),
            ("gzip", lambda body: gzip.compress(body) + b"more"),
            ("gzip", lambda body: gzip.compress(body) * 2),
            ("gzip", lambda body: gzip.compress(body + bytes(10**6))),
            ("", bytes),
            ("x", bytes),
        ]
    )
    draft.headers.append(("Content-Encoding", coding))
    draft.encode = encode


def other_type(draft: Draft) -> None:
    draft.headers.append(
        ("Content-Type", draft.rng.choice(["text/plain", "application/json", "", "a/b;c", "\xff"]))
    )


SPOILERS = [
    odd_value, odd_value, lost_key, doubled_value, other_shape, other_shape, other_datatype,
    other_name, other_size, other_size, data_and_bytes, some_outputs, some_parameter, nested_data,
    shuffled_inputs, shuffled_bytes, flipped_byte, odd_floats, big_endian_length, huge_length,
    short_tail, long_tail, odd_length, near_length, raw_body, no_length, spoilt_text, spoilt_text,
    doubled_key, deep_text, compressed, other_type,
]  # fmt: skip


def request(rng: random.Random) -> Sent:
    """A valid request in one of ten, else one that is spoilt in one to three ways."""
    draft = Draft(rng, rng.choice(list(MODELS)))
    chosen = rng.sample(SPOILERS, rng.choice([1, 1, 1, 2, 3])) if rng.random() > 0.1 else []
    for spoil in chosen:
        spoil(draft)
    return draft.finish([spoil.__name__ for spoil in chosen])


# --- reading them ------------------------------------------------------------------------------


class MeaninglessError(Exception):
    """A request that has to be refused."""


def require(condition: bool) -> None:
    if not condition:
        raise MeaninglessError


def meaning(sent: Sent, outputs: list[str]) -> Meaning:
    """What the request asks of a model with these outputs; raises MeaninglessError."""
    body = _decoded(sent)
    length = sent.header("inference-header-content-length")
    if length is None:
        return _read(sent.model, _json(body), None, outputs)
    length = length.strip(" \t")
    require(length.isascii() and length.isdigit() and int(length) <= len(body))
    if int(length) == 0:
        return _raw(sent.model, body, outputs)
    return _read(sent.model, _json(body[: int(length)]), body[int(length) :], outputs)


def _decoded(sent: Sent) -> bytes:
    body = sent.body
    for coding in reversed((sent.header("content-encoding") or "").split(",")):
        if coding.strip().lower() in ("gzip", "deflate"):
            try:
                body = gzip.decompress(body) if "gzip" in coding else zlib.decompress(body)
            except (OSError, EOFError, zlib.error):
                raise MeaninglessError from None
        else:
            require(coding.strip().lower() in ("", "identity"))
    return body


def _json(text: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        require(len({key for key, _ in pairs}) == len(pairs))
        return dict(pairs)

    def none_such(_: str) -> None:
        raise MeaninglessError

    try:
        content = json.loads(
            text.decode("utf-8"), object_pairs_hook=unique, parse_constant=none_such
        )
    except (ValueError, RecursionError):
        raise MeaninglessError from None
    require(isinstance(content, dict))
    return content


def _parameters(item: dict[str, Any]) -> dict[str, Any]:
    given = item.get("parameters")
    require(given is None or isinstance(given, dict))
    given = given or {}
    for name in ("binary_data", "binary_data_output"):
        require(isinstance(given.get(name, False), bool))
    return given


def _read(model: str, content: dict[str, Any], tail: bytes | None, known: list[str]) -> Meaning:
    identity = content.get("id")
    require(identity is None or isinstance(identity, str))
    everything = _parameters(content).get("binary_data_output", False)
    items = content.get("inputs")
    require(isinstance(items, list) and all(isinstance(each, dict) for each in items))
    specs = {each.name: each for each in MODELS[model]}
    require(sorted(str(each.get("name")) for each in items) == sorted(specs))
    feeds, dimensions, position = {}, set(), 0
    for item in items:
        require(isinstance(item["name"], str))
        spec = specs[item["name"]]
        shape = _shape(spec, item, dimensions)
        size = _parameters(item).get("binary_data_size")
        if size is None:
            feeds[spec.name] = _from_json(spec, item.get("data"), shape)
        else:
            require(type(size) is int and size >= 0 and "data" not in item and tail is not None)
            part = tail[position : position + size]
            require(len(part) == size)
            position += size
            feeds[spec.name] = _from_bytes(spec, part, shape)
    require(tail is None or position == len(tail))
    names, binary = _outputs(content.get("outputs"), known, everything)
    return Meaning(feeds, names, binary, identity)


def _shape(spec: Input, item: dict[str, Any], dimensions: set[int]) -> list[int]:
    require(item.get("datatype") == spec.datatype)
    shape = item.get("shape")
    require(isinstance(shape, list) and len(shape) == len(spec.shape))
    require(all(type(size) is int and size > 0 for size in shape))
    for size, declared in zip(shape, spec.shape, strict=True):
        if declared is None:
            dimensions.add(size)
        else:
            require(size == declared)
    require(len(dimensions) <= 1)
    return shape


def _from_json(spec: Input, data: Any, shape: list[int]) -> np.ndarray:
    require(isinstance(data, list))
    count = math.prod(shape)
    require(count <= 10**6)
    if data and isinstance(data[0], list):
        require(len(data) == shape[0])
        for inner in shape[1:]:
            require(all(isinstance(each, list) and len(each) == inner for each in data))
            data = [value for each in data for value in each]
    require(len(data) == count)
    kinds = {"f": (int, float), "b": (bool,), "O": (str,)}
    dtype = np.dtype(DTYPES[spec.datatype])
    require(all(type(value) in kinds.get(dtype.kind, (int,)) for value in data))
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        require(all(limits.min <= value <= limits.max for value in data))
    if dtype.kind == "O":
        require(all(_is_utf8(value) for value in data))
    try:
        with np.errstate(over="ignore"):
            array = np.array([float(v) for v in data] if dtype.kind == "f" else data, dtype=dtype)
    except OverflowError:
        raise MeaninglessError from None
    require(dtype.kind != "f" or bool(np.isfinite(array).all()))
    return array.reshape(shape)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _from_bytes(spec: Input, part: bytes, shape: list[int]) -> np.ndarray:
    if spec.datatype == "BYTES":
        texts = []
        while part:
            require(len(part) >= 4)
            size = int.from_bytes(part[:4], "little")
            require(len(part) >= 4 + size)
            texts.append(_text(part[4 : 4 + size]))
            part = part[4 + size :]
        require(len(texts) == math.prod(shape))
        return np.array([*texts, None], dtype=object)[:-1].reshape(shape)
    dtype = np.dtype(DTYPES[spec.datatype])
    require(len(part) == math.prod(shape) * dtype.itemsize)
    if spec.datatype == "BOOL":
        require(set(part) <= {0, 1})
    return np.frombuffer(part, dtype).reshape(shape)


def _text(part: bytes) -> str:
    try:
        return part.decode()
    except UnicodeDecodeError:
        raise MeaninglessError from None


def _raw(model: str, body: bytes, known: list[str]) -> Meaning:
    require(len(MODELS[model]) == 1)
    spec = MODELS[model][0]
    if spec.datatype == "BYTES":
        feeds = {spec.name: np.array([_text(body)], dtype=object)}
        return Meaning(feeds, known, set(known), None)
    row = math.prod(size for size in spec.shape if size) * np.dtype(DTYPES[spec.datatype]).itemsize
    require(len(body) > 0 and len(body) % row == 0)
    shape = [len(body) // row if size is None else size for size in spec.shape]
    return Meaning({spec.name: _from_bytes(spec, body, shape)}, known, set(known), None)


def _outputs(items: Any, known: list[str], everything: bool) -> tuple[list[str], set[str]]:
    if items is None or items == []:
        return known, set(known) if everything else set()
    require(isinstance(items, list) and all(isinstance(each, dict) for each in items))
    names = [each.get("name") for each in items]
    require(all(name in known for name in names) and len(set(names)) == len(names))
    binary = {each["name"] for each in items if _parameters(each).get("binary_data", everything)}
    return names, binary
