from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings
from model_pipeline import dataset, golden, onnx_model, training

from rollouts.tests.job_overlay import render_jobs
from rollouts.tests.rendering import (
    CLIMBS,
    ENVIRONMENTS,
    Document,
    Overlay,
    Rendered,
    copy_with_ladder,
    render,
)

# The machine's cores are shared: a slow example is no finding.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")


@pytest.fixture(scope="session")
def overlay(tmp_path_factory: pytest.TempPathFactory) -> Overlay:
    """The folder of an overlay with the ladder of this name."""

    def copy(name: str) -> Path:
        environment = ENVIRONMENTS.get(name, "production")
        tree = tmp_path_factory.mktemp(name)
        return copy_with_ladder(tree, *CLIMBS[name], environment=environment)

    return cache(copy)


@pytest.fixture(scope="session")
def rendered(overlay: Overlay) -> Rendered:
    """What that overlay renders."""
    return cache(lambda name: render(overlay(name)))


@pytest.fixture(scope="session")
def rows() -> dataset.Dataset:
    return dataset.load()


@pytest.fixture(scope="session")
def model(rows: dataset.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 12, as `model-pipeline train` makes it."""
    estimator = training.fit(rows, seed=0).estimator
    content = onnx_model.export(estimator, "breast-cancer", rows.feature_names)
    features = rows.test.features
    answers = estimator.predict(features), estimator.predict_proba(features)
    path = tmp_path_factory.mktemp("registry") / "breast-cancer" / "12" / "model.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(golden.attach(content, features, *answers))
    return path


@pytest.fixture(scope="session")
def documents(model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Document]:
    """Staging with all four jobs, its own addresses and this model as its release."""
    return render_jobs(tmp_path_factory.mktemp("tree"), model)
