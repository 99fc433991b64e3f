"""Volume claims: their class, their annotations, who may write, and whether disks are encrypted."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import Path, entries, field, mapping, sequence, text
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule
from gitops_policy.world import World

_VOLUMES = "https://kubernetes.io/docs/concepts/storage/persistent-volumes/"
_CLASSES = "https://kubernetes.io/docs/concepts/storage/storage-classes/"
_CLAIM = "PersistentVolumeClaim"
_VOLUME = "PersistentVolume"
_STATEFUL_SET = "apps/StatefulSet"
_CLASS = "storage.k8s.io/StorageClass"


def _claims(resource: Resource) -> Iterator[tuple[Path, dict[str, object]]]:
    """Yield the claim that an object is, or those of a StatefulSet's pods, with their path."""
    if resource.group_kind == _CLAIM:
        yield (), resource.content
    for i, claim in entries(resource.spec, "volumeClaimTemplates"):
        if resource.group_kind == _STATEFUL_SET:
            yield ("spec", "volumeClaimTemplates", i), claim


@rule(
    id="volume-claim-annotations",
    title="Volume claims of StatefulSets carry the annotations that the settings ask for",
    severity="warning",
    rationale="Backup tools take up volumes by an annotation; a StatefulSet cannot add it later.",
    references=["https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/"],
    kinds=[_STATEFUL_SET],
    known_as="kube-linter:statefulset-volumeclaimtemplate-annotation",
)
def volume_claim_annotations(stateful_set: Resource, world: World) -> Iterator[Problem]:
    """Each of the setting `volume_claim_annotations` is on each template; unset, none is asked."""
    for path, claim in _claims(stateful_set):
        given = mapping(claim, "metadata", "annotations")
        for key in world.config.volume_claim_annotations:
            if key not in given:
                where = (*path, "metadata", "annotations", key)
                yield stateful_set.problem(where, f"annotation {key} is missing", "set it")


@rule(
    id="volume-storage-class",
    title="Volume claims name a StorageClass that exists",
    severity="info",
    rationale="Of taste: the cluster's default class is another on the next cluster.",
    references=[_CLASSES],
    kinds=[_CLAIM, _STATEFUL_SET],
    known_as="gatekeeper:storageclass gatekeeper:k8sstorageclass",
    default=False,
)
def volume_storage_class(resource: Resource, world: World) -> Iterator[Problem]:
    """storageClassName is set, to one of the setting `storage_classes` or of the build, if any."""
    made = (found.name for found in world.index.of_kind(_CLASS))
    known = {*world.config.storage_classes, *made}
    for path, claim in _claims(resource):
        name = text(claim, "spec", "storageClassName")
        where = (*path, "spec", "storageClassName")
        if not name:
            yield resource.problem(where, "names no StorageClass", "set storageClassName")
        elif known and name not in known:
            message = f"StorageClass {name!r} is none of {', '.join(sorted(known))}"
            yield resource.problem(where, message, "correct it, or list it in storage_classes")


@rule(
    id="volume-read-write-once-pod",
    title="Volumes that one pod writes are written by one pod",
    severity="info",
    rationale="Of taste: ReadWriteOnce lets every pod of one node write the same files.",
    references=[f"{_VOLUMES}#access-modes"],
    kinds=[_CLAIM, _STATEFUL_SET],
    known_as="kyverno:enforce-readwriteonce-pod",
    default=False,
)
def volume_read_write_once_pod(resource: Resource) -> Iterator[Problem]:
    """accessModes is ReadWriteOncePod alone."""
    for path, claim in _claims(resource):
        modes = sequence(claim, "spec", "accessModes")
        if not modes or any(mode != "ReadWriteOncePod" for mode in modes):
            shown = ", ".join(map(str, modes)) or "not set"
            where = (*path, "spec", "accessModes")
            yield resource.problem(where, f"accessModes: {shown}", "use ReadWriteOncePod")


@rule(
    id="storage-class-reclaim",
    title="A StorageClass deletes what nobody claims any more",
    severity="info",
    rationale="Contested: among tenants a kept volume could be read by the next; a database wants "
    "Retain.",
    references=[f"{_CLASSES}#reclaim-policy"],
    kinds=[_CLASS],
    known_as="kyverno:restrict-storageclass",
    default=False,
)
def storage_class_reclaim(storage_class: Resource) -> Iterator[Problem]:
    """reclaimPolicy is Delete."""
    policy = field(storage_class.content, "reclaimPolicy")
    if policy != "Delete":
        yield storage_class.problem(
            ("reclaimPolicy",), f"reclaimPolicy is {policy or 'not set'}", "set Delete"
        )


@rule(
    id="volume-encrypted",
    title="Volumes are on encrypted disks",
    severity="info",
    rationale="A disk that is thrown away, or a snapshot that is shared, is read by anybody.",
    references=[
        f"{_CLASSES}#aws-ebs",
        "https://cloud.google.com/docs/security/encryption/default-encryption",
    ],
    kinds=[_VOLUME, _CLAIM, _STATEFUL_SET],
    known_as="kubescape:C-0264",
)
def volume_encrypted(resource: Resource, world: World) -> Iterator[Problem]:
    """Where the build holds its StorageClass, that encrypts: by parameter or by its provisioner."""
    claims = [((), resource.content)] if resource.group_kind == _VOLUME else _claims(resource)
    for path, claim in claims:
        name = text(claim, "spec", "storageClassName")
        storage_class = world.index.get(_CLASS, "", name) if name else None
        if storage_class is not None and not _encrypts(storage_class):
            yield resource.problem(
                (*path, "spec", "storageClassName"),
                f"StorageClass {name!r} does not encrypt",
                'set parameters.encrypted: "true"',
            )


def _encrypts(storage_class: Resource) -> bool:
    """Azure and Google encrypt every disk; others are asked to."""
    provisioner = text(storage_class.content, "provisioner")
    asked = mapping(storage_class.content, "parameters").get("encrypted")
    return str(asked).lower() == "true" or any(
        name in provisioner for name in ("azure", "csi.storage.gke.io")
    )
