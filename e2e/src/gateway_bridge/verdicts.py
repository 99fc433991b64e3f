"""What Envoy Gateway says of each document: with the File provider its statuses go to its log."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from gateway_bridge.translate import Key

_STATUS = "Got new status for "


class Verdicts:
    """The latest status of each document and the latest errors, as the log grows."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._offset = 0
        self._rest = b""
        self.statuses: dict[Key, Mapping[str, Any]] = {}
        self.errors: list[str] = []

    def read(self) -> bool:
        """Take what was appended since the last call; whether there was a status or an error."""
        self.errors = []
        found = False
        for line in self._lines():
            entry = _entry(line)
            status = _status(entry)
            if status is not None:
                self.statuses[status[0]] = status[1]
            elif entry.get("level") == "error":
                self.errors.append(f"{entry.get('msg')}: {entry.get('error', '')}")
            found = found or status is not None or bool(self.errors)
        return found

    def _lines(self) -> Iterator[bytes]:
        try:
            with self._log.open("rb") as log:
                if self._log.stat().st_size < self._offset:
                    self._offset, self._rest = 0, b""
                log.seek(self._offset)
                text = self._rest + log.read()
                self._offset = log.tell()
        except OSError:
            return
        *lines, self._rest = text.split(b"\n")
        yield from lines


def _entry(line: bytes) -> Mapping[str, Any]:
    """One line of Envoy Gateway's; Envoy's own lines stand between them."""
    if not line.startswith(b"{"):
        return {}
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _status(entry: Mapping[str, Any]) -> tuple[Key, Mapping[str, Any]] | None:
    message = str(entry.get("msg", ""))
    head, _, text = message.partition("\n")
    namespace, separator, name = str(entry.get("key", "")).partition("/")
    if not head.startswith(_STATUS) or not separator:
        return None
    try:
        status = yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError:
        return None
    if not isinstance(status, dict):
        return None
    return (head.removeprefix(_STATUS), namespace, name), status
