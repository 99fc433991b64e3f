"""The OpenAPI document is valid, whole, and true."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from fastapi.openapi.models import OpenAPI
from inference_server.app import ROUTES
from jsonschema import Draft202012Validator

from .conftest import Server, Start

ROW = [3, 1, 1]
TENSOR = {"name": "features", "shape": [1, 3], "datatype": "FP32", "data": ROW}


@pytest.fixture(scope="module")
def document(server: Server) -> dict[str, Any]:
    content: dict[str, Any] = server.get("/openapi.json").json()
    return content


def validator(document: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    """Of a schema of the document, whose references lead into the document."""
    return Draft202012Validator({**document, **schema})


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    OpenAPI.model_validate(document)
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [each for part in value.values() for each in references(part)]
        if isinstance(value, list):
            return [each for part in value for each in references(part)]
        return []

    used = {reference.removeprefix("#/components/schemas/") for reference in references(document)}
    assert used <= set(document["components"]["schemas"])


def test_every_route_is_described(document: dict[str, Any]) -> None:
    described = {(method.upper(), path) for method, path, _ in operations(document)}
    assert described == {(method, path) for method, path, _ in ROUTES}


def test_every_body_has_an_example_that_fits_its_schema(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        if method == "post":
            content = operation["requestBody"]["content"]["application/json"]
            validator(document, content["schema"]).validate(content["example"])
        else:
            assert "requestBody" not in operation, path


def test_without_keys_the_document_asks_for_none(document: dict[str, Any]) -> None:
    assert not any("security" in operation for _, _, operation in operations(document))


def test_with_keys_the_document_says_where_one_is_needed(
    repository: Path, tmp_path: Path, start: Start
) -> None:
    keys = tmp_path / "keys"
    keys.write_text("someone:" + hashlib.sha256(b"secret").hexdigest() + "\n")
    secured = start(repository, f"--api-key-hashes-file={keys}")
    assert secured.get("/openapi.json").status_code == 401
    document = secured.get("/openapi.json", headers={"X-API-Key": "secret"}).json()
    assert set(document["components"]["securitySchemes"]) == {"key", "bearer"}
    for method, path, operation in operations(document):
        url = path.replace("{model}", "flowers").replace("{version}", "2")
        refused = secured.client.request(method, url).status_code == 401
        assert refused == ("security" in operation), path


ASKED: list[tuple[str, str, Any]] = [
    ("get", "/", None),
    ("get", "/v2", None),
    ("get", "/v2/health/live", None),
    ("get", "/v2/health/ready", None),
    ("get", "/health", None),
    ("get", "/health/live", None),
    ("get", "/health/ready", None),
    ("get", "/info", None),
    ("get", "/v2/models/stats", None),
    ("get", "/v2/models/{model}", None),
    ("get", "/v2/models/{model}/ready", None),
    ("get", "/v2/models/{model}/config", None),
    ("get", "/v2/models/{model}/stats", None),
    ("get", "/v2/models/{model}/versions/{version}", None),
    ("get", "/v2/models/{model}/versions/{version}/stats", None),
    ("get", "/v1/models", None),
    ("get", "/v1/models/{model}", None),
    ("get", "/v1/models/{model}/versions/{version}", None),
    ("post", "/v2/models/{model}/infer", {"inputs": [TENSOR], "id": "a"}),
    ("post", "/v2/models/{model}/infer", {"inputs": []}),
    ("post", "/v2/models/{model}/versions/{version}/infer", {"inputs": [TENSOR]}),
    ("post", "/predict", {"instances": [ROW]}),
    ("post", "/predict", {"instance": ROW}),
    ("post", "/predict", {"columns": {}}),
    ("post", "/v1/models/{model}:predict", {"instances": [ROW]}),
    ("post", "/v1/models/{model}:predict", {"inputs": [ROW]}),
    ("post", "/v2/repository/index", {"ready": True}),
    ("post", "/v2/repository/models/{model}/load", {}),
]


@pytest.mark.parametrize(("method", "path", "content"), ASKED)
def test_what_is_answered_has_the_documented_form(
    server: Server, document: dict[str, Any], method: str, path: str, content: Any
) -> None:
    url = path.replace("{model}", "flowers").replace("{version}", "2")
    answer = server.get(url) if method == "get" else server.post(url, content)
    responses = document["paths"][path][method]["responses"]
    documented = responses[str(answer.status_code)]["content"]
    schema = documented[answer.headers["content-type"].partition(";")[0]]["schema"]
    validator(document, schema).validate(answer.json())
