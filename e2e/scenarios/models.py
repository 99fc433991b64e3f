"""The versions that scenarios release: two good ones that stand in MLflow, and faulty ones."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import httpx
from model_pipeline import ModelRelease, register_model
from model_pipeline import dataset as example
from model_pipeline.dataset import Features

from e2e.scenarios import faulty_models

NAME = "breast-cancer"
GOOD = {"stable": 1, "good": 2}
FAULTY: dict[str, Callable[[bytes, Features], bytes]] = {
    "errors": faulty_models.failing,
    "nan": faulty_models.nan_scores,
    "shifted": faulty_models.shifted,
}
# Faulty models come from no commit.
COMMIT = "0" * 40


class Models:
    """`models["good"]`: stable, good, errors, nan, shifted; registered where they are missing."""

    def __init__(self, mlflow: str, cluster_id: str, folder: Path):
        self._mlflow, self._folder = mlflow, folder
        self._file = folder / f"models-{cluster_id}.json"
        self._known: dict[str, ModelRelease] = {}

    def __getitem__(self, name: str) -> ModelRelease:
        if name not in self._known:
            self._known = self._load_or_register()
        return self._known[name]

    def wrong_sha256(self) -> ModelRelease:
        """The good version under a hash that is not that of its bytes."""
        return replace(self["good"], sha256="0" * 64)

    def _load_or_register(self) -> dict[str, ModelRelease]:
        """One process registers, the others read what it wrote."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._file.is_file():
                return _read(self._file)
            known = {name: self._registered(version) for name, version in GOOD.items()}
            known |= self._register_faulty()
            text = json.dumps({name: asdict(release) for name, release in known.items()}, indent=2)
            self._file.write_text(text + "\n", encoding="utf-8")
            return known

    def _registered(self, version: int) -> ModelRelease:
        """What Git has to say of a version that stands in the registry."""
        answer = httpx.get(
            f"{self._mlflow}/api/2.0/mlflow/model-versions/get",
            params={"name": NAME, "version": str(version)},
            timeout=30,
        )
        if answer.status_code != httpx.codes.OK:
            raise AssertionError(
                f"MLflow at {self._mlflow} has no {NAME} version {version}: {answer.text[:200]}"
            )
        found = answer.json()["model_version"]
        tags = {tag["key"]: tag["value"] for tag in found.get("tags", [])}
        return ModelRelease(
            name=NAME,
            version=version,
            uri=f"models:/{NAME}/{version}",
            sha256=tags["model_sha256"],
            run_id=found["run_id"],
            dataset_version=tags["dataset_version"],
            training_git_sha=tags["training_git_sha"],
        )

    def _register_faulty(self) -> dict[str, ModelRelease]:
        from model_pipeline.registry import Registry

        good = Registry(self._mlflow).download(NAME, GOOD["good"])
        rows, made = example.load().features, {}
        for name, spoil in FAULTY.items():
            path = self._folder / f"{name}.onnx"
            path.write_bytes(spoil(good, rows))
            made[name] = register_model(path, tracking_uri=self._mlflow, git_sha=COMMIT)
        return made


def _read(path: Path) -> dict[str, ModelRelease]:
    content = json.loads(path.read_text(encoding="utf-8"))
    return {name: ModelRelease(**fields) for name, fields in content.items()}
