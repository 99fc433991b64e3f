"""Production is compared with the environment before it, wherever the folders stand."""

from __future__ import annotations

from pathlib import Path

import pytest
from gitops_policy import Config, Workspace, lint
from gitops_policy.kubernetes.environments import is_production, rehearsal
from gitops_policy.reading.build import build_kustomization
from gitops_policy.world import World

DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: a}
spec: {replicas: REPLICAS}
"""


def written(root: Path, path: str, replicas: int) -> None:
    folder = root / path
    folder.mkdir(parents=True)
    (folder / "kustomization.yaml").write_text("resources: [web.yaml]\n")
    (folder / "web.yaml").write_text(DEPLOYMENT.replace("REPLICAS", str(replicas)))


def world(root: Path, path: str) -> World:
    return World(build_kustomization(root / path), Config(), Workspace(root))


@pytest.mark.parametrize(
    ("production", "before"),
    [
        ("overlays/production/web", "overlays/staging/web"),
        ("web/overlays/prod", "web/overlays/stage"),
        ("clusters/live/web", "clusters/dev/web"),
        ("web/envs/prd", "web/envs/qa"),
    ],
)
def test_the_counterpart_is_found_by_its_path(production: str, before: str, tmp_path: Path) -> None:
    written(tmp_path, production, 1)
    written(tmp_path, before, 3)
    found = rehearsal(world(tmp_path, production))
    assert found is not None
    assert found.build.path == tmp_path / before
    assert is_production(world(tmp_path, production))
    build = build_kustomization(tmp_path / production)
    report = lint(build, Config(only=("production-replicas",)), workspace=Workspace(tmp_path))
    assert [finding.pointer for finding in report.findings] == ["/spec/replicas"]


def test_nothing_is_compared_where_there_is_no_environment_before(tmp_path: Path) -> None:
    written(tmp_path, "overlays/production/web", 1)
    written(tmp_path, "overlays/staging/other", 3)
    assert rehearsal(world(tmp_path, "overlays/production/web")) is None
    assert rehearsal(world(tmp_path, "overlays/staging/other")) is None
