"""Tokens: signed by a key of the issuer, by that key's algorithm, for us, now; or refused."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from inference_server.errors import RequestError
from inference_server.security import token_keys, tokens
from inference_server.security.client import Client, TokenError
from inference_server.security.guard import Guard
from inference_server.security.token_keys import JwksUrl, fetch, parse_jwks
from inference_server.security.tokens import Tokens
from inference_server.security.watched import KeyFileError
from inference_server.settings import InvalidSettingsError, Settings
from jwt.algorithms import get_default_algorithms
from pydantic import ValidationError

from .conftest import Server, Start, wait_until
from .jwt_issuer import AUDIENCE, ISSUER, JwksServer, Key, jwks
from .test_life_cycle import run

KEY = Key("one")
OTHER = Key("two")
RSA = Key("rsa", "RS256")
SECRET = b"0123456789abcdef0123456789abcdef"
ROW = {"instances": [[1, 1, 1]]}


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def settings(folder: Path, **more: Any) -> Settings:
    common = {"model_repository": folder, "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
    return Settings(**(common | more))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("jwt")
    (folder / "jwks.json").write_bytes(jwks(KEY, OTHER, RSA))
    (folder / "secret").write_bytes(SECRET + b"\n")
    return folder


@pytest.fixture(scope="module")
def verifier(folder: Path) -> Tokens:
    return Tokens(settings(folder, jwt_jwks=str(folder / "jwks.json")))


def refused(verifier: Tokens, token: str | bytes) -> str:
    with pytest.raises(TokenError) as caught:
        verifier.client(token.encode() if isinstance(token, str) else token)
    return str(caught.value)


@pytest.mark.parametrize("key", [KEY, RSA], ids=["ES256", "RS256"])
def test_a_token_of_the_issuer_stands_for_a_client(verifier: Tokens, key: Key) -> None:
    client = verifier.client(key.sign(scope="infer admin unheard-of").encode())
    assert client == Client("jwt:robot", frozenset({"infer", "admin"}), None)


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": 1}, "the token has expired"),
        ({"exp": None}, "the token is not valid"),
        ({"exp": "soon"}, "the token is not valid"),
        ({"nbf": time.time() + 600}, "the token is not valid yet"),
        ({"aud": "somebody else"}, "the token is for another audience"),
        ({"aud": None}, "the token is not valid"),
        ({"iss": "https://evil.example"}, "the token is of another issuer"),
        ({"iss": None}, "the token is not valid"),
        ({"sub": None}, "the token names no client"),
        ({"sub": ""}, "the token names no client"),
        ({"sub": "x" * 129}, "the token names no client"),
        ({"sub": "line\nbreak"}, "the token names no client"),
    ],
)
def test_a_token_that_says_something_else_is_refused(
    verifier: Tokens, claims: dict[str, Any], reason: str
) -> None:
    assert refused(verifier, KEY.sign(**claims)) == reason


def test_clocks_may_differ_a_little(verifier: Tokens) -> None:
    verifier.client(KEY.sign(exp=time.time() - 5, nbf=time.time() + 5).encode())
    assert refused(verifier, KEY.sign(exp=time.time() - 15)) == "the token has expired"


# Attacks


def forged(header: dict[str, Any], secret: bytes | None) -> str:
    def part(content: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()

    claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": 1 << 40, "sub": "evil", "scope": "admin"}
    signed = f"{part(header)}.{part(claims)}"
    if secret is None:
        return signed + "."
    mac = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", None])
@pytest.mark.parametrize("kid", [{}, {"kid": "rsa"}])
def test_a_token_without_a_signature_is_refused(
    verifier: Tokens, name: str | None, kid: dict[str, str]
) -> None:
    reason = refused(verifier, forged({"alg": name, "typ": "JWT"} | kid, None))
    assert reason == "the token's algorithm is not allowed"


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
@pytest.mark.parametrize("with_secret", [False, True])
def test_a_public_key_is_no_secret(folder: Path, encoding: Encoding, with_secret: bool) -> None:
    """The classic confusion: an HS256 signature made with the public RSA key."""
    more: dict[str, Any] = {"jwt_jwks": str(folder / "jwks.json")}
    if with_secret:
        more |= {"jwt_secret_file": folder / "secret", "jwt_algorithms": "RS256,HS256"}
    public = RSA.private.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
    token = forged({"alg": "HS256", "kid": "rsa"}, public)
    reason = refused(Tokens(settings(folder, **more)), token)
    assert reason == (
        "the token is not valid" if with_secret else "the token's algorithm is not allowed"
    )


@pytest.mark.parametrize(
    "header",
    [
        {"jwk": Key("mine", "RS256").jwk},
        {"jku": "http://127.0.0.1:9/evil"},
        {"x5u": "http://127.0.0.1:9/evil"},
        {"crit": ["made-up"]},
        {"kid": "../../../../dev/null"},
        {"kid": "one' OR '1'='1"},
        {"b64": False, "crit": ["b64"]},
    ],
)
def test_a_header_brings_no_key_of_its_own(verifier: Tokens, header: dict[str, Any]) -> None:
    refused(verifier, Key("one").sign(headers=header))


def test_a_key_is_used_with_its_own_algorithm_only(folder: Path) -> None:
    narrow = Key("narrow", "RS256", alg="RS512")
    (folder / "narrow.json").write_bytes(jwks(narrow))
    verifier = Tokens(
        settings(folder, jwt_jwks=str(folder / "narrow.json"), jwt_algorithms="RS256 RS512 ES256")
    )
    verifier.client(narrow.sign(algorithm="RS512").encode())
    assert refused(verifier, narrow.sign()) == "the token's key is unknown"


def test_an_algorithm_that_is_not_allowed_is_refused_though_the_key_fits(verifier: Tokens) -> None:
    assert "not allowed" in refused(verifier, RSA.sign(algorithm="PS256"))


def test_a_token_of_another_key_by_the_same_name_is_refused(verifier: Tokens) -> None:
    assert refused(verifier, Key("one").sign()) == "the token is not valid"


def test_a_token_that_names_no_key_needs_one_key_only(verifier: Tokens, folder: Path) -> None:
    token = KEY.sign(headers={"kid": None})
    assert refused(verifier, token) == "the token does not say which key signed it"
    (folder / "alone.json").write_bytes(jwks(KEY, RSA))
    alone = Tokens(settings(folder, jwt_jwks=str(folder / "alone.json")))
    assert alone.client(token.encode()).id == "jwt:robot"


def test_published_secrets_private_and_encryption_keys_are_left_out() -> None:
    secret = {"kty": "oct", "k": base64.urlsafe_b64encode(SECRET).decode(), "kid": "s"}
    private = [
        get_default_algorithms()[key.algorithm].to_jwk(key.private, as_dict=True)
        for key in (KEY, RSA, Key("ed", "EdDSA"))
    ]
    with pytest.raises(KeyFileError, match="no key for signatures"):
        parse_jwks(jwks(secret, *private, KEY.jwk | {"use": "enc"}, {"kty": "RSA"}, {}))


def test_a_short_rsa_key_verifies_nothing(folder: Path) -> None:
    weak = Key("weak", "RS256")
    weak.private = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    weak.jwk = jwt.algorithms.RSAAlgorithm.to_jwk(weak.private.public_key(), as_dict=True)
    (folder / "weak.json").write_bytes(jwks(weak))
    verifier = Tokens(settings(folder, jwt_jwks=str(folder / "weak.json")))
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = weak.sign()
    assert refused(verifier, token) == "the token is not valid"


@given(
    st.binary(max_size=200)
    | st.lists(st.text(max_size=30), min_size=3, max_size=3).map(lambda p: ".".join(p).encode())
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["alg", "kid", "crit", "typ"]), inner, max_size=4)
        ),
        max_leaves=8,
    ).map(lambda header: base64.urlsafe_b64encode(json.dumps(header).encode()) + b".e30.AAAA")
)
def test_no_garbage_is_more_than_refused(verifier: Tokens, token: bytes) -> None:
    with pytest.raises(TokenError):
        verifier.client(token)


@pytest.mark.parametrize(
    "header", [b"[" * 3000, b'{"alg":' * 900, b'{"alg":1e999}', b'{"alg":["RS256"]}', b"\xff\xfe"]
)
def test_no_hostile_header_is_more_than_refused(verifier: Tokens, header: bytes) -> None:
    refused(verifier, base64.urlsafe_b64encode(header) + b".e30.AAAA")


@pytest.mark.parametrize("claim", [1e999, [1], {"a": 1}, True, 1 << 70])
def test_no_odd_claim_of_the_issuer_breaks_anything(verifier: Tokens, claim: Any) -> None:
    for name in ("exp", "nbf", "sub", "scope", "iat"):
        token = KEY.sign(**{name: claim}).encode()
        try:
            assert verifier.client(token).scopes <= {"infer", "metadata"}
        except TokenError:
            continue


def test_a_token_longer_than_8_kib_is_not_looked_at(verifier: Tokens) -> None:
    assert refused(verifier, KEY.sign(more="x" * 9000)) == "the token is too long"


# What a token may say


@pytest.mark.parametrize("claim", ["scope", "scp", "roles"])
@pytest.mark.parametrize("value", ["infer metrics", ["infer", "metrics", 7]])
def test_scopes_stand_in_the_claim_that_the_issuer_uses(
    folder: Path, claim: str, value: Any
) -> None:
    verifier = Tokens(settings(folder, jwt_jwks=str(folder / "jwks.json"), jwt_scope_claim=claim))
    token = KEY.sign(**({"scope": None} | {claim: value}))
    assert verifier.client(token.encode()).scopes == {"infer", "metrics"}


@pytest.mark.parametrize("value", [None, 7, {"infer": True}, "", "INFER"])
def test_without_a_scope_that_we_know_a_token_opens_nothing(verifier: Tokens, value: Any) -> None:
    assert verifier.client(KEY.sign(scope=value).encode()).scopes == frozenset()


def test_models_stand_in_a_claim_and_none_there_means_none(folder: Path) -> None:
    verifier = Tokens(
        settings(folder, jwt_jwks=str(folder / "jwks.json"), jwt_models_claim="models")
    )
    assert verifier.client(KEY.sign(models=["flowers"]).encode()).models == {"flowers"}
    assert verifier.client(KEY.sign().encode()).models == frozenset()


def test_the_client_s_name_may_stand_in_another_claim(folder: Path) -> None:
    verifier = Tokens(
        settings(folder, jwt_jwks=str(folder / "jwks.json"), jwt_client_claim="client_id")
    )
    assert verifier.client(KEY.sign(client_id="batch-job").encode()).id == "jwt:batch-job"


def test_a_shared_secret_signs_where_hs256_is_allowed(folder: Path) -> None:
    verifier = Tokens(settings(folder, jwt_secret_file=folder / "secret", jwt_algorithms="HS256"))
    claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": time.time() + 60, "sub": "s", "scope": "infer"}
    assert verifier.client(jwt.encode(claims, SECRET, "HS256").encode()).id == "jwt:s"
    refused(verifier, jwt.encode(claims, SECRET[::-1], "HS256"))
    refused(verifier, KEY.sign())


# Remembering


def test_a_token_is_verified_once_until_it_expires(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(time.time())
    verifier = Tokens(settings(folder, jwt_jwks=str(folder / "jwks.json")), clock)
    token = KEY.sign(exp=clock.now + 60).encode()
    verifier.client(token)
    monkeypatch.setattr(tokens.jwt, "decode", None)  # a second look would fail
    clock.now += 69
    assert verifier.client(token).id == "jwt:robot"
    clock.now += 2
    assert refused(verifier, token) == "the token has expired"


def test_no_more_than_some_thousand_tokens_are_remembered(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "_REMEMBERED", 3)
    verifier = Tokens(settings(folder, jwt_jwks=str(folder / "jwks.json")))
    for number in range(10):
        verifier.client(KEY.sign(sub=f"robot-{number}").encode())
    assert len(verifier._verified) == 3


def test_a_remembered_token_ends_with_its_key(tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(jwks(KEY, OTHER))
    verifier = Tokens(settings(tmp_path, jwt_jwks=str(file)))
    token = KEY.sign().encode()
    verifier.client(token)
    file.write_bytes(jwks(OTHER))
    for source in verifier.sources:
        source.refresh(False)
    assert refused(verifier, token) == "the token's key is unknown"
    assert verifier.client(OTHER.sign().encode()).id == "jwt:robot"


# Keys by URL


@pytest.fixture
def issuer() -> Iterator[JwksServer]:
    with JwksServer(jwks(KEY)) as server:
        yield server


def test_keys_are_fetched_again_now_and_then(issuer: JwksServer) -> None:
    clock = Clock(0)
    source = JwksUrl(issuer.url, clock)
    source.refresh(False)
    assert [key.id for key in source.value] == ["one"]
    source.refresh(False)
    assert issuer.asked == 1
    clock.now += 301
    issuer.content = jwks(KEY, OTHER)
    source.refresh(False)
    assert [key.id for key in source.value] == ["one", "two"]


def test_an_unknown_key_is_looked_for_but_not_at_any_rate(issuer: JwksServer) -> None:
    clock = Clock(0)
    source = JwksUrl(issuer.url, clock)
    source.refresh(False)
    for _ in range(1000):
        source.missed()
        source.refresh(False)
    assert issuer.asked == 2
    clock.now += 11
    source.refresh(False)
    assert issuer.asked == 3


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (500, b""),
        (302, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"keys": 3}'),
        (200, b'{"keys": []}'),
        (200, b" " * 300_000),
    ],
)
def test_keys_stay_where_fetching_fails(
    issuer: JwksServer, caplog: pytest.LogCaptureFixture, status: int, content: bytes
) -> None:
    clock = Clock(0)
    source = JwksUrl(issuer.url, clock)
    source.refresh(False)
    issuer.status, issuer.content = status, content
    source.refresh(True)
    assert [key.id for key in source.value] == ["one"]
    assert "JWKS not fetched" in caplog.messages
    issuer.status, issuer.content = 200, jwks(OTHER)
    clock.now += 16
    source.refresh(False)
    assert [key.id for key in source.value] == ["two"]


def test_an_issuer_that_drips_is_given_up(
    issuer: JwksServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_keys, "_FETCH_SECONDS", 0.3)
    issuer.pause = 0.02  # never too slow for a time-out between two bytes
    issuer.content = b" " * 1000
    with pytest.raises(KeyFileError, match="slower"):
        fetch(issuer.url)


@pytest.mark.parametrize("url", ["http://issuer.example/jwks", "ftp://127.0.0.1/", "file:///etc"])
def test_keys_come_by_https_unless_from_this_machine(tmp_path: Path, url: str) -> None:
    with pytest.raises(KeyFileError, match="only https"):
        Tokens(settings(tmp_path, jwt_jwks=url))


# Settings


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"jwt_jwks": "x", "jwt_audience": None}, "JWT_JWKS needs JWT_ISSUER and JWT_AUDIENCE"),
        ({"jwt_algorithms": "none"}, "'RS256'"),
        ({"jwt_algorithms": "RS256,HS256"}, "needs JWT_SECRET_FILE"),
        ({"jwt_jwks": "x", "jwt_algorithms": ()}, "JWT_JWKS needs one other than HS"),
        ({"metrics_auth": True}, "METRICS_AUTH needs"),
    ],
)
def test_settings_that_would_open_a_hole_are_refused(
    tmp_path: Path, more: dict[str, Any], reason: str
) -> None:
    with pytest.raises((ValidationError, InvalidSettingsError), match=reason):
        settings(tmp_path, **more)


@pytest.mark.parametrize("content", [b"short", b"{"], ids=["secret", "jwks"])
def test_a_broken_key_file_stops_the_start(
    tmp_path: Path, repository: Path, content: bytes
) -> None:
    file = tmp_path / "keys"
    file.write_bytes(content)
    option = (
        [f"--jwt-secret-file={file}", "--jwt-algorithms=HS256"]
        if content == b"short"
        else [f"--jwt-jwks={file}"]
    )
    ended = run(f"--model-repository={repository}", *option, "--jwt-issuer=i", "--jwt-audience=a")
    assert ended.returncode == 2
    assert "32 bytes" in ended.stderr or "JWKS" in ended.stderr
    assert "short" not in ended.stderr
    assert "Traceback" not in ended.stderr


# The guard, and a real server


def test_an_api_key_and_a_token_open_side_by_side(folder: Path) -> None:
    (folder / "hashes").write_text(f"team:{hashlib.sha256(b'a.b.c').hexdigest()}\n")
    guard = Guard(
        settings(folder, jwt_jwks=str(folder / "jwks.json"), api_key_hashes_file=folder / "hashes")
    )

    def who(**headers: str) -> str:
        named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
        client = guard.admit(named, "infer", "m")
        assert client is not None
        return client.id

    assert who(x_api_key="a.b.c") == "team"
    assert who(authorization="Bearer a.b.c") == "team"
    assert who(authorization=f"bearer {KEY.sign()}") == "jwt:robot"
    with pytest.raises(RequestError) as caught:
        who(x_api_key=KEY.sign())  # a token is no API key
    assert caught.value.status == 401


@pytest.mark.parametrize(
    ("token", "status", "challenge"),
    [
        (None, 401, 'Bearer realm="inference-server"'),
        (
            KEY.sign(exp=1),
            401,
            'Bearer realm="inference-server", error="invalid_token", '
            'error_description="the token has expired"',
        ),
        (
            KEY.sign(scope="metadata"),
            403,
            'Bearer realm="inference-server", error="insufficient_scope", scope="infer"',
        ),
    ],
)
def test_a_refusal_says_why_as_rfc_6750_wants(
    folder: Path, token: str | None, status: int, challenge: str
) -> None:
    guard = Guard(settings(folder, jwt_jwks=str(folder / "jwks.json")))
    headers = {} if token is None else {b"authorization": f"Bearer {token}".encode()}
    with pytest.raises(RequestError) as caught:
        guard.admit(headers, "infer", "m")
    assert caught.value.status == status
    assert caught.value.headers == {"WWW-Authenticate": challenge}


def test_an_issuer_that_is_away_at_start_does_not_keep_the_server_from_starting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def start_and_stop() -> None:
        guard = Guard(settings(tmp_path, jwt_jwks="http://127.0.0.1:9/jwks"))
        await guard.start()
        with pytest.raises(RequestError, match="unknown"):
            guard.admit({b"authorization": f"Bearer {KEY.sign()}".encode()}, "infer", "m")
        await guard.stop()

    asyncio.run(start_and_stop())
    assert "JWKS not fetched" in caplog.messages


def test_a_server_takes_tokens_and_the_issuer_s_new_keys(
    repository: Path, start: Start, issuer: JwksServer
) -> None:
    server = start(
        repository,
        f"--jwt-jwks={issuer.url}",
        f"--jwt-issuer={ISSUER}",
        f"--jwt-audience={AUDIENCE}",
        "--log-sample-rate=1",
    )

    def status(token: str) -> int:
        return ask(server, token).status_code

    token = KEY.sign()
    assert status(token) == 200
    assert server.post("/predict", ROW).status_code == 401
    assert status(KEY.sign(scope="metadata")) == 403
    assert status(token[:-4] + "AAAA") == 401
    issuer.content = jwks(KEY, OTHER)
    fresh = OTHER.sign()
    assert status(fresh) == 401  # which makes the server look for the key
    wait_until(lambda: status(fresh) == 200)
    wait_until(lambda: any(event.get("client") == "jwt:robot" for event in server.events()))
    assert token not in server.log_file.read_text()


def ask(server: Server, token: str) -> httpx.Response:
    return server.post("/predict", ROW, headers={"Authorization": f"Bearer {token}"})
