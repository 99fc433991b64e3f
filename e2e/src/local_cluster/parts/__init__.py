"""The parts of the local cluster, one module each; `all_parts` lists them."""

from __future__ import annotations

from local_cluster.part import Part
from local_cluster.parts import control_plane, crds, nodes


def all_parts() -> tuple[Part, ...]:
    """Every part, those that others need first."""
    return (
        *control_plane.PARTS,
        crds.PART,
        nodes.PART,
    )
