"""Three environments: the same service, and only what may differ differs."""

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from gitops_policy import render

REPOSITORY = Path(__file__).parents[1]
ENVIRONMENTS = ("dev", "staging", "production")
Manifest = dict[str, Any]

POD = "Rollout/inference /spec/template/spec"
SERVER = f"{POD}/containers/inference-server"
RELEASE = [
    "Rollout/inference /spec/template/metadata/annotations/*",
    f"{POD}/*/image",
    f"{POD}/*/envFrom/0/configMapRef/name",
    "CronJob/config-retention /*/image",
    "ConfigMap/model-release-* *",
]
SETTINGS = [
    f"{SERVER}/env/LOG_LEVEL/value",
    "ExternalSecret/* /spec/dataFrom/0/extract/key",
    "Gateway/inference /spec/listeners/*/hostname",
    "HTTPRoute/* /spec/hostnames/0",
]
SIZE = [
    "HorizontalPodAutoscaler/inference /spec/minReplicas",
    f"{SERVER}/resources/*",
    "ResourceQuota/namespace /spec/hard/*",
]
GPU = [
    f"{SERVER}/env/REQUIRE_GPU/value",
    f"{SERVER}/env/NVIDIA_VISIBLE_DEVICES/*",
    f"{POD}/affinity/nodeAffinity/*",
    f"{POD}/tolerations/*",
]
ZONES = [f"{POD}/topologySpreadConstraints/0/whenUnsatisfiable"]
ISSUER = ["Certificate/inference /spec/issuerRef/name", "Certificate/inference /spec/dnsNames/0"]
TLS = [
    "Certificate/*",
    "ClientTrafficPolicy/*",
    "Gateway/inference /spec/listeners/https/*",
    "HTTPRoute/inference /spec/parentRefs/inference/sectionName",
    "HTTPRoute/inference /spec/rules/0/filters/*",
    "HTTPRoute/inference-https-redirect *",
    "NetworkPolicy/acme-solver-ingress-gateway *",
]
LADDER = [
    "AnalysisTemplate/*",
    "NetworkPolicy/inference-probe-egress-gateway *",
    "Rollout/inference /spec/strategy/canary/analysis/*",
    "Rollout/inference /spec/strategy/canary/steps/*",
]
LOAD = [
    "AnalysisTemplate/load *",
    "BackendTrafficPolicy/inference /spec/rateLimit/local/rules/*",
    "NetworkPolicy/inference-probe-egress-gateway *",
    "Rollout/inference /spec/strategy/canary/analysis/startingStep",
    "Rollout/inference /spec/strategy/canary/steps/*",
]
ALERTS = ["PrometheusRule/*"]
LOAD_CLIENTS = ["BackendTrafficPolicy/inference /spec/rateLimit/local/rules/*"]
MAXIMUM = ["HorizontalPodAutoscaler/inference /spec/maxReplicas"]

MAY_DIFFER = {
    "production": [*SETTINGS, *SIZE, *GPU, *ZONES, *ISSUER, *LOAD],
    "dev": [*SETTINGS, *SIZE, *MAXIMUM, *TLS, *LADDER, *ALERTS, *LOAD_CLIENTS],
}


@cache
def manifests(environment: str) -> list[Manifest]:
    return render(REPOSITORY / "overlays" / environment / "inference")


def only(environment: str, kind: str, name: str = "inference") -> Manifest:
    [found] = [
        manifest
        for manifest in manifests(environment)
        if (manifest["kind"], manifest["metadata"]["name"]) == (kind, name)
    ]
    return found


def leaves(value: Any, pointer: str) -> Iterator[tuple[str, Any]]:
    """Every scalar with its pointer; a list whose items have names is addressed by them."""
    if isinstance(value, list):
        value = {
            str(item.get("name", index) if isinstance(item, dict) else index): item
            for index, item in enumerate(value)
        }
    if not isinstance(value, dict):
        yield pointer, value
        return
    for key, item in value.items():
        yield from leaves(item, f"{pointer}/{key.replace('/', '~1')}")


def facts(environment: str) -> dict[str, Any]:
    """What an environment says, with its own namespace taken out."""

    def anonymous(value: Any) -> Any:
        own = f"inference-{environment}"
        return value.replace(own, "<namespace>") if isinstance(value, str) else value

    return {
        anonymous(pointer): anonymous(value)
        for manifest in manifests(environment)
        for pointer, value in leaves(
            manifest, f"{manifest['kind']}/{manifest['metadata']['name']} "
        )
    }


def differences(environment: str) -> set[str]:
    staging, other = facts("staging"), facts(environment)
    return {
        pointer
        for pointer in staging.keys() | other.keys()
        if staging.get(pointer) != other.get(pointer)
        and not any(fnmatch(pointer, pattern) for pattern in RELEASE)
    }


@pytest.mark.parametrize("environment", MAY_DIFFER)
def test_an_environment_differs_from_staging_only_in_what_may_differ(environment: str) -> None:
    allowed = MAY_DIFFER[environment]

    unexpected = {
        pointer
        for pointer in differences(environment)
        if not any(fnmatch(pointer, each) for each in allowed)
    }

    assert unexpected == set()


@pytest.mark.parametrize(
    ("environment", "pattern"),
    [(environment, pattern) for environment, allowed in MAY_DIFFER.items() for pattern in allowed],
)
def test_no_permission_to_differ_outlives_its_difference(environment: str, pattern: str) -> None:
    assert any(fnmatch(pointer, pattern) for pointer in differences(environment))


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_object_lives_in_the_namespace_of_its_environment(environment: str) -> None:
    namespace = f"inference-{environment}"

    homes = {
        manifest["metadata"]["name"]
        if manifest["kind"] == "Namespace"
        else manifest["metadata"]["namespace"]
        for manifest in manifests(environment)
    }

    assert homes == {namespace}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_what_names_a_namespace_inside_an_object_names_its_own(environment: str) -> None:
    namespace = f"inference-{environment}"
    canary = only(environment, "Rollout")["spec"]["strategy"]["canary"]
    [peer] = only(environment, "NetworkPolicy", "inference-ingress-gateway")["spec"]["ingress"][0][
        "from"
    ]

    assert canary["trafficRouting"]["plugins"]["argoproj-labs/gatewayAPI"]["namespace"] == namespace
    gateway = peer["podSelector"]["matchLabels"]
    assert gateway["gateway.envoyproxy.io/owning-gateway-namespace"] == namespace


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_every_rule_speaks_of_its_own_namespace(environment: str) -> None:
    expressions = [
        rule["expr"]
        for manifest in manifests(environment)
        if manifest["kind"] == "PrometheusRule"
        for group in manifest["spec"]["groups"]
        for rule in group["rules"]
    ]

    assert expressions
    for expression in expressions:
        assert expression.split('"')[1] == f"inference-{environment}", expression
        assert 'namespace="inference"' not in expression


def quantity(text: str | int) -> float:
    """A Kubernetes quantity as a number: cores, bytes or pieces."""
    units = {"m": 1e-3, "Mi": 2**20, "Gi": 2**30}
    for unit, factor in units.items():
        if str(text).endswith(unit):
            return float(str(text).removesuffix(unit)) * factor
    return float(text)


def asking(environment: str) -> list[Manifest]:
    """The pods of the jobs that an environment's analyses start."""
    return [
        metric["provider"]["job"]["spec"]["template"]["spec"]
        for manifest in manifests(environment)
        if manifest["kind"] == "AnalysisTemplate"
        for metric in manifest["spec"]["metrics"]
        if "job" in metric["provider"]
    ]


def needs(pod: Manifest, section: str, resource: str) -> float:
    """What a pod takes of a quota: its containers together, or its largest init container."""

    def of(container: Manifest) -> float:
        return quantity(container["resources"][section].get(resource, 0))

    return max(sum(map(of, pod["containers"])), *map(of, pod.get("initContainers", [])), 0)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_canary_at_full_weight_beside_a_full_stable_fits_the_quota(environment: str) -> None:
    highest = only(environment, "HorizontalPodAutoscaler")["spec"]["maxReplicas"]
    servers = highest + ceil(highest * 100 / 100)
    server = only(environment, "Rollout")["spec"]["template"]["spec"]
    job = only(environment, "CronJob", "config-retention")["spec"]["jobTemplate"]["spec"]
    beside = [job["template"]["spec"], *asking(environment)]
    assert len(beside) > 1

    for key, available in only(environment, "ResourceQuota", "namespace")["spec"]["hard"].items():
        section, _, resource = key.partition(".")
        if section in {"requests", "limits"}:
            taken = servers * needs(server, section, resource)
            taken += sum(needs(pod, section, resource) for pod in beside)
            assert taken <= quantity(available), key


def test_production_has_one_gpu_for_each_pod_of_two_full_sets() -> None:
    hard = only("production", "ResourceQuota", "namespace")["spec"]["hard"]

    assert hard["requests.nvidia.com/gpu"] == "40"
    assert (
        only("staging", "ResourceQuota", "namespace")["spec"]["hard"]["requests.nvidia.com/gpu"]
        == "0"
    )


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_container_is_within_the_limit_range(environment: str) -> None:
    [limits] = only(environment, "LimitRange", "containers")["spec"]["limits"]
    pod = only(environment, "Rollout")["spec"]["template"]["spec"]
    job = only(environment, "CronJob", "config-retention")["spec"]["jobTemplate"]["spec"]
    containers = [
        *pod["initContainers"],
        *pod["containers"],
        *job["template"]["spec"]["containers"],
        *(
            each
            for asks in asking(environment)
            for each in (*asks["initContainers"], *asks["containers"])
        ),
    ]

    for container in containers:
        for resource in ("cpu", "memory"):
            request = quantity(container["resources"]["requests"][resource])
            limit = quantity(container["resources"]["limits"][resource])
            assert quantity(limits["min"][resource]) <= request <= limit
            assert limit <= quantity(limits["max"][resource])


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_pod_may_finish_its_longest_request_before_it_is_killed(environment: str) -> None:
    pod = only(environment, "Rollout")["spec"]["template"]["spec"]
    [server] = pod["containers"]
    env = {each["name"]: each["value"] for each in server["env"]}
    [rule] = only(environment, "HTTPRoute")["spec"]["rules"]
    longest = float(rule["timeouts"]["request"].removesuffix("s"))
    pre_stop = server["lifecycle"]["preStop"]["sleep"]["seconds"]

    stopping = pre_stop + float(env["DRAIN_SECONDS"]) + float(env["SHUTDOWN_SECONDS"])

    assert float(env["SHUTDOWN_SECONDS"]) >= longest
    assert stopping + 10 <= pod["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_rollout_waits_longer_for_progress_than_a_pod_may_take_to_start(
    environment: str,
) -> None:
    spec = only(environment, "Rollout")["spec"]
    [fetch] = spec["template"]["spec"]["initContainers"]
    [server] = spec["template"]["spec"]["containers"]
    probe = server["startupProbe"]
    fetching = next(int(each["value"]) for each in fetch["env"] if each["name"] == "FETCH_SECONDS")

    starting = fetching + probe["failureThreshold"] * probe["periodSeconds"]

    assert starting + 120 <= spec["progressDeadlineSeconds"]
    assert spec["progressDeadlineAbort"] is True
    assert spec["revisionHistoryLimit"] >= spec["rollbackWindow"]["revisions"] + 2
    assert "replicas" not in spec


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_largest_model_fits_its_volume_and_the_volumes_fit_the_pod(environment: str) -> None:
    pod = only(environment, "Rollout")["spec"]["template"]["spec"]
    [fetch], [server] = pod["initContainers"], pod["containers"]
    sizes = {
        volume["name"]: quantity(volume["emptyDir"]["sizeLimit"])
        for volume in pod["volumes"]
        if "emptyDir" in volume
    }

    largest = next(int(each["value"]) for each in fetch["env"] if each["name"] == "FETCH_MAX_BYTES")

    assert largest < sizes["models"]
    for container in (fetch, server):
        assert sum(sizes.values()) < quantity(container["resources"]["limits"]["ephemeral-storage"])


def settings(environment: str) -> dict[str, str]:
    text = (REPOSITORY / "overlays" / environment / "inference" / "settings.env").read_text()
    return dict(line.split("=", 1) for line in text.splitlines())


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_setting_reaches_the_manifests(environment: str, tmp_path: Path) -> None:
    for folder in ("base", "rollouts", "overlays"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder)
    overlay = tmp_path / "overlays" / environment / "inference"
    marks = {setting: f"mark-of-{setting.lower()}." for setting in settings(environment)}
    text = "".join(f"{setting}={mark}\n" for setting, mark in marks.items())
    (overlay / "settings.env").write_text(text)

    output = str(render(overlay))

    assert [setting for setting, mark in marks.items() if mark not in output] == []
    assert "example.com" not in output


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_settings_themselves_are_no_object_of_the_cluster(environment: str) -> None:
    data = [each["data"] for each in manifests(environment) if each["kind"] == "ConfigMap"]

    assert len(data) == 2
    assert not any("HOSTNAME" in each for each in data)


def test_the_readme_shows_what_staging_renders() -> None:
    block = (REPOSITORY / "overlays" / "README.md").read_text().split("```")[-2]
    shown = re.findall(r"(\d+) kind: (\w+)", block)

    counted = Counter(manifest["kind"] for manifest in manifests("staging"))

    assert {kind: int(number) for number, kind in shown} == counted
