"""The headers that each answer carries, whatever it says."""

import base64
import hashlib
import re

from inference_server.settings import Settings

Headers = tuple[tuple[bytes, bytes], ...]

_CONSTANT: Headers = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
)
# An answer of an API is no page: nothing in it may run, and nothing may frame it.
_CLOSED = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_SWAGGER_UI = "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5/"  # that, not all of the CDN
_INLINE = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


def response_headers(settings: Settings) -> Headers:
    """What every answer but the page of /docs carries; there is no Server header to add."""
    return (*_CONSTANT, _CLOSED, *_transport(settings))


def docs_headers(settings: Settings, page: bytes) -> Headers:
    """The same for the page of /docs, which loads Swagger UI and runs one inline script.

    That script is allowed by its hash, so any other, injected, one is not.
    """
    hashes = [hashlib.sha256(script).digest() for script in _INLINE.findall(page)]
    scripts = " ".join(f"'sha256-{base64.b64encode(each).decode()}'" for each in hashes)
    policy = (
        "default-src 'none'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
        f"script-src {_SWAGGER_UI} {scripts}; style-src {_SWAGGER_UI} 'unsafe-inline'; "
        "img-src https://fastapi.tiangolo.com data:"
    )
    return (*_CONSTANT, (b"content-security-policy", policy.encode()), *_transport(settings))


def _transport(settings: Settings) -> Headers:
    """HSTS only where the deployment says that TLS ends in front; browsers ignore it without."""
    if not settings.hsts_seconds:
        return ()
    return ((b"strict-transport-security", b"max-age=%d" % settings.hsts_seconds),)
