"""The parts of the local cluster, one module each; `all_parts` lists them."""

from __future__ import annotations

from local_cluster.part import Part
from local_cluster.parts import (
    argo_cd,
    argo_rollouts,
    cert_manager,
    control_plane,
    crds,
    envoy_gateway,
    external_secrets,
    gateway_bridge,
    git_server,
    kube_state_metrics,
    mlflow,
    node_runner,
    nodes,
    prometheus,
    prometheus_adapter,
    redis,
)


def all_parts() -> tuple[Part, ...]:
    """Every part, those that others need first."""
    return (
        *control_plane.PARTS,
        crds.PART,
        nodes.PART,
        node_runner.PART,
        redis.PART,
        git_server.PART,
        *mlflow.PARTS,
        *prometheus.PARTS,
        kube_state_metrics.PART,
        *prometheus_adapter.PARTS,
        cert_manager.PART,
        external_secrets.PART,
        argo_rollouts.PART,
        *envoy_gateway.PARTS,
        gateway_bridge.PART,
        *argo_cd.PARTS,
    )
