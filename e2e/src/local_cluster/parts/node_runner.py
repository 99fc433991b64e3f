"""The node runner: the kubelet of kwok's nodes."""

from __future__ import annotations

from pathlib import Path

import httpx
import yaml

from local_cluster.cluster import Cluster
from local_cluster.part import Command, Part
from local_cluster.parts import control_plane

NAME = "node-runner"
_ANSWER_SECONDS = 5.0


def folder(cluster: Cluster) -> Path:
    """Where the pods' volumes are, and in `logs` what their containers wrote."""
    return cluster.folder / NAME


def hosts(cluster: Cluster) -> dict[str, str]:
    """What other teams run in a real cluster, and here a process does."""
    return {
        "mlflow.ml-system.svc:5000": cluster.address("mlflow"),
        # The Services that Envoy Gateway makes for Gateways: all of them are one Envoy here.
        "*.envoy-gateway-system.svc:443": f"{cluster.host}:{cluster.gateway_https}",
    }


def _hosts_file(cluster: Cluster) -> Path:
    return cluster.part_folder(NAME) / "hosts.yaml"


def _prepare(cluster: Cluster) -> None:
    file = _hosts_file(cluster)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(hosts(cluster)))


def _command(cluster: Cluster) -> Command:
    return Command(
        [
            *(str(cluster.scripts / NAME), "--kubeconfig", str(cluster.kubeconfig)),
            *("--folder", str(folder(cluster)), "--network", cluster.network),
            *("--images", str(cluster.root / "e2e" / "images.yaml")),
            *("--hosts", str(_hosts_file(cluster)), "--listen", cluster.address(NAME)),
            *("--listen-logs", f"127.0.0.1:{control_plane.kubelet_port(cluster)}"),
            *("--tls-cert", str(control_plane.certificate(cluster))),
            *("--tls-key", str(control_plane.certificate(cluster).with_suffix(".key"))),
            # A kubelet begins with 10 s; a scenario waits for the third crash.
            *("--backoff-seconds", "1"),
        ]
    )


def _ready(cluster: Cluster) -> str | None:
    answer = httpx.get(f"{cluster.url(NAME)}/healthz", timeout=_ANSWER_SECONDS)
    return None if answer.is_success else answer.text.strip()


PART = Part(NAME, _command, _ready, ("kube-apiserver",), _prepare, listens=(NAME,))
