"""Promises about the images of containers and what they may use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitops_policy.fields import field, text
from gitops_policy.model import Index

from mutants.mutation import (
    GONE,
    Mutation,
    change,
    in_containers,
    in_pods,
    operator,
)

DIGEST = "sha256:" + "0123456789abcdef" * 4


def tagged(tag: str) -> Any:
    """Return a change of an image: the same repository, this tag instead of the digest."""
    return lambda image: image.partition("@")[0] + tag


def scaled(factor: str) -> Any:
    """Return a change of a quantity to a fixed, absurd amount of the same resource."""
    return lambda _: factor


# Images.
change("image-latest", "the image cannot change", in_containers("image"), tagged(":latest"))
change("image-untagged", "the image cannot change", in_containers("image"), tagged(""))
change("image-by-tag", "the image cannot change", in_containers("image"), tagged(":v1.2.3"))
change("image-cut-digest", "the digest is whole", in_containers("image"), lambda i: i[:-8])
change("image-invalid", "the image can be pulled", in_containers("image"), lambda i: i.upper())
change(
    "image-swapped-digest",
    "one release has one image",
    in_containers("image", kind="Rollout"),
    tagged("@" + DIGEST),
)
change(
    "image-of-retired-registry",
    "the registry still answers",
    in_containers("image"),
    lambda i: "k8s.gcr.io/pause@" + i.partition("@")[2],
)
change("never-pull", "a new node can start the image", in_containers("imagePullPolicy"), "Never")

# Resources.
for _name in ("memory", "ephemeral-storage"):
    change(
        f"drop-{_name}-limit",
        f"{_name} is limited",
        in_containers("resources", "limits", _name),
        GONE,
    )


@operator("drop-cpu", "a container is given time")
def drop_cpu(index: Index) -> Iterator[Mutation]:
    """Drop the request with the limit, which would stand in for it.

    The namespace's LimitRange fills in enough for the fetcher and the job, too little here.
    """
    for resource, path in in_containers("resources", group="containers", kind="Rollout")(index):
        edits = [
            ((*path, kind, "cpu"), GONE)
            for kind in ("requests", "limits")
            if field(resource.content, *path, kind, "cpu") is not None
        ]
        yield Mutation(resource, tuple(edits))


change("drop-resources", "resources are set", in_containers("resources"), GONE)
change(
    "memory-limit-above-request",
    "memory is guaranteed",
    in_containers("resources", "limits", "memory"),
    scaled("16Gi"),
)
change(
    "request-above-limit",
    "a request fits its limit",
    in_containers("resources", "requests", "cpu"),
    scaled("9"),
)
change(
    "malformed-quantity",
    "amounts can be read",
    in_containers("resources", "requests", "memory"),
    "4GB",
)
change(
    "millibytes",
    "memory is not measured in thousandths of a byte",
    in_containers("resources", "limits", "memory"),
    "512m",
)
change(
    "gpu-request-differs",
    "a GPU is requested whole",
    in_containers("resources", "requests", "nvidia.com/gpu"),
    2,
)
change(
    "gpu-fraction",
    "a GPU is requested whole",
    in_containers("resources", "limits", "nvidia.com/gpu"),
    "500m",
)
change(
    "gpu-without-limit",
    "a GPU stands in the limits",
    in_containers("resources", "limits", "nvidia.com/gpu"),
    GONE,
)
change(
    "volume-above-storage-limit",
    "a volume fits the storage limit",
    in_pods("volumes", "*", "emptyDir", "sizeLimit"),
    "40Gi",
)


@operator("see-all-gpus", "a pod without a GPU sees none")
def see_all_gpus(index: Index) -> Iterator[Mutation]:
    """Set NVIDIA_VISIBLE_DEVICES to all where it is void."""
    for resource, path in in_containers("env", "*")(index):
        if text(resource.content, *path, "name") == "NVIDIA_VISIBLE_DEVICES":
            yield Mutation(resource, (((*path, "value"), "all"),))
