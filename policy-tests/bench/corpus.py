"""What is measured: our overlays as kustomize renders them, also multiplied and broken."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

ENVIRONMENTS = ("dev", "staging", "production")


def render(root: Path, folder: Path) -> list[Path]:
    """Write each overlay's rendered manifests into a file of its own."""
    folder.mkdir(parents=True)
    files = []
    for environment in ENVIRONMENTS:
        overlay = root / "overlays" / environment / "inference"
        command = [root / ".tools" / "bin" / "kustomize", "build", overlay]
        done = subprocess.run(command, capture_output=True, check=True)
        files.append(folder / f"{environment}.yaml")
        files[-1].write_bytes(done.stdout)
    return files


def multiply(files: list[Path], number: int, folder: Path) -> int:
    """Write at least `number` manifests: copies whose namespaces have other names."""
    folder.mkdir(parents=True)
    texts = {file.stem: file.read_text() for file in files}
    made = copy = 0
    while made < number:
        for environment, text in texts.items():
            name = f"inference-{environment}"
            content = text.replace(name, f"{name}-{copy}")
            (folder / f"{environment}-{copy}.yaml").write_text(content)
            made += ("\n" + text).count("\nkind:")
        copy += 1
    return made


def load(file: Path) -> list[dict[str, Any]]:
    """Return the objects of a rendered file."""
    return list(yaml.load_all(file.read_text(), Loader=yaml.CSafeLoader))


def dump(documents: list[dict[str, Any]], file: Path) -> Path:
    """Write objects to a file in a folder of its own."""
    file.parent.mkdir(parents=True)
    file.write_text(yaml.dump_all(documents, Dumper=yaml.CSafeDumper, sort_keys=False))
    return file
