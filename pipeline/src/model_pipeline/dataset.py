"""The example data: scikit-learn's breast cancer set, pinned by version and content."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from model_pipeline.errors import PipelineError

Features = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

PIN = "dataset.json"
CLASS_NAMES = ("benign", "malignant")


@dataclass(frozen=True)
class Split:
    """Rows of one part: features float32 [N, 30], labels int64 [N] (1 is malignant)."""

    features: Features
    labels: Labels


@dataclass(frozen=True)
class Dataset:
    """All rows, and the indices of its three parts.

    The parts belong to the dataset version, not to a training's seed: a candidate
    must not be tested on rows that the champion it is compared with has seen.
    """

    version: str
    features: Features
    labels: Labels
    feature_names: tuple[str, ...]
    split_seed: int

    @cached_property
    def _parts(self) -> tuple[Labels, Labels, Labels]:
        from sklearn.model_selection import train_test_split

        rows = np.arange(len(self.labels))
        train, rest = train_test_split(
            rows, train_size=0.70, stratify=self.labels, random_state=self.split_seed
        )
        validation, test = train_test_split(
            rest, train_size=0.50, stratify=self.labels[rest], random_state=self.split_seed
        )
        return train, validation, test

    def _part(self, index: int) -> Split:
        rows = self._parts[index]
        return Split(self.features[rows], self.labels[rows])

    @property
    def train(self) -> Split:
        """70 % of the rows, to fit on."""
        return self._part(0)

    @property
    def validation(self) -> Split:
        """15 % of the rows, to choose hyper-parameters on."""
        return self._part(1)

    @property
    def test(self) -> Split:
        """15 % of the rows, to judge on."""
        return self._part(2)


def content_sha256(features: Features, labels: Labels, feature_names: tuple[str, ...]) -> str:
    """Hash of the content, the same on every machine (little-endian, row by row)."""
    digest = hashlib.sha256()
    digest.update(json.dumps(list(feature_names)).encode())
    digest.update(np.ascontiguousarray(features, dtype="<f4").tobytes())
    digest.update(np.ascontiguousarray(labels, dtype="<i8").tobytes())
    return digest.hexdigest()


def read_pin() -> dict[str, Any]:
    """The pinned version, split seed and content hash."""
    pin: dict[str, Any] = json.loads(files("model_pipeline").joinpath(PIN).read_text())
    return pin


def load() -> Dataset:
    """Read the data that scikit-learn ships and compare it with the pin.

    Raises PipelineError where the content is not the pinned one.
    """
    from sklearn.datasets import load_breast_cancer

    shipped = load_breast_cancer()
    pin = read_pin()
    features = shipped.data.astype(np.float32)
    # scikit-learn's 1 is benign; here the last class, whose score counts, is malignant.
    labels = (1 - shipped.target).astype(np.int64)
    names = tuple(str(name) for name in shipped.feature_names)
    found = content_sha256(features, labels, names)
    if found != pin["sha256"]:
        raise PipelineError(
            f"model_pipeline/{PIN}: version {pin['version']} has content sha256 {pin['sha256']}, "
            f"the installed scikit-learn ships {found}: set a new version and this sha256"
        )
    return Dataset(pin["version"], features, labels, names, pin["split_seed"])
