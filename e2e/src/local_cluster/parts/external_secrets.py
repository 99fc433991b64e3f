"""External Secrets with its fake provider only, without webhook and cert controller.

The ClusterSecretStore comes from the repository, through Argo CD.
"""

from __future__ import annotations

import httpx

from local_cluster.cluster import Cluster
from local_cluster.part import Command, Part

_ANSWER_SECONDS = 2.0


def _command(cluster: Cluster) -> Command:
    return Command(
        [
            str(cluster.tools / "external-secrets"),
            f"--live-addr={cluster.address('external-secrets-health')}",
            "--metrics-addr=0",
            "--concurrent=4",
            # Nothing of ours pushes secrets, or gives them to many namespaces at once.
            "--enable-push-secret-reconciler=false",
            "--enable-cluster-push-secret-reconciler=false",
            "--enable-cluster-external-secret-reconciler=false",
            "--zap-time-encoding=rfc3339",
        ],
        {"KUBECONFIG": str(cluster.kubeconfig)},
    )


def _ready(cluster: Cluster) -> str | None:
    url = f"{cluster.url('external-secrets-health')}/healthz"
    answer = httpx.get(url, timeout=_ANSWER_SECONDS, trust_env=False)
    return None if answer.is_success else f"it answers {answer.status_code}"


PART = Part(
    "external-secrets",
    _command,
    _ready,
    needs=("crds", "namespaces"),
    listens=("external-secrets-health",),
)
