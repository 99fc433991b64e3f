"""The gateway, with the SecurityPolicy, BackendTrafficPolicy and TLS of the overlay as they are."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

import httpx
import pytest

from e2e.scenarios.branch import Branch
from e2e.scenarios.environment import Control, Environment
from e2e.scenarios.evidence.recording import Evidence
from e2e.scenarios.installation import Installed
from e2e.scenarios.places import Places
from e2e.scenarios.waiting import wait_for

SECONDS = 10
TLS_PORT = 443
MODEL = "/v2/models/breast-cancer"
# The server sets it on every answer, the gateway on none.
OF_THE_SERVER = "X-Content-Type-Options"
TOO_OLD = "TLSV1_ALERT_PROTOCOL_VERSION"


@pytest.fixture(scope="module")
def staging_of_root(installed: Installed, control: Control) -> Iterator[Environment]:
    """Staging itself: its clients have sent nothing before, and nothing is committed to it."""
    no_clone = Branch(control.places.git, "main", Path())
    environment = Environment(control, "staging", "staging", no_clone)
    yield environment
    environment.close()


@pytest.fixture
def gateway(
    share_the_cluster: None, staging_of_root: Environment, evidence: Evidence
) -> Environment:
    """An environment that serves its first release."""
    evidence.environments.append(staging_of_root)
    return staging_of_root


@pytest.fixture
def client(gateway: Environment) -> Iterator[httpx.Client]:
    """A client that trusts no other certificate than that of the Gateway."""
    host, port = gateway.control.places.gateway.rsplit(":", 1)
    headers = {"Host": gateway.hostname}
    with httpx.Client(
        base_url=f"https://{host}:{port}",
        verify=trusting(gateway),
        headers=headers,
        timeout=SECONDS,
        trust_env=False,
    ) as client:
        wait_for(
            "the gateway to know the API keys",
            lambda: ask(client, gateway, "GET", "/v2", key(gateway, 200)).status_code == 200,
            SECONDS,
        )
        yield client


def ask(
    client: httpx.Client,
    gateway: Environment,
    method: str,
    path: str,
    api_key: str | None,
    **headers: str,
) -> httpx.Response:
    """One request; httpx asks for the certificate of the hostname."""
    sent = dict(headers) if api_key is None else {"X-API-Key": api_key, **headers}
    name = {"sni_hostname": gateway.hostname}
    return client.request(method, path, headers=sent, extensions=name)


def key(gateway: Environment, number: int) -> str:
    """The API key of a client."""
    secret = gateway.find("secrets", "inference-api-keys").raw["data"]
    clients = sorted(client for client in secret if client != "analysis")
    return base64.b64decode(secret[clients[number - 1]]).decode()


def certificate(gateway: Environment) -> str:
    """The chain of the Secret that cert-manager wrote for the Gateway."""
    secret = gateway.find("secrets", "inference-tls").raw["data"]
    return base64.b64decode(secret["tls.crt"]).decode()


def trusting(gateway: Environment) -> ssl.SSLContext:
    """Trusts the Gateway's chain, for the names that stand in it."""
    return ssl.create_default_context(cadata=certificate(gateway))


def shaken(gateway: Environment, context: ssl.SSLContext, hostname: str) -> str | None:
    """The version of TLS that a handshake ended with."""
    host, port = gateway.control.places.gateway.rsplit(":", 1)
    with (
        socket.create_connection((host, int(port)), SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=hostname) as secured,
    ):
        return secured.version()


def at_most(gateway: Environment, version: ssl.TLSVersion) -> ssl.SSLContext:
    """A client that speaks no newer version, with every cipher that it still knows."""
    context = trusting(gateway)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = version
    return context


@pytest.mark.limit(60)
@pytest.mark.parametrize("given", [None, "", "wrong", "LOCAL-STAGING-CLIENT-001"])
def test_a_request_without_a_known_key_is_refused_and_reaches_no_server(
    given: str | None, client: httpx.Client, gateway: Environment
) -> None:
    answer = ask(client, gateway, "GET", "/v2", given)
    assert answer.status_code == 401
    assert OF_THE_SERVER not in answer.headers


@pytest.mark.limit(60)
def test_a_known_key_is_served(client: httpx.Client, gateway: Environment) -> None:
    answer = ask(client, gateway, "GET", MODEL, key(gateway, 1))
    assert answer.status_code == 200
    assert answer.json()["name"] == "breast-cancer"
    assert OF_THE_SERVER in answer.headers
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"


@pytest.mark.limit(60)
def test_a_client_is_limited_by_its_key_and_no_other_client_is(
    client: httpx.Client, gateway: Environment, evidence: Evidence
) -> None:
    limit = per_minute(gateway)
    evidence.note("limit", f"{limit} requests a minute")
    begin = time.monotonic()
    # A client that says it is another one is still counted as itself.
    answers = [
        ask(client, gateway, "GET", MODEL, key_2, **{"X-Client-Id": f"other-{number}"})
        for key_2 in [key(gateway, 2)]
        for number in range(limit + 50)
    ]
    # What flows back into the bucket while the requests are sent.
    returned = ceil(limit * (time.monotonic() - begin) / 60) + 1
    counts = Counter(answer.status_code for answer in answers)
    evidence.note("answers", dict(counts))
    assert set(counts) == {200, 429}
    assert limit <= counts[200] <= limit + returned
    first, refused = answers[0], [answer for answer in answers if answer.status_code == 429]
    assert first.headers["x-ratelimit-limit"] == str(limit)
    assert first.headers["x-ratelimit-remaining"] == str(limit - 1)
    assert {answer.headers["x-ratelimit-remaining"] for answer in refused} == {"0"}
    assert not any(OF_THE_SERVER in answer.headers for answer in refused)
    other = ask(client, gateway, "GET", MODEL, key(gateway, 3))
    assert (other.status_code, other.headers["x-ratelimit-remaining"]) == (200, str(limit - 1))


def per_minute(gateway: Environment) -> int:
    """What the overlay allows each client."""
    policy: Any = gateway.find("backendtrafficpolicies.gateway.envoyproxy.io", "inference")
    limit = policy.raw["spec"]["rateLimit"]["local"]["rules"][0]["limit"]
    assert limit["unit"] == "Minute"
    return int(limit["requests"])


@pytest.mark.limit(60)
def test_the_certificate_is_of_the_hostname_and_of_no_other(gateway: Environment) -> None:
    assert shaken(gateway, trusting(gateway), gateway.hostname) == "TLSv1.3"
    # Envoy has no certificate for a name that no listener has, or shows that of another name.
    with pytest.raises((ssl.SSLError, ConnectionError)):
        shaken(gateway, trusting(gateway), "inference.elsewhere.example.com")


@pytest.mark.limit(60)
def test_tls_1_2_is_spoken_and_nothing_older(gateway: Environment) -> None:
    assert shaken(gateway, at_most(gateway, ssl.TLSVersion.TLSv1_2), gateway.hostname) == "TLSv1.2"
    for old in (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1):
        with pytest.raises(ssl.SSLError) as refused:
            shaken(gateway, at_most(gateway, old), gateway.hostname)
        assert refused.value.reason == TOO_OLD, "the client refused, not the gateway"


@pytest.mark.limit(60)
@pytest.mark.parametrize("path", ["/predict", "/metrics"])
def test_plain_http_is_sent_on_to_https(path: str, gateway: Environment, places: Places) -> None:
    host, secured = gateway.control.places.gateway.rsplit(":", 1)
    plain = places.local.gateway_http if places.local else 80
    answer = httpx.get(
        f"http://{host}:{plain}{path}?a=1",
        headers={"Host": gateway.hostname, "X-API-Key": key(gateway, 1)},
        timeout=SECONDS,
        trust_env=False,
    )
    port = "" if int(secured) == TLS_PORT else f":{secured}"
    assert answer.status_code == 301
    assert answer.headers["Location"] == f"https://{gateway.hostname}{port}{path}?a=1"


@pytest.mark.limit(60)
def test_the_request_id_of_a_client_is_kept_and_one_is_made_where_it_sent_none(
    client: httpx.Client, gateway: Environment
) -> None:
    kept = [
        ask(client, gateway, "GET", MODEL, key(gateway, 4), **{"X-Request-ID": given})
        for given in ("order-4711", "e2e:1.2_3")
    ]
    # The server sends back what reached it; Envoy adds none to an answer.
    assert [answer.headers.get_list("X-Request-ID") for answer in kept] == [
        ["order-4711"],
        ["e2e:1.2_3"],
    ]
    made = [
        ask(client, gateway, "GET", MODEL, key(gateway, 4)).headers["X-Request-ID"]
        for _ in range(2)
    ]
    assert all(made)
    assert made[0] != made[1]


@pytest.mark.limit(60)
@pytest.mark.parametrize(
    "asked",
    [
        "GET /metrics",
        "GET /health",
        "GET /docs",
        "GET /openapi.json",
        "GET /",
        "GET /v1/models",
        "GET /predict/more",
        "POST /v2/repository/index",
        "POST /v2/repository/models/breast-cancer/load",
        "POST /v2/repository/models/breast-cancer/unload",
        "POST /v2/models/../repository/index",
        "POST /v2//repository/index",
        "POST /v2/%72epository/index",
    ],
)
def test_what_the_route_does_not_name_stays_inside_the_cluster(
    asked: str, client: httpx.Client, gateway: Environment
) -> None:
    method, path = asked.split()
    answer = ask(client, gateway, method, path, key(gateway, 5))
    assert (answer.status_code, OF_THE_SERVER in answer.headers) == (404, False), (
        f"{json.dumps(asked)} was answered by the server: {answer.text[:200]}"
    )


@pytest.mark.limit(60)
@pytest.mark.parametrize("path", ["/v2", "/v2/health/ready", "/v2/models/stats", "/info", MODEL])
def test_what_the_route_names_is_served(
    path: str, client: httpx.Client, gateway: Environment
) -> None:
    assert ask(client, gateway, "GET", path, key(gateway, 6)).status_code == 200
