"""kube-state-metrics: the objects of the API server as metrics."""

from __future__ import annotations

import httpx

from local_cluster.cluster import PORTS, Cluster
from local_cluster.part import Command, Part

_ANSWER_SECONDS = 2.0
_TELEMETRY = "kube-state-metrics-telemetry"


def _command(cluster: Cluster) -> Command:
    return Command(
        [
            str(cluster.tools / "kube-state-metrics"),
            f"--kubeconfig={cluster.kubeconfig}",
            *(f"--host={cluster.host}", f"--port={PORTS['kube-state-metrics']}"),
            *(f"--telemetry-host={cluster.host}", f"--telemetry-port={PORTS[_TELEMETRY]}"),
        ]
    )


def _ready(cluster: Cluster) -> str | None:
    url = f"{cluster.url(_TELEMETRY)}/readyz"
    answer = httpx.get(url, timeout=_ANSWER_SECONDS, trust_env=False)
    return None if answer.is_success else f"it answers {answer.status_code}: {answer.text[:200]}"


PART = Part(
    "kube-state-metrics",
    _command,
    _ready,
    needs=("namespaces",),
    listens=("kube-state-metrics", _TELEMETRY),
)
