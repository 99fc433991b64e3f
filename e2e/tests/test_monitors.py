"""PodMonitors become the jobs that the Prometheus Operator would have written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from local_cluster import monitors
from local_cluster.cluster import Cluster, ClusterError

ROOT = Path(__file__).parents[2]
SETTINGS = monitors.Settings(
    {"scrape_interval": "15s", "evaluation_interval": "15s"},
    Path("/state/kubeconfig"),
    Path("/state/rules"),
    "127.0.0.1:8085",
    "127.0.0.1:10250",
)
# As prometheus-operator 0.92.0 generates it (PodTargetLabelsFromPodMonitor.golden of its tests,
# with the selector of PodMonitorObjectWithMatchLabelSelector.golden), but for its sharding.
GOLDEN = """
- source_labels: [job]
  target_label: __tmp_prometheus_job_name
- action: drop
  source_labels: [__meta_kubernetes_pod_phase]
  regex: (Failed|Succeeded)
- action: keep
  source_labels: [__meta_kubernetes_pod_label_foo, __meta_kubernetes_pod_labelpresent_foo]
  regex: (bar);true
- action: keep
  source_labels: [__meta_kubernetes_pod_container_port_name]
  regex: web
- source_labels: [__meta_kubernetes_namespace]
  target_label: namespace
- source_labels: [__meta_kubernetes_pod_container_name]
  target_label: container
- source_labels: [__meta_kubernetes_pod_name]
  target_label: pod
- source_labels: [__meta_kubernetes_pod_label_example]
  target_label: example
  regex: (.+)
  replacement: ${1}
- source_labels: [__meta_kubernetes_pod_label_env]
  target_label: env
  regex: (.+)
  replacement: ${1}
- target_label: job
  replacement: default/testpodmonitor1
- target_label: endpoint
  replacement: web
"""


def pod_monitor(**spec: Any) -> dict[str, Any]:
    metadata = {"namespace": "default", "name": "testpodmonitor1"}
    given = {"podMetricsEndpoints": [{"port": "web", "interval": "30s"}], **spec}
    return {"kind": "PodMonitor", "metadata": metadata, "spec": given}


def shipped() -> dict[str, Any]:
    found = yaml.safe_load((ROOT / "base/inference/podmonitor.yaml").read_text())
    found["metadata"]["namespace"] = "inference-staging"
    return dict(found)


def job(monitor: dict[str, Any]) -> dict[str, Any]:
    return dict(monitors.configuration(SETTINGS, [monitor])["scrape_configs"][0])


def rule(namespace: str, name: str, groups: list[Any]) -> dict[str, Any]:
    return {"metadata": {"namespace": namespace, "name": name}, "spec": {"groups": groups}}


def test_the_relabelling_is_the_operators() -> None:
    monitor = pod_monitor(
        selector={"matchLabels": {"foo": "bar"}}, podTargetLabels=["example", "env"]
    )
    endpoint = monitor["spec"]["podMetricsEndpoints"][0]
    assert monitors.relabel_configs(monitor, endpoint) == yaml.safe_load(GOLDEN)


def test_our_pods_keep_the_hash_of_their_template_and_lose_the_ports_name() -> None:
    rules = job(shipped())["relabel_configs"]
    assert {
        "source_labels": ["__meta_kubernetes_pod_label_rollouts_pod_template_hash"],
        "target_label": "rollouts_pod_template_hash",
        "regex": "(.+)",
        "replacement": "${1}",
    } in rules
    assert {"action": "labeldrop", "regex": "endpoint"} in rules


def test_the_job_is_named_and_timed_by_the_podmonitor() -> None:
    found = job(shipped())
    assert found["job_name"] == "podMonitor/inference-staging/inference/0"
    assert (found["scrape_interval"], found["scrape_timeout"]) == ("15s", "10s")
    assert found["metrics_path"] == "/metrics"


def test_pods_are_looked_for_in_the_namespace_of_the_podmonitor_only() -> None:
    [found] = job(shipped())["kubernetes_sd_configs"]
    assert found["namespaces"] == {"names": ["inference-staging"]}
    assert (found["role"], found["kubeconfig_file"]) == ("pod", "/state/kubeconfig")


def test_a_selector_of_any_namespace_looks_everywhere() -> None:
    [found] = job(pod_monitor(namespaceSelector={"any": True}))["kubernetes_sd_configs"]
    assert "namespaces" not in found


def test_a_selector_that_is_not_translated_is_refused_by_name() -> None:
    monitor = pod_monitor(selector={"matchExpressions": [{"key": "a", "operator": "Exists"}]})
    with pytest.raises(ClusterError, match="default/testpodmonitor1 selects by matchExpressions"):
        job(monitor)


def test_restarts_and_rules_are_as_fresh_as_the_most_frequent_podmonitor() -> None:
    quick = pod_monitor(podMetricsEndpoints=[{"port": "web", "interval": "2s"}])
    found = monitors.configuration(SETTINGS, [shipped(), quick])
    own = [entry for entry in found["scrape_configs"] if "static_configs" in entry]
    assert {entry["scrape_interval"] for entry in own} == {"2s"}
    assert found["global"]["evaluation_interval"] == "2s"


def test_without_a_podmonitor_the_platforms_intervals_hold() -> None:
    settings = monitors.settings(Cluster(ROOT, Path("/state"), "127.99"))
    found = monitors.configuration(settings, [])
    assert found["global"]["scrape_interval"] == "15s"
    assert {entry["scrape_interval"] for entry in found["scrape_configs"]} == {"15s"}


def test_series_that_speak_of_other_pods_keep_their_labels() -> None:
    own = monitors.configuration(SETTINGS, [])["scrape_configs"]
    assert [entry["honor_labels"] for entry in own] == [True, True]
    assert own[1]["metrics_path"] == "/metrics/cadvisor"


@pytest.mark.parametrize(
    ("text", "seconds"), [("15s", 15), ("1m30s", 90), ("500ms", 0.5), ("1h", 3600)]
)
def test_durations_are_read_as_prometheus_reads_them(text: str, seconds: float) -> None:
    assert monitors.seconds(text) == seconds


def test_each_prometheusrule_is_a_file_of_its_namespace() -> None:
    groups = [{"name": "g", "rules": [{"record": "r", "expr": "1"}]}]
    files = monitors.rule_files([rule("a", "limits", groups), rule("b", "limits", [])])
    assert sorted(files) == ["a-limits.yaml", "b-limits.yaml"]
    assert yaml.safe_load(files["a-limits.yaml"]) == {"groups": groups}


def test_an_invalid_rule_is_left_out_and_what_is_gone_is_removed(tmp_path: Path) -> None:
    settings = monitors.Settings(
        SETTINGS.global_config, SETTINGS.kubeconfig, tmp_path / "rules", "a:1", "b:2"
    )
    promtool = ROOT / ".tools" / "bin" / "promtool"
    translator = monitors.Translator(tmp_path, settings, promtool, "http://127.0.0.1:1")
    good = rule("a", "good", [{"name": "g", "rules": [{"record": "r", "expr": "1"}]}])
    bad = rule("a", "bad", [{"name": "g", "rules": [{"record": "r", "expr": "sum("}]}])
    assert translator.write([], [good, bad])
    assert [path.name for path in (tmp_path / "rules").iterdir()] == ["a-good.yaml"]
    assert not translator.write([], [good, bad]), "nothing is new"
    assert translator.write([], [])
    assert list((tmp_path / "rules").iterdir()) == []
