"""The folder that Envoy Gateway watches."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from gateway_bridge.translate import Document

_FILE = "gateway.yaml"


def empty(folder: Path) -> bool:
    """Whether nothing was ever written there."""
    return not (folder / _FILE).is_file()


def write(folder: Path, documents: Sequence[Document]) -> bool:
    """Replace the documents where they differ; whether they did.

    One file, because each file that changes makes Envoy Gateway read all of them again, and
    between two it would see half a change. Hidden names are not read.
    """
    text = "\n---\n".join(json.dumps(document) for document in documents)
    target, temporary = folder / _FILE, folder / f".{_FILE}"
    if target.is_file() and target.read_text() == text:
        return False
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    temporary.replace(target)
    return True
