"""`inference-server fetch` against real files, a real HTTP server and a real MLflow server."""

import functools
import hashlib
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from inference_server.fetch import download
from inference_server.fetch.outcome import FetchError, TemporaryError
from inference_server.fetch.request import FetchRequest, Limits, make_request, shown

from .conftest import free_port, wait_until
from .onnx_models import classifier
from .test_life_cycle import run

QUICK = {"FETCH_SECONDS": "20", "FETCH_RETRIES": "1"}


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return classifier(tmp_path_factory.mktemp("artifacts") / "bucket" / "flowers" / "model.onnx")


@pytest.fixture(scope="session")
def digest(model: Path) -> str:
    return hashlib.sha256(model.read_bytes()).hexdigest()


def fetch(
    uri: str, sha256: str, repository: Path, *options: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    if not uri.startswith("models:") and not options:
        options = ("--name=flowers", "--version=7")
    arguments = ["fetch", f"--uri={uri}", f"--sha256={sha256}", f"--repository={repository}"]
    ended = run(*arguments, *options, **QUICK | environment)
    assert "Traceback" not in ended.stderr
    return ended


def files(repository: Path) -> list[str]:
    return sorted(str(path.relative_to(repository)) for path in repository.rglob("*"))


def test_a_file_comes_to_its_place(model: Path, digest: str, tmp_path: Path) -> None:
    ended = fetch(model.as_uri(), digest, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert digest in ended.stdout
    assert files(tmp_path) == ["flowers", "flowers/7", "flowers/7/model.onnx"]
    assert (tmp_path / "flowers/7/model.onnx").read_bytes() == model.read_bytes()


def test_what_is_there_already_is_not_fetched_again(
    model: Path, digest: str, tmp_path: Path
) -> None:
    assert fetch(model.parent.as_uri(), digest, tmp_path).returncode == 0
    assert fetch("file:///nowhere", digest, tmp_path).returncode == 0


def test_another_file_in_its_place_is_replaced(model: Path, digest: str, tmp_path: Path) -> None:
    place = tmp_path / "flowers" / "7" / "model.onnx"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"old")
    assert fetch(model.as_uri(), digest, tmp_path).returncode == 0
    assert place.read_bytes() == model.read_bytes()


def test_a_wrong_hash_is_status_1_and_leaves_nothing(model: Path, tmp_path: Path) -> None:
    ended = fetch(model.as_uri(), "0" * 64, tmp_path)
    assert ended.returncode == 1
    assert "sha256 is" in ended.stderr
    assert files(tmp_path) == []


def test_a_missing_file_is_status_2(digest: str, tmp_path: Path) -> None:
    ended = fetch("file:///nowhere/model.onnx", digest, tmp_path)
    assert ended.returncode == 2
    assert "does not exist" in ended.stderr


def test_a_file_that_is_too_large_is_refused(model: Path, digest: str, tmp_path: Path) -> None:
    ended = fetch(model.as_uri(), digest, tmp_path, FETCH_MAX_BYTES="10")
    assert ended.returncode == 1
    assert "larger than 10 bytes" in ended.stderr
    assert files(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_named(model: Path, digest: str, tmp_path: Path) -> None:
    (tmp_path / "flowers").write_text("a file")
    ended = fetch(model.as_uri(), digest, tmp_path)
    assert ended.returncode == 73
    assert "flowers" in ended.stderr


MISUSE = {
    "alias": (["--uri=models:/m@champion"], "alias"),
    "stage": (["--uri=models:/m/Production"], "integer version"),
    "latest": (["--uri=models:/m/latest"], "integer version"),
    "zero": (["--uri=models:/m/0"], "integer version"),
    "no version": (["--uri=models:/m"], "integer version"),
    "oci": (["--uri=oci://registry/m"], "oci: is not supported yet"),
    "unknown scheme": (["--uri=ftp://host/m"], "none of models"),
    "short hash": (["--uri=models:/m/1", "--sha256=abc"], "3 characters"),
    "other name": (["--uri=models:/m/1", "--name=n"], "MODEL_NAME is 'n'"),
    "other version": (["--uri=models:/m/1", "--version=2"], "MODEL_VERSION is '2'"),
    "file without a name": (["--uri=file:///m"], "MODEL_NAME"),
    "name with a slash": (["--uri=file:///m", "--name=../m", "--version=1"], "no model name"),
    "version latest": (["--uri=file:///m", "--name=m", "--version=latest"], "positive integer"),
    "plain http": (["--uri=http://example.org/m", "--name=m", "--version=1"], "use https"),
    "other machine": (["--uri=file://host/m", "--name=m", "--version=1"], "another machine"),
    "no key": (["--uri=s3://bucket", "--name=m", "--version=1"], "expected s3://bucket/key"),
    "no tracking server": (["--uri=models:/m/1"], "MLFLOW_TRACKING_URI"),
    "unknown option": (["--url=x"], "unrecognized"),
    "retries": (["--uri=models:/m/1", "--retries=many"], "no whole number"),
}


@pytest.mark.parametrize(("options", "reason"), MISUSE.values(), ids=MISUSE.keys())
def test_misuse_has_a_status_of_its_own(
    options: list[str], reason: str, digest: str, tmp_path: Path
) -> None:
    ended = run(
        "fetch", f"--sha256={digest}", f"--repository={tmp_path}", *options, MLFLOW_TRACKING_URI=""
    )
    assert ended.returncode == 64
    assert reason in ended.stderr
    assert "Traceback" not in ended.stderr


def test_everything_can_come_from_the_environment(model: Path, digest: str, tmp_path: Path) -> None:
    ended = run(
        "fetch",
        MODEL_URI=model.as_uri(),
        MODEL_SHA256=digest,
        MODEL_REPOSITORY=str(tmp_path),
        MODEL_NAME="flowers",
        MODEL_VERSION="12",
    )
    assert ended.returncode == 0, ended.stderr
    assert "flowers/12/model.onnx" in files(tmp_path)


def test_a_missing_value_is_named() -> None:
    ended = run("fetch", MODEL_URI="", MODEL_SHA256="")
    assert ended.returncode == 64
    assert "MODEL_URI" in ended.stderr


def test_messages_show_no_secret_of_a_uri() -> None:
    assert shown("https://user:pass@host/m.onnx?X-Amz-Signature=1#f") == "https://host/m.onnx"


class _Handler(http.server.SimpleHTTPRequestHandler):
    failures = 0

    def do_GET(self) -> None:
        if "/redirect/" in self.path:
            self.send_response(302)
            self.send_header("Location", self.path.replace("/redirect/", "/bucket/"))
            self.end_headers()
        elif "/status/" in self.path:
            self.send_error(int(self.path.rpartition("/")[2]))
        elif "/flaky/" in self.path and _Handler.failures > 0:
            _Handler.failures -= 1
            self.send_error(503)
        else:
            self.path = self.path.replace("/flaky/", "/bucket/")
            super().do_GET()

    def log_message(self, *_: object) -> None:
        """Keep the test output quiet."""


@pytest.fixture(scope="module")
def web(model: Path) -> Iterator[str]:
    handler = functools.partial(_Handler, directory=str(model.parents[2]))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("folder", ["bucket", "redirect"])
def test_a_download_follows_redirects(web: str, folder: str, digest: str, tmp_path: Path) -> None:
    ended = fetch(f"{web}/{folder}/flowers/model.onnx", digest, tmp_path)
    assert ended.returncode == 0, ended.stderr


def test_a_server_that_recovers_is_asked_again(web: str, digest: str, tmp_path: Path) -> None:
    _Handler.failures = 1
    assert fetch(f"{web}/flaky/flowers/model.onnx", digest, tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("status", "expected"), [(404, 2), (410, 2), (401, 3), (403, 3), (500, 3), (503, 3), (429, 3)]
)
def test_http_statuses_become_exit_statuses(
    web: str, status: int, expected: int, digest: str, tmp_path: Path
) -> None:
    ended = fetch(f"{web}/status/{status}", digest, tmp_path, FETCH_RETRIES="0")
    assert ended.returncode == expected
    assert f"HTTP {status}" in ended.stderr
    assert files(tmp_path) == []


def test_nobody_listening_is_status_3_after_the_retries(digest: str, tmp_path: Path) -> None:
    ended = fetch(f"http://127.0.0.1:{free_port()}/m", digest, tmp_path)
    assert ended.returncode == 3
    assert "ConnectError; tried 2 times" in ended.stderr


def store_at(address: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": address,
        "AWS_ALLOW_HTTP": "true",
        "AWS_SKIP_SIGNATURE": "true",
        "AWS_REGION": "us-east-1",
    }


@pytest.mark.parametrize(("key", "status"), [("model.onnx", 0), ("nope.onnx", 2)])
def test_an_object_store_is_read_by_bucket_and_key(
    web: str, key: str, status: int, digest: str, tmp_path: Path
) -> None:
    ended = fetch(f"s3://bucket/flowers/{key}", digest, tmp_path, **store_at(web))
    assert ended.returncode == status, ended.stderr


def test_an_object_store_that_is_down_is_status_3(digest: str, tmp_path: Path) -> None:
    environment = store_at(f"http://127.0.0.1:{free_port()}") | {"FETCH_RETRIES": "0"}
    assert fetch("s3://bucket/model.onnx", digest, tmp_path, **environment).returncode == 3


def request(repository: Path, uri: str, **limits: float) -> FetchRequest:
    bounds = Limits(**{"max_bytes": 10**6, "seconds": 60, "retries": 3} | limits)  # type: ignore[arg-type]
    values = {"uri": uri, "sha256": "0" * 64, "repository": str(repository)}
    return make_request(values | {"name": "m", "version": "1"}, bounds)


def test_pauses_between_attempts_double(tmp_path: Path) -> None:
    pauses: list[float] = []
    with pytest.raises(FetchError, match="tried 4 times"):
        download.fetch(request(tmp_path, f"http://127.0.0.1:{free_port()}/m"), sleep=pauses.append)
    assert pauses == [1, 2, 4]


def test_no_attempt_begins_after_the_time_is_up(tmp_path: Path) -> None:
    pauses: list[float] = []
    asked = request(tmp_path, f"http://127.0.0.1:{free_port()}/m", seconds=0.5)
    with pytest.raises(FetchError, match="tried 1 times"):
        download.fetch(asked, sleep=pauses.append)
    assert pauses == []


def test_a_download_that_takes_too_long_is_given_up(model: Path, tmp_path: Path) -> None:
    with pytest.raises((FetchError, TemporaryError), match="not finished after 0 s"):
        download.fetch(request(tmp_path, model.as_uri(), seconds=0))


REGISTER = """
import mlflow, onnx, sys
mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment("flowers")
with mlflow.start_run():
    model = mlflow.onnx.log_model(onnx.load(sys.argv[2]), name="model", pip_requirements=[])
logged = mlflow.register_model(model.model_uri, "flowers")
client = mlflow.MlflowClient()
client.create_model_version("flowers", sys.argv[3])
client.create_model_version("flowers", model.model_uri, model_id=model.model_id)
"""


@pytest.fixture(scope="module")
def registry(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MLflow with versions 1 (a logged model), 2 (in an object store), 3 (a model by its id)."""
    folder = tmp_path_factory.mktemp("mlflow")
    address = f"http://127.0.0.1:{free_port()}"
    arguments = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host=127.0.0.1",
        "--workers=1",
        f"--port={address.rpartition(':')[2]}",
        f"--backend-store-uri=sqlite:///{folder}/mlflow.db",
        f"--artifacts-destination={folder}/artifacts",
    ]
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("COVERAGE")  # measuring MLflow itself costs a minute
    } | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(arguments, stdout=log, stderr=log, cwd=folder, env=environment)
    try:
        wait_until(lambda: server.poll() is None and _healthy(address), 90)
        subprocess.run(
            [sys.executable, "-c", REGISTER, address, str(model), "s3://bucket/flowers"],
            check=True,
            timeout=120,
            env=environment,
        )
        yield address
    finally:
        server.terminate()
        server.wait(30)


def _healthy(address: str) -> bool:
    try:
        return httpx.get(address + "/health").status_code == 200
    except httpx.TransportError:
        return False


def logged_digest(registry: str) -> str:
    """What MLflow stored may differ from what was given to it: it writes the file anew."""
    client = f"{registry}/api/2.0/mlflow/model-versions/get-download-uri"
    place = httpx.get(client, params={"name": "flowers", "version": "1"}).json()["artifact_uri"]
    path = place.removeprefix("mlflow-artifacts:/") + "/model.onnx"
    content = httpx.get(f"{registry}/api/2.0/mlflow-artifacts/artifacts/{path}").content
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("version", [1, 3])
def test_a_registered_model_comes_through_the_artifact_proxy(
    registry: str, version: int, tmp_path: Path
) -> None:
    uri = f"models:/flowers/{version}"
    ended = fetch(uri, logged_digest(registry), tmp_path, MLFLOW_TRACKING_URI=registry)
    assert ended.returncode == 0, ended.stderr
    assert f"flowers/{version}/model.onnx" in files(tmp_path)


def test_a_version_in_an_object_store_comes_from_there(
    registry: str, web: str, digest: str, tmp_path: Path
) -> None:
    environment = store_at(web) | {"MLFLOW_TRACKING_URI": registry}
    ended = fetch("models:/flowers/2", digest, tmp_path, **environment)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("uri", ["models:/flowers/99", "models:/roses/1"])
def test_what_the_registry_does_not_have_is_status_2(
    registry: str, uri: str, digest: str, tmp_path: Path
) -> None:
    ended = fetch(uri, digest, tmp_path, MLFLOW_TRACKING_URI=registry)
    assert ended.returncode == 2
    assert "the registry has no" in ended.stderr


def test_a_registry_that_is_down_is_status_3(digest: str, tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    ended = fetch("models:/m/1", digest, tmp_path, MLFLOW_TRACKING_URI=address)
    assert ended.returncode == 3


def test_an_answer_that_is_not_mlflow_s_is_status_3(web: str, digest: str, tmp_path: Path) -> None:
    ended = fetch("models:/m/1", digest, tmp_path, MLFLOW_TRACKING_URI=f"{web}/status/502")
    assert ended.returncode == 3


class _Registry(http.server.BaseHTTPRequestHandler):
    """An MLflow that leaves a logged model's location to the client, and wants a password."""

    def do_GET(self) -> None:
        if self.headers["Authorization"] not in ("Bearer t0ken", "Basic dXNlcjpwYXNz"):
            self.send_error(401)
            return
        path, _, query = self.path.partition("?")
        if path.endswith("get-download-uri"):
            answer = "{}" if "version=2" in query else '{"artifact_uri": "models:/m-1"}'
            answer = "[" if "version=3" in query else answer
        else:
            assert path.endswith("/logged-models/m-1")
            answer = '{"model": {"info": {"artifact_uri": "s3://bucket/flowers"}}}'
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *_: object) -> None:
        """Keep the test output quiet."""


@pytest.fixture(scope="module")
def strict_registry() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Registry) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "credentials",
    [
        {"MLFLOW_TRACKING_TOKEN": "t0ken"},
        {"MLFLOW_TRACKING_USERNAME": "user", "MLFLOW_TRACKING_PASSWORD": "pass"},
    ],
)
def test_a_logged_model_is_followed_with_credentials(
    strict_registry: str, web: str, credentials: dict[str, str], digest: str, tmp_path: Path
) -> None:
    environment = store_at(web) | {"MLFLOW_TRACKING_URI": strict_registry} | credentials
    ended = fetch("models:/flowers/1", digest, tmp_path, **environment)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("version", "token", "status", "reason"),
    [
        (1, "wrong", 3, "refused (HTTP 401)"),
        (2, "t0ken", 2, "has no artifacts"),
        (3, "t0ken", 3, "not MLflow's"),
    ],
)
def test_a_registry_that_does_not_help_is_named(
    strict_registry: str, version: int, token: str, status: int, reason: str, tmp_path: Path
) -> None:
    environment = {"MLFLOW_TRACKING_URI": strict_registry, "MLFLOW_TRACKING_TOKEN": token}
    ended = fetch(f"models:/flowers/{version}", "0" * 64, tmp_path, **environment)
    assert ended.returncode == status
    assert reason in ended.stderr
