"""Headers of every answer, for browsers that meet the server and caches in between."""

from inference_server.settings import Settings

Headers = tuple[tuple[bytes, bytes], ...]


def security_headers(settings: Settings) -> Headers:
    """What every answer carries; HSTS only where TLS ends in front."""
    headers: Headers = (
        (b"x-content-type-options", b"nosniff"),
        (b"cache-control", b"no-store"),
        (b"referrer-policy", b"no-referrer"),
    )
    if settings.hsts_seconds:
        headers += ((b"strict-transport-security", b"max-age=%d" % settings.hsts_seconds),)
    return headers
