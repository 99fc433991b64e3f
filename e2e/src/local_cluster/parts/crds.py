"""The CustomResourceDefinitions of every program whose objects the repository ships."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from local_cluster import objects
from local_cluster.api import reason
from local_cluster.cluster import Cluster, ClusterError
from local_cluster.part import Part

_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_AT_ONCE = 6


def _folder(cluster: Cluster) -> Path:
    return cluster.root / ".tools" / "crds"


def _apply_all(cluster: Cluster) -> None:
    files = sorted(_folder(cluster).glob("*.json"))
    if not files:
        raise ClusterError("crds: .tools/crds is empty; run `python tools/install.py schemas`")
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda path: _apply(cluster, path), files))


def _apply(cluster: Cluster, path: Path) -> None:
    """The file as it is: what an apply would track of 8 MB of schemas, nobody asks for."""
    what = f"crds: {path.stem}"
    answer = objects.api(cluster).call(
        "POST", _PATH, what, headers={"Content-Type": "application/json"}, content=path.read_bytes()
    )
    if answer.is_error and answer.status_code != httpx.codes.CONFLICT:
        raise ClusterError(f"{what} was refused: {reason(answer)}")


def _established(cluster: Cluster) -> str | None:
    """Asks discovery: a list of all definitions is 8 MB, and each poll would pay for it."""
    served = objects.api(cluster).served()
    waiting = sorted({path.stem for path in _folder(cluster).glob("*.json")} - served)
    return f"{len(waiting)} not served, {waiting[0]} among them" if waiting else None


PART = Part("crds", None, _established, ("kube-apiserver",), _apply_all, ready_seconds=120)
