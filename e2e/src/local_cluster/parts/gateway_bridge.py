"""The bridge between the API server's Gateway API objects and Envoy Gateway's folder."""

from __future__ import annotations

import httpx

from local_cluster.cluster import Cluster
from local_cluster.part import Command, Part
from local_cluster.parts.envoy_gateway import documents
from local_cluster.process import log_path

_ANSWER_SECONDS = 2.0


def _command(cluster: Cluster) -> Command:
    options = {
        "--kubeconfig": cluster.kubeconfig,
        "--folder": documents(cluster),
        "--pods": cluster.url("node-runner") + "/pods",
        "--http-port": cluster.gateway_http,
        "--https-port": cluster.gateway_https,
        "--admin": cluster.address("envoy-admin"),
        "--xds": cluster.address("envoy-gateway"),
        "--log": log_path(cluster.part_folder("envoy-gateway")),
        "--listen": cluster.address("gateway-bridge"),
    }
    program = cluster.scripts / "gateway-bridge"
    return Command([str(program), *(str(word) for pair in options.items() for word in pair)])


def _ready(cluster: Cluster) -> str | None:
    httpx.get(f"{cluster.url('gateway-bridge')}/healthz", timeout=_ANSWER_SECONDS, trust_env=False)
    return None if any(documents(cluster).glob("*.yaml")) else "it has written no documents yet"


PART = Part("gateway-bridge", _command, _ready, needs=("crds",), listens=("gateway-bridge",))
