"""A pod spec is judged alike wherever it stands."""

from copy import deepcopy
from functools import cache
from typing import Any

import pytest
from gitops_policy import Config, lint, rules
from gitops_policy.apis.kinds import FURTHER_TEMPLATES, LONG_RUNNING, POD_TEMPLATES
from gitops_policy.fields import pointer
from gitops_policy.registry import CONTAINERS, PODS
from hypothesis import assume, given, settings
from hypothesis import strategies as st

SECURITY = Config(profile="pss-restricted")


def carry(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Put a pod spec into an object of this kind."""
    content: Any = {"metadata": {"labels": {"app": "a"}}, "spec": spec}
    for step in reversed(POD_TEMPLATES[kind]):
        content = [content] if step == "*" else {step: content}
    group, _, name = kind.rpartition("/")
    content = deepcopy(content)
    content.update(apiVersion=f"{group}/v1" if group else "v1", kind=name)
    content.setdefault("metadata", {}).update(name="a")
    return content


def workload_ref(spec: dict[str, Any]) -> list[dict[str, Any]]:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}
    rollout = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "a"},
        "spec": {"workloadRef": reference},
    }
    return [rollout, carry("apps/Deployment", spec)]


def verdicts(
    documents: list[dict[str, Any]],
    config: Config = SECURITY,
    carrier: str = "apps/Deployment",
    of: frozenset[str] | None = None,
) -> list[tuple[str, str]]:
    """The findings about pods, with pointers that count from the pod template."""
    template = pointer(tuple(0 if step == "*" else step for step in POD_TEMPLATES[carrier]))
    report = lint(documents, config)
    assert not report.errors
    return sorted(
        (f.rule, f.pointer.removeprefix(template))
        for f in report.findings
        if of is None or f.rule in of
    )


flags = st.sampled_from([None, True, False])
contexts = st.fixed_dictionaries(
    {},
    optional={
        "privileged": flags,
        "allowPrivilegeEscalation": flags,
        "runAsNonRoot": flags,
        "runAsUser": st.sampled_from([None, 0, 65532]),
        "procMount": st.sampled_from([None, "Default", "Unmasked"]),
        "seccompProfile": st.sampled_from([{"type": "RuntimeDefault"}, {"type": "Unconfined"}]),
        "appArmorProfile": st.sampled_from([{"type": "Localhost"}, {"type": "Unconfined"}]),
        "capabilities": st.fixed_dictionaries(
            {},
            optional={
                "drop": st.sampled_from([[], ["ALL"], ["NET_RAW"]]),
                "add": st.sampled_from([[], ["NET_BIND_SERVICE"], ["SYS_ADMIN"]]),
            },
        ),
        "seLinuxOptions": st.sampled_from([{}, {"type": "container_t"}, {"user": "root"}]),
        "windowsOptions": st.sampled_from([{}, {"hostProcess": True}]),
    },
)
containers = st.fixed_dictionaries(
    {"name": st.sampled_from("abc"), "image": st.just("a")},
    optional={
        "securityContext": contexts,
        "ports": st.sampled_from([[], [{"containerPort": 80, "hostPort": 80}]]),
        "livenessProbe": st.sampled_from([{"httpGet": {"host": "h"}}, {"httpGet": {"port": 1}}]),
    },
)
pod_specs = st.fixed_dictionaries(
    {"containers": st.lists(containers, min_size=1, max_size=2)},
    optional={
        "initContainers": st.lists(containers, max_size=1),
        "ephemeralContainers": st.lists(containers, max_size=1),
        "securityContext": contexts,
        "hostPID": flags,
        "hostNetwork": flags,
        "hostUsers": flags,
        "os": st.sampled_from([{"name": "linux"}, {"name": "windows"}]),
        "volumes": st.sampled_from(
            [[], [{"name": "v", "hostPath": {"path": "/"}}], [{"name": "v", "emptyDir": {}}]]
        ),
    },
)


@settings(max_examples=60, deadline=None)
@given(pod_specs)
def test_moving_a_pod_spec_to_another_carrier_changes_no_verdict(spec: dict[str, Any]) -> None:
    expected = verdicts([carry("apps/Deployment", spec)])
    for kind in POD_TEMPLATES:
        assert verdicts([carry(kind, spec)], carrier=kind) == expected, kind
    assert verdicts(workload_ref(spec)) == expected


# Rules about pods that do look at the carrier, and why.
ABOUT_CARRIERS = {"gpu-scheduling": "a DaemonSet without GPU may serve the GPU nodes"}


@cache
def about_pods(*, long_running: bool) -> frozenset[str]:
    """The rules about pods; those that say so in their title are about long-running ones only."""
    return frozenset(
        rule.id
        for rule in rules()
        if rule.kinds in (PODS, CONTAINERS)
        and rule.id not in ABOUT_CARRIERS
        and rule.title.startswith("Long-running") is long_running
    )


probes = st.sampled_from(
    [
        {"httpGet": {"port": "http", "path": "/"}, "timeoutSeconds": 30},
        {"tcpSocket": {"port": 8080}, "failureThreshold": 1},
        {"exec": {"command": ["curl", "-s", "localhost"]}},
    ]
)
servers = st.builds(
    lambda container, fields: container | fields,
    containers,
    st.fixed_dictionaries(
        {},
        optional={
            "image": st.sampled_from(
                ["a", "a:latest", "k8s.gcr.io/a:1", "registry.example.com/a:1"]
            ),
            "imagePullPolicy": st.sampled_from(["Always", "Never"]),
            "command": st.sampled_from([["sudo", "a"], ["a"]]),
            "env": st.sampled_from(
                [
                    [{"name": "A", "value": "b"}, {"name": "A", "value": "c"}],
                    [{"name": "PASSWORD", "value": "correct-horse-battery"}],
                    [{"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
                ]
            ),
            "ports": st.sampled_from(
                [[{"name": "http", "containerPort": 8080}], [{"containerPort": 22}]]
            ),
            "resources": st.sampled_from(
                [
                    {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}},
                    {"requests": {"memory": "1Gi"}, "limits": {"memory": "1Gi"}},
                    {"limits": {"nvidia.com/gpu": 1}},
                ]
            ),
            "livenessProbe": probes,
            "readinessProbe": probes,
            "startupProbe": probes,
            "lifecycle": st.just({"preStop": {"sleep": {"seconds": 60}}}),
            "volumeMounts": st.just([{"name": "v", "mountPath": "/v"}]),
            "tty": flags,
        },
    ),
)
whole_pods = st.builds(
    lambda spec, fields: spec | fields,
    pod_specs,
    st.fixed_dictionaries(
        {"containers": st.lists(servers, min_size=1, max_size=2)},
        optional={
            "initContainers": st.lists(
                st.builds(
                    lambda container, restart: container | restart,
                    servers,
                    st.sampled_from([{}, {"restartPolicy": "Always"}]),
                ),
                max_size=1,
            ),
            "automountServiceAccountToken": flags,
            "serviceAccountName": st.sampled_from(["a", "default"]),
            "shareProcessNamespace": flags,
            "terminationGracePeriodSeconds": st.just(5),
            "tolerations": st.just([{"operator": "Exists"}]),
            "hostAliases": st.just([{"ip": "192.0.2.1", "hostnames": ["a"]}]),
            "priorityClassName": st.just("a"),
            "topologySpreadConstraints": st.just([{"maxSkew": 0, "topologyKey": "zone"}]),
            "affinity": st.just({"podAntiAffinity": {}}),
        },
    ),
)


@settings(max_examples=25, deadline=None)
@given(whole_pods)
def test_no_rule_about_pods_looks_at_their_carrier(spec: dict[str, Any]) -> None:
    everywhere = about_pods(long_running=False)
    kept_running = everywhere | about_pods(long_running=True)
    others = tuple(rule.id for rule in rules() if rule.id not in kept_running)
    strict = Config(profile="strict", skip=others)
    expected = verdicts([carry("apps/Deployment", spec)], strict, of=everywhere)
    expected_of_long = verdicts([carry("apps/Deployment", spec)], strict, of=kept_running)
    for kind in POD_TEMPLATES:
        document = carry(kind, spec)
        if kind in LONG_RUNNING or kind == "Pod":
            assert verdicts([document], strict, kind, kept_running) == expected_of_long, kind
        else:
            assert verdicts([document], strict, kind, everywhere) == expected, kind
    assert verdicts(workload_ref(spec), strict, of=kept_running) == expected_of_long


def test_rules_about_carriers_are_rules_about_pods() -> None:
    known = {rule.id: rule for rule in rules()}
    assert all(known[name].kinds in (PODS, CONTAINERS) for name in ABOUT_CARRIERS)
    assert about_pods(long_running=True)


@settings(max_examples=60, deadline=None)
@given(pod_specs)
def test_restricted_refuses_whatever_baseline_refuses(spec: dict[str, Any]) -> None:
    # A Windows pod is let off by the restricted checks that replace baseline's, as in Kubernetes.
    assume(spec.get("os") != {"name": "windows"})
    document = carry("Pod", spec)
    baseline = {rule for rule, _ in verdicts([document], Config(profile="pss-baseline"))}
    assert baseline <= {rule for rule, _ in verdicts([document])}


@pytest.mark.parametrize("kind", POD_TEMPLATES)
def test_every_carrier_is_seen(kind: str) -> None:
    spec = {"hostPID": True, "containers": [{"name": "a", "image": "a"}]}
    assert "host-pid" in {rule for rule, _ in verdicts([carry(kind, spec)], carrier=kind)}


@pytest.mark.parametrize("kind", FURTHER_TEMPLATES)
def test_every_template_of_a_carrier_is_seen(kind: str) -> None:
    content: Any = {"spec": {"hostPID": True, "containers": []}}
    for step in reversed(FURTHER_TEMPLATES[kind]):
        content = [content] if step == "*" else {step: content}
    group, _, name = kind.rpartition("/")
    content.update(apiVersion=f"{group}/v1", kind=name, metadata={"name": "a"})
    found = lint([content], Config(only=("host-pid",))).findings
    place = pointer(tuple(0 if step == "*" else step for step in FURTHER_TEMPLATES[kind]))
    assert [finding.pointer for finding in found] == [f"{place}/spec/hostPID"]


def test_a_kind_of_the_same_name_in_another_group_is_no_carrier() -> None:
    document = carry("apps/Deployment", {"hostPID": True, "containers": []})
    document["apiVersion"] = "example.com/v1"
    assert not verdicts([document])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 70000) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = ["containers", "initContainers", "volumes", "securityContext", "tolerations", "affinity"]
FIELDS += ["name", "image", "env", "ports", "resources", "livenessProbe", "emptyDir", "limits"]
odd_values = st.recursive(
    json_values,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(odd_values, st.sampled_from(list(POD_TEMPLATES)))
def test_no_rule_crashes_on_fields_of_the_wrong_type(spec: Any, kind: str) -> None:
    documents = [carry(kind, spec), spec, {"kind": kind, "metadata": spec}]
    assert not lint(documents, Config(profile="strict")).errors
