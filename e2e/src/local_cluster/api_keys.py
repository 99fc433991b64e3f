"""The API keys of the local environments: test values that say so, made by rule."""

from __future__ import annotations

import json
from hashlib import sha256

# The rate limit counts by client: 200 clients together may send more than 300 requests/s.
CLIENTS = ("analysis", *(f"client-{number:03}" for number in range(1, 201)))
# What stands in SECRET_PATH of an overlay's settings.env.
ENVIRONMENTS = ("dev", "production", "staging")


def api_key(environment: str, client: str) -> str:
    """The key of a client: everyone can know it, so it opens nothing but a local cluster."""
    return f"local-{environment}-{client}"


def fake_secrets() -> list[dict[str, str]]:
    """`data` of External Secrets' fake provider: keys and their hashes of each environment."""
    return [entry for environment in ENVIRONMENTS for entry in _of(environment)]


def _of(environment: str) -> list[dict[str, str]]:
    keys = {client: api_key(environment, client) for client in CLIENTS}
    hashes = {client: sha256(key.encode()).hexdigest() for client, key in keys.items()}
    return [
        {"key": f"{environment}/{name}", "value": json.dumps(values)}
        for name, values in (("api-keys", keys), ("api-key-hashes", hashes))
    ]
