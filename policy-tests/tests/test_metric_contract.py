"""What the metric contract knows: exporters that are shipped, and a repository's own files."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest
from gitops_policy import Config, Workspace, lint
from gitops_policy.prometheus.metrics import TYPES, Contract, contract, unreadable
from gitops_policy.reading.build import Build, build_kustomization
from gitops_policy.world import World

EXPORTERS = sorted(
    entry.name
    for entry in files("gitops_policy.prometheus").joinpath("exporters").iterdir()
    if entry.name.endswith(".json")
)
ANSWER = """\
# HELP http_requests_total Requests
# TYPE http_requests_total counter
http_requests_total{code="200",path="/a \\"b\\""} 3 1712345678
# TYPE jobs counter
jobs_total 1
# TYPE latency_seconds histogram
latency_seconds_bucket{le="0.5",path="/"} 1
latency_seconds_bucket{le="+Inf",path="/"} 1
latency_seconds_sum{path="/"} 1
latency_seconds_count{path="/"} 1
# TYPE gc summary
gc{quantile="0.5"} 1
gc_sum 1
gc_count 1
untyped_thing{a="b"} 1
"""


def _contract(*paths: Path) -> Contract:
    return contract(World(Build(()), Config(metrics=paths), None))


@pytest.mark.parametrize("name", EXPORTERS)
def test_a_known_exporter_says_where_its_facts_come_from(name: str) -> None:
    content = json.loads(files("gitops_policy.prometheus").joinpath("exporters", name).read_text())
    assert content["exporter"] == name.removesuffix(".json")
    assert content["source"].startswith("https://")
    assert content["metrics"]
    for metric, entry in content["metrics"].items():
        assert re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", metric)
        assert entry["type"] in {*TYPES, None}, metric


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("up", "gauge"),
        ("container_cpu_usage_seconds_total", "counter"),
        ("container_memory_working_set_bytes", "gauge"),
        ("kube_pod_status_phase", "gauge"),
        ("kube_pod_container_status_restarts_total", "counter"),
        ("kubelet_volume_stats_used_bytes", "gauge"),
        ("apiserver_request_duration_seconds_bucket", "counter"),
        ("node_cpu_seconds_total", "counter"),
        ("prometheus_tsdb_head_series", "gauge"),
        ("DCGM_FI_DEV_GPU_UTIL", "gauge"),
        ("argocd_app_info", "gauge"),
        ("rollout_info", "gauge"),
        ("cnpg_collector_up", "gauge"),
        ("certmanager_certificate_expiration_timestamp_seconds", "gauge"),
        ("go_gc_duration_seconds", "summary"),
        ("process_cpu_seconds_total", "counter"),
    ],
)
def test_a_well_known_metric_has_its_type(name: str, kind: str) -> None:
    found = _contract().series(name)
    assert found is not None
    assert found.type == kind
    assert not found.own


@pytest.mark.parametrize(
    "name", ["kube_pod_status_phases", "up_total", "x", "kube_pod_info_bucket"]
)
def test_a_metric_that_nobody_exports_is_unknown(name: str) -> None:
    assert _contract().series(name) is None


def test_a_prefix_says_that_a_metric_exists_and_nothing_else() -> None:
    found = _contract().series("envoy_cluster_upstream_rq_total")
    assert found is not None
    assert (found.type, found.labels) == (None, None)


def test_without_a_file_of_its_own_a_repository_is_not_known() -> None:
    assert not _contract().complete


def test_an_answer_of_metrics_is_read(tmp_path: Path) -> None:
    file = tmp_path / "web.prom"
    file.write_text(ANSWER)
    known = _contract(file)
    assert known.complete
    requests = known.series("http_requests_total")
    assert requests is not None
    assert (requests.type, set(requests.labels or {})) == ("counter", {"code", "path"})
    assert requests.own
    jobs, bucket = known.series("jobs_total"), known.series("latency_seconds_bucket")
    assert jobs is not None
    assert jobs.type == "counter"
    assert bucket is not None
    assert (bucket.type, bucket.edges, set(bucket.labels or {})) == (
        "counter",
        (0.5,),
        {"path", "le"},
    )
    assert known.series("latency_seconds_max") is None
    summary, total = known.series("gc"), known.series("gc_sum")
    assert summary is not None
    assert summary.type == "summary"
    assert total is not None
    assert total.type == "counter"
    thing = known.series("untyped_thing")
    assert thing is not None
    assert thing.type is None


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.yaml", "metrics: ["), ("a.yaml", "- a"), ("a.prom", ""), ("a.json", "{}"), ("a.yaml", "")],
)
def test_a_file_that_says_nothing_is_named(tmp_path: Path, name: str, content: str) -> None:
    file = tmp_path / name
    file.write_text(content)
    found = unreadable(World(Build(()), Config(metrics=(file,)), None))
    assert [path for path, _ in found] == [file]


def test_a_file_that_is_missing_is_named_and_stops_nothing(tmp_path: Path) -> None:
    gone = tmp_path / "gone.yaml"
    world = World(Build(()), Config(metrics=(gone,)), None)
    assert [path for path, _ in unreadable(world)] == [gone]
    assert contract(world).series("up") is not None


def test_a_metric_that_another_overlay_of_the_environment_records_exists(tmp_path: Path) -> None:
    rules = """
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata: {name: NAME}
spec: {groups: [{name: NAME, rules: [RULE]}]}
"""
    for place, rule in {
        "staging/web": "{record: 'a:b', expr: 'up'}",
        "staging/board": "{alert: A, expr: 'a:b > 1'}",
        "production/board": "{alert: A, expr: 'a:b > 1'}",
    }.items():
        folder = tmp_path / "overlays" / place
        folder.mkdir(parents=True)
        (folder / "rules.yaml").write_text(rules.replace("NAME", "web").replace("RULE", rule))
        (folder / "kustomization.yaml").write_text("resources: [rules.yaml]\n")
    own = tmp_path / "own.prom"
    own.write_text(ANSWER)
    config = Config(only=("metric-exists",), metrics=(own,))
    found = {
        place: len(
            lint(
                build_kustomization(tmp_path / "overlays" / place),
                config,
                workspace=Workspace(tmp_path),
            ).findings
        )
        for place in ("staging/board", "production/board")
    }
    assert found == {"staging/board": 0, "production/board": 1}
