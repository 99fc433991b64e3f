"""The ladders that scenarios take render, with the durations of a local cluster."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from local_cluster.repository import COMPONENTS, with_components

from e2e.scenarios import ladders
from e2e.scenarios.places import ROOT, TOOLS

OVERLAY = "overlays/staging/inference"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """What a scenario's clone holds of the overlay: the product, and the local components."""
    for folder in ("base", "overlays", "rollouts", "e2e/component"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    path = tmp_path / OVERLAY / "kustomization.yaml"
    components = [f"../../../e2e/component/{name}" for name in COMPONENTS[OVERLAY]]
    path.write_text(with_components(path.read_text(encoding="utf-8"), components), encoding="utf-8")
    return tmp_path


def strategy(repository: Path) -> dict[str, Any]:
    """The strategy of the Rollout that Kustomize makes of the overlay."""
    argv = [str(TOOLS / "kustomize"), "build", str(repository / OVERLAY)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    documents = yaml.safe_load_all(done.stdout)
    [rollout] = [each for each in documents if each["kind"] == "Rollout"]
    return dict(rollout["spec"]["strategy"])


def arguments(steps: list[dict[str, Any]], name: str) -> set[str]:
    """The values that steps give an argument."""
    return {
        argument["value"]
        for step in steps
        for argument in step.get("analysis", {}).get("args", [])
        if argument["name"] == name
    }


@pytest.mark.parametrize("ladder", ["canary-10-25-50-100", "ab-90-10-weight", "ab-90-10-header"])
def test_another_ladder_climbs_at_the_pace_of_the_local_cluster(
    ladder: str, repository: Path
) -> None:
    ladders.take(repository, "staging", ladder)
    steps = strategy(repository)["canary"]["steps"]
    pace = ladders.pace(repository)
    assert arguments(steps, "step-duration") == {pace["STEP_DURATION"]}
    assert arguments(steps, "watch-looks") == {pace["WATCH_LOOKS"]}
    assert not arguments(steps, "load-seconds")


def test_blue_green_has_no_canary_left(repository: Path) -> None:
    ladders.take(repository, "staging", "blue-green")
    ladders.without_canary_pace(repository)
    assert strategy(repository).keys() == {"blueGreen"}


def test_shadow_joins_the_default(repository: Path) -> None:
    ladders.add(repository, "staging", "shadow")
    first = strategy(repository)["canary"]["steps"][1]["analysis"]
    assert {"templateName": "shadow-agreement"} in first["templates"]
    assert first["dryRun"] == [{"metricName": "shadow-agreement"}]
