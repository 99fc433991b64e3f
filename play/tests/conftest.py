"""A small stage: a real Prometheus and real servers, models from files instead of MLflow."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from model_pipeline import ModelRelease, dataset, golden, onnx_model, training
from release_play.faulty_model import break_model
from release_play.overlays import Overlay, read_overlay
from release_play.pace import Pace
from release_play.pod_statuses import PodStatuses
from release_play.pods import start_pod
from release_play.processes import ProcessGroup
from release_play.prometheus import start_prometheus
from release_play.release import find_rollout
from release_play.run import OVERLAY, node_for, real_requests
from release_play.stage import Stage, pod_name
from release_play.traffic import Split, Traffic
from release_play.view import View
from release_play.workspace import Workspace, open_workspace
from rich.console import Console

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".tools"
KEY = "only-for-this-test"


@dataclass
class Models:
    """ONNX files that a release can name by a file URI."""

    folder: Path

    def release(self, version: int, model: bytes) -> ModelRelease:
        """Write `model` as a version and describe it as the pipeline would."""
        path = self.folder / str(version) / "model.onnx"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(model)
        return ModelRelease(
            name="breast-cancer",
            version=version,
            uri=path.as_uri(),
            sha256=hashlib.sha256(model).hexdigest(),
            run_id="test",
            dataset_version="2026-01-01-000000",
            training_git_sha="0" * 40,
        )


@pytest.fixture(autouse=True)
def _programs_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coverage of the servers a play starts would cost a core, and is counted elsewhere.

    Its tracer also holds a lock that a signal handler would wait for, for ever.
    """
    for name in [name for name in os.environ if name.startswith("COVERAGE")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def good_model() -> bytes:
    rows = dataset.load()
    estimator, test = training.fit(rows, 0).estimator, rows.test.features
    model = onnx_model.export(estimator, "breast-cancer", rows.feature_names)
    return golden.attach(model, test, estimator.predict(test), estimator.predict_proba(test))


@pytest.fixture(scope="session")
def bad_model(good_model: bytes) -> bytes:
    return break_model(good_model, share=0.05, rows=dataset.load().features)


@pytest.fixture
def models(tmp_path: Path) -> Models:
    return Models(tmp_path / "models")


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def view(screen: io.StringIO) -> View:
    return View(Console(file=screen, width=200, highlight=False, soft_wrap=True))


@pytest.fixture
def pace() -> Pace:
    """A quarter of the sample of `make run`, and a little more traffic."""
    return Pace(rate=600, minimum_requests=250)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(ROOT, tmp_path / "run") as opened:
        yield opened


Release = Callable[[ModelRelease], Overlay]


@pytest.fixture
def commit_release(workspace: Workspace) -> Release:
    """Put a release into the copied overlay; the overlay that it renders to."""

    def commit(release: ModelRelease) -> Overlay:
        release.write(workspace.overlay(OVERLAY) / "release" / "model-release.env")
        workspace.commit(f"Release {release.version}")
        return read_overlay(workspace.repository, OVERLAY, TOOLS / "schemas")

    return commit


@pytest.fixture
def stage(
    workspace: Workspace, models: Models, good_model: bytes, commit_release: Release, pace: Pace
) -> Iterator[Stage]:
    """Version 1 serves all the traffic, and Prometheus watches it."""
    overlay = commit_release(models.release(1, good_model))
    rollout, folder = find_rollout(overlay.documents), workspace.folder
    node = node_for("http://127.0.0.1:9", KEY)
    with ProcessGroup(folder / "logs") as group, PodStatuses() as statuses:
        binary = TOOLS / "bin" / "prometheus"
        prometheus = start_prometheus(group, folder / "prometheus", binary, "1s", statuses.address)
        pods = folder / "pods"
        pod = start_pod(group, pods, pod_name(rollout), rollout, overlay.documents, node)
        statuses.pods = [pod]
        prometheus.scrape([pod.target])
        requests = real_requests("breast-cancer")
        headers = {"X-API-Key": KEY}
        with Traffic(requests, pace.rate, Split(pod.base_url), headers) as traffic:
            yield Stage(group, pods, node, prometheus, statuses, pod, traffic)
