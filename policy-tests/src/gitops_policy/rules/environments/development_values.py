"""Nothing of development in production: no debugging, no other environment, no lost data."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitops_policy.fields import Path, entries, mapping, sequence, text
from gitops_policy.kubernetes.environments import BEFORE, is_production
from gitops_policy.model import Problem, Resource
from gitops_policy.notations.image_names import image_name
from gitops_policy.notations.scripts import literals
from gitops_policy.pods import Container, Pod
from gitops_policy.registry import CONTAINERS, PODS, rule
from gitops_policy.world import World

_TWELVE = "https://12factor.net/config"
_ACME = "https://letsencrypt.org/docs/staging-environment/"
_LEVEL = re.compile(r"(.*_)?LOG_?LEVEL|LOGLEVEL|LOGGING_LEVEL|RUST_LOG", re.IGNORECASE)
_DEBUG = re.compile(r"(.*_)?(DEBUG|DEV_MODE|DEVELOPMENT|RELOAD)", re.IGNORECASE)
_ON = ("1", "true", "yes", "on")
_ARGUMENTS = re.compile(r"(--reload|--debug|--dev|--log-level[= ](debug|trace))(?=\s|$)")
_LOCAL = re.compile(r"(^|//|@)(localhost|127\.0\.0\.1|\[::1\])(?=[:/]|$)")
_TOKEN = re.compile(rf"(?:^|[-./_@])({'|'.join(BEFORE)})(?=$|[-./_:@])")
_SNAPSHOT = re.compile(r"(^|[-_.])(snapshot|dev|nightly|dirty|wip)([-_.]|$)", re.IGNORECASE)
_DATA = re.compile(
    r"^/(data|pgdata|var/lib/(postgresql|mysql|mongodb|redis|rabbitmq|elasticsearch|kafka)"
    r"|(bitnami|prometheus|alertmanager|qdrant|minio|opt/[\w-]+)/data)(/|$)"
)


@rule(
    id="no-debug-in-production",
    title="Production does not debug",
    severity="error",
    rationale="Debug output holds request bodies and secrets, and is slow; reloaders watch files.",
    references=[_TWELVE],
    kinds=CONTAINERS,
)
def no_debug_in_production(container: Container, world: World) -> Iterator[Problem]:
    """No debug or trace log level, debug switch, or --reload in a production container."""
    if not is_production(world):
        return
    for i, item in entries(container.spec, "env"):
        name, value = text(item, "name"), text(item, "value").lower()
        level = _LEVEL.fullmatch(name) and value in ("debug", "trace")
        if level or (_DEBUG.fullmatch(name) and value in _ON):
            yield container.problem(
                ("env", i, "value"), f"{name}={value}", "set info or warning, and no debugging"
            )
    for name in ("command", "args"):
        words = [word for word in sequence(container.spec, name) if isinstance(word, str)]
        if found := _ARGUMENTS.search("\n".join(words)):
            yield container.problem((name,), f"it runs with {found.group(1)}", "remove it")


@rule(
    id="no-localhost-in-production",
    title="Production's settings do not name localhost",
    severity="error",
    rationale="A service on localhost is the developer's own machine, or the pod itself.",
    references=[_TWELVE],
    kinds=CONTAINERS,
)
def no_localhost_in_production(container: Container, world: World) -> Iterator[Problem]:
    """No variable's URL has the host localhost, unless the pod has a sidecar to ask."""
    alone = len(container.pod.containers) == 1
    for i, item in entries(container.spec, "env") if alone and is_production(world) else ():
        value = text(item, "value")
        if "://" in value and _LOCAL.search(value):
            yield container.problem(
                ("env", i, "value"), f"{text(item, 'name')} names localhost", "name the Service"
            )


@rule(
    id="no-other-environment-in-production",
    title="Production's settings do not name another environment",
    severity="warning",
    rationale="A setting that was copied and not changed sends production's data to staging.",
    references=[_TWELVE],
    kinds=CONTAINERS,
)
def no_other_environment_in_production(container: Container, world: World) -> Iterator[Problem]:
    """No variable holds dev, staging or the like as a word of its URL, path or name."""
    if not is_production(world):
        return
    values = literals(container)
    for i, item in entries(container.spec, "env"):
        name = text(item, "name")
        # /dev is a folder of every system.
        found = _TOKEN.search(values.get(name, "").lower().replace("/dev/", "/"))
        if found and found.group(1) not in ("test", "qa"):
            yield container.problem(
                ("env", i, "value"),
                f"{name} names {found.group(1)}",
                "name production's own",
            )


@rule(
    id="no-staging-issuer-in-production",
    title="Production's certificates are ones that clients trust",
    severity="error",
    rationale="No browser trusts a certificate of a staging or self-signed issuer.",
    references=[_ACME],
    kinds=["cert-manager.io/Certificate", "cert-manager.io/Issuer", "networking.k8s.io/Ingress"],
)
def no_staging_issuer_in_production(resource: Resource, world: World) -> Iterator[Problem]:
    """Neither issuerRef, the ingress annotations nor the ACME server is a staging one."""
    if not is_production(world):
        return
    places: list[tuple[Path, str]] = [
        (("spec", "issuerRef", "name"), text(resource.spec, "issuerRef", "name")),
        (("spec", "acme", "server"), text(resource.spec, "acme", "server")),
    ]
    for name in ("cert-manager.io/cluster-issuer", "cert-manager.io/issuer"):
        path: Path = ("metadata", "annotations", name)
        places += [(path, str(resource.annotations.get(name, "")))]
    for path, value in places:
        if re.search(r"staging|self-?signed|snakeoil", value, re.IGNORECASE):
            yield resource.problem(path, f"{value!r} is not trusted", "use production's issuer")


@rule(
    id="no-snapshot-image-in-production",
    title="Production runs released images",
    severity="error",
    rationale="A snapshot is what a developer had on one day: it cannot be built again.",
    references=["https://kubernetes.io/docs/concepts/containers/images/"],
    kinds=CONTAINERS,
)
def no_snapshot_image_in_production(container: Container, world: World) -> Iterator[Problem]:
    """No image has a tag such as 1.2-SNAPSHOT, dev or nightly."""
    tag = image_name(text(container.spec, "image")).tag
    if is_production(world) and _SNAPSHOT.search(tag):
        yield container.problem(("image",), f"the tag is {tag!r}", "release it, and name that")


@rule(
    id="no-data-on-empty-dir-in-production",
    title="Production keeps data on volumes that outlive the pod",
    severity="warning",
    rationale="An emptyDir goes with its pod: the next drain deletes the data.",
    references=["https://kubernetes.io/docs/concepts/storage/volumes/#emptydir"],
    kinds=PODS,
)
def no_data_on_empty_dir_in_production(pod: Pod, world: World) -> Iterator[Problem]:
    """No emptyDir is mounted where databases and the like keep their data."""
    if not is_production(world):
        return
    empty = {
        text(volume, "name"): i
        for i, volume in pod.volumes
        if mapping(volume).get("emptyDir") is not None
    }
    for container in pod.containers:
        for _, mount in entries(container.spec, "volumeMounts"):
            name, path = text(mount, "name"), text(mount, "mountPath")
            if name in empty and _DATA.match(path):
                yield pod.problem(
                    ("volumes", empty[name], "emptyDir"),
                    f"{path} of container {container.name!r} is lost with the pod",
                    "use a PersistentVolumeClaim",
                )
