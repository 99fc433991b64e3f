"""Scopes and models: what a known client may do, and what is written about who administers."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from inference_server.errors import RequestError
from inference_server.security.client import SCOPES
from inference_server.security.guard import SCOPE_OF, Guard, model_of
from inference_server.settings import Settings
from inference_server.transport.observer import endpoint_of

from .conftest import Server, Start, wait_until
from .onnx_models import classifier

ROW = {"instances": [[1, 1, 1]]}
TENSOR = {"inputs": [{"name": "features", "shape": [1, 3], "datatype": "FP32", "data": [1, 1, 1]}]}


def header(client: str) -> dict[str, str]:
    return {"X-API-Key": f"key of {client}"}


def line(client: str, grants: str = "") -> str:
    return f"{client}:{hashlib.sha256(f'key of {client}'.encode()).hexdigest()}{grants}\n"


KEYS = (
    line("user")
    + line("ops", ":scopes=admin")
    + line("prometheus", ":scopes=metrics")
    + line("florist", ":models=flowers")
    + line("gardener", ":scopes=admin,metadata:models=trees")
)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, start_anywhere: Start) -> Server:
    folder = tmp_path_factory.mktemp("scopes")
    for model in ("flowers", "trees"):
        classifier(folder / "models" / model / "1" / "model.onnx", scale=1)
    (folder / "keys").write_text(KEYS)
    return start_anywhere(
        folder / "models",
        f"--api-key-hashes-file={folder / 'keys'}",
        "--metrics-auth",
        "--log-level=warning",
    )


def ask(server: Server, client: str | None, method: str, path: str, content: Any = None) -> int:
    headers = {} if client is None else header(client)
    return server.client.request(method, path, json=content, headers=headers).status_code


INFER = ("POST", "/v2/models/flowers/infer", TENSOR)
TREES = ("POST", "/v2/models/trees/infer", TENSOR)
METADATA = ("GET", "/v2/models/flowers")
INDEX = ("POST", "/v2/repository/index", {})
METRICS = ("GET", "/metrics")


@pytest.mark.parametrize(
    ("client", "request_", "status"),
    [
        ("user", INFER, 200),
        ("user", TREES, 200),
        ("user", METADATA, 200),
        ("user", ("GET", "/info"), 200),
        ("user", INDEX, 403),
        ("user", METRICS, 403),
        ("ops", INDEX, 200),
        ("ops", INFER, 403),
        ("ops", METADATA, 403),
        ("prometheus", METRICS, 200),
        ("prometheus", INFER, 403),
        ("prometheus", INDEX, 403),
        (None, METRICS, 401),
        (None, INFER, 401),
        (None, INDEX, 401),
        (None, ("GET", "/docs"), 401),
        (None, ("GET", "/openapi.json"), 401),
        (None, ("GET", "/v2/health/live"), 200),
        (None, ("GET", "/health/ready"), 200),
        (None, ("GET", "/v2/models/flowers/ready"), 200),
    ],
)
def test_a_scope_opens_its_own_endpoints_only(
    guarded: Server, client: str | None, request_: tuple[Any, ...], status: int
) -> None:
    assert ask(guarded, client, *request_) == status


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("/v2/models/flowers/infer", TENSOR, 200),
        ("/v2/models/flowers/versions/1/infer", TENSOR, 200),
        ("/predict?model=flowers", ROW, 200),
        ("/v1/models/flowers:predict", ROW, 200),
        ("/v2/models/trees/infer", TENSOR, 403),
        ("/v2/models/trees/versions/1/infer", TENSOR, 403),
        ("/v2/models/tree%73/infer", TENSOR, 403),
        ("/predict?model=trees", ROW, 403),
        ("/predict?model=flowers&model=trees", ROW, 403),
        ("/v1/models/trees:predict", ROW, 403),
        ("/predict", ROW, 403),
        ("/v2/models/unheard-of/infer", TENSOR, 403),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_of_one_model_infers_with_no_other(
    guarded: Server, path: str, content: Any, status: int, chunked: bool
) -> None:
    more: dict[str, Any] = {"json": content}
    if chunked:
        body = guarded.client.build_request("POST", path, json=content).content
        more = {"content": iter([body])}
    answer = guarded.client.post(path, headers=header("florist"), **more)
    assert answer.status_code == status
    if status == 403:
        # an unknown model is refused in the same words: nothing is told of what there is
        assert answer.json()["error"] == "this client may not use this model"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (("GET", "/v2/models/trees"), 200),
        (("GET", "/v2/models/trees/versions/1"), 200),
        (("GET", "/v2/models/flowers"), 403),
        (("GET", "/v2/models/flowers/versions/1"), 403),
        (("GET", "/v2/models/flower%73"), 403),
        (("GET", "/v2/models/flowers/config"), 403),
        (("GET", "/v2/models/flowers/stats"), 403),
        (("GET", "/v1/models/flowers"), 403),
        (("POST", "/v2/repository/models/flowers/load", {}), 403),
        (("POST", "/v2/repository/models/flowers/unload", {}), 403),
        (("GET", "/v2"), 200),
    ],
)
def test_nor_does_it_see_or_administer_another(
    guarded: Server, request_: tuple[Any, ...], status: int
) -> None:
    assert ask(guarded, "gardener", *request_) == status


def test_each_administrative_request_leaves_a_line_in_the_audit_log(
    repository: Path, tmp_path: Path, start: Start
) -> None:
    (tmp_path / "keys").write_text(KEYS)
    server = start(
        repository,
        f"--api-key-hashes-file={tmp_path / 'keys'}",
        "--model-control=explicit",
        "--log-level=warning",
        until="/v2/health/live",
    )

    def audit(request_id: str) -> list[dict[str, Any]]:
        return [
            event
            for event in server.events()
            if event["logger"] == "inference_server.audit" and event["request_id"] == request_id
        ]

    for request_id, client, path in (
        ("audit-1", "ops", "/v2/repository/models/flowers/load"),
        ("audit-2", "user", "/v2/repository/models/flowers/unload"),
        ("audit-3", None, "/v2/repository/index"),
        ("audit-4", "ops", "/v2/repository/models/unheard-of/load"),
    ):
        headers = {"X-Request-ID": request_id} | (header(client) if client else {})
        server.client.post(path, json={}, headers=headers)
    wait_until(lambda: all(audit(f"audit-{number}") for number in (1, 2, 3, 4)))
    seen = {
        number: {
            name: event.get(name) for name in ("client", "action", "model_id", "result", "status")
        }
        for number in (1, 2, 3, 4)
        for event in audit(f"audit-{number}")
    }
    done = {"client": "ops", "action": "load", "model_id": "flowers", "result": "done"}
    assert seen[1] == done | {"status": 200}
    assert (seen[2]["action"], seen[2]["result"], seen[2]["status"]) == ("unload", "refused", 403)
    assert (seen[3]["client"], seen[3]["result"], seen[3]["status"]) == (None, "refused", 401)
    assert (seen[4]["client"], seen[4]["result"]) == ("ops", "refused")
    assert "key of" not in server.log_file.read_text()


def test_no_secret_stands_in_what_is_logged_or_shown(guarded: Server) -> None:
    guarded.client.post(
        "/v2/models/flowers/infer?token=in-the-query",
        json={"inputs": "in-the-body"},
        headers=header("user") | {"Cookie": "in-the-cookie"},
    )
    shown = guarded.log_file.read_text()
    for path in ("/info", "/health", "/v2"):
        shown += guarded.get(path, headers=header("user")).text
    shown += guarded.get("/metrics", headers=header("prometheus")).text
    for secret in ("in-the-query", "in-the-body", "in-the-cookie", "key of", line("user")[5:30]):
        assert secret not in shown


# The guard by itself


def guard(folder: Path, keys: str, **more: Any) -> Guard:
    (folder / "keys").write_text(keys)
    return Guard(Settings(model_repository=folder, api_key_hashes_file=folder / "keys", **more))


def refusal(guard: Guard, client: str, scope: str, model: str | None = None) -> RequestError:
    with pytest.raises(RequestError) as caught:
        guard.admit({b"x-api-key": f"key of {client}".encode()}, scope, model)
    return caught.value


@pytest.mark.parametrize("granted", sorted(SCOPES))
@pytest.mark.parametrize("needed", sorted(SCOPES))
def test_no_scope_contains_another(tmp_path: Path, granted: str, needed: str) -> None:
    strict = guard(tmp_path, line("x", f":scopes={granted}"), metrics_auth=True)
    if granted == needed:
        client = strict.admit({b"x-api-key": b"key of x"}, needed, "m")
        assert client is not None
        assert client.scopes == {granted}
    else:
        error = refusal(strict, "x", needed, "m")
        assert error.status == 403
        assert error.headers is not None
        assert f'error="insufficient_scope", scope="{needed}"' in error.headers["WWW-Authenticate"]


def test_metrics_are_open_unless_they_are_to_be_protected(tmp_path: Path) -> None:
    assert guard(tmp_path, KEYS).admit({}, "metrics", None) is None
    with pytest.raises(RequestError, match="no valid API key"):
        guard(tmp_path, KEYS, metrics_auth=True).admit({}, "metrics", None)


def test_without_credentials_everybody_may_do_everything(tmp_path: Path) -> None:
    everything = Guard(Settings(model_repository=tmp_path))
    for scope in SCOPES:
        assert everything.admit({b"x-api-key": b"any"}, scope, "m") is None


def test_a_client_of_some_models_has_to_name_one_to_infer(tmp_path: Path) -> None:
    strict = guard(tmp_path, KEYS)
    assert refusal(strict, "florist", "infer", None).status == 403
    assert strict.admit({b"x-api-key": b"key of florist"}, "metadata", None) is not None


def test_every_kind_of_endpoint_has_a_scope_or_is_open(tmp_path: Path) -> None:
    from inference_server.app import ROUTES

    for _, path, _ in ROUTES:
        scope = SCOPE_OF[endpoint_of(path.replace("{", "").replace("}", ""))]
        opened = "/health" in path or path.endswith("/ready")
        assert (scope is None) == opened, path


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v2/models/a", "a"),
        ("/v2/models/a/versions/1/config", "a"),
        ("/v2/repository/models/a/load", "a"),
        ("/v1/models/a:predict", "a"),
        ("/v1/models/a", "a"),
        ("/v1/models/a/versions/1:predict", "a"),
        ("/v2/models/a:b/config", "a:b"),
        ("/v2/models/a\nb", "a\nb"),
        ("/v2/repository/index", None),
        ("/v2", None),
        ("/info", None),
    ],
)
def test_a_path_names_the_model_that_has_to_be_allowed(path: str, model: str | None) -> None:
    assert model_of(path) == model
