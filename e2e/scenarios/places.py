"""Where the parts of the cluster under test answer: the local cluster, or any other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local_cluster.cluster import Cluster

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "build" / "e2e"
TOOLS = ROOT / ".tools" / "bin"

# What another cluster than the local one has to be told about.
VARIABLES = {
    "git": "E2E_GIT_URL",
    "gateway": "E2E_GATEWAY",
    "prometheus": "E2E_PROMETHEUS_URL",
    "mlflow": "E2E_MLFLOW_URL",
    "argocd": "E2E_ARGOCD_URL",
}


class NoClusterError(Exception):
    """There is no cluster to run on, or too little is known of it; says what to do."""


@dataclass(frozen=True)
class Places:
    """Addresses; `local` is the cluster of `make up`, None on any other."""

    kubeconfig: Path
    git: str
    """The repository that Argo CD follows: scenarios push branches to it."""
    gateway: str
    """host:port where the Gateway takes HTTPS."""
    prometheus: str
    mlflow: str
    argocd: str
    routes: str | None = None
    """The bridge's view of Envoy's real weights; only the local cluster has it."""
    local: Cluster | None = None


def find_places(environment: Mapping[str, str] = os.environ) -> Places:
    """Those of KUBECONFIG where it is set, else of the local cluster."""
    cluster = Cluster.from_environment(environment)
    given = environment.get("KUBECONFIG")
    if given and Path(given).resolve() != cluster.kubeconfig.resolve():
        return _elsewhere(Path(given), environment)
    if not cluster.kubeconfig.is_file():
        raise NoClusterError(
            f"{cluster.kubeconfig} is not there: start the local cluster with `make up`, "
            "run `make e2e`, which starts one, or set KUBECONFIG"
        )
    return _local(cluster)


def _local(cluster: Cluster) -> Places:
    return Places(
        kubeconfig=cluster.kubeconfig,
        git=f"{cluster.url('git')}/inference-gitops.git",
        gateway=f"{cluster.host}:{cluster.gateway_https}",
        prometheus=cluster.url("prometheus"),
        mlflow=cluster.url("mlflow"),
        argocd=cluster.url("argocd"),
        routes=f"{cluster.url('gateway-bridge')}/routes",
        local=cluster,
    )


def _elsewhere(kubeconfig: Path, environment: Mapping[str, str]) -> Places:
    missing = [name for name in VARIABLES.values() if not environment.get(name)]
    if missing:
        raise NoClusterError(
            f"KUBECONFIG is {kubeconfig}, another cluster than the local one: "
            f"set {', '.join(missing)} as well (e2e/scenarios/README.md says to what)"
        )
    if not kubeconfig.is_file():
        raise NoClusterError(f"KUBECONFIG is {kubeconfig}, which is no file: correct or unset it")
    return Places(
        kubeconfig=kubeconfig,
        git=environment[VARIABLES["git"]],
        gateway=environment[VARIABLES["gateway"]],
        prometheus=environment[VARIABLES["prometheus"]],
        mlflow=environment[VARIABLES["mlflow"]],
        argocd=environment[VARIABLES["argocd"]],
    )
