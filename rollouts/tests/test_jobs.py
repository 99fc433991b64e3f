"""The jobs of the analyses, as rendered: what their pods may do, and what they find out."""

import hashlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from canary_gate import Analysis, AnalysisResult, load_templates, run_analysis
from gitops_policy import lint
from model_pipeline import dataset, golden, onnx_model, training
from release_play.faulty_model import break_model

from rollouts.tests.kubelet import COMMAND, PATIENCE, Ended, Kubelet
from rollouts.tests.rendering import REPOSITORY, Document, render

JOBS = ("golden-set", "load", "shadow-agreement", "smoke")
FETCHING = ("golden-set", "load", "shadow-agreement")
KEY = "a key"
#: A short load, whose times say nothing on a machine that others use.
QUICK = {
    "load": {
        "load-rate": "20",
        "load-seconds": "2",
        "minimum-requests": "40",
        "load-slow-500ms-limit": "1",
        "load-slow-1s-limit": "1",
        "load-minimum-share": "0",
    },
    "shadow-agreement": {"shadow-inputs": "80"},
}
OVERLAY = {
    "apiVersion": "kustomize.config.k8s.io/v1beta1",
    "kind": "Kustomization",
    "namespace": "inference-staging",
    "resources": [
        "../../../base/inference",
        "../../../base/inference-probe",
        "../../../base/namespace",
        *(f"../../../rollouts/templates/{name}" for name in JOBS),
    ],
    "components": [
        "../../../rollouts/kustomizeconfig",
        "../../../base/inference-settings",
        "../inference/release",
    ],
    "configMapGenerator": [
        {
            "name": "settings",
            "envs": ["settings.env"],
            "options": {"annotations": {"config.kubernetes.io/local-config": "true"}},
        }
    ],
}


@pytest.fixture(scope="module")
def rows() -> dataset.Dataset:
    return dataset.load()


@pytest.fixture(scope="module")
def model(rows: dataset.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 12, as `model-pipeline train` makes it."""
    estimator = training.fit(rows, seed=0).estimator
    content = onnx_model.export(estimator, "breast-cancer", rows.feature_names)
    features = rows.test.features
    answers = estimator.predict(features), estimator.predict_proba(features)
    path = tmp_path_factory.mktemp("registry") / "breast-cancer" / "12" / "model.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(golden.attach(content, features, *answers))
    return path


@pytest.fixture(scope="module")
def documents(model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Document]:
    """Staging with all four jobs, its own addresses and this model as its release."""
    tree = tmp_path_factory.mktemp("tree")
    for folder in ("base", "rollouts", "overlays"):
        shutil.copytree(REPOSITORY / folder, tree / folder)
    overlay = tree / "overlays" / "staging" / "jobs"
    overlay.mkdir()
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(OVERLAY))
    settings = (overlay.parent / "inference" / "settings.env").read_text()
    (overlay / "settings.env").write_text(settings.replace(".svc:", ".elsewhere.svc:"))
    release = overlay.parent / "inference" / "release" / "model-release.env"
    given = dict(line.split("=", 1) for line in release.read_text().splitlines())
    given |= {
        "MODEL_VERSION": "12",
        "MODEL_URI": model.as_uri(),
        "MODEL_SHA256": hashlib.sha256(model.read_bytes()).hexdigest(),
    }
    release.write_text("".join(f"{key}={value}\n" for key, value in given.items()))
    return render(overlay)


def of_kind(documents: list[Document], kind: str) -> dict[str, Document]:
    return {each["metadata"]["name"]: each for each in documents if each["kind"] == kind}


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
        probe["env"] = [each for each in probe["env"] if each["name"] != "PROBE_STABLE_URL"]
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
    assert sent > float(load["minimum-requests"]) == float(errors["minimum-requests"])


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


@contextmanager
def serving(folder: Path, **models: bytes) -> Iterator[str]:
    """The address of a server that asks for the key; models by `v<version>`."""
    for version, content in models.items():
        path = folder / "models" / "breast-cancer" / version.removeprefix("v") / "model.onnx"
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    keys = folder / "keys"
    keys.mkdir()
    (keys / "analysis").write_text(hashlib.sha256(KEY.encode()).hexdigest())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            *(COMMAND, f"--port={port}", "--drain-seconds=0", f"--api-key-hashes-file={keys}"),
            f"--model-repository={folder / 'models'}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        end = time.monotonic() + PATIENCE
        while not ready(address):
            assert time.monotonic() < end, "the server does not become ready"
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait(PATIENCE)


def ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/v2/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def judge(
    documents: list[Document], name: str, folder: Path, *, canary: str, stable: str = ""
) -> tuple[AnalysisResult, Ended]:
    """Run one template's job against these servers, as the controller would."""
    kubelet = Kubelet(
        folder,
        {name: each["data"] for name, each in of_kind(documents, "ConfigMap").items()},
        {"inference-api-keys": {"analysis": KEY}},
        {"http://inference-canary": canary, "http://inference-stable": stable},
    )
    template = of_kind(documents, "AnalysisTemplate")[name]
    analysis = Analysis(load_templates([template]).values(), QUICK.get(name, {}))
    result = run_analysis(analysis, provider=None, jobs=kubelet)
    return result, kubelet.ended[name]


@pytest.fixture(scope="module")
def good(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("good"), v12=model.read_bytes()) as address:
        yield address


@pytest.fixture(scope="module")
def other(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that answers by a newer version than the release's."""
    content = model.read_bytes()
    with serving(tmp_path_factory.mktemp("other"), v12=content, v13=content) as address:
        yield address


@pytest.mark.parametrize("name", JOBS)
def test_a_good_release_passes(
    documents: list[Document], name: str, good: str, tmp_path: Path
) -> None:
    result, job = judge(documents, name, tmp_path, canary=good, stable=good)
    assert (result.verdict, result.action) == ("pass", "advance"), job.log
    assert job.log.splitlines()[-1].startswith("pass: ")


@pytest.mark.parametrize("name", JOBS)
def test_another_version_behind_the_service_aborts(
    documents: list[Document], name: str, good: str, other: str, tmp_path: Path
) -> None:
    result, job = judge(documents, name, tmp_path, canary=other, stable=good)
    assert (result.verdict, result.action) == ("fail", "abort")
    assert "answered by version '13', expected '12'" in job.log


def test_a_model_that_fails_on_some_rows_meets_no_user(
    documents: list[Document], model: Path, rows: dataset.Dataset, tmp_path: Path
) -> None:
    features = rows.test.features.astype(np.float32)
    broken = break_model(model.read_bytes(), share=0.05, rows=features)
    with serving(tmp_path, v12=broken) as canary:
        result, job = judge(documents, "golden-set", tmp_path / "job", canary=canary)
    assert result.action == "abort"
    lines = job.log.splitlines()
    assert "HTTP 500: the model failed on this input" in lines[-2]
    assert lines[-1].startswith("fail: 2 of 64 cases differ, largest deviation ")
