"""Backups: nothing readable by whoever sees the bucket, and restored from where it was written."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitops_policy.fields import Path, entries, field, mapping, sequence, text
from gitops_policy.model import Problem, Resource
from gitops_policy.notations.scripts import commands, filled, lines, literals
from gitops_policy.pods import Container
from gitops_policy.registry import BUILD, CONTAINERS, rule
from gitops_policy.world import World

_ENCRYPTION = "https://kubernetes.io/docs/concepts/configuration/secret/"
_VELERO = "https://velero.io/docs/main/"
_AS_TEXT = re.compile(r"(-o|--output)[= ]?(yaml|json|go-template|jsonpath)")
_KEPT = re.compile(r">|\||--output-file|\btee\b")
_ENCRYPTS = re.compile(
    r"\b(gpg|age|rage|sops|kubeseal|openssl\s+(enc|smime|cms)|restic|borg|kopia|duplicity)\b"
)
_URL = r"(?:s3|gs|azure|az|abfs|wasbs?|swift|b2|oss|cos)://[^\s\"'|;)]+"
_REMOTE = re.compile(_URL)
_COPIES = re.compile(
    r"\b(aws\s+s3\s+(cp|sync|mv)|gsutil\s+(-m\s+)?(cp|rsync|mv)|gcloud\s+storage\s+(cp|rsync)"
    r"|s3cmd\s+(put|get|sync)|s5cmd\s+\S*\s*(cp|sync)|rclone\s+(copy|sync|copyto)|mc\s+(cp|mirror))\b"
)


@rule(
    id="backup-encrypts-secrets",
    title="A backup does not write Secrets in clear text",
    severity="error",
    rationale="Who reads the backup has every password; base64 is no encryption.",
    references=[_ENCRYPTION],
    kinds=CONTAINERS,
)
def backup_encrypts_secrets(container: Container) -> Iterator[Problem]:
    """A script that keeps Secrets as YAML or JSON encrypts them in the same script."""
    for place, content in commands(container):
        joined = content.replace("\\\n", " ")
        encrypted = _ENCRYPTS.search(joined)
        if not encrypted and any(map(_keeps_secrets, joined.splitlines())):
            yield container.problem(
                place,
                "it keeps Secrets in clear text",
                "encrypt with age, gpg or sops, or leave Secrets to their store",
            )


def _keeps_secrets(line: str) -> bool:
    words = line.replace("|", " ").split()
    asked = {part for word in words for part in word.split(",")}
    reads = any(word.endswith("kubectl") for word in words) and {"secret", "secrets"} & asked
    return bool(reads and "get" in words and _AS_TEXT.search(line) and _KEPT.search(line))


@rule(
    id="velero-encrypts-secrets",
    title="Where Velero keeps Secrets, the storage encrypts",
    severity="error",
    rationale="A Velero backup holds every Secret of its namespaces in clear text.",
    references=[_VELERO + "api-types/backupstoragelocation/", _VELERO + "resource-filtering/"],
    kinds=["velero.io/Schedule", "velero.io/Backup"],
)
def velero_encrypts_secrets(backup: Resource, world: World) -> Iterator[Problem]:
    """Secrets are left out, or the storage location of the build names a key."""
    path: Path = ("spec", "template") if backup.kind == "Schedule" else ("spec",)
    spec = mapping(backup.content, *path)
    included = [str(item) for item in sequence(spec, "includedResources")]
    excluded = [str(item) for item in sequence(spec, "excludedResources")]
    if (included and not {"*", "secrets", "secret"} & set(included)) or "secrets" in excluded:
        return
    name = text(spec, "storageLocation") or "default"
    location = world.index.get("velero.io/BackupStorageLocation", backup.namespace, name)
    settings = mapping(location.spec, "config") if location else {}
    keys = ("kmsKeyId", "serverSideEncryption", "customerKeyEncryptionFile", "kmsKeyName")
    if location is not None and not any(settings.get(key) for key in keys):
        yield backup.problem(
            (*path, "storageLocation"),
            f"it keeps Secrets, and location {name!r} does not encrypt",
            "set kmsKeyId or the like, or exclude secrets",
        )


@rule(
    id="restore-from-backup-path",
    title="A restore reads what a backup wrote",
    severity="error",
    rationale="A restore from another path fails on the one day when it is needed.",
    references=["https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/"],
    kinds=BUILD,
)
def restore_from_backup_path(world: World) -> Iterator[Problem]:
    """Each remote path that a script restores from is below one that a script writes to."""
    written: set[str] = set()
    read: list[tuple[Container, Path, str]] = []
    for container in world.containers:
        for place, content in commands(container):
            for source, target in _copies(filled(content, literals(container))):
                if target:
                    written.add(_stem(target))
                elif source:
                    read.append((container, place, _stem(source)))
    for container, place, source in read:
        if written and not any(_same(source, target) for target in written):
            yield container.problem(
                place,
                f"it restores from {source}, backups go to {', '.join(sorted(written))}",
                "read what is written",
            )


def _copies(content: str) -> Iterator[tuple[str, str]]:
    """Yield the remote source or the remote target of each copy between here and a bucket."""
    for line in lines(content):
        if not _COPIES.search(line):
            continue
        words = [word.strip("\"'") for word in line.split() if not word.startswith("-")]
        remote = [bool(_REMOTE.match(word)) for word in words]
        if sum(remote) != 1:
            continue
        position = remote.index(True)
        last = position == len(words) - 1
        yield ("", words[position]) if last else (words[position], "")


def _stem(url: str) -> str:
    """Return the part of a URL that is the same on every day."""
    plain = re.split(r"[$`*{]", url)[0]
    return plain.rpartition("/")[0] if plain != url or "." in plain.rpartition("/")[2] else plain


def _same(source: str, target: str) -> bool:
    one, other = source.rstrip("/") + "/", target.rstrip("/") + "/"
    return one.startswith(other) or other.startswith(one)


@rule(
    id="recovery-source-exists",
    title="A database recovers from a backup that is written",
    severity="error",
    rationale="A recovery from another store or server name finds no backup, or an old one.",
    references=["https://cloudnative-pg.io/plugin-barman-cloud/docs/usage/"],
    kinds=["postgresql.cnpg.io/Cluster"],
    needs_whole=True,
)
def recovery_source_exists(cluster: Resource, world: World) -> Iterator[Problem]:
    """bootstrap.recovery.source is an external cluster, and its ObjectStore exists."""
    source = text(cluster.spec, "bootstrap", "recovery", "source")
    found = [
        (i, item)
        for i, item in entries(cluster.spec, "externalClusters")
        if text(item, "name") == source
    ]
    if source and not found:
        yield cluster.problem(
            ("spec", "bootstrap", "recovery", "source"),
            f"there is no external cluster {source!r}",
            "add it to externalClusters",
        ).regardless()
    for i, item in found:
        store = text(item, "plugin", "parameters", "barmanObjectName")
        made = world.index.get("barmancloud.cnpg.io/ObjectStore", cluster.namespace, store)
        if store and made is None:
            yield cluster.problem(
                ("spec", "externalClusters", i, "plugin", "parameters", "barmanObjectName"),
                f"there is no ObjectStore {store!r}",
                "name the one that backups are written to",
            )


@rule(
    id="velero-restore-source-exists",
    title="A Velero Restore names a backup or schedule that exists",
    severity="error",
    rationale="A Restore of a misspelled schedule restores nothing.",
    references=[_VELERO + "restore-reference/"],
    kinds=["velero.io/Restore"],
)
def velero_restore_source_exists(restore: Resource, world: World) -> Iterator[Problem]:
    """spec.scheduleName is a Schedule of the build, where the build has Schedules."""
    name = text(restore.spec, "scheduleName")
    schedules = world.index.of_kind("velero.io/Schedule")
    known = {schedule.name for schedule in schedules if schedule.namespace == restore.namespace}
    if name and schedules and name not in known:
        yield restore.problem(
            ("spec", "scheduleName"), f"there is no Schedule {name!r}", "correct the name"
        )
    if not name and not text(restore.spec, "backupName") and field(restore.spec) is not None:
        yield restore.problem(("spec",), "it names no backup", "set backupName or scheduleName")
