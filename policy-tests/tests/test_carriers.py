"""A pod spec is judged alike wherever it stands."""

from copy import deepcopy
from typing import Any

import pytest
from gitops_policy import Config, lint
from gitops_policy.kinds import POD_TEMPLATES
from hypothesis import assume, given, settings
from hypothesis import strategies as st

SECURITY = Config(profile="pss-restricted")

LISTS = {"metrics", "templates"}


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


def verdicts(documents: list[dict[str, Any]], config: Config = SECURITY) -> list[tuple[str, str]]:
    report = lint(documents, config)
    assert not report.errors
    return sorted(
        (f.rule, f.pointer.partition("/spec/")[2].rpartition("spec/")[2]) for f in report.findings
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
        assert verdicts([carry(kind, spec)]) == expected, kind
    assert verdicts(workload_ref(spec)) == expected


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
    assert "host-namespaces" in {rule for rule, _ in verdicts([carry(kind, spec)])}


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
