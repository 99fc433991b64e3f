"""AppProjects: what an environment may not bring, Argo CD refuses, and applies none of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.scenarios.argo_cd import ARGOCD
from e2e.scenarios.environment import Environment, OpenEnvironment
from e2e.scenarios.evidence.recording import Evidence
from e2e.scenarios.manifests import add_resource

REFUSED_SECONDS = 60
ELSEWHERE = "kube-public"

Object = dict[str, Any]


def another_repository(application: Object) -> None:
    application["spec"]["source"]["repoURL"] = "https://example.com/another.git"


def another_namespace(application: Object) -> None:
    application["spec"]["destination"]["namespace"] = ELSEWHERE


APPLICATIONS = {
    "another repository": (
        another_repository,
        "application repo https://example.com/another.git is not permitted in project",
    ),
    "another namespace": (
        another_namespace,
        f"namespace '{ELSEWHERE}' do not match any of the allowed destinations in project",
    ),
}


@pytest.mark.limit(120)
@pytest.mark.parametrize("asks_for", APPLICATIONS)
def test_an_application_that_asks_for_more_than_its_project_is_refused(
    asks_for: str, open_in_cluster: OpenEnvironment, evidence: Evidence
) -> None:
    change, message = APPLICATIONS[asks_for]
    environment = open_in_cluster("staging", install=False)
    environment.apply(change)
    # The first look may come before Argo CD knows the project, and says that instead.
    said = environment.wait(
        f"Argo CD to refuse the Application because {message}",
        lambda _: [each for each in invalid(environment) if message in each],
        REFUSED_SECONDS,
    )
    evidence.note("Argo CD says", said)
    assert nothing_applied(environment)


def invalid(environment: Environment) -> list[str]:
    """Why Argo CD does not compare the Application at all."""
    conditions = status(environment).get("conditions", [])
    return [each["message"] for each in conditions if each["type"] == "InvalidSpecError"]


def status(environment: Environment) -> Object:
    found = environment.find("applications.argoproj.io", environment.application, ARGOCD)
    return dict(found.raw.get("status", {}))


def nothing_applied(environment: Environment) -> bool:
    """The environment's namespace comes with its first sync; it is not there."""
    return not list(environment.control.api.get("namespaces", environment.namespace))


def a_cluster_role(overlay: Path) -> None:
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    add_resource(overlay, "role.yaml", named("ClusterRole", "escape", group=RBAC, rules=rules))


def a_secret(overlay: Path) -> None:
    add_resource(overlay, "secret.yaml", named("Secret", "escape", stringData={"a": "1"}))


def an_object_elsewhere(overlay: Path) -> None:
    """The overlay's namespace is stamped on all; a replacement comes after it."""
    add_resource(overlay, "escape.yaml", named("ConfigMap", "escape", data={"to": ELSEWHERE}))
    target = {"select": {"kind": "ConfigMap", "name": "escape"}}
    replace(overlay, target | {"fieldPaths": ["metadata.namespace"]})


def another_namespace_object(overlay: Path) -> None:
    add_resource(overlay, "escape.yaml", named("ConfigMap", "escape", data={"to": "escape"}))
    replace(overlay, {"select": {"kind": "Namespace"}, "fieldPaths": ["metadata.name"]})


RBAC = "rbac.authorization.k8s.io/v1"
# Kind, what the overlay's change is, and what Argo CD says of the object.
OVERLAYS: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "a ClusterRole": (
        "ClusterRole",
        a_cluster_role,
        "resource rbac.authorization.k8s.io:ClusterRole is not permitted in project",
    ),
    "a Secret": ("Secret", a_secret, "resource :Secret is not permitted in project"),
    "an object in another namespace": (
        "ConfigMap",
        an_object_elsewhere,
        f"namespace {ELSEWHERE} is not permitted in project",
    ),
    "a Namespace of another name": (
        "Namespace",
        another_namespace_object,
        "resource :Namespace is not permitted in project",
    ),
}


@pytest.mark.limit(120)
@pytest.mark.parametrize("brings", OVERLAYS)
def test_a_pull_request_that_escapes_its_project_applies_nothing(
    brings: str, open_in_cluster: OpenEnvironment, evidence: Evidence
) -> None:
    kind, change, message = OVERLAYS[brings]
    environment = open_in_cluster("staging", install=False)
    environment.branch.commit(f"Bring {brings}", lambda it: change(environment.overlay(it)))
    environment.apply()
    said: list[str] = environment.wait(
        "Argo CD to refuse the sync", lambda _: refused(environment, kind), REFUSED_SECONDS
    )
    evidence.note("Argo CD says", said)
    assert [message in each for each in said] == [True]
    assert nothing_applied(environment)
    assert not list(environment.control.api.get("configmaps", "escape", namespace=ELSEWHERE))
    assert not list(environment.control.api.get("clusterroles", "escape"))
    assert not list(environment.control.api.get("namespaces", "escape"))


def refused(environment: Environment, kind: str) -> list[str]:
    """What Argo CD says of the objects of a kind that it did not sync."""
    operation = status(environment).get("operationState", {})
    return [
        each["message"]
        for each in operation.get("syncResult", {}).get("resources", [])
        if each["kind"] == kind and each.get("status") == "SyncFailed"
    ]


def named(kind: str, name: str, group: str = "v1", **fields: Any) -> Object:
    return {"apiVersion": group, "kind": kind, "metadata": {"name": name}, **fields}


def replace(overlay: Path, target: Object) -> None:
    """A replacement of a field after all others."""
    path = overlay / "kustomization.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    source = {"kind": "ConfigMap", "name": "escape", "fieldPath": "data.to"}
    content["replacements"].append({"source": source, "targets": [target]})
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
