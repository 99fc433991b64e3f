"""What makes a scenario's environment: names, and nothing else of the repository's files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from e2e.scenarios import manifests
from e2e.scenarios.evidence.lowered import different
from e2e.scenarios.places import ROOT, VARIABLES, NoClusterError, find_places

URL = "http://127.0.0.1:1/repository.git"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in ("overlays", "argocd/projects", "apps/inference", "e2e/component"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("template", ["staging", "production"])
def test_an_overlay_gets_a_namespace_and_a_hostname(repository, template):
    overlay = repository / "overlays" / template / "inference"
    before = (overlay / "settings.env").read_text().splitlines()
    manifests.rename_overlay(repository, template, "try")
    assert yaml.safe_load((overlay / "kustomization.yaml").read_text())["namespace"] == (
        "inference-try"
    )
    after = (overlay / "settings.env").read_text().splitlines()
    changed = set(before) ^ set(after)
    assert {line.split("=")[0] for line in changed} <= {"HOSTNAME", "GATEWAY_URL"}
    assert "HOSTNAME=inference.try.example.com" in after


def test_the_service_of_a_gateway_is_named_as_envoy_gateway_names_it(repository):
    settings = repository / "overlays/staging/inference/settings.env"
    assert f"GATEWAY_URL={manifests.gateway_url('staging')}\n" in settings.read_text()
    assert len(manifests.gateway_url("x" * 60).split("/")[2].split(".")[0]) <= 63


def test_the_project_allows_the_new_names_and_no_old_ones(repository):
    project, application = manifests.argocd_objects(repository, "staging", "try", URL, "branch")
    assert project["spec"]["sourceRepos"] == [URL]
    assert [d["namespace"] for d in project["spec"]["destinations"]] == ["inference-try"]
    assert "inference-staging" not in yaml.safe_dump([project, application])
    assert application["spec"]["source"] == {
        "path": "overlays/staging/inference",
        "repoURL": URL,
        "targetRevision": "branch",
    }
    assert application["spec"]["syncPolicy"]["automated"]["selfHeal"] is True


def test_an_environment_like_production_is_synced_by_a_person_and_removed_whole(repository):
    _, application = manifests.argocd_objects(repository, "production", "try", URL, "branch")
    assert "automated" not in application["spec"]["syncPolicy"]
    assert application["metadata"]["finalizers"] == [manifests.FINALIZER]


def test_a_failing_sync_ends_as_soon_as_that_of_the_served_applications(repository):
    _, application = manifests.argocd_objects(repository, "staging", "try", URL, "branch")
    retry = application["spec"]["syncPolicy"]["retry"]
    assert retry["backoff"] == {"duration": "1s", "factor": 2, "maxDuration": "5s"}
    assert retry["limit"] == 5


def test_an_overlay_gets_one_object_more(repository):
    overlay = repository / "overlays/staging/inference"
    before = yaml.safe_load((overlay / "kustomization.yaml").read_text())
    manifests.add_resource(overlay, "note.yaml", {"kind": "ConfigMap"})
    after = yaml.safe_load((overlay / "kustomization.yaml").read_text())
    assert after.pop("resources") == [*before.pop("resources"), "note.yaml"]
    assert after == before
    assert yaml.safe_load((overlay / "note.yaml").read_text()) == {"kind": "ConfigMap"}


def test_a_wrapped_overlay_is_what_it_was_until_something_is_taken_away(repository):
    inner = (repository / "overlays/staging/inference/kustomization.yaml").read_text()
    outer = manifests.wrap_overlay(repository, "staging")
    assert outer == repository / "overlays/staging/inference"
    (path,) = yaml.safe_load((outer / "kustomization.yaml").read_text())["resources"]
    assert (outer / path / "kustomization.yaml").read_text() == inner


def test_a_release_may_name_another_image(repository):
    manifests.set_image(repository, "staging", "sha256:" + "1" * 64)
    path = repository / "overlays/staging/inference/release/kustomization.yaml"
    [image] = yaml.safe_load(path.read_text())["images"]
    assert image["digest"] == "sha256:" + "1" * 64


def test_a_setting_that_does_not_stand_there_is_said(repository):
    with pytest.raises(ValueError, match="NO_SUCH"):
        manifests.set_setting(repository, "staging", "NO_SUCH", "1")


def test_what_a_component_changes_is_found_by_path():
    old = {"Rollout/inference/spec/minReadySeconds": "10", "Service/a/x": "1"}
    new = {"Rollout/inference/spec/minReadySeconds": "1", "Service/a/x": "1", "Service/a/y": "2"}
    assert list(different(old, new)) == [
        ("Rollout/inference/spec/minReadySeconds", ("10", "1")),
        ("Service/a/y", ("not there", "2")),
    ]


def test_another_cluster_has_to_be_told_about(tmp_path):
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.touch()
    with pytest.raises(NoClusterError, match="set E2E_GIT_URL, E2E_GATEWAY"):
        find_places({"KUBECONFIG": str(kubeconfig)})
    told = dict.fromkeys(VARIABLES.values(), "x")
    assert find_places({"KUBECONFIG": str(kubeconfig), **told}).local is None


def test_without_a_cluster_the_way_to_one_is_said(tmp_path):
    with pytest.raises(NoClusterError, match="make up"):
        find_places({"LOCAL_CLUSTER_FOLDER": str(tmp_path / "none")})
