"""One edit of what is delivered, one mistake: the rule that is named sees it."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from gitops_policy import Config, Workspace, lint
from gitops_policy.build import Build, build_kustomization
from gitops_policy.model import Document

ROOT = Path(__file__).resolve().parents[2]
WORKSPACE = Workspace(ROOT)
GONE = object()

CANARY = ("spec", "strategy", "canary")
POD = ("spec", "template", "spec")
BACKENDS = ("spec", "rules", 0, "backendRefs")
# Rule, kind and name of the object, path to the field, its new value.
Edit = tuple[str, str, str, tuple[Any, ...], Any]
IN_PRODUCTION: list[Edit] = [
    ("service-selects-workload", "Service", "inference-canary", ("spec", "selector"), {"a": "b"}),
    ("rollout-service-selectors", "Service", "inference-canary", ("spec", "selector"), {"a": "b"}),
    ("service-target-port", "Service", "inference-stable", ("spec", "ports", 0, "targetPort"), "x"),
    ("route-backend-exists", "HTTPRoute", "inference", (*BACKENDS, 0, "port"), 8080),
    ("route-weights-in-git", "HTTPRoute", "inference", (*BACKENDS, 1, "weight"), 10),
    ("rollout-route-exists", "HTTPRoute", "inference", (), GONE),
    ("policy-target-exists", "HTTPRoute", "inference", (), GONE),
    ("route-parent-exists", "Gateway", "inference", ("spec", "listeners", 0, "name"), "x"),
    ("gateway-certificate-exists", "Certificate", "inference", (), GONE),
    ("certificate-covers-hosts", "Certificate", "inference", ("spec", "dnsNames"), ["a.b"]),
    ("hpa-target-exists", "HorizontalPodAutoscaler", "inference", ("spec", "scaleTargetRef"), {}),
    ("quota-fits-release", "HorizontalPodAutoscaler", "inference", ("spec", "maxReplicas"), 21),
    ("hpa-minimum-replicas", "HorizontalPodAutoscaler", "inference", ("spec", "minReplicas"), 1),
    ("no-replicas-with-hpa", "Rollout", "inference", ("spec", "replicas"), 3),
    ("pdb-below-minimum-replicas", "PodDisruptionBudget", "inference", ("spec", "minAvailable"), 5),
    ("workload-has-pdb", "PodDisruptionBudget", "inference", (), GONE),
    ("pdb-selects-workload", "Rollout", "inference", ("spec", "template", "metadata"), {}),
    ("spread-tells-revisions-apart", "Rollout", "inference",
     (*POD, "topologySpreadConstraints", 0, "matchLabelKeys"), ["pod-template-hash"]),
    ("shutdown-fits-grace-period", "Rollout", "inference",
     (*POD, "terminationGracePeriodSeconds"), 45),
    ("startup-fits-progress-deadline", "Rollout", "inference",
     ("spec", "progressDeadlineSeconds"), 300),
    ("rollout-history-covers-rollback", "Rollout", "inference",
     ("spec", "revisionHistoryLimit"), 4),
    ("rollout-aborts-on-deadline", "Rollout", "inference", ("spec", "progressDeadlineAbort"), GONE),
    ("canary-scale-follows-weight", "Rollout", "inference",
     (*CANARY, "steps", 0, "setCanaryScale"), {"replicas": 1}),
    ("config-map-exists", "Rollout", "inference",
     (*POD, "containers", 0, "envFrom"), [{"configMapRef": {"name": "model-release"}}]),
    ("generated-name-resolved", "Rollout", "inference",
     (*POD, "containers", 0, "envFrom"), [{"configMapRef": {"name": "model-release"}}]),
    ("secret-exists", "ExternalSecret", "inference-api-key-hashes", (), GONE),
    ("policy-secret-exists", "ExternalSecret", "inference-api-keys", (), GONE),
    ("service-account-exists", "ServiceAccount", "inference", (), GONE),
    ("role-binding-resolves", "Role", "config-retention", (), GONE),
    ("analysis-template-exists", "AnalysisTemplate", "error-sprt", (), GONE),
    ("analysis-arguments-wired", "AnalysisTemplate", "error-sprt",
     ("spec", "args"), [{"name": "new"}]),
    ("analysis-arguments-declared", "AnalysisTemplate", "error-sprt", ("spec", "args"), []),
    ("analysis-both-conditions", "AnalysisTemplate", "error-sprt",
     ("spec", "metrics", 0, "failureCondition"), GONE),
    ("analysis-empty-guarded", "AnalysisTemplate", "error-sprt",
     ("spec", "metrics", 0, "successCondition"), "result[0] < 1"),
    ("analysis-nan-guarded", "AnalysisTemplate", "error-sprt",
     ("spec", "metrics", 0, "successCondition"), "len(result) > 0 && result[0] < 1"),
    ("inline-analysis-ends", "AnalysisTemplate", "error-sprt",
     ("spec", "metrics", 0, "count"), GONE),
    ("analysis-limits-valid", "AnalysisTemplate", "error-sprt", ("spec", "metrics", 0, "count"), 2),
    ("analysis-query-parses", "AnalysisTemplate", "error-sprt",
     ("spec", "metrics", 0, "provider", "prometheus", "query"), "sum("),
    ("monitor-keeps-revision", "PodMonitor", "inference", ("spec", "podTargetLabels"), GONE),
    ("monitor-port-exists", "PodMonitor", "inference",
     ("spec", "podMetricsEndpoints", 0, "port"), "metrics"),
    ("network-default-deny", "NetworkPolicy", "default-deny", (), GONE),
    ("namespace-enforces-pod-security", "Namespace", "inference-production",
     ("metadata", "labels"), GONE),
]  # fmt: skip


@cache
def _build(path: str) -> Build:
    return build_kustomization(ROOT / path)


def _edited(path: str, kind: str, name: str, place: tuple[Any, ...], value: Any) -> Build:
    build = _build(path)
    documents, hits = [], 0
    for document in build.documents:
        content = deepcopy(document.content)
        if content["kind"] == kind and content["metadata"]["name"] == name:
            hits += 1
            if not place:
                continue
            parent = content
            for step in place[:-1]:
                parent = parent[step]
            if value is GONE:
                del parent[place[-1]]
            else:
                parent[place[-1]] = value
        documents.append(Document(content, document.origin))
    assert hits == 1, f"{path} renders {hits} objects {kind}/{name}"
    return Build(tuple(documents), build.name, build.path, build.tree, build.namespace)


def _found(build: Build, rule: str) -> set[str]:
    report = lint(build, Config(only=(rule,)), workspace=WORKSPACE)
    assert not report.errors
    return {finding.rule for finding in report.findings}


@pytest.mark.parametrize("edit", IN_PRODUCTION, ids=lambda edit: f"{edit[0]}-{edit[1]}")
def test_a_mistake_in_the_production_overlay_is_seen(edit: Edit) -> None:
    rule, *change = edit
    path = "overlays/production/inference"
    assert _found(_build(path), rule) == set()
    assert _found(_edited(path, *change), rule) == {rule}


IN_THE_APPLICATIONS: list[Edit] = [
    ("no-default-project", "Application", "inference-dev", ("spec", "project"), "default"),
    ("project-exists", "AppProject", "inference-dev", (), GONE),
    ("project-allows-render", "AppProject", "inference-production",
     ("spec", "clusterResourceWhitelist"), []),
    ("project-allows-render", "AppProject", "inference-staging",
     ("spec", "namespaceResourceWhitelist"), [{"group": "", "kind": "Service"}]),
    ("project-allows-source", "AppProject", "inference-dev", ("spec", "sourceRepos"), []),
    ("project-without-wildcards", "AppProject", "inference-dev", ("spec", "sourceRepos"), ["*"]),
    ("application-path-renders", "Application", "inference-dev",
     ("spec", "source", "path"), "overlays/dev/inferense"),
    ("overlay-owned-once", "Application", "inference-production", (), GONE),
    ("application-server-side-apply", "Application", "inference-dev",
     ("spec", "syncPolicy", "syncOptions"), []),
    ("application-respects-ignored", "Application", "inference-dev",
     ("spec", "syncPolicy", "syncOptions"), ["ServerSideApply=true"]),
    ("application-ignores-replicas", "Application", "inference-staging",
     ("spec", "ignoreDifferences", 0), {}),
    ("application-ignores-traffic-split", "Application", "inference-staging",
     ("spec", "ignoreDifferences", 3), {}),
    ("production-revision", "Application", "inference-production",
     ("spec", "source", "targetRevision"), "HEAD"),
    ("production-synced-by-hand", "Application", "inference-production",
     ("spec", "syncPolicy", "automated"), {"prune": True}),
]  # fmt: skip


@pytest.mark.parametrize("edit", IN_THE_APPLICATIONS, ids=lambda edit: f"{edit[0]}-{edit[2]}")
def test_a_mistake_in_the_applications_is_seen(edit: Edit) -> None:
    rule, *change = edit
    assert _found(_build("apps"), rule) == set()
    assert _found(_edited("apps", *change), rule) == {rule}
