"""What is said of a model that cannot be loaded: anybody may read it at /health."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from inference_server.models.hardware import Hardware
from inference_server.models.model import Model, ModelFile, ModelLoadError

from .onnx_models import FLOAT, node, value, write


def with_external_weights(file: Path) -> Path:
    """A model that has its weights in `w.bin` beside it."""
    weights = np.ones((3, 3), np.float32)
    names = [value("x", FLOAT, "N", 3)], [value("y", FLOAT, "N", 3)]
    write(file, [node("MatMul", "x w", "y")], *names, {"w": weights})
    model = onnx.load(file)
    onnx.save(model, file, save_as_external_data=True, location="w.bin", size_threshold=0)
    return file


def test_weights_that_are_missing_disclose_no_path(tmp_path: Path) -> None:
    file = with_external_weights(tmp_path / "store" / "m" / "1" / "model.onnx")
    (file.parent / "w.bin").unlink()
    (tmp_path / "link").symlink_to("store")
    for repository in ("store", "link"):
        with pytest.raises(ModelLoadError, match="External data") as caught:
            Model(ModelFile("m", 1, tmp_path / repository / "m" / "1" / "model.onnx"), Hardware())
        assert str(tmp_path) not in str(caught.value)


def test_a_hash_that_covers_a_part_of_the_model_only_is_no_attestation(tmp_path: Path) -> None:
    file = with_external_weights(tmp_path / "m" / "1" / "model.onnx")
    assert Model(ModelFile("m", 1, file), Hardware()).outputs
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(ModelLoadError, match="second file, which its sha256 does not cover"):
        Model(ModelFile("m", 1, file, expected_sha256=digest), Hardware())
