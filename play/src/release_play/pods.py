"""A rendered pod template run as processes: init containers first, then the server."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from release_play.processes import Process, ProcessGroup, free_port, wait_until_ready
from release_play.prometheus import Target

INIT_SECONDS = 60.0
READY_SECONDS = 60.0

IMAGE_ENTRYPOINT = "inference-server"
"""What `service/Dockerfile` starts when a container names no command."""

Document = dict[str, Any]


class PodError(Exception):
    """A pod template asks for something that a process on this machine cannot be given."""


@dataclass(frozen=True)
class Node:
    """What this machine offers to every pod in the cluster's place.

    `environment` replaces values that name a cluster's own addresses; `secrets` holds what
    External Secrets would write: Secret name -> file name -> text.
    """

    environment: Mapping[str, str]
    secrets: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Pod:
    """A server that runs for one pod of the Rollout."""

    name: str
    pod_template_hash: str
    base_url: str
    target: Target
    process: Process


def pod_template_hash(rollout: Document) -> str:
    """Ten hexadecimal digits that are a function of `spec.template` alone."""
    text = json.dumps(rollout["spec"]["template"], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def start_pod(
    group: ProcessGroup,
    folder: Path,
    name: str,
    rollout: Document,
    documents: Sequence[Document],
    node: Node,
) -> Pod:
    """Run the Rollout's init container and server below `folder`; ready when this returns.

    Volumes become folders of the pod; the kubelet's part that matters here is the order of the
    containers, their environment and readiness.
    """
    spec = rollout["spec"]["template"]["spec"]
    namespace = rollout["metadata"]["namespace"]
    volumes = make_volumes(spec, folder / name, node)
    port = free_port()
    fixed = {**node.environment, "HOST": "127.0.0.1", "PORT": str(port)}
    for container in spec.get("initContainers", []):
        command, environment = container_command(container, volumes, namespace, documents, fixed)
        group.run(f"{name}.{container['name']}", command, environment, INIT_SECONDS)
    (container,) = spec["containers"]
    command, environment = container_command(container, volumes, namespace, documents, fixed)
    process = group.start(name, command, environment)
    base_url = f"http://127.0.0.1:{port}"
    probe = container["readinessProbe"]["httpGet"]["path"]
    wait_until_ready(process, base_url + probe, READY_SECONDS)
    digest = pod_template_hash(rollout)
    target = Target(f"127.0.0.1:{port}", namespace, name, container["name"], digest)
    return Pod(name, digest, base_url, target, process)


def make_volumes(spec: Document, folder: Path, node: Node) -> dict[str, Path]:
    """The volumes of a pod as folders below `folder`, by name."""
    volumes = {volume["name"]: folder / volume["name"] for volume in spec["volumes"]}
    for volume in spec["volumes"]:
        _make_volume(volume, volumes[volume["name"]], node)
    return volumes


def _make_volume(volume: Document, folder: Path, node: Node) -> None:
    folder.mkdir(parents=True)
    if "secret" in volume:
        name = volume["secret"]["secretName"]
        if name not in node.secrets:
            if volume["secret"].get("optional"):
                return
            raise PodError(f"Secret {name} is not one that the play makes")
        secret = node.secrets[name]
        files = {item["path"]: item["key"] for item in volume["secret"].get("items", [])}
        for file, key in (files or {key: key for key in secret}).items():
            if key not in secret:
                raise PodError(f"Secret {name} has no key {key}")
            (folder / file).write_text(secret[key])
    elif "emptyDir" not in volume:
        raise PodError(f"volume {volume['name']} is neither emptyDir nor secret")


def container_command(
    container: Document,
    volumes: Mapping[str, Path],
    namespace: str,
    documents: Sequence[Document],
    fixed: Mapping[str, str],
) -> tuple[list[str], dict[str, str]]:
    """The command line and environment of a container, with mount paths on this machine."""
    environment = {**_environment(container, namespace, documents), **fixed}
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
    environment = {key: _mapped(value, mounts) for key, value in environment.items()}
    words = [*container.get("command", [IMAGE_ENTRYPOINT]), *container.get("args", [])]
    words = [_mapped(_expanded(word, environment), mounts) for word in words]
    return [str(Path(sys.executable).with_name(words[0])), *words[1:]], environment


def _environment(
    container: Document, namespace: str, documents: Sequence[Document]
) -> dict[str, str]:
    environment: dict[str, str] = {}
    for source in container.get("envFrom", []):
        if "configMapRef" not in source:
            raise PodError(f"container {container['name']}: envFrom reads more than ConfigMaps")
        environment |= _config_map(source["configMapRef"]["name"], namespace, documents)
    for entry in container.get("env", []):
        if "value" in entry:
            environment[entry["name"]] = _expanded(entry["value"], environment)
        elif "configMapKeyRef" in entry["valueFrom"]:
            reference = entry["valueFrom"]["configMapKeyRef"]
            data = _config_map(reference["name"], namespace, documents)
            environment[entry["name"]] = data[reference["key"]]
    return environment


def _config_map(name: str, namespace: str, documents: Sequence[Document]) -> dict[str, str]:
    for document in documents:
        metadata = document["metadata"]
        if (document["kind"], metadata["name"], metadata.get("namespace")) == (
            "ConfigMap",
            name,
            namespace,
        ):
            return dict(document["data"])
    raise PodError(f"ConfigMap {namespace}/{name} is not in the rendered overlay")


def _expanded(text: str, environment: Mapping[str, str]) -> str:
    """`$(NAME)` as Kubernetes expands it: unknown names stay as they are."""
    return re.sub(r"\$\(([\w.-]+)\)", lambda m: environment.get(m[1], m[0]), text)


def _mapped(text: str, mounts: Mapping[str, Path]) -> str:
    for mount, folder in mounts.items():
        if text == mount or text.startswith(mount + "/"):
            return str(folder) + text[len(mount) :]
    return text
