"""Scratch space: what containers write to the node's disk and memory has a bound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gitops_policy.fields import entries, field
from gitops_policy.kubernetes.amounts import is_set
from gitops_policy.model import Problem
from gitops_policy.notations.quantities import quantity
from gitops_policy.pods import Container, Pod
from gitops_policy.registry import PODS, rule

_EMPTY_DIR = "https://kubernetes.io/docs/concepts/storage/volumes/#emptydir"
_NAME = "ephemeral-storage"


@rule(
    id="empty-dir-size-limit",
    title="Every emptyDir on disk has a bound",
    severity="warning",
    rationale="An emptyDir without limit takes the node's disk.",
    references=[_EMPTY_DIR],
    kinds=PODS,
    known_as="kyverno:require-emptydir-requests-limits kyverno:add-emptydir-sizelimit",
)
def empty_dir_size_limit(pod: Pod) -> Iterator[Problem]:
    """`emptyDir.sizeLimit` is set, or all that mount it request and limit ephemeral-storage.

    The kubelet counts an emptyDir to the ephemeral storage of its pod. One that nobody mounts
    stays empty.
    """
    for i, volume in pod.volumes:
        if _unbounded(volume, in_memory=False) and not all(
            is_set(container, part, _NAME)
            for container in _mounting(pod, volume)
            for part in ("requests", "limits")
        ):
            yield _problem(pod, i, volume)


@rule(
    id="memory-volume-size-limit",
    title="Every emptyDir in memory has a size limit",
    severity="warning",
    rationale="Files in memory count as the container's: without a limit they get it killed.",
    references=[_EMPTY_DIR],
    kinds=PODS,
)
def memory_volume_size_limit(pod: Pod) -> Iterator[Problem]:
    """`emptyDir.sizeLimit` is set where the medium is Memory."""
    for i, volume in pod.volumes:
        if _unbounded(volume, in_memory=True):
            yield _problem(pod, i, volume)


def _unbounded(volume: Mapping[str, Any], *, in_memory: bool) -> bool:
    directory = volume.get("emptyDir")
    return (
        directory is not None
        and (field(directory, "medium") == "Memory") is in_memory
        and quantity(field(directory, "sizeLimit")) is None
    )


def _mounting(pod: Pod, volume: Mapping[str, Any]) -> list[Container]:
    return [
        container
        for container in pod.containers
        if any(
            mount.get("name") == volume.get("name")
            for _, mount in entries(container.spec, "volumeMounts")
        )
    ]


def _problem(pod: Pod, position: int, volume: Mapping[str, Any]) -> Problem:
    return pod.problem(
        ("volumes", position, "emptyDir", "sizeLimit"),
        f"emptyDir {volume.get('name')!r} has no sizeLimit",
        "set emptyDir.sizeLimit",
    )
