"""Strict YAML reading: one pass over the parser's events into plain values.

Duplicate keys, aliases that explode and deep nesting are errors; positions are read again from
the text when somebody asks for a line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path as FilePath
from sys import intern
from typing import Any

import yaml
from yaml import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from gitops_policy.fields import Path
from gitops_policy.reading.scalars import TAG, plain, typed

MAX_NODES = 2_000_000
MAX_DEPTH = 200
MAX_BYTES = 64 * 1024 * 1024

_MERGE = TAG + "merge"
Event = Any  # the stubs of yaml leave out what its events hold


class ManifestError(Exception):
    """Input that cannot be read: which file, which line (1-based) and why."""

    def __init__(self, reason: str, file: str | None = None, line: int | None = None) -> None:
        place = f"{file}:{line}" if file and line else file or (f"line {line}" if line else "")
        super().__init__(f"{place}: {reason}" if place else reason)
        self.reason, self.file, self.line = reason, file, line


@dataclass(frozen=True, slots=True)
class Source:
    """One YAML document of a file: its content, and where its text stands.

    `start` and `end` bound the document in `text`, which is the whole file; `above` counts the
    lines before `start`, and `first` is the line (1-based) where the content begins.
    """

    content: Any
    file: str
    text: str
    start: int
    end: int
    above: int
    first: int

    def line(self, path: Path = ()) -> int:
        """Return the 1-based line of the deepest part of `path` that the document has."""
        if not path:
            return self.first
        node, line = _composed(self.text, self.start, self.end), self.first - self.above
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
        return self.above + line


@lru_cache(maxsize=512)
def _composed(text: str, start: int, end: int) -> yaml.Node | None:
    return yaml.compose(text[start:end], Loader=yaml.CSafeLoader)


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
        return list(_Reader(content, name).documents())
    except yaml.reader.ReaderError as error:
        line = content[: error.position].count("\n") + 1
        raise ManifestError("holds control characters; is it a binary file?", name, line) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = f"is no valid YAML: {error.problem or error.context}"
        raise ManifestError(reason, name, mark.line + 1 if mark else None) from None
    except yaml.YAMLError as error:
        raise ManifestError(f"is no valid YAML: {error}", name) from None


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ManifestError("not UTF-8 text; is it a binary file?", name, line) from None


@dataclass(slots=True)
class _Anchor:
    """A named value: how many values it holds, None while it is still being read."""

    event: Event
    value: Any = None
    key: str | None = None
    size: int | None = None


class _Reader:
    """Turns events into plain values; a key that stands twice is an error."""

    def __init__(self, text: str, name: str) -> None:
        self.text, self.name = text, name
        self.next: Callable[[], Event] = yaml.CSafeLoader(text).get_event
        self.anchors: dict[str, _Anchor] = {}
        self.size = 0

    def documents(self) -> Iterator[Source]:
        self.next()
        while type(begin := self.next()) is not StreamEndEvent:
            self.anchors, self.size = {}, 0
            root = self.next()
            content = self.value(root, 0)
            mark, end = begin.start_mark, self.next().end_mark.index
            start, line = mark.index - mark.column, root.start_mark.line + 1
            yield Source(content, self.name, self.text, start, end, mark.line, line)

    def error(self, reason: str, event: Event) -> ManifestError:
        return ManifestError(reason, self.name, event.start_mark.line + 1)

    def value(self, event: Event, depth: int) -> Any:
        kind = type(event)
        if kind is AliasEvent:
            return self.copied(event, depth)
        self.size += 1
        if depth > MAX_DEPTH:
            raise self.error(f"nested deeper than {MAX_DEPTH} levels", event)
        if self.size > MAX_NODES:
            raise self.error(f"more than {MAX_NODES} values in one document", event)
        if event.anchor is not None:
            return self.anchored(event, depth)
        if kind is ScalarEvent:
            return _scalar(event)
        return self.mapping(depth + 1) if kind is MappingStartEvent else self.sequence(depth + 1)

    def sequence(self, depth: int) -> list[Any]:
        items = []
        while type(event := self.next()) is not SequenceEndEvent:
            items.append(self.value(event, depth))
        return items

    def mapping(self, depth: int) -> dict[str, Any]:
        content: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        while type(event := self.next()) is not MappingEndEvent:
            key = self.key(event, depth)
            if key == "<<" and _is_merge(event):
                merged = {**self.merged(depth), **merged}
                continue
            if key in content:
                reason = f"duplicate key {key!r}: YAML readers silently keep only the last one"
                raise self.error(reason, event)
            content[key] = self.value(self.next(), depth)
        return {**merged, **content} if merged else content

    def key(self, event: Event, depth: int) -> str:
        if type(event) is ScalarEvent:
            if event.anchor is not None:
                self.value(event, depth)
            return intern(event.value)
        if type(event) is AliasEvent:
            self.copied(event, depth)
            key = self.anchors[str(event.anchor)].key
            if key is not None:
                return key
        template = " (a template? lint what it renders)" if "{{" in self.text else ""
        raise self.error(f"a mapping key must be plain text{template}", event)

    def merged(self, depth: int) -> dict[str, Any]:
        event = self.next()
        value = self.value(event, depth)
        content: dict[str, Any] = {}
        for part in reversed(value if isinstance(value, list) else [value]):
            if not isinstance(part, dict):
                raise self.error("'<<' merges mappings only", event)
            content.update(part)
        return content

    def anchored(self, event: Event, depth: int) -> Any:
        if event.anchor in self.anchors:
            raise self.error(f"is no valid YAML: the anchor {event.anchor!r} stands twice", event)
        anchor = self.anchors[event.anchor] = _Anchor(event)
        before = self.size
        if type(event) is ScalarEvent:
            anchor.value, anchor.key = _scalar(event), event.value
        elif type(event) is SequenceStartEvent:
            anchor.value = self.sequence(depth + 1)
        else:
            anchor.value = self.mapping(depth + 1)
        anchor.size = self.size - before + 1
        return anchor.value

    def copied(self, event: Event, depth: int) -> Any:
        """Return the value of an alias written out, as a reader without aliases would see it."""
        anchor = self.anchors.get(event.anchor)
        if anchor is None:
            raise self.error("is no valid YAML: found undefined alias", event)
        if anchor.size is None:
            raise self.error("an alias refers to a value that contains it", anchor.event)
        self.size += anchor.size
        if self.size > MAX_NODES:
            raise self.error(f"aliases expand to more than {MAX_NODES} values", event)
        return self.copy(anchor.value, depth, event)

    def copy(self, value: Any, depth: int, event: Event) -> Any:
        if depth > MAX_DEPTH:
            raise self.error(f"nested deeper than {MAX_DEPTH} levels", event)
        if isinstance(value, dict):
            return {key: self.copy(item, depth + 1, event) for key, item in value.items()}
        if isinstance(value, list):
            return [self.copy(item, depth + 1, event) for item in value]
        return value


def _is_merge(event: Event) -> bool:
    return type(event) is ScalarEvent and (event.implicit[0] or event.tag == _MERGE)


def _scalar(event: Event) -> Any:
    if event.tag is None or event.tag == "!":
        return plain(event.value) if event.implicit[0] else event.value
    return typed(event.value, event.tag.removeprefix(TAG))
