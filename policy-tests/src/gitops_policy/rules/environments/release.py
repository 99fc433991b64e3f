"""The release folder: which model an environment serves."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.findings import Origin
from gitops_policy.model import Problem
from gitops_policy.reading.kustomization import shown
from gitops_policy.reading.release_file import FILE, faults
from gitops_policy.registry import BUILD, rule
from gitops_policy.world import World


@rule(
    id="release-env",
    title="model-release.env names one model, for good",
    severity="error",
    rationale="An alias or a wrong hash serves another model than the one that was reviewed.",
    references=["https://mlflow.org/docs/latest/ml/model-registry/"],
    kinds=BUILD,
)
def release_env(world: World) -> Iterator[Problem]:
    """All keys are there once; the version is an integer, the sha256 has 64 hex digits."""
    path = world.build.path / FILE if world.build.path else None
    if path is None or not path.is_file():
        return
    file = shown(path)
    for key, line, message, fix in faults(path.read_text(encoding="utf-8", errors="replace")):
        yield Problem(
            None, (key,), message, fix, origin=Origin(world.build.name, file, line or None)
        )
