"""How much a finding about a workload matters depends on what stands around it."""

from typing import Any

import pytest
from gitops_policy import Config, lint
from gitops_policy.apis.kinds import POD_TEMPLATES
from gitops_policy.findings import Severity

GPU = {"nvidia.com/gpu": 1}


def pod(**container: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "a", **container}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec}


def limit_range(**item: Any) -> dict[str, Any]:
    spec = {"limits": [{"type": "Container", **item}]}
    return {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l"}, "spec": spec}


def severities(rule: str, *documents: dict[str, Any], **settings: Any) -> list[Severity]:
    report = lint(documents, Config(only=(rule,), **settings))
    assert not report.errors
    return [finding.severity for finding in report.findings]


def test_what_kubernetes_fills_in_is_only_said() -> None:
    limited = pod(resources={"limits": {"memory": "1Gi"}})
    assert severities("memory-request", limited) == [Severity.info]
    assert severities("memory-request", pod()) == [Severity.error]
    default = limit_range(defaultRequest={"memory": "1Gi"})
    assert severities("memory-request", pod(), default) == [Severity.info]
    assert severities("memory-limit", pod(), default) == [Severity.error]
    assert severities("memory-limit", pod(), limit_range(default={"memory": "1Gi"})) == [
        Severity.info
    ]


def test_memory_that_is_borrowed_matters_more_beside_a_gpu() -> None:
    amounts = {"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}}
    beside = {**amounts, "limits": {**amounts["limits"], **GPU}}
    rule = "memory-request-equals-limit"
    assert severities(rule, pod(resources=amounts)) == [Severity.warning]
    assert severities(rule, pod(resources=beside)) == [Severity.error]


@pytest.mark.parametrize(
    ("environment", "severity"),
    [(None, Severity.warning), ("staging", Severity.warning), ("production", Severity.error)],
)
def test_a_tag_is_an_error_in_production(environment: str | None, severity: Severity) -> None:
    found = severities("image-digest", pod(image="a:v1"), environment=environment)
    assert found == [severity]


def test_a_namespace_that_nobody_names_may_still_be_named() -> None:
    written = pod()
    written["metadata"]["namespace"] = "default"
    assert severities("not-default-namespace", pod()) == [Severity.warning]
    assert severities("not-default-namespace", written) == [Severity.error]


def test_only_kubernetes_own_versions_are_known_to_be_gone() -> None:
    def of(api_version: str, kind: str) -> dict[str, Any]:
        return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}}

    gone = of("settings.k8s.io/v1alpha1", "PodPreset")
    elsewhere = of("keda.k8s.io/v1alpha1", "ScaledObject")
    assert severities("deprecated-api", gone) == [Severity.error]
    assert severities("deprecated-api", elsewhere) == [Severity.warning]


def test_cpu_limits_are_never_both_asked_for_and_forbidden() -> None:
    limited = pod(resources={"limits": {"cpu": 1}})
    assert severities("no-cpu-limit", limited) == [Severity.info]
    assert severities("kyverno:forbid-cpu-limits", limited) == [Severity.info]
    strict = lint([limited], Config(profile="strict"))
    assert "no-cpu-limit" not in {finding.rule for finding in strict.findings}
    chosen = lint([limited], Config(severity={"no-cpu-limit": "warning"}))
    assert "no-cpu-limit" in {finding.rule for finding in chosen.findings}


def carry(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Put a pod spec into an object of this kind."""
    content: Any = {"metadata": {"labels": {"app": "a"}}, "spec": spec}
    for step in reversed(POD_TEMPLATES[kind]):
        content = [content] if step == "*" else {step: content}
    group, _, name = kind.rpartition("/")
    version = f"{group}/v1" if group else "v1"
    metadata = {**content.get("metadata", {}), "name": "a"}
    return {**content, "apiVersion": version, "kind": name, "metadata": metadata}


@pytest.mark.parametrize("kind", POD_TEMPLATES)
def test_every_carrier_is_asked_for_the_same(kind: str) -> None:
    container = {
        "name": "A",
        "image": "k8s.gcr.io/Pause",
        "imagePullPolicy": "Never",
        "args": ["--password=squirrels"],
        "env": [{"name": "TOKEN", "value": "x"}, {"name": "TOKEN", "value": "/x"}],
        "envFrom": [{"secretRef": {"name": "a"}}],
        "resources": {"requests": {"memory": "1Gi"}},
        "securityContext": {"privileged": True},
        "livenessProbe": {"httpGet": {"port": 1}, "timeoutSeconds": 60},
        "readinessProbe": {"httpGet": {"port": 1}},
    }
    volumes = [{"name": "v", "emptyDir": {"medium": "Memory"}}]
    spec = {"containers": [container], "initContainers": [{**container}], "volumes": volumes}
    rules = (
        "image-tag", "image-reference", "image-digest", "deprecated-image-registry",
        "image-pull-policy", "image-pull-never", "image-pull-secrets", "argument-credential",
        "env-credential", "duplicate-env-var", "secret-from-env", "cpu-request",
        "memory-limit", "memory-request-equals-limit", "ephemeral-storage", "probe-port",
        "memory-volume-size-limit", "probes-identical", "probe-period", "container-names",
        "probe-timeout-within-period", "priority-class-set",
    )  # fmt: skip
    report = lint([carry(kind, spec)], Config(only=rules))
    assert {finding.rule for finding in report.findings} == set(rules)
    assert {f.container for f in report.findings if f.rule == "image-pull-never"} == {"A"}
