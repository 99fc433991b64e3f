"""The parts of the local cluster, one module each; `all_parts` lists them."""

from __future__ import annotations

from local_cluster.part import Part
from local_cluster.parts import (
    argo_cd,
    control_plane,
    crds,
    envoy_gateway,
    gateway_bridge,
    git_server,
    mlflow,
    nodes,
    redis,
)


def all_parts() -> tuple[Part, ...]:
    """Every part, those that others need first."""
    return (
        *control_plane.PARTS,
        crds.PART,
        nodes.PART,
        gateway_bridge.PART,
        *envoy_gateway.PARTS,
        *mlflow.PARTS,
        git_server.PART,
        redis.PART,
        *argo_cd.PARTS,
    )
