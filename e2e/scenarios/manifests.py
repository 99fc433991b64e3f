"""What makes a scenario's own environment out of one of the repository's: names, no more."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]

FINALIZER = "resources-finalizer.argocd.argoproj.io"


def rename_overlay(repository: Path, template: str, name: str) -> None:
    """Give the overlay of `template` the namespace and the hostname of environment `name`."""
    overlay = repository / "overlays" / template / "inference"
    _replace(
        overlay / "kustomization.yaml",
        f"namespace: inference-{template}\n",
        f"namespace: inference-{name}\n",
    )
    set_setting(repository, template, "HOSTNAME", hostname(name))
    if "GATEWAY_URL=" in (overlay / "settings.env").read_text(encoding="utf-8"):
        set_setting(repository, template, "GATEWAY_URL", gateway_url(name))


def hostname(name: str) -> str:
    """The DNS name of environment `name`."""
    return f"inference.{name}.example.com"


def gateway_url(name: str) -> str:
    """The Service that Envoy Gateway makes for the Gateway of environment `name`."""
    gateway = f"inference-{name}/inference"
    digest = sha256(gateway.encode()).hexdigest()[:8]
    # As its GetHashedName does: the digest keeps apart what is cut off.
    shown = gateway.replace("/", "-")[:48].removesuffix("-")
    return f"https://envoy-{shown}-{digest}.envoy-gateway-system.svc"


def argocd_objects(
    repository: Path, template: str, name: str, url: str, revision: str
) -> tuple[Document, Document]:
    """AppProject and Application of environment `name`, from the files of `template`."""
    project = _renamed(
        repository / "argocd/projects" / f"inference-{template}.yaml", template, name
    )
    project["spec"]["sourceRepos"] = [url]
    application = _renamed(repository / "apps/inference" / f"{template}.yaml", template, name)
    application["metadata"]["labels"]["environment"] = name
    # Root has nothing to do with it: no wave, and whoever deletes it takes all with it.
    application["metadata"]["finalizers"] = [FINALIZER]
    application["spec"]["source"] |= {"repoURL": url, "targetRevision": revision}
    _patch_locally(application, repository)
    return project, application


def _patch_locally(application: Document, repository: Path) -> None:
    """Give it what the component gives every Application that root brings."""
    path = repository / "e2e/component/applications/sync-patch.yaml"
    for operation in yaml.safe_load(path.read_text(encoding="utf-8")):
        *parents, last = operation["path"].strip("/").split("/")
        target: Any = application
        for parent in parents:
            target = target[parent]
        if last == "-":
            target.append(operation["value"])
        else:
            target[last] = operation["value"]


def _renamed(path: Path, template: str, name: str) -> Document:
    text = path.read_text(encoding="utf-8")
    document: Document = yaml.safe_load(text.replace(f"inference-{template}", f"inference-{name}"))
    return document


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise ValueError(f"{path}: {old.strip()!r} does not stand there once")
    path.write_text(text.replace(old, new), encoding="utf-8")


def set_image(repository: Path, template: str, digest: str) -> None:
    """Release another image: the digest of the release folder of an overlay."""
    path = repository / "overlays" / template / "inference/release/kustomization.yaml"
    release = path.read_text(encoding="utf-8").splitlines()
    _put(release, "    digest: ", digest, path)
    path.write_text("\n".join(release) + "\n", encoding="utf-8")


def set_setting(repository: Path, template: str, key: str, value: str) -> None:
    """Change one line of an overlay's settings.env."""
    path = repository / "overlays" / template / "inference/settings.env"
    lines = path.read_text(encoding="utf-8").splitlines()
    _put(lines, f"{key}=", value, path)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def add_resource(overlay: Path, name: str, document: Document) -> None:
    """Give an overlay one object more, in a file of its own."""
    (overlay / name).write_text(yaml.safe_dump(document), encoding="utf-8")
    path = overlay / "kustomization.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["resources"].append(name)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def wrap_overlay(repository: Path, template: str) -> Path:
    """Put an overlay inside another that can take objects away; the folder of the outer one."""
    outer = repository / "overlays" / template / "inference"
    inner = outer.rename(outer.with_name("inner"))
    outer.mkdir()
    content = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"../{inner.name}"],
    }
    (outer / "kustomization.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return outer


def _put(lines: list[str], begin: str, value: str, path: Path) -> None:
    found = [number for number, line in enumerate(lines) if line.startswith(begin)]
    if len(found) != 1:
        raise ValueError(f"{path}: {begin.strip()!r} does not stand there once")
    lines[found[0]] = f"{begin}{value}"


def leaves(document: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every scalar of a document with its path; lists of named things go by name."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from leaves(value, f"{path}/{key}")
    elif isinstance(document, list):
        for number, value in enumerate(document):
            label = value.get("name", number) if isinstance(value, dict) else number
            yield from leaves(value, f"{path}/{label}")
    else:
        yield path, document
