"""Names, labels and annotations that the API server takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gitops_policy.fields import Path, entries, mapping, text
from gitops_policy.model import Problem, Resource
from gitops_policy.notations.names import key_fault, label_fault, name_fault, value_fault
from gitops_policy.pods import Pod
from gitops_policy.registry import EVERY, PODS, rule
from gitops_policy.world import World

_NAMES = "https://kubernetes.io/docs/concepts/overview/working-with-objects/names/"
_LABELS = (
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/"
    "#syntax-and-character-set"
)
_ANNOTATIONS = (
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/"
    "#syntax-and-character-set"
)
_ANNOTATIONS_LIMIT = 256 * 1024


@rule(
    id="object-name",
    title="Objects have names that their kind may have",
    severity="error",
    rationale="No schema knows the syntax of names: the API server refuses it at the sync.",
    references=[_NAMES],
    kinds=EVERY,
    known_as="datree:54",
)
def object_name(resource: Resource) -> Iterator[Problem]:
    """DNS subdomains; labels for Services and Namespaces, 52 characters for CronJobs."""
    metadata = mapping(resource.content, "metadata")
    for key, prefix in (("name", False), ("generateName", True)):
        name = text(metadata, key)
        reason = name_fault(resource.group_kind, name, prefix=prefix) if name else ""
        if reason:
            message = f"{key} {name!r} {reason}"
            yield resource.problem(("metadata", key), message, "rename it")


@rule(
    id="container-names",
    title="Containers and volumes have valid names, each once",
    severity="error",
    rationale="The API server refuses the pod, of a Rollout or Job only when it is made.",
    references=[_NAMES],
    kinds=PODS,
)
def container_names(pod: Pod) -> Iterator[Problem]:
    """Names are DNS labels; no two containers of a pod share one, no two volumes."""
    lists = (("initContainers", "containers", "ephemeralContainers"), ("volumes",))
    for groups in lists:
        seen: set[str] = set()
        for group in groups:
            for i, item in entries(pod.spec, group):
                name = text(item, "name")
                reason = "stands twice" if name in seen else label_fault(name) if name else ""
                if reason:
                    message = f"name {name!r} {reason}"
                    yield pod.problem((group, i, "name"), message, "rename it")
                seen |= {name} if name else set()


@rule(
    id="label-values",
    title="Labels and annotations are ones that the API server takes",
    severity="error",
    rationale="A slash or a 64th character in a label: the object is refused, of a template late.",
    references=[_LABELS, _ANNOTATIONS],
    kinds=EVERY,
    known_as="kube-score:label-values datree:9",
)
def label_values(resource: Resource, world: World) -> Iterator[Problem]:
    """Keys and values of the object's and its pods' labels are valid, annotations fit 256 KiB."""
    places: list[tuple[Path, Mapping[str, Any]]] = [((), resource.content)]
    places += [(pod.path, pod.template) for pod in world.templates_in(resource) if pod.path]
    places += [
        (("spec", "volumeClaimTemplates", i), claim)
        for i, claim in entries(resource.spec, "volumeClaimTemplates")
    ]
    for path, content in places:
        yield from _labels(resource, (*path, "metadata"), mapping(content, "metadata"))


def _labels(resource: Resource, base: Path, metadata: Mapping[str, Any]) -> Iterator[Problem]:
    for part in ("labels", "annotations"):
        for key, value in mapping(metadata, part).items():
            name = str(key)
            wrong = key_fault(name.lower() if part == "annotations" else name)
            literal = isinstance(value, str) and "{{" not in value  # else an analysis argument
            if not wrong and part == "labels" and literal:
                wrong = value_fault(value) and f"value {value!r} {value_fault(value)}"
            if wrong:
                message = f"{part[:-1]} {name!r}: {wrong}"
                yield resource.problem((*base, part, name), message, "rename or shorten it")
    annotations = mapping(metadata, "annotations")
    size = sum(len(str(k).encode()) + len(str(v).encode()) for k, v in annotations.items())
    if size > _ANNOTATIONS_LIMIT:
        message = f"annotations take {size} bytes of {_ANNOTATIONS_LIMIT}"
        yield resource.problem((*base, "annotations"), message, "keep the data in a ConfigMap")
