"""What the manifests tell a pod, told to the real programs."""

import hashlib
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from gitops_policy import render
from onnx import TensorProto, helper, save
from prometheus_client.parser import text_string_to_metric_families

REPOSITORY = Path(__file__).parents[1]
COMMAND = REPOSITORY / ".venv" / "bin" / "inference-server"
PATIENCE = 30
Manifest = dict[str, Any]


@cache
def rendered(environment: str) -> list[Manifest]:
    return render(REPOSITORY / "overlays" / environment / "inference")


def staging(kind: str) -> list[Manifest]:
    return [manifest for manifest in rendered("staging") if manifest["kind"] == kind]


def pod(environment: str = "staging") -> Manifest:
    [rollout] = [each for each in rendered(environment) if each["kind"] == "Rollout"]
    return dict(rollout["spec"]["template"]["spec"])


def log_level(environment: str) -> str:
    [container] = pod(environment)["containers"]
    return next(str(each["value"]) for each in container["env"] if each["name"] == "LOG_LEVEL")


def key_header() -> str:
    [policy] = staging("SecurityPolicy")
    return str(policy["spec"]["apiKeyAuth"]["extractFrom"][0]["headers"][0])


def variables_of(container: Manifest) -> dict[str, str]:
    """The variables of a container, the release's own first."""
    [release] = [each for each in staging("ConfigMap") if "MODEL_VERSION" in each["data"]]
    return {**release["data"], **{each["name"]: each["value"] for each in container["env"]}}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"]) for name in "xy"]
    node = helper.make_node("Identity", ["x"], ["y"])
    graph = helper.make_graph([node], "identity", values[:1], values[1:])
    opset = helper.make_opsetid("", 18)
    path = tmp_path / "registry" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    save(helper.make_model(graph, opset_imports=[opset], ir_version=9), path)
    return path


@pytest.fixture
def volumes(tmp_path: Path) -> dict[str, str]:
    """The paths inside the pod, and the folders that stand for them here."""
    folders = {"/models": tmp_path / "models", "/tmp": tmp_path / "tmp"}
    keys = tmp_path / "keys"
    for folder in (*folders.values(), keys):
        folder.mkdir()
    (keys / "somebody").write_text(hashlib.sha256(b"a key").hexdigest())
    folders["/etc/inference-server/api-key-hashes"] = keys
    return {inside: str(here) for inside, here in folders.items()}


def here(value: str, volumes: dict[str, str]) -> str:
    """A path of the pod as it is on this machine; anything else as it is."""
    inside = next((path for path in volumes if f"{value}/".startswith(f"{path}/")), "")
    return volumes[inside] + value[len(inside) :] if inside else value


def localised(
    container: Manifest, volumes: dict[str, str], model: Path, **other: str
) -> dict[str, str]:
    variables = variables_of(container)
    return {
        "PATH": os.environ["PATH"],
        **{name: here(value, volumes) for name, value in variables.items()},
        "MODEL_VERSION": "1",
        "MODEL_URI": model.as_uri(),
        "MODEL_SHA256": hashlib.sha256(model.read_bytes()).hexdigest(),
        **other,
    }


def fetch(volumes: dict[str, str], model: Path, **other: str) -> "subprocess.CompletedProcess[str]":
    [container] = pod()["initContainers"]
    return subprocess.run(
        [COMMAND, *container["args"]],
        env=localised(container, volumes, model, **other),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


@contextmanager
def server(volumes: dict[str, str], model: Path, **other: str) -> Iterator[str]:
    [container] = pod()["containers"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = localised(
        container, volumes, model, HOST="127.0.0.1", PORT=str(port), DRAIN_SECONDS="0", **other
    )
    process = subprocess.Popen([COMMAND, *container.get("args", [])], env=variables)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE)


def status(address: str, path: str, **headers: str) -> int | None:
    try:
        return httpx.get(address + path, headers=headers, timeout=5).status_code
    except httpx.TransportError:
        return None


def wait_for(address: str, path: str, expected: int) -> bool:
    end = time.monotonic() + PATIENCE
    while status(address, path) != expected:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("level", ["dev", "staging", "production"])
def test_a_pod_fetches_starts_and_becomes_ready_with_what_the_manifests_say(
    volumes: dict[str, str], model: Path, level: str
) -> None:
    fetched = fetch(volumes, model)
    assert fetched.returncode == 0, fetched.stderr

    [container] = pod()["containers"]
    with server(volumes, model, LOG_LEVEL=log_level(level)) as address:
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert wait_for(address, container[probe]["httpGet"]["path"], 200), probe


def test_prometheus_needs_no_key_and_a_client_does(volumes: dict[str, str], model: Path) -> None:
    fetch(volumes, model)
    [monitor], [container] = staging("PodMonitor"), pod()["containers"]
    [endpoint] = monitor["spec"]["podMetricsEndpoints"]
    name = variables_of(container)["MODEL_NAME"]
    infer = f"/v2/models/{name}/infer"
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [0.5]}]}

    with server(volumes, model) as address:
        assert wait_for(address, container["readinessProbe"]["httpGet"]["path"], 200)
        metrics = httpx.get(address + endpoint["path"])
        stranger = httpx.post(address + infer, json=body)
        client = httpx.post(address + infer, json=body, headers={key_header(): "a key"})

    assert metrics.status_code == 200
    assert "http_requests_total" in metrics.text
    assert stranger.status_code == 401
    assert client.status_code == 200, client.text


def test_a_pod_with_another_model_than_the_release_names_is_never_fetched(
    volumes: dict[str, str], model: Path
) -> None:
    fetched = fetch(volumes, model, MODEL_SHA256="0" * 64)

    assert fetched.returncode == 1
    assert not list(Path(volumes["/models"]).rglob("model.onnx"))


def matches_of_the_route() -> list[tuple[str, str]]:
    """Type and path of what reaches a pod from outside."""
    [route] = [each for each in staging("HTTPRoute") if each["metadata"]["name"] == "inference"]
    paths = [match["path"] for match in route["spec"]["rules"][0]["matches"]]
    return [(path["type"], path["value"]) for path in paths]


@pytest.mark.parametrize(
    "path", ["/metrics", "/v2/repository/index", "/v2/repository/models/m/load", "/docs"]
)
def test_the_route_leaves_metrics_and_admin_endpoints_inside_the_cluster(path: str) -> None:
    led_outside = [
        (kind, value)
        for kind, value in matches_of_the_route()
        if path == value or (kind == "PathPrefix" and path.startswith(value.rstrip("/") + "/"))
    ]
    assert not led_outside


def test_every_path_of_the_route_is_one_that_the_server_knows(
    volumes: dict[str, str], model: Path
) -> None:
    fetch(volumes, model)
    [container] = pod()["containers"]
    name = variables_of(container)["MODEL_NAME"]
    # A prefix stands for what is below it.
    below = {"/v2/health": "/v2/health/live", "/v2/models": f"/v2/models/{name}"}
    paths = [below.get(path, path) for _, path in matches_of_the_route()]

    with server(volumes, model) as address:
        assert wait_for(address, container["readinessProbe"]["httpGet"]["path"], 200)
        key = {key_header(): "a key"}
        answers = {path: status(address, path, **key) for path in [*paths, "/nowhere"]}

    assert answers.pop("/nowhere") == 404
    assert set(answers.values()) <= {200, 405}, answers


def test_the_series_of_the_service_that_the_alerts_read_exist_before_the_first_request(
    volumes: dict[str, str], model: Path
) -> None:
    fetch(volumes, model)
    [container] = pod()["containers"]
    rules = "".join(str(each["spec"]) for each in staging("PrometheusRule"))
    read = set(re.findall(r"http_[a-z_]+(?=\{)", rules))
    edges = set(re.findall(r'le="([0-9.]+)"', rules))

    with server(volumes, model) as address:
        assert wait_for(address, container["readinessProbe"]["httpGet"]["path"], 200)
        families = text_string_to_metric_families(httpx.get(f"{address}/metrics").text)
        samples = [sample for family in families for sample in family.samples]

    assert read == {
        "http_requests_total",
        "http_request_duration_seconds_bucket",
        "http_request_duration_seconds_count",
    }
    for endpoint in ("infer", "predict"):
        here = [sample for sample in samples if sample.labels.get("endpoint") == endpoint]
        assert read <= {sample.name for sample in here}
        assert edges <= {sample.labels.get("le") for sample in here}
        assert any(sample.labels.get("status", "").startswith("5") for sample in here)
