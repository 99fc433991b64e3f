"""An issuer of tokens for the tests: its keys, its JWKS over HTTP, and what it signs."""

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

ISSUER = "https://issuer.example"
AUDIENCE = "inference"


class Key:
    """A private key and its public half as a JWK."""

    def __init__(self, name: str, algorithm: str = "ES256", **more: Any) -> None:
        self.name = name
        self.algorithm = algorithm
        self.private: Any
        if algorithm.startswith("ES"):
            self.private = ec.generate_private_key(ec.SECP256R1())
        elif algorithm == "EdDSA":
            self.private = ed25519.Ed25519PrivateKey.generate()
        else:
            self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = get_default_algorithms()[algorithm].to_jwk(self.private.public_key(), as_dict=True)
        self.jwk = public | {"kid": name, "use": "sig"} | more

    def sign(
        self, *, headers: dict[str, Any] | None = None, algorithm: str = "", **claims: Any
    ) -> str:
        """A token of sensible claims; a claim given as None is left out."""
        now = time.time()
        content = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "exp": now + 600,
            "nbf": now - 1,
            "sub": "robot",
            "scope": "infer metadata",
        } | claims
        return jwt.encode(
            {name: value for name, value in content.items() if value is not None},
            self.private,
            algorithm or self.algorithm,
            {k: v for k, v in ({"kid": self.name} | (headers or {})).items() if v is not None},
        )


def jwks(*keys: Key | dict[str, Any]) -> bytes:
    entries = [key.jwk if isinstance(key, Key) else key for key in keys]
    return json.dumps({"keys": entries}).encode()


class JwksServer:
    """A JWKS on a free loopback port; `content` and `status` may change while it serves."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.status = 200
        self.pause = 0.0  # before each byte
        self.asked = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                self.send_response(outer.status)
                if outer.status in (301, 302):
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(outer.content)))
                self.end_headers()
                outer.write(self.wfile)

            def log_message(self, *_: Any) -> None:
                """Stay quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"

    def write(self, stream: Any) -> None:
        if not self.pause:
            stream.write(self.content)
            return
        with contextlib.suppress(OSError):
            for byte in self.content:
                time.sleep(self.pause)
                stream.write(bytes([byte]))

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
