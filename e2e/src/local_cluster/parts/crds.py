"""The CustomResourceDefinitions of every program whose objects the repository ships."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from local_cluster import objects
from local_cluster.api import reason
from local_cluster.cluster import Cluster, ClusterError
from local_cluster.part import Part

_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_AT_ONCE = 3


def files(cluster: Cluster) -> list[Path]:
    """The definitions as tools/install.py wrote them, `<name>.json` each."""
    found = sorted((cluster.root / ".tools" / "crds").glob("*.json"))
    if not found:
        raise ClusterError("crds: .tools/crds is empty; run `python tools/install.py schemas`")
    return found


def apply_missing(cluster: Cluster) -> None:
    """Create the definitions that the API server does not have."""
    answer = objects.api(cluster).call("GET", _PATH, "crds", accept=_METADATA)
    if answer.is_error:
        raise ClusterError(f"crds: {reason(answer)}")
    there = {item["metadata"]["name"] for item in answer.json()["items"] or []}
    missing = [path for path in files(cluster) if path.stem not in there]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda path: _create(cluster, path), missing))


def _create(cluster: Cluster, path: Path) -> None:
    """The file as it is: what an apply would track of 8 MB of schemas, nobody asks for."""
    what = f"crds: {path.stem}"
    answer = objects.api(cluster).call(
        "POST", _PATH, what, headers={"Content-Type": "application/json"}, content=path.read_bytes()
    )
    if answer.is_error:
        raise ClusterError(f"{what} was refused: {reason(answer)}")


def missing(cluster: Cluster) -> str | None:
    """Asks discovery: a list of all definitions is 8 MB, and each poll would pay for it."""
    served = objects.api(cluster).served()
    waiting = sorted({path.stem for path in files(cluster)} - served)
    return f"{len(waiting)} not served, {waiting[0]} among them" if waiting else None


def _ready(cluster: Cluster) -> str | None:
    """Served, and described: the first to ask for OpenAPI waits until it is built, or gives up."""
    if (answer := missing(cluster)) is not None:
        return answer
    built = objects.api(cluster).call("HEAD", "/openapi/v2", "crds", accept="*/*")
    return None if built.is_success else f"OpenAPI: {built.status_code}"


PART = Part("crds", None, _ready, ("kube-apiserver",), apply_missing, ready_seconds=120)
