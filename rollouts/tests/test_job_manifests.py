"""The jobs of the analyses, as rendered: what they run, what they may, what they are held to."""

from typing import Any

import pytest
import yaml
from gitops_policy import lint
from inference_server.probe.outcome import UNDECIDED
from model_pipeline import golden, onnx_model

from rollouts.tests.job_overlay import FETCHING, JOBS, of_kind
from rollouts.tests.rendering import REPOSITORY, Document


def job_of(documents: list[Document], name: str) -> dict[str, Any]:
    (metric,) = of_kind(documents, "AnalysisTemplate")[name]["spec"]["metrics"]
    return dict(metric["provider"]["job"])


def pod_of(documents: list[Document], name: str) -> dict[str, Any]:
    return dict(job_of(documents, name)["spec"]["template"]["spec"])


def server_of(documents: list[Document]) -> dict[str, Any]:
    (rollout,) = of_kind(documents, "Rollout").values()
    return dict(rollout["spec"]["template"])


@pytest.mark.parametrize("name", JOBS)
def test_a_job_runs_the_image_of_the_release_and_knows_its_model(
    documents: list[Document], name: str
) -> None:
    pod, server = pod_of(documents, name), server_of(documents)["spec"]
    containers = [*pod.get("initContainers", []), *pod["containers"]]
    (image,) = {each["image"] for each in server["containers"]}
    assert "@sha256:" in image
    assert {each["image"] for each in containers} == {image}
    (release,) = (each for each in of_kind(documents, "ConfigMap") if "model-release" in each)
    assert release != "model-release"
    for each in containers:
        assert each["envFrom"] == [{"configMapRef": {"name": release}}]


@pytest.mark.parametrize("name", FETCHING)
def test_a_job_fetches_the_model_exactly_as_the_server_does(
    documents: list[Document], name: str
) -> None:
    pod, server = pod_of(documents, name), server_of(documents)["spec"]
    assert pod["initContainers"] == server["initContainers"]
    addresses = [each["value"] for each in pod["initContainers"][0]["env"]]
    assert sum(".elsewhere.svc:" in each for each in addresses) == 2


def test_jobs_differ_only_in_what_they_ask(documents: list[Document]) -> None:
    def shell(name: str) -> dict[str, Any]:
        job = yaml.safe_load(yaml.safe_dump(job_of(documents, name)))
        del job["spec"]["activeDeadlineSeconds"]
        (probe,) = job["spec"]["template"]["spec"]["containers"]
        del probe["args"], probe["resources"]
        ways = ("PROBE_URL", "PROBE_HOST", "PROBE_CA_FILE", "PROBE_STABLE_URL")
        probe["env"] = [each for each in probe["env"] if each["name"] not in ways]
        for holder, key in ((probe, "volumeMounts"), (job["spec"]["template"]["spec"], "volumes")):
            holder[key] = [each for each in holder[key] if each["name"] != "gateway-certificate"]
        return job

    assert shell("golden-set") == shell("load") == shell("shadow-agreement")
    golden_set, smoke = shell("golden-set"), shell("smoke")
    for pod in (golden_set["spec"]["template"]["spec"], smoke["spec"]["template"]["spec"]):
        pod.pop("initContainers", None)
        pod["volumes"] = [each for each in pod["volumes"] if each["name"] != "models"]
        (probe,) = pod["containers"]
        probe["env"] = [each for each in probe["env"] if each["name"] != "MODEL_REPOSITORY"]
        probe["volumeMounts"] = [e for e in probe["volumeMounts"] if e["name"] != "models"]
    assert golden_set == smoke


@pytest.mark.parametrize("name", JOBS)
def test_one_failure_is_enough_and_no_job_runs_for_ever(
    documents: list[Document], name: str
) -> None:
    (metric,) = of_kind(documents, "AnalysisTemplate")[name]["spec"]["metrics"]
    assert metric["name"] == name
    assert (metric["count"], metric["failureLimit"], metric["inconclusiveLimit"]) == (1, 0, 0)
    job = metric["provider"]["job"]["spec"]
    assert (job["backoffLimit"], job["template"]["spec"]["restartPolicy"]) == (0, "Never")
    ignored = [rule for rule in job["podFailurePolicy"]["rules"] if rule["action"] == "Ignore"]
    codes = [rule["onExitCodes"] for rule in ignored if "onExitCodes" in rule]
    assert codes == [{"containerName": "probe", "operator": "In", "values": [UNDECIDED]}]
    fetching = 300 if name in FETCHING else 0
    assert fetching + 60 < job["activeDeadlineSeconds"] <= 1200
    assert job["ttlSecondsAfterFinished"] >= 3600


def test_the_policies_find_nothing_in_the_jobs_and_what_they_may_talk_to(
    documents: list[Document],
) -> None:
    found = [
        finding
        for finding in lint(documents).findings
        if finding.severity.name.lower() != "info"
        and (finding.resource.name in JOBS or "probe" in finding.resource.name)
    ]
    assert found == []


def defaults(name: str) -> dict[str, str]:
    """The arguments of a template as it stands in Git, and what they are without a ladder."""
    path = REPOSITORY / "rollouts" / "templates" / name / "template.yaml"
    arguments = yaml.safe_load(path.read_text())["spec"]["args"]
    return {each["name"]: each.get("value", "") for each in arguments}


def test_a_load_is_held_to_the_limits_that_hold_for_users() -> None:
    load, errors = defaults("load"), defaults("error-window")
    slow, slower = defaults("latency-500ms-window"), defaults("latency-1s-window")
    assert load["load-error-limit"] == errors["error-limit"]
    assert load["load-slow-500ms-limit"] == slow["slow-500ms-p0"]
    assert load["load-slow-1s-limit"] == slower["slow-1s-p0"]
    assert load["load-z"] == errors["error-z"]
    sent = (
        float(load["load-rate"]) * float(load["load-seconds"]) * float(load["load-minimum-share"])
    )
    assert sent > float(load["load-minimum-requests"]) == float(errors["minimum-requests"])


def test_the_tolerance_lies_between_what_an_export_changes_and_what_decides_a_class() -> None:
    tolerance = float(defaults("golden-set")["golden-tolerance"])
    assert 10 * onnx_model.TOLERANCE < tolerance < golden.MARGIN / 2


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a label selector with `In` expressions holds for these labels."""
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", [])
    )


def test_a_job_may_talk_to_dns_the_servers_and_where_models_are(documents: list[Document]) -> None:
    labels = job_of(documents, "golden-set")["spec"]["template"]["metadata"]["labels"]
    policies = of_kind(documents, "NetworkPolicy")
    mine = {
        name: policy["spec"]
        for name, policy in policies.items()
        if selects(policy["spec"]["podSelector"], labels)
    }
    assert set(mine) == {
        "default-deny",
        "egress-dns",
        "inference-egress-mlflow",
        "inference-egress-object-store",
        "inference-probe-egress",
    }
    (way_out,) = mine["inference-probe-egress"]["egress"]
    (way_in,) = policies["inference-probe-ingress"]["spec"]["ingress"]
    server = server_of(documents)
    (port,) = server["spec"]["containers"][0]["ports"]
    assert selects(way_out["to"][0]["podSelector"], server["metadata"]["labels"])
    assert selects(way_in["from"][0]["podSelector"], labels)
    expected = [{"port": port["containerPort"], "protocol": "TCP"}]
    assert way_out["ports"] == way_in["ports"] == expected


def test_nothing_takes_a_job_for_a_server(documents: list[Document]) -> None:
    labels = job_of(documents, "golden-set")["spec"]["template"]["metadata"]["labels"]
    services = [each["spec"]["selector"] for each in of_kind(documents, "Service").values()]
    others = [
        each["spec"]["selector"]
        for kind in ("PodDisruptionBudget", "PodMonitor", "Rollout")
        for each in of_kind(documents, kind).values()
    ]
    assert len(services) == 2
    assert len(others) == 3
    assert not any(selector.items() <= labels.items() for selector in services)
    assert not any(selects(selector, labels) for selector in others)
