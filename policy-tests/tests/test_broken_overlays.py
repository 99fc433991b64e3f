"""One edit of what is delivered, one mistake: the rule that is named sees it."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from gitops_policy import Config, Workspace, lint
from gitops_policy.config_file import read_config
from gitops_policy.model import Document
from gitops_policy.reading.build import Build, build_kustomization

ROOT = Path(__file__).resolve().parents[2]
WORKSPACE = Workspace(ROOT)
SETTINGS = read_config(ROOT / ".gitops-policy.yaml")
GONE = object()

CANARY = ("spec", "strategy", "canary")
POD = ("spec", "template", "spec")
ARGO = "argocd.argoproj.io"
ANNOTATIONS = ("metadata", "annotations")
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
    ("rollout-valid", "Rollout", "inference", (*CANARY, "steps", 1, "setWeight"), 101),
    ("rollout-valid", "Rollout", "inference", (*CANARY, "canaryService"), "inference-stable"),
    ("rollout-services-exist", "Service", "inference-canary", (), GONE),
    ("no-dynamic-stable-scale-with-hpa", "Rollout", "inference",
     (*CANARY, "dynamicStableScale"), True),
    ("rollout-gate-is-inline", "Rollout", "inference", CANARY,
     {"analysis": {"templates": [{"templateName": "error-sprt"}]}}),
    ("sync-order", "ServiceAccount", "inference", ANNOTATIONS, {f"{ARGO}/sync-wave": "1"}),
    ("sync-order", "CronJob", "config-retention", ANNOTATIONS, {f"{ARGO}/hook": "PreSync"}),
    ("rollout-in-one-wave", "HTTPRoute", "inference", ANNOTATIONS, {f"{ARGO}/sync-wave": "1"}),
    ("sync-wave-integer", "Rollout", "inference", ANNOTATIONS, {f"{ARGO}/sync-wave": "first"}),
    ("hook-known", "CronJob", "config-retention", ANNOTATIONS, {f"{ARGO}/hook": "presync"}),
    ("no-post-sync-hook", "CronJob", "config-retention", ANNOTATIONS,
     {f"{ARGO}/hook": "PostSync"}),
    ("resource-sync-options-known", "HTTPRoute", "inference", ANNOTATIONS,
     {f"{ARGO}/sync-options": "prune=false"}),
    ("crd-rules-hold", "HTTPRoute", "inference", (*BACKENDS, 0, "port"), GONE),
    ("crd-rules-hold", "Gateway", "inference", ("spec", "listeners", 1, "name"), "http"),
    ("schema-valid", "Rollout", "inference", (*POD, "containers", 0, "resources", "limit"), {}),
    ("certificate-issuer-named", "Certificate", "inference", ("spec", "issuerRef"), GONE),
    ("no-staging-issuer-in-production", "Certificate", "inference",
     ("spec", "issuerRef", "name"), "letsencrypt-staging"),
    ("no-debug-in-production", "Rollout", "inference",
     (*POD, "containers", 0, "args"), ["--reload"]),
    ("image-versions-agree", "AnalysisTemplate", "model-sanity",
     ("spec", "metrics", 0, "provider"), {"job": {"spec": {"template": {"spec": {"containers": [
         {"name": "a", "image": "ghcr.io/example/inference-server:old"}]}}}}}),
    ("production-resources", "Rollout", "inference",
     (*POD, "containers", 0, "resources", "requests", "memory"), "1Gi"),
    ("production-replicas", "HorizontalPodAutoscaler", "inference", ("spec", "minReplicas"), 2),
    ("production-probes", "Rollout", "inference",
     (*POD, "containers", 0, "readinessProbe"), GONE),
    ("production-hardening", "Rollout", "inference",
     (*POD, "containers", 0, "securityContext"), {}),
    ("production-gates", "Rollout", "inference", (*CANARY, "steps"), []),
    ("production-objects", "NetworkPolicy", "default-deny", (), GONE),
    ("production-namespace-security", "Namespace", "inference-production",
     ("metadata", "labels"), {}),
    ("extended-resource", "Rollout", "inference",
     (*POD, "containers", 0, "resources", "limits", "nvidia.com/gpu"), "500m"),
    ("gpu-quota", "ResourceQuota", "namespace", ("spec", "hard"), {"limits.nvidia.com/gpu": "4"}),
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
    report = lint(build, Config(**SETTINGS | {"only": (rule,)}), workspace=WORKSPACE)
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
    ("application-name-unique", "Application", "inference-dev",
     ("metadata", "name"), "inference-staging"),
    ("application-in-argocd-namespace", "Application", "inference-dev",
     ("metadata", "namespace"), "inference-dev"),
    ("application-source-valid", "Application", "inference-dev", ("spec", "source", "chart"), "a"),
    ("application-destination-valid", "Application", "inference-dev",
     ("spec", "destination", "name"), "in-cluster"),
    ("application-sync-options-known", "Application", "inference-dev",
     ("spec", "syncPolicy", "syncOptions", 0), "serverSideApply=true"),
    ("ignored-pointers-valid", "Application", "inference-dev",
     ("spec", "ignoreDifferences", 0, "jsonPointers", 0), "spec.replicas"),
    ("ignored-jq-valid", "Application", "inference-dev",
     ("spec", "ignoreDifferences", 0, "jqPathExpressions"), ["/spec/replicas"]),
    ("project-valid", "AppProject", "inference-dev", ("spec", "sourceRepos"), ["a", "a"]),
    ("object-synced-once", "Application", "inference-dev",
     ("spec", "source", "path"), "overlays/staging/inference"),
    ("sync-order", "AppProject", "inference-dev",
     ("metadata", "annotations"), {"argocd.argoproj.io/sync-wave": "50"}),
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
