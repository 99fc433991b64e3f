"""cert-manager: the controllers of CA and self-signed issuers, without webhook and injector.

The ClusterIssuers come from the repository, through Argo CD.
"""

from __future__ import annotations

import httpx

from local_cluster.cluster import Cluster
from local_cluster.part import Command, Part

_ANSWER_SECONDS = 2.0


def _command(cluster: Cluster) -> Command:
    return Command(
        [
            str(cluster.tools / "cert-manager-controller"),
            f"-kubeconfig={cluster.kubeconfig}",
            f"-health-address={cluster.address('cert-manager-health')}",
        ]
    )


def _ready(cluster: Cluster) -> str | None:
    answer = httpx.get(cluster.url("cert-manager-health"), timeout=_ANSWER_SECONDS, trust_env=False)
    return None if answer.is_success else f"it answers {answer.status_code}"


PART = Part(
    "cert-manager",
    _command,
    _ready,
    needs=("crds", "namespaces"),
    listens=("cert-manager-health",),
)
