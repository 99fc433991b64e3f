"""The CustomResourceDefinitions of every program whose objects the repository ships."""

from __future__ import annotations

import base64
import json
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import yaml

from local_cluster import objects
from local_cluster.cluster import Cluster, ClusterError
from local_cluster.part import Part

_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_AT_ONCE = 6


def _folder(cluster: Cluster) -> Path:
    return cluster.root / ".tools" / "crds"


def _client(cluster: Cluster) -> httpx.Client:
    """kubectl would read 10 MB of YAML and fetch the OpenAPI of each; the server needs neither."""
    admin = yaml.safe_load(cluster.kubeconfig.read_text())
    server, user = admin["clusters"][0]["cluster"], admin["users"][0]["user"]
    context = ssl.create_default_context(cadata=_pem(server, "certificate-authority"))
    files = [cluster.folder / "admin.crt", cluster.folder / "admin.key"]
    for path, key in zip(files, ("client-certificate", "client-key"), strict=True):
        path.touch(mode=0o600)
        path.write_text(_pem(user, key))
    context.load_cert_chain(certfile=files[0], keyfile=files[1])
    return httpx.Client(base_url=server["server"], verify=context, timeout=30)


def _pem(part: dict[str, str], key: str) -> str:
    if key in part:
        return Path(part[key]).read_text()
    return base64.b64decode(part[f"{key}-data"]).decode()


def _apply(client: httpx.Client, path: Path) -> None:
    answer = client.patch(
        f"{_PATH}/{path.stem}",
        params={"fieldManager": objects.FIELD_MANAGER, "force": "true"},
        headers={"Content-Type": "application/apply-patch+yaml"},
        content=path.read_bytes(),
    )
    if answer.is_error:
        raise ClusterError(f"crds: {path.stem} was refused: {answer.text[:500]}")


def _apply_all(cluster: Cluster) -> None:
    files = sorted(_folder(cluster).glob("*.json"))
    if not files:
        raise ClusterError("crds: .tools/crds is empty; run `python tools/install.py schemas`")
    try:
        with _client(cluster) as client, ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda path: _apply(client, path), files))
    except httpx.HTTPError as error:
        raise ClusterError(f"crds: the API server does not take them: {error}") from error


def _established(cluster: Cluster) -> str | None:
    try:
        with _client(cluster) as client:
            found = json.loads(client.get(_PATH).text)["items"]
    except httpx.HTTPError as error:
        return str(error)
    served = {item["metadata"]["name"] for item in found if _is_established(item)}
    waiting = sorted({path.stem for path in _folder(cluster).glob("*.json")} - served)
    return f"{len(waiting)} not established, {waiting[0]} among them" if waiting else None


def _is_established(item: objects.Object) -> bool:
    conditions = item.get("status", {}).get("conditions") or []
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


PART = Part("crds", None, _established, ("kube-apiserver",), _apply_all, ready_seconds=60)
