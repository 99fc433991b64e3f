"""One edit of the repository's sources, one mistake that Kustomize or Argo CD makes silently."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from gitops_policy import Config, Workspace, lint
from gitops_policy.reading.build import build_kustomization

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("apps", "argocd", "base", "overlays", "rollouts")
OVERLAY = "overlays/production/inference"
KUSTOMIZATION = f"{OVERLAY}/kustomization.yaml"
MERGE_PATCH = """apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: inference}
spec: {template: {spec: {containers: [{name: server, args: [--verbose]}]}}}
"""

Edit = Callable[[Path], None]


def added(file: str, text: str) -> Edit:
    """Return an edit that writes at the end of a file, which it makes if need be."""

    def edit(root: Path) -> None:
        path = root / file
        before = path.read_text() if path.exists() else ""
        path.write_text(before + text)

    return edit


def replaced(file: str, old: str, new: str) -> Edit:
    """Return an edit that replaces the first of some text."""

    def edit(root: Path) -> None:
        before = (root / file).read_text()
        assert old in before, f"{file} does not hold {old!r}"
        (root / file).write_text(before.replace(old, new, 1))

    return edit


def everywhere(file: str, old: str, new: str) -> Edit:
    """Return an edit that replaces some text wherever it stands."""

    def edit(root: Path) -> None:
        (root / file).write_text((root / file).read_text().replace(old, new))

    return edit


def both(*edits: Edit) -> Edit:
    """Return an edit made of others."""

    def edit(root: Path) -> None:
        for one in edits:
            one(root)

    return edit


# Rule, the folder that is linted, and the edit.
MISTAKES: list[tuple[str, str, Edit]] = [
    (
        "no-merge-patch-on-rollout",
        OVERLAY,
        both(
            added(f"{OVERLAY}/patches/verbose-patch.yaml", MERGE_PATCH),
            replaced(
                KUSTOMIZATION,
                "replacements:\n",
                "  - path: patches/verbose-patch.yaml\nreplacements:\n",
            ),
        ),
    ),
    (
        "no-custom-openapi",
        OVERLAY,
        both(
            added(f"{OVERLAY}/schema.json", '{"definitions": {}}'),
            added(KUSTOMIZATION, "openapi:\n  path: schema.json\n"),
        ),
    ),
    ("no-name-prefix", OVERLAY, added(KUSTOMIZATION, "namePrefix: blue-\n")),
    ("no-common-labels", OVERLAY, added(KUSTOMIZATION, "commonLabels:\n  team: ml\n")),
    (
        "rollout-name-references",
        OVERLAY,
        everywhere("rollouts/kustomizeconfig/kustomizeconfig.yaml", "kind: Rollout", "kind: Other"),
    ),
    (
        "generated-name-resolved",
        OVERLAY,
        everywhere("rollouts/kustomizeconfig/kustomizeconfig.yaml", "kind: Rollout", "kind: Other"),
    ),
    (
        "no-namespace-on-cluster-scoped",
        OVERLAY,
        both(
            added(
                f"{OVERLAY}/policy.yaml",
                "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\n"
                "metadata: {name: ml, namespace: a}\nvalue: 1\n",
            ),
            replaced(KUSTOMIZATION, "resources:\n", "resources:\n  - policy.yaml\n"),
        ),
    ),
    (
        "kustomize-patch-applies",
        OVERLAY,
        replaced(KUSTOMIZATION, "      name: inference\n", "      name: inferense\n"),
    ),
    (
        "kustomize-image-applies",
        OVERLAY,
        replaced(f"{OVERLAY}/release/kustomization.yaml", "inference-server", "inference-serve"),
    ),
    (
        "kustomize-image-digest",
        OVERLAY,
        replaced(f"{OVERLAY}/release/kustomization.yaml", "digest: sha256:", "newTag: '1' # "),
    ),
    (
        "generated-config-survives",
        OVERLAY,
        replaced(f"{OVERLAY}/release/kustomization.yaml", "Prune=false", "Prune=true"),
    ),
    (
        "manifest-is-rendered",
        OVERLAY,
        added(
            "base/inference/forgotten.yaml",
            "apiVersion: v1\nkind: Service\nmetadata: {name: forgotten}\n",
        ),
    ),
    (
        "empty-render",
        OVERLAY,
        lambda root: (
            (root / KUSTOMIZATION).write_text("namespace: inference-production\n") and None
        ),
    ),
    (
        "release-env",
        OVERLAY,
        replaced(f"{OVERLAY}/release/model-release.env", "MODEL_VERSION=", "MODEL_VERSION=v"),
    ),
    (
        "application-path-renders",
        "apps",
        lambda root: (root / KUSTOMIZATION).write_text("resources: [missing.yaml]\n") and None,
    ),
    (
        "application-waves-wait",
        "apps",
        replaced(
            "argocd/config/argocd-cm.yaml",
            "resource.customizations.health.argoproj.io_Application:",
            "resource.customizations.health.argoproj.io_Applications:",
        ),
    ),
    (
        "manifest-is-delivered",
        "apps",
        added(
            "apps/platform/forgotten.yaml",
            "apiVersion: v1\nkind: Service\nmetadata: {name: forgotten}\n",
        ),
    ),
    (
        "overlay-owned-once",
        "apps",
        lambda root: shutil.copytree(root / OVERLAY, root / "overlays/dev/second") and None,
    ),
]


@pytest.mark.parametrize(("rule", "folder", "edit"), MISTAKES, ids=[item[0] for item in MISTAKES])
def test_a_mistake_in_the_sources_is_seen(
    rule: str, folder: str, edit: Edit, tmp_path: Path
) -> None:
    for name in FOLDERS:
        shutil.copytree(ROOT / name, tmp_path / name)
    assert found(tmp_path, folder, rule) == set()
    edit(tmp_path)
    assert found(tmp_path, folder, rule) == {rule}


def found(root: Path, folder: str, rule: str) -> set[str]:
    build = build_kustomization(root / folder)
    report = lint(build, Config(only=(rule,)), workspace=Workspace(root))
    assert not report.errors
    return {finding.rule for finding in report.findings}
