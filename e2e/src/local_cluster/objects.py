"""Objects of the local API server: applied by the server, read, waited for."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from local_cluster.api import Api
from local_cluster.cluster import Cluster, ClusterError

Object = dict[str, Any]
MANIFESTS = Path(__file__).parent / "manifests"
NAMESPACE = "argocd"
"""The current namespace of the kubeconfig."""


def kubectl(cluster: Cluster, *arguments: str, text: str | None = None, within: float = 30) -> str:
    """Run kubectl as the administrator; its output, or ClusterError with what it said."""
    argv = [str(cluster.tools / "kubectl"), f"--kubeconfig={cluster.kubeconfig}", *arguments]
    said = f"kubectl {' '.join(arguments)}"
    try:
        done = subprocess.run(
            argv,
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=within,
            env={**os.environ, "KUBECACHEDIR": str(cluster.folder / "kubectl")},
        )
    except OSError as error:
        raise ClusterError(f"{said}: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"{said}: no answer in {within:.0f} s; is kube-apiserver up?") from error
    if done.returncode != 0:
        raise ClusterError(f"{said}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def api(cluster: Cluster) -> Api:
    """The client of a cluster; a new one when the cluster was made again."""
    try:
        made = cluster.kubeconfig.stat().st_mtime_ns
    except OSError as error:
        raise ClusterError(f"there is no {cluster.kubeconfig}; is the control plane up?") from error
    return _api(cluster.kubeconfig, made)


@cache
def _api(kubeconfig: Path, _made: int) -> Api:
    return Api(kubeconfig, NAMESPACE)


def apply(cluster: Cluster, *sources: Path | Mapping[str, Any]) -> None:
    """Server-side apply of files and documents; what another writer holds is taken over."""
    for source in sources:
        for document in load(source) if isinstance(source, Path) else [dict(source)]:
            api(cluster).apply(document)


def get(cluster: Cluster, kind: str, name: str, namespace: str = NAMESPACE) -> Object | None:
    """One object; None where it is absent."""
    return api(cluster).get(kind, name, namespace)


def items(cluster: Cluster, kind: str) -> list[Object]:
    """All objects of a kind, in every namespace."""
    return api(cluster).items(kind)


def wait(what: str, missing: Callable[[], str | None], within: float, every: float = 0.2) -> None:
    """Wait until nothing is missing; ClusterError with the last answer after `within` seconds."""
    limit = time.monotonic() + within
    while (answer := missing()) is not None:
        if time.monotonic() > limit:
            raise ClusterError(f"{what}: still not there after {within:.0f} s: {answer}")
        time.sleep(every)


def load(path: Path) -> list[Object]:
    """The documents of a YAML file."""
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def namespaces(names: Iterable[str]) -> list[Object]:
    """Namespace objects."""
    return [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names]
