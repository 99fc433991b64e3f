"""The pinned programs that the parts run, built where they are missing."""

from __future__ import annotations

import subprocess

from local_cluster.cluster import Cluster, ClusterError

FAMILIES = (
    "kustomize", "schemas", "prometheus", "kwok", "kubernetes", "argo-rollouts", "argo-cd",
    "envoy-gateway", "cert-manager", "external-secrets", "prometheus-adapter",
    "kube-state-metrics", "e2e/traffic-router",
)  # fmt: skip
_BUILD_SECONDS = 3600


def build(cluster: Cluster) -> None:
    """Build what is missing; what was built before an interruption stays."""
    argv = [str(cluster.python), str(cluster.root / "tools" / "install.py"), *FAMILIES]
    try:
        status = subprocess.run(argv, check=False, timeout=_BUILD_SECONDS).returncode
    except subprocess.TimeoutExpired as error:
        raise ClusterError(
            f"tools: not built after {_BUILD_SECONDS // 60} minutes; run it again: it goes on "
            "with what is missing"
        ) from error
    if status:
        raise ClusterError("tools: a program is missing, see above; run it again once that is gone")
