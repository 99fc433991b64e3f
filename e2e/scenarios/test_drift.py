"""Drift by hand and prune: healed where Argo CD syncs by itself, shown where a person does."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.scenarios.argo_cd import ARGOCD
from e2e.scenarios.environment import Environment
from e2e.scenarios.evidence.recording import Evidence
from e2e.scenarios.manifests import add_resource, wrap_overlay

HEAL_SECONDS = 45
NOT_HEALED_SECONDS = 20
AUTOSCALER = "horizontalpodautoscalers.autoscaling"
BY_HAND = 17
KEPT = {"argocd.argoproj.io/sync-options": "Prune=false"}


def most_pods(environment: Environment) -> int:
    return int(environment.find(AUTOSCALER, "inference").raw["spec"]["maxReplicas"])


def drift(environment: Environment) -> int:
    """Change a declared field as with `kubectl patch`; what it was."""
    before = most_pods(environment)
    assert before != BY_HAND
    environment.find(AUTOSCALER, "inference").patch({"spec": {"maxReplicas": BY_HAND}})
    return before


def out_of_sync(environment: Environment) -> set[tuple[str, str]]:
    """Kind and name of what differs from Git, as Argo CD shows it."""
    application = environment.find("applications.argoproj.io", environment.application, ARGOCD)
    return {
        (each["kind"], each["name"])
        for each in application.raw["status"]["resources"]
        if each.get("status") == "OutOfSync"
    }


@pytest.mark.limit(90)
def test_drift_by_hand_is_healed_in_staging(staging: Environment, evidence: Evidence) -> None:
    begin = time.time()
    before = drift(staging)
    staging.wait("the field to be healed", lambda _: most_pods(staging) == before, HEAL_SECONDS)
    evidence.note("changed field healed after", f"{time.time() - begin:.1f} s")

    policy = staging.find("networkpolicies", "default-deny")
    begin = time.time()
    policy.delete()
    staging.wait(
        "the deleted NetworkPolicy to be back",
        lambda _: {policy.raw["metadata"]["uid"]} != uids(staging, "default-deny") != set(),
        HEAL_SECONDS,
    )
    evidence.note("deleted object back after", f"{time.time() - begin:.1f} s")
    staging.wait_synced(staging.branch.head())


def uids(environment: Environment, name: str) -> set[str]:
    found = environment.find_all("networkpolicies")
    return {each.raw["metadata"]["uid"] for each in found if each.name == name}


@pytest.mark.limit(150)
def test_what_git_no_longer_holds_is_pruned_in_staging_but_for_what_says_no(
    staging: Environment, evidence: Evidence
) -> None:
    def add(repository: Path) -> None:
        overlay = wrap_overlay(repository, staging.template)
        add_resource(overlay, "kept.yaml", config_map("kept", KEPT))
        add_resource(overlay, "pruned.yaml", config_map("pruned", {}))

    def remove(repository: Path) -> None:
        path = staging.overlay(repository) / "kustomization.yaml"
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        content["resources"] = content["resources"][:1]
        content["patches"] = [{"patch": yaml.safe_dump(NO_NAMESPACE)}]
        path.write_text(yaml.safe_dump(content), encoding="utf-8")

    begun = staging.branch.head()
    staging.wait_synced(staging.commit("Add two ConfigMaps", add))
    staging.find("configmaps", "kept")
    staging.find("configmaps", "pruned")

    begin = time.time()
    staging.commit("Remove both, and the Namespace", remove)
    staging.wait(
        "the ConfigMap to be pruned",
        lambda _: "pruned" not in {each.name for each in staging.find_all("configmaps")},
        HEAL_SECONDS,
    )
    evidence.note("pruned after", f"{time.time() - begin:.1f} s")
    kept = {("ConfigMap", "kept"), ("Namespace", staging.namespace)}
    staging.wait(
        "Argo CD to show what it keeps",
        lambda seen: (
            out_of_sync(staging) == kept and seen.now("application.operation") == "Succeeded"
        ),
        HEAL_SECONDS,
    )
    staging.find("configmaps", "kept")
    (namespace,) = staging.control.api.get("namespaces", staging.namespace)
    assert namespace.raw["status"]["phase"] == "Active"
    assert staging.timeline.now("rollout.phase") == "Healthy"

    staging.find("configmaps", "kept").delete()
    back = staging.revert(f"{begun}..HEAD")
    # Everything is as this commit says: Argo CD has nothing to sync.
    staging.wait(
        "Argo CD to see no difference",
        lambda seen: (
            (seen.now("application.revision"), seen.now("application.sync")) == (back, "Synced")
        ),
        HEAL_SECONDS,
    )


def config_map(name: str, annotations: dict[str, str]) -> dict[str, Any]:
    metadata = {"name": name, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1"}}


NO_NAMESPACE = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": "inference"},
    "$patch": "delete",
}


@pytest.mark.limit(150)
def test_drift_is_shown_in_production_until_a_person_syncs(production: Environment) -> None:
    revision = production.branch.head()
    before = drift(production)
    production.wait(
        "Argo CD to show the drift",
        lambda seen: seen.now("application.sync") == "OutOfSync",
        HEAL_SECONDS,
    )
    assert out_of_sync(production) == {("HorizontalPodAutoscaler", "inference")}
    time.sleep(NOT_HEALED_SECONDS)
    assert most_pods(production) == BY_HAND
    assert production.timeline.now("application.sync") == "OutOfSync"
    production.sync(revision)
    assert most_pods(production) == before
