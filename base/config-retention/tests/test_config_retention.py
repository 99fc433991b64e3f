"""What the retention job deletes, and what it never does."""

import importlib.util
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import build_opener

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

HERE = Path(__file__).parent
NOW = datetime(2026, 6, 1, 3, 23, tzinfo=UTC)
Manifest = dict[str, Any]


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "config_retention", HERE.parent / "config_retention.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


retention = load()


def config_map(name: str, age: timedelta = timedelta(days=1)) -> Manifest:
    created = (NOW - age).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": "7",
            "creationTimestamp": created,
        }
    }


def owner(pod_spec: Manifest) -> Manifest:
    return {"spec": {"template": {"spec": {"containers": [], **pod_spec}}}}


def names(manifests: list[Manifest]) -> list[str]:
    return [manifest["metadata"]["name"] for manifest in manifests]


REFERENCES = {
    "environment of a container": {
        "containers": [{"envFrom": [{"configMapRef": {"name": "used"}}]}]
    },
    "environment of an init container": {
        "initContainers": [{"envFrom": [{"configMapRef": {"name": "used"}}]}]
    },
    "a single variable": {
        "containers": [{"env": [{"valueFrom": {"configMapKeyRef": {"name": "used"}}}]}]
    },
    "a volume": {"volumes": [{"configMap": {"name": "used"}}]},
    "a projected volume": {
        "volumes": [{"projected": {"sources": [{"configMap": {"name": "used"}}]}}]
    },
}


@pytest.mark.parametrize("pod_spec", REFERENCES.values(), ids=REFERENCES.keys())
def test_a_config_map_that_a_pod_template_reads_stays(pod_spec: Manifest) -> None:
    found = retention.leftovers(
        [config_map("used"), config_map("left")], [owner({}), owner(pod_spec)], NOW
    )

    assert names(found) == ["left"]


def test_a_config_map_younger_than_an_hour_stays() -> None:
    young = config_map("young", timedelta(minutes=59))
    old = config_map("old", timedelta(minutes=60))

    assert names(retention.leftovers([young, old], [owner({})], NOW)) == ["old"]


def test_the_oldest_goes_first() -> None:
    given_order = [config_map(str(days), timedelta(days=days)) for days in (2, 9, 5)]

    assert names(retention.leftovers(given_order, [owner({})], NOW)) == ["9", "5", "2"]


@given(st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)))
def test_what_goes_and_what_is_used_share_nothing_and_are_everything(
    existing: set[int], used: set[int]
) -> None:
    owners = [owner({"volumes": [{"configMap": {"name": str(each)}}]}) for each in used]

    found = retention.leftovers([config_map(str(each)) for each in existing], owners, NOW)

    assert {int(name) for name in names(found)} == existing - used


class ApiServer(ThreadingHTTPServer):
    """A namespace with ConfigMaps and owners, and a memory of what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, list[Manifest]] = {
            "configmaps": [config_map("used"), config_map("left")],
            "replicasets": [owner({"volumes": [{"configMap": {"name": "used"}}]})],
            "rollouts": [owner({})],
        }
        self.delete_status = 200
        self.deleted: list[tuple[str, Manifest]] = []
        self.selectors: dict[str, list[str]] = {}
        self.tokens: set[str | None] = set()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: ApiServer

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        *_, namespace, plural = url.path.split("/")
        self.server.tokens.add(self.headers["Authorization"])
        self.server.selectors[plural] = parse_qs(url.query).get("labelSelector", [])
        items = self.server.answers[plural] if namespace == "inference-staging" else []
        self._answer(200, {"items": items})

    def do_DELETE(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.deleted.append((self.path, body))
        self._answer(self.server.delete_status, {})

    def _answer(self, status: int, body: Manifest) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Keep the test's output quiet."""


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer() as api:
        thread = Thread(target=api.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield api
        api.shutdown()
        thread.join(timeout=5)


def cluster(server: ApiServer, namespace: str = "inference-staging") -> Any:
    return retention.Cluster(server.address, namespace, "secret-token", build_opener())


def test_the_leftover_is_deleted_only_in_the_state_that_was_listed(server: ApiServer) -> None:
    assert retention.remove_leftovers(cluster(server), NOW) == ["left"]

    path = "/api/v1/namespaces/inference-staging/configmaps/left"
    preconditions = {"uid": "uid-left", "resourceVersion": "7"}
    assert server.deleted == [(path, {"preconditions": preconditions})]
    assert server.tokens == {"Bearer secret-token"}


def test_only_the_config_maps_of_releases_are_asked_for(server: ApiServer) -> None:
    retention.remove_leftovers(cluster(server), NOW)

    assert server.selectors["configmaps"] == ["app.kubernetes.io/component=model-release"]
    assert server.selectors["replicasets"] == []


@pytest.mark.parametrize("status", [404, 409])
def test_a_config_map_that_changed_meanwhile_is_left_alone(server: ApiServer, status: int) -> None:
    server.delete_status = status

    assert retention.remove_leftovers(cluster(server), NOW) == []


def test_a_refusal_is_an_error(server: ApiServer) -> None:
    server.delete_status = 403

    with pytest.raises(HTTPError, match="403"):
        retention.remove_leftovers(cluster(server), NOW)


def test_nothing_is_deleted_where_nothing_could_refer_to_it(server: ApiServer) -> None:
    server.answers["replicasets"] = []
    server.answers["rollouts"] = []

    with pytest.raises(LookupError, match="nothing is deleted"):
        retention.remove_leftovers(cluster(server), NOW)
    assert server.deleted == []


@pytest.fixture
def pod(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> ApiServer:
    monkeypatch.setattr(retention, "connect", lambda: cluster(server))
    return server


def test_the_job_says_what_it_deleted(pod: ApiServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert retention.main() == 0
    assert capsys.readouterr().out == "deleted ConfigMap left\n1 deleted\n"


def test_the_minimum_age_is_an_argument_with_an_hour_as_its_default() -> None:
    assert retention.parse([]) == timedelta(hours=1)
    assert retention.parse(["--minimum-age-seconds", "5"]) == timedelta(seconds=5)


def test_the_job_leaves_what_is_younger_than_its_argument(pod: ApiServer) -> None:
    centuries = str(10**10)

    assert retention.main(["--minimum-age-seconds", centuries]) == 0
    assert pod.deleted == []


def test_the_job_fails_with_one_line_when_it_is_refused(
    pod: ApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    pod.delete_status = 403

    assert retention.main() == 1
    assert capsys.readouterr().err == "config-retention: HTTP Error 403: Forbidden\n"


def test_outside_of_a_pod_the_job_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    assert retention.main() == 1
    assert "KUBERNETES_SERVICE_HOST is not set; run this in a pod" in capsys.readouterr().err


def test_a_pod_without_its_token_volume_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")

    with pytest.raises(OSError, match="No such file"):
        retention.connect(tmp_path)


def test_the_role_grants_what_the_job_does_and_no_more() -> None:
    role = yaml.safe_load((HERE.parent / "role.yaml").read_text())

    granted = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }

    assert granted == {
        ("", "configmaps", "list"),
        ("", "configmaps", "delete"),
        ("apps", "replicasets", "list"),
        ("argoproj.io", "rollouts", "list"),
    }
