"""Where the bench finds programs and puts files."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "bench"
MODELS = BUILD / "models"
MLP, RESNET = MODELS / "mlp" / "1" / "model.onnx", MODELS / "resnet" / "1" / "model.onnx"
PLOTS = BUILD / "benchmarks"  # beside the page, be it the one in docs/ or the quick one
PAGE = ROOT / "docs" / "benchmarks.md"
BASELINE = Path(__file__).with_name("baseline.json")
GENERATOR = ROOT / ".tools" / "bin" / "http-load"
SCRIPTS = Path(__file__).with_name("peers")


def python(peer: str) -> Path:
    """Return the Python of a peer's own environment."""
    return ROOT / ".venvs" / peer / "bin" / "python"


class BenchError(Exception):
    """A program that did not do what it was run for; the message says which and what it said."""
