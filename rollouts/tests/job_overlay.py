"""Staging with the four jobs of the templates, as Kustomize renders it."""

import hashlib
import shutil
from pathlib import Path

import yaml

from rollouts.tests.rendering import REPOSITORY, Document, render

JOBS = ("golden-set", "load", "shadow-agreement", "smoke")
FETCHING = ("golden-set", "load", "shadow-agreement")
OVERLAY = {
    "apiVersion": "kustomize.config.k8s.io/v1beta1",
    "kind": "Kustomization",
    "namespace": "inference-staging",
    "resources": [
        "../../../base/inference",
        "../../../base/inference-probe",
        "../../../base/namespace",
        *(f"../../../rollouts/templates/{name}" for name in JOBS),
    ],
    "components": [
        "../../../rollouts/kustomizeconfig",
        "../../../base/inference-settings",
        "../inference/release",
    ],
    "configMapGenerator": [
        {
            "name": "settings",
            "envs": ["settings.env"],
            "options": {"annotations": {"config.kubernetes.io/local-config": "true"}},
        }
    ],
}


def render_jobs(tree: Path, model: Path) -> list[Document]:
    """Render it below `tree`, with addresses of its own and this model as version 12."""
    for folder in ("base", "rollouts", "overlays"):
        shutil.copytree(
            REPOSITORY / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    overlay = tree / "overlays" / "staging" / "jobs"
    overlay.mkdir()
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(OVERLAY))
    settings = (overlay.parent / "inference" / "settings.env").read_text()
    (overlay / "settings.env").write_text(settings.replace(".svc:", ".elsewhere.svc:"))
    release = overlay.parent / "inference" / "release" / "model-release.env"
    given = dict(line.split("=", 1) for line in release.read_text().splitlines())
    given |= {
        "MODEL_VERSION": "12",
        "MODEL_URI": model.as_uri(),
        "MODEL_SHA256": hashlib.sha256(model.read_bytes()).hexdigest(),
    }
    release.write_text("".join(f"{key}={value}\n" for key, value in given.items()))
    return render(overlay)


def of_kind(documents: list[Document], kind: str) -> dict[str, Document]:
    """The documents of a kind by their names."""
    return {each["metadata"]["name"]: each for each in documents if each["kind"] == kind}
