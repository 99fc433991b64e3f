"""The headers that each answer carries, and the page of /docs under its own policy."""

import base64
import hashlib
import re
from pathlib import Path

import pytest
from fastapi.openapi.docs import get_swagger_ui_html
from inference_server.security.headers import docs_headers, response_headers
from inference_server.settings import Settings

from .conftest import Server, Start


def settings(tmp_path: Path, **more: object) -> Settings:
    return Settings(model_repository=tmp_path, **more)  # type: ignore[arg-type]


def test_an_answer_is_not_guessed_at_kept_or_framed(tmp_path: Path) -> None:
    headers = dict(response_headers(settings(tmp_path)))
    assert headers == {
        b"x-content-type-options": b"nosniff",
        b"cache-control": b"no-store",
        b"referrer-policy": b"no-referrer",
        b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    }


def test_hsts_is_said_only_where_tls_is_known_to_end_in_front(tmp_path: Path) -> None:
    headers = dict(response_headers(settings(tmp_path, hsts_seconds=31536000)))
    assert headers[b"strict-transport-security"] == b"max-age=31536000"


def test_the_docs_page_may_load_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    page = bytes(get_swagger_ui_html(openapi_url="/openapi.json", title="t").body)
    policy = dict(docs_headers(settings(tmp_path), page))[b"content-security-policy"].decode()
    directives = {words[0]: words[1:] for words in map(str.split, policy.split(";"))}
    for kind, pattern in (
        ("script-src", r'<script src="([^"]+)"'),
        ("style-src", r'rel="stylesheet" href="([^"]+)"'),
        ("img-src", r'rel="shortcut icon" href="([^"]+)"'),
    ):
        links = re.findall(pattern, page.decode())
        assert links
        assert all(any(link.startswith(s) for s in directives[kind]) for link in links)
    (script,) = re.findall(r"<script>(.*?)</script>", page.decode(), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in directives["script-src"]
    assert "'unsafe-inline'" not in directives["script-src"]
    assert directives["connect-src"] == ["'self'"]
    assert directives["default-src"] == ["'none'"]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/health", 200), ("/v2", 200), ("/metrics", 200), ("/nowhere", 404), ("/v2/models/x", 404)],
)
def test_every_answer_carries_them(server: Server, path: str, status: int, tmp_path: Path) -> None:
    answer = server.get(path)
    assert answer.status_code == status
    for name, value in response_headers(settings(tmp_path)):
        assert answer.headers.get_list(name.decode()) == [value.decode()]
    assert "server" not in answer.headers


@pytest.mark.parametrize("content", [{"instances": [[1, 1, 1]]}, {"instances": []}, b"{"])
def test_an_inference_and_its_refusal_carry_them_too(
    server: Server, content: object, tmp_path: Path
) -> None:
    answer = server.post("/predict", content)
    for name, value in response_headers(settings(tmp_path)):
        assert answer.headers.get_list(name.decode()) == [value.decode()]
    assert "server" not in answer.headers


def test_the_docs_page_has_its_own_policy(server: Server, tmp_path: Path) -> None:
    answer = server.get("/docs")
    assert answer.status_code == 200
    expected = dict(docs_headers(settings(tmp_path), answer.content))
    assert answer.headers.get_list("content-security-policy") == [
        expected[b"content-security-policy"].decode()
    ]


def test_the_docs_can_be_switched_off(repository: Path, start: Start) -> None:
    server = start(repository, "--no-docs")
    assert server.status("/docs") == 404
    assert server.status("/openapi.json") == 404
    assert server.status("/redoc") == 404
