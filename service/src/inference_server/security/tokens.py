"""Bearer tokens (JWT): verified by PyJWT, then remembered until they expire."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jwt

from inference_server.security.client import SCOPES, Client, TokenError
from inference_server.security.token_keys import (
    JwksUrl,
    Keys,
    KeySource,
    read_jwks,
    read_secret,
)
from inference_server.security.watched import Watched
from inference_server.settings import Settings

_MAX_BYTES = 8192
_REMEMBERED = 4096
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (jwt.ExpiredSignatureError, "the token has expired"),
    (jwt.ImmatureSignatureError, "the token is not valid yet"),
    (jwt.InvalidAudienceError, "the token is for another audience"),
    (jwt.InvalidIssuerError, "the token is of another issuer"),
)


class _Verified(NamedTuple):
    client: Client
    until: float  # of time.time()


class Tokens:
    """Verifies tokens by the keys of one issuer."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        """Raises KeyFileError."""
        self._settings = settings
        self._clock = clock
        self._url = None
        self.sources: list[KeySource] = []
        if settings.jwt_secret_file is not None:
            self.sources.append(Watched(settings.jwt_secret_file, read_secret, "token secret"))
        if settings.jwt_jwks is not None and "://" in settings.jwt_jwks:
            self._url = JwksUrl(settings.jwt_jwks)
            self.sources.append(self._url)
        elif settings.jwt_jwks is not None:
            self.sources.append(Watched(Path(settings.jwt_jwks), read_jwks, "JWKS"))
        self._allowed = frozenset(settings.jwt_algorithms)
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()
        self._verified_with: list[Keys] = []

    def client(self, token: bytes) -> Client:
        """The client that this token stands for; raises TokenError."""
        if len(token) > _MAX_BYTES:
            raise TokenError("the token is too long")
        keys = [source.value for source in self.sources]
        if keys != self._verified_with:  # a token opens nothing once its key is gone
            self._verified.clear()
            self._verified_with = keys
        mark = hashlib.sha256(token).digest()
        known = self._verified.get(mark)
        if known is None:
            known = self._verify(token)
            self._verified[mark] = known
            if len(self._verified) > _REMEMBERED:
                self._verified.popitem(last=False)
        if self._clock() >= known.until:
            raise TokenError("the token has expired")
        return known.client

    def _verify(self, token: bytes) -> _Verified:
        try:
            header = jwt.get_unverified_header(token)
            key, algorithm = self._key(header)
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._settings.jwt_audience,
                issuer=self._settings.jwt_issuer,
                leeway=self._settings.jwt_leeway_seconds,
                options={
                    "require": ["exp", "iss", "aud"],
                    "enforce_minimum_key_length": True,
                },
            )
            return _Verified(
                self._client(claims), float(claims["exp"]) + self._settings.jwt_leeway_seconds
            )
        except TokenError:
            raise
        except Exception as error:  # whatever a stranger's text makes the parsers raise
            reason = next((text for kind, text in _REASONS if isinstance(error, kind)), None)
            raise TokenError(reason or "the token is not valid") from None

    def _key(self, header: dict[str, Any]) -> tuple[Any, str]:
        """The key that the header names, and the algorithm, which has to be one of that key's."""
        algorithm, name = header.get("alg"), header.get("kid")
        if algorithm not in self._allowed:
            raise TokenError("the token's algorithm is not allowed")
        fitting = [
            key
            for source in self.sources
            for key in source.value
            if algorithm in key.algorithms and (name is None or key.id is None or key.id == name)
        ]
        if len(fitting) == 1:
            return fitting[0].key, str(algorithm)
        if fitting:
            exact = [key for key in fitting if name is not None and key.id == name]
            if len(exact) == 1:
                return exact[0].key, str(algorithm)
            raise TokenError("the token does not say which key signed it")
        if self._url is not None:
            self._url.missed()
        raise TokenError("the token's key is unknown")

    def _client(self, claims: dict[str, Any]) -> Client:
        settings = self._settings
        name = claims.get(settings.jwt_client_claim)
        if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= 128:
            raise TokenError("the token names no client")
        models = None
        if settings.jwt_models_claim is not None:
            models = _words(claims.get(settings.jwt_models_claim))
        # The prefix keeps a subject from passing for the client of an API key in log and limit.
        return Client(f"jwt:{name}", _words(claims.get(settings.jwt_scope_claim)) & SCOPES, models)


def _words(claim: object) -> frozenset[str]:
    """A list of names, or names with spaces between (RFC 8693, section 4.2)."""
    if isinstance(claim, str):
        return frozenset(claim.split())
    if isinstance(claim, list):
        return frozenset(each for each in claim if isinstance(each, str))
    return frozenset()
