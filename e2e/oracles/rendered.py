"""What this repository asks a cluster to store: every folder that root or an Application syncs."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from gitops_policy import render

ROOT = Path(__file__).resolve().parents[2]
APPS = "apps"
# Its base comes from the network; no test may need that.
REMOTE = "argocd/install/upstream"


@cache
def folders() -> tuple[str, ...]:
    """Return the folders of this repository that are rendered, the Applications' own ones too."""
    applications = [manifest for manifest in objects(APPS) if manifest["kind"] == "Application"]
    root = next(app for app in applications if app["metadata"]["name"] == "root")
    repository = root["spec"]["source"]["repoURL"]
    own = {
        str(source["path"])
        for app in applications
        for source in app["spec"].get("sources") or [app["spec"]["source"]]
        if source["repoURL"] == repository
    }
    overlays = {str(path.parent.relative_to(ROOT)) for path in ROOT.glob("overlays/*/*/kust*.yaml")}
    return tuple(sorted((own | overlays | {APPS, "argocd"}) - {REMOTE}))


@cache
def objects(folder: str) -> tuple[dict[str, Any], ...]:
    """Return what Kustomize makes of a folder."""
    return tuple(render(ROOT / folder))
