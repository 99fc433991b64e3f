"""Argo CD's programs get what the repository's own ConfigMaps say."""

import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
import yaml
from local_cluster.api_keys import CLIENTS, ENVIRONMENTS, api_key, fake_secrets
from local_cluster.cluster import Cluster, ClusterError
from local_cluster.parts.argo_cd import PARTS, variables

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = Cluster(ROOT, Path("/nowhere"), "127.45")


def config() -> dict[str, dict[str, str]]:
    rendered = subprocess.run(
        [ROOT / ".tools/bin/kustomize", "build", ROOT / "argocd/config"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    return {found["metadata"]["name"]: found["data"] for found in yaml.safe_load_all(rendered)}


def test_every_parameter_of_the_repository_reaches_the_programs() -> None:
    made = variables(config())
    assert made == {
        "ARGOCD_APPLICATION_CONTROLLER_PERSIST_RESOURCE_HEALTH": "true",
        "ARGOCD_APPLICATION_CONTROLLER_SYNC_TIMEOUT": "1800",
    }


def test_the_interval_of_comparisons_reaches_the_programs() -> None:
    settings = {"argocd-cm": {"timeout.reconciliation": "10s"}, "argocd-cmd-params-cm": {}}
    assert variables(settings) == {"ARGOCD_RECONCILIATION_TIMEOUT": "10s"}


def test_a_parameter_that_reaches_no_program_is_an_error() -> None:
    settings = {"argocd-cm": {}, "argocd-cmd-params-cm": {"server.rootpath": "/x"}}
    with pytest.raises(ClusterError, match=r"server\.rootpath"):
        variables(settings)


def test_two_clusters_share_no_port_that_is_bound_on_every_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("local_cluster.parts.argo_cd._environment", lambda _: {})
    other = Cluster(ROOT, Path("/nowhere"), "127.46")
    for part in PARTS:
        if part.command is not None:
            one, two = part.command(CLUSTER).argv, part.command(other).argv
            numbers = zip(one, two, strict=True)
            shared = {a for a, b in numbers if a == b and a.isdigit()}
            assert not shared or "--address" in one


def test_hashes_of_the_fake_store_are_those_of_its_keys() -> None:
    store = {found["key"]: yaml.safe_load(found["value"]) for found in fake_secrets()}
    assert len(CLIENTS) > 200
    assert store.keys() == {
        f"{name}/{kind}" for name in ENVIRONMENTS for kind in ("api-keys", "api-key-hashes")
    }
    for name in ENVIRONMENTS:
        keys, hashes = store[f"{name}/api-keys"], store[f"{name}/api-key-hashes"]
        assert keys["analysis"] == api_key(name, "analysis")
        assert hashes == {who: sha256(key.encode()).hexdigest() for who, key in keys.items()}
        assert set(keys) == set(CLIENTS)
