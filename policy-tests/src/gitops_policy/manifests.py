"""Strict YAML reading: positions, duplicate keys and bounded aliases."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

import yaml

from gitops_policy.fields import Path

MAX_NODES = 2_000_000
MAX_DEPTH = 200
MAX_BYTES = 64 * 1024 * 1024

_MANY_OPENINGS = 500
_DEEP_BLOCK = re.compile(r"^ {500}|(?:[-?:][ \t]+){100}", re.MULTILINE)
_MERGE = "tag:yaml.org,2002:merge"
_TAG = "tag:yaml.org,2002:"
_RESOLVERS = (
    ("bool", r"y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF"),
    ("int", r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
    ),
    ("null", r"~|null|Null|NULL|"),
)


class ManifestError(Exception):
    """Input that cannot be read: which file, which line (1-based) and why."""

    def __init__(self, reason: str, file: str | None = None, line: int | None = None) -> None:
        place = f"{file}:{line}" if file and line else file or (f"line {line}" if line else "")
        super().__init__(f"{place}: {reason}" if place else reason)
        self.reason, self.file, self.line = reason, file, line


class _Loader(yaml.CSafeLoader):
    """The scalar types that Kubernetes' own readers know: no dates, no base-60 numbers."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


for _name, _pattern in _RESOLVERS:
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"^(?:{_pattern})$"), None)
_Loader.add_implicit_resolver(_MERGE, re.compile(r"^<<$"), ["<"])


@dataclass(frozen=True, slots=True)
class Source:
    """One YAML document of a file: its content, and the positions of its parts."""

    content: Any
    file: str
    node: yaml.Node

    def line(self, path: Path = ()) -> int:
        """Return the 1-based line of the deepest part of `path` that the document has."""
        node, line = self.node, self.node.start_mark.line + 1
        for step in path:
            if isinstance(node, yaml.MappingNode):
                pair = next((p for p in node.value if p[0].value == step), None)
                if pair is None:
                    break
                line, node = pair[0].start_mark.line + 1, pair[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
                if step >= len(node.value):
                    break
                node = node.value[step]
                line = node.start_mark.line + 1
            else:
                break
        return line


def read_file(path: FilePath, shown: str | None = None) -> list[Source]:
    """Read every document of a YAML file.

    Raises ManifestError with file, line and reason for anything that is not readable YAML.
    """
    name = shown or str(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ManifestError("no such file", name) from None
    except OSError as error:
        raise ManifestError(f"cannot be read: {error.strerror}", name) from None
    return read_text(data, name)


def read_text(data: bytes | str, name: str) -> list[Source]:
    """Read every document of a YAML text; `name` stands in messages for the file."""
    if len(data) > MAX_BYTES:
        raise ManifestError(f"larger than {MAX_BYTES // 2**20} MiB; split it", name)
    content = data if isinstance(data, str) else _decoded(data, name)
    try:
        _refuse_deep(content, name)
        return list(_documents(content, name))
    except yaml.reader.ReaderError as error:
        line = content[: error.position].count("\n") + 1
        raise ManifestError("holds control characters; is it a binary file?", name, line) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = f"is no valid YAML: {error.problem or error.context}"
        raise ManifestError(reason, name, mark.line + 1 if mark else None) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ManifestError(f"is no valid YAML: {error}", name) from None


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ManifestError("not UTF-8 text; is it a binary file?", name, line) from None


def _refuse_deep(data: str, name: str) -> None:
    """Raise for a text that nests too deep: libyaml's composer recurses, and dies of it."""
    if not (data.count("[") + data.count("{") > _MANY_OPENINGS or _DEEP_BLOCK.search(data)):
        return
    depth = 0
    for event in yaml.parse(data, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            line = event.start_mark.line + 1 if event.start_mark else None
            raise ManifestError(f"nested deeper than {MAX_DEPTH} levels", name, line)


def _documents(data: str, name: str) -> Iterator[Source]:
    loader = _Loader(data)
    try:
        while loader.check_node() and (node := loader.get_node()):
            _Bounds(name).check(node, 0)
            yield Source(_Construction(name).value(node), name, node)
    finally:
        loader.dispose()


class _Bounds:
    """Refuses documents that explode when their aliases are written out."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sizes: dict[int, int] = {}
        self.open: set[int] = set()

    def check(self, node: yaml.Node, depth: int) -> int:
        line = node.start_mark.line + 1
        if id(node) in self.open:
            raise ManifestError("an alias refers to a value that contains it", self.name, line)
        if depth > MAX_DEPTH:
            raise ManifestError(f"nested deeper than {MAX_DEPTH} levels", self.name, line)
        if isinstance(node, yaml.ScalarNode):
            return 1
        if id(node) not in self.sizes:
            self.open.add(id(node))
            size = 1 + sum(self.check(child, depth + 1) for child in _children(node))
            self.open.discard(id(node))
            self.sizes[id(node)] = size
        if self.sizes[id(node)] > MAX_NODES:
            reason = f"aliases expand to more than {MAX_NODES} values"
            raise ManifestError(reason, self.name, line)
        return self.sizes[id(node)]


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    for item in node.value:
        if isinstance(item, tuple):
            yield from item
        else:
            yield item


class _Construction:
    """Turns nodes into plain values; a key that stands twice is an error."""

    def __init__(self, name: str) -> None:
        self.name = name

    def value(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item) for item in node.value]
        return self._mapping(node)

    def _mapping(self, node: yaml.Node) -> dict[str, Any]:
        content: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _MERGE:
                merged = {**self._merged(value_node), **merged}
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise ManifestError("a mapping key must be plain text", self.name, line)
            key = str(key_node.value)
            if key in content:
                reason = f"duplicate key {key!r}: YAML readers silently keep only the last one"
                raise ManifestError(reason, self.name, line)
            content[key] = self.value(value_node)
        return {**merged, **content}

    def _merged(self, node: yaml.Node) -> dict[str, Any]:
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        content: dict[str, Any] = {}
        for part in reversed(parts):
            if not isinstance(part, yaml.MappingNode):
                line = part.start_mark.line + 1
                raise ManifestError("'<<' merges mappings only", self.name, line)
            content.update(self._mapping(part))
        return content

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        raw = node.value
        kind = node.tag.removeprefix(_TAG)
        try:
            if kind == "int":
                return _integer(raw)
            if kind == "float":
                return float(
                    raw.lower().replace("_", "").replace(".inf", "inf").replace(".nan", "nan")
                )
        except ValueError:
            return raw
        if kind == "bool":
            return raw.lower() in {"y", "yes", "true", "on"}
        return None if kind == "null" else raw


def _integer(raw: str) -> int:
    digits = raw.replace("_", "").lstrip("+")
    sign, digits = (-1, digits[1:]) if digits.startswith("-") else (1, digits)
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
        return sign * int(digits, 8)
    return sign * int(digits, 0)
