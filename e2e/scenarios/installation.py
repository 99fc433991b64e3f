"""The first install: argocd/root.yaml is applied, and every Application comes up by itself."""

from __future__ import annotations

import fcntl
import json
import subprocess
import time
from pathlib import Path
from typing import Any

from e2e.scenarios.argo_cd import ARGOCD
from e2e.scenarios.branch import run_git
from e2e.scenarios.environment import Control
from e2e.scenarios.places import TOOLS
from e2e.scenarios.waiting import wait_for

INSTALL_SECONDS = 240
ROOT_APPLICATION = "root"
APPLY_SECONDS = 60
# Its Application is there and OutOfSync: production waits for a person.
BY_HAND = "inference-production"

Installed = dict[str, Any]


def install(control: Control, folder: Path, cluster_id: str) -> Installed:
    """Apply root once for each cluster, and wait until all that follows is Synced and Healthy.

    Returns what was seen: `healthy`, the seconds after which each Application was up, empty where
    root stood there already. One process installs, the others wait for it.
    """
    path = folder / f"installed-{cluster_id}.json"
    folder.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.is_file():
            found: Installed = json.loads(path.read_text(encoding="utf-8"))
            return found
        found = _apply_and_watch(control, clone_of_main(control, folder, cluster_id))
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        return found


def clone_of_main(control: Control, folder: Path, cluster_id: str) -> Path:
    """The served repository as it was when this cluster was first installed."""
    clone = folder / f"clone-{cluster_id}"
    if not clone.is_dir():
        run_git(folder, "clone", "--quiet", "--branch", "main", control.places.git, str(clone))
    return clone


def apply_root(control: Control, clone: Path) -> str:
    """What a new user does, and the only thing; kubectl's output."""
    argv = [str(TOOLS / "kubectl"), f"--kubeconfig={control.places.kubeconfig}", "apply"]
    argv += ["--server-side", "--force-conflicts", "-f", str(clone / "argocd" / "root.yaml")]
    return subprocess.run(
        argv, check=True, capture_output=True, text=True, timeout=APPLY_SECONDS
    ).stdout


def applications(control: Control) -> dict[str, tuple[str | None, str | None]]:
    """Sync and health of every Application."""
    found = {}
    for each in control.api.get("applications.argoproj.io", namespace=ARGOCD):
        status = each.raw.get("status", {})
        sync, health = status.get("sync", {}).get("status"), status.get("health", {}).get("status")
        found[each.name] = (sync, health)
    return found


def _apply_and_watch(control: Control, clone: Path) -> Installed:
    there = ROOT_APPLICATION in applications(control)
    begin, healthy = time.time(), dict[str, float]()
    applied = apply_root(control, clone)

    def all_up() -> bool:
        seen = applications(control)
        for name, state in seen.items():
            if state == ("Synced", "Healthy"):
                healthy.setdefault(name, round(time.time() - begin, 1))
        waiting = {name for name in seen if name not in healthy} - {BY_HAND}
        return healthy.get(ROOT_APPLICATION) is not None and not waiting

    wait_for(
        "every Application of root to be Synced and Healthy",
        all_up,
        INSTALL_SECONDS,
        lambda: {k: v for k, v in applications(control).items() if v != ("Synced", "Healthy")},
        every=1.0,
    )
    return {"applied": applied, "was_there": there, "healthy": healthy}
