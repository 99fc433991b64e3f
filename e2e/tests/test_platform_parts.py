"""What the parts of the platform tell their programs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from local_cluster.cluster import Cluster, ClusterError
from local_cluster.parts import prometheus_adapter
from local_cluster.parts.prometheus_adapter import api_services, configuration

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(ROOT, tmp_path, "127.99")


def test_the_adapter_has_the_rules_of_the_platform() -> None:
    application = yaml.safe_load((ROOT / prometheus_adapter.APPLICATION).read_text())
    [rule] = configuration(application)["rules"]
    assert rule["name"] == {"matches": "^(.*)_total$", "as": "${1}_per_second"}
    assert rule["seriesQuery"].startswith("http_requests_total{")


def test_the_adapter_gives_the_autoscaler_cpu_and_memory_of_containers_and_nodes() -> None:
    application = yaml.safe_load((ROOT / prometheus_adapter.APPLICATION).read_text())
    resources = configuration(application)["resourceRules"]
    for name in ("cpu", "memory"):
        assert resources[name]["containerQuery"] in resources[name]["nodeQuery"]
        assert resources[name]["resources"]["overrides"]["pod"] == {"resource": "pod"}


def test_an_application_without_rules_is_named() -> None:
    with pytest.raises(ClusterError, match=r"prometheus-adapter\.yaml has no 'helm'"):
        configuration({"spec": {"source": {}}})


def test_the_metrics_groups_lead_to_the_process(cluster: Cluster) -> None:
    service, *groups = api_services(cluster)
    assert service["spec"]["externalName"] == "127.99.0.1"
    assert {group["metadata"]["name"] for group in groups} == {
        "v1beta1.custom.metrics.k8s.io",
        "v1beta2.custom.metrics.k8s.io",
        "v1beta1.metrics.k8s.io",
    }
    for group in groups:
        name = service["metadata"]["name"]
        wanted = {"namespace": service["metadata"]["namespace"], "name": name, "port": 6443}
        assert group["spec"]["service"] == wanted


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({}, "kube-apiserver has not asked"),
        ({"conditions": [{"type": "Available", "status": "False", "message": "no"}]}, "no"),
    ],
)
def test_a_group_that_does_not_answer_is_named(
    cluster: Cluster, status: dict[str, object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = [{**group, "status": status} for group in api_services(cluster)[1:]]
    monkeypatch.setattr("local_cluster.objects.items", lambda *_: groups)
    missing = prometheus_adapter.PARTS[1].ready(cluster)
    assert missing is not None
    assert missing.startswith("v1beta1.custom.metrics.k8s.io: ")
    assert said in missing
