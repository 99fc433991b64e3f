"""One edit of a query, gate, alert or monitor that is delivered: the rule that is named sees it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from gitops_policy import Config, Workspace, lint
from gitops_policy.model import Document
from gitops_policy.reading.build import Build, build_kustomization

ROOT = Path(__file__).resolve().parents[2]
WORKSPACE = Workspace(ROOT)
PRODUCTION = "overlays/production/inference"
# Rule, kind/name of the object, text of its JSON, what stands there instead.
Edit = tuple[str, str, str, str]
IN_PRODUCTION: list[Edit] = [
    ("metric-exists", "AnalysisTemplate/error-sprt", "http_requests_total", "http_request_total"),
    ("metric-exists", "AnalysisTemplate/latency-500ms-window",
     "http_request_duration_seconds_bucket", "http_request_duration_bucket"),
    ("metric-exists", "PrometheusRule/inference-recording",
     "namespace:inference_errors:ratio_rate5m", "namespace:inference_errors:rate5m"),
    ("metric-exists", "PrometheusRule/inference-limits",
     "container_memory_working_set_bytes", "container_memory_working_set"),
    ("metric-exists", "PrometheusRule/inference-limits",
     "kube_pod_container_resource_limits", "kube_pod_container_limits"),
    ("metric-label-exists", "AnalysisTemplate/error-sprt", "status=~", "code=~"),
    ("metric-label-exists", "PodMonitor/inference",
     "rollouts-pod-template-hash", "pod-template-hash"),
    ("metric-label-exists", "PrometheusRule/inference-limits", "resource=", "resource_name="),
    ("metric-label-value-possible", "AnalysisTemplate/error-window", "5..", "6.."),
    ("metric-label-value-possible", "AnalysisTemplate/minimum-traffic",
     "infer|predict", "infers|predicts"),
    ("metric-bucket-label", "AnalysisTemplate/latency-500ms-window",
     "http_request_duration_seconds_bucket", "http_request_duration_seconds_count"),
    ("latency-threshold-is-edge", "AnalysisTemplate/latency-500ms-window",
     'le=\\"0.5\\"', 'le=\\"0.45\\"'),
    ("latency-threshold-is-edge", "PrometheusRule/inference-recording",
     'le=\\"1.0\\"', 'le=\\"1.5\\"'),
    ("scrape-keeps-labels", "PodMonitor/inference", "labeldrop", "keep"),
    ("queried-metrics-are-scraped", "PodMonitor/inference",
     '"app.kubernetes.io/name": "inference"', '"app.kubernetes.io/name": "server"'),
    ("monitor-keeps-revision", "PodMonitor/inference",
     "rollouts-pod-template-hash", "pod-template-hash"),
    ("monitor-names-a-port", "PodMonitor/inference", '"port": "http", ', ""),
    ("monitor-passes-policies", "NetworkPolicy/inference-ingress-prometheus", "8080", "9090"),
    ("scrape-timeout-fits", "PodMonitor/inference", '"10s"', '"20s"'),
    ("hpa-metric-served", "HorizontalPodAutoscaler/inference",
     "http_requests_per_second", "requests_per_second"),
    ("rate-of-counter", "AnalysisTemplate/input-rejections",
     "http_requests_total", "http_requests_active"),
    ("range-covers-two-scrapes", "PrometheusRule/inference-recording", "[5m]", "[20s]"),
    ("counter-through-rate", "AnalysisTemplate/error-sprt",
     "rollouts_pod_template_hash", "exported_pod_template_hash"),
    ("vector-matching-possible", "PrometheusRule/inference-recording",
     "sum by (namespace) (\\n  rate(http_requests_total{endpoint",
     "sum (\\n  rate(http_requests_total{endpoint"),
    ("vector-matching-possible", "PrometheusRule/inference-limits",
     "max by (namespace, pod) (\\n  kube", "max by (pod) (\\n  kube"),
    ("aggregation-label-possible", "PrometheusRule/inference-slo",
     "and on (namespace)", "and on (pod)"),
    ("alert-has-severity", "PrometheusRule/inference-limits", '"severity": "critical", ', ""),
    ("alert-has-summary", "PrometheusRule/inference-slo", '"summary"', '"text"'),
    ("alert-has-runbook", "PrometheusRule/inference-slo", '"runbook_url"', '"book"'),
    ("alert-waits", "PrometheusRule/inference-limits", '"for": "5m", ', ""),
    ("absent-alert-waits", "PrometheusRule/inference-limits", '"for": "5m", ', ""),
    ("alert-compares", "PrometheusRule/inference-limits", " > 0.05", ""),
    ("alert-template-parses", "PrometheusRule/inference-limits",
     "{{ $labels.pod }}", "{{ $labels.pod }"),
    ("alert-template-labels", "PrometheusRule/inference-slo",
     "$labels.namespace", "$labels.pod"),
    ("runbook-exists", "PrometheusRule/inference-limits", "#latency", "#latencies"),
    ("runbook-exists", "PrometheusRule/inference-slo", "/inference.md", "/serving.md"),
    ("rule-group-loads", "PrometheusRule/inference-recording",
     "namespace:inference_errors:ratio_rate5m", "namespace-inference_errors"),
    ("rule-group-interval", "PrometheusRule/inference-slo", '"30s"', '"10m"'),
    ("recording-rule-unique", "PrometheusRule/inference-recording",
     "30m", "1h"),
    ("analysis-condition-compiles", "AnalysisTemplate/model-sanity", "isNaN", "isNan"),
    ("analysis-can-fail", "AnalysisTemplate/error-window",
     '"failureLimit": 0', '"failureLimit": 1'),
    ("analysis-needs-a-success", "AnalysisTemplate/model-sanity", '"38"', '"39"'),
    ("analysis-arguments-wired", "Rollout/inference", "metadata.namespace", "metadata.space"),
]  # fmt: skip


@cache
def _build(path: str) -> Build:
    return build_kustomization(ROOT / path)


def _edited(name: str, old: str, new: str) -> Build:
    build = _build(PRODUCTION)
    documents, hits = [], 0
    for document in build.documents:
        content = document.content
        if f"{content['kind']}/{content['metadata']['name']}" == name:
            written = json.dumps(content)
            hits += old in written
            content = json.loads(written.replace(old, new))
        documents.append(Document(content, document.origin))
    assert hits == 1, f"{name} does not say {old!r}"
    return Build(tuple(documents), build.name, build.path, build.tree, build.namespace)


def _found(build: Build, rule: str) -> set[str]:
    report = lint(build, Config(only=(rule,)), workspace=WORKSPACE)
    assert not report.errors
    return {finding.rule for finding in report.findings}


@pytest.mark.parametrize("edit", IN_PRODUCTION, ids=lambda edit: f"{edit[0]}-{edit[1]}")
def test_a_mistake_in_a_query_of_production_is_seen(edit: Edit) -> None:
    rule, *change = edit
    assert _found(_build(PRODUCTION), rule) == set()
    assert _found(_edited(*change), rule) == {rule}


def test_an_adapter_rule_about_a_metric_that_nobody_exports_is_seen() -> None:
    build = _build("apps")
    documents = [
        Document(json.loads(json.dumps(d.content).replace("http_requests_total", "requests_total")))
        for d in build.documents
    ]
    broken = Build(tuple(documents), build.name, build.path, build.tree, build.namespace)
    assert _found(build, "metric-exists") == set()
    assert _found(broken, "metric-exists") == {"metric-exists"}
