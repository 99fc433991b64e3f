"""Objects of the local API server: applied by the server, read, waited for."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from local_cluster.cluster import Cluster, ClusterError

Object = dict[str, Any]
MANIFESTS = Path(__file__).parent / "manifests"
FIELD_MANAGER = "local-cluster"


def kubectl(cluster: Cluster, *arguments: str, text: str | None = None, within: float = 30) -> str:
    """Run kubectl as the administrator; its output, or ClusterError with what it said."""
    argv = [str(cluster.tools / "kubectl"), f"--kubeconfig={cluster.kubeconfig}", *arguments]
    said = f"kubectl {' '.join(arguments)}"
    try:
        done = subprocess.run(
            argv, input=text, capture_output=True, text=True, check=False, timeout=within
        )
    except OSError as error:
        raise ClusterError(f"{said}: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"{said}: no answer in {within:.0f} s; is kube-apiserver up?") from error
    if done.returncode != 0:
        raise ClusterError(f"{said}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def apply(cluster: Cluster, *sources: Path | Mapping[str, Any], within: float = 60) -> None:
    """Server-side apply of files and documents; what another writer holds is taken over."""
    text = "\n---\n".join(_text(source) for source in sources)
    flags = ["--server-side", "--force-conflicts", f"--field-manager={FIELD_MANAGER}"]
    kubectl(cluster, "apply", *flags, "-f", "-", text=text, within=within)


def get(cluster: Cluster, kind: str, name: str, namespace: str = "default") -> Object | None:
    """One object; None where it is absent."""
    output = kubectl(
        cluster, "get", kind, name, "-n", namespace, "-o", "json", "--ignore-not-found"
    )
    return json.loads(output) if output.strip() else None


def items(cluster: Cluster, kind: str) -> list[Object]:
    """All objects of a kind, in every namespace."""
    found: list[Object] = json.loads(kubectl(cluster, "get", kind, "-A", "-o", "json"))["items"]
    return found


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


def _text(source: Path | Mapping[str, Any]) -> str:
    return source.read_text() if isinstance(source, Path) else json.dumps(source)
