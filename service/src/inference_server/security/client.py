"""Who asks: the client that a credential stands for, and what it may do."""

from typing import NamedTuple

SCOPES = frozenset({"infer", "metadata", "metrics", "admin"})
DEFAULT_SCOPES = frozenset({"infer", "metadata"})


class TokenError(Exception):
    """A token that opens nothing; the message may be told to whoever sent it."""


class Rate(NamedTuple):
    """A token bucket: `per_minute` tokens flow in, at most `burst` stand in it."""

    per_minute: float
    burst: int


UNLIMITED = Rate(float("inf"), 0)


class Client(NamedTuple):
    """A known client, its scopes, the models it may use and a rate of its own."""

    id: str
    scopes: frozenset[str]
    models: frozenset[str] | None  # None: every model
    rate: Rate | None = None  # None: the rate of everyone
