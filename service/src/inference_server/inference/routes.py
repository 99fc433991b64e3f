"""Which paths ask for an inference, and of which model."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from inference_server.inference.call import Answer, Call, Read
from inference_server.protocol import predict, v1, v2

_SEGMENT = "([^/?:]+)"
_FORMS: tuple[tuple[re.Pattern[str], str, Read], ...] = (
    (re.compile(rf"/v2/models/{_SEGMENT}(?:/versions/{_SEGMENT})?/infer"), "infer", v2.read),
    (re.compile("/predict"), "predict", predict.read),
    (re.compile(rf"/v1/models/{_SEGMENT}(?:/versions/{_SEGMENT})?:predict"), "predict", v1.read),
)
_REMEMBERED = 1024
_LONGEST = 512  # bytes of a target that is remembered


class Route(NamedTuple):
    """A path that asks for an inference; model and version are None where it names none."""

    endpoint: str
    path: str
    read: Read
    model: str | None
    version: str | None
    query: dict[str, str]

    def call(
        self, headers: Mapping[bytes, bytes], body: bytes, reply: Callable[[Answer], bool]
    ) -> Call:
        """The inference that a request to this path asks for."""
        return Call(
            self.endpoint,
            self.path,
            self.read,
            self.model,
            self.version,
            headers,
            body,
            reply,
            self.query,
        )


def match(target: str) -> Route | None:
    """The route of a request target (path and query, percent-encoded), if it is an inference."""
    path, _, query = target.partition("?")
    if "%2f" in path.lower():
        return None  # a router that decodes first sees another path
    for pattern, endpoint, read in _FORMS:
        if found := pattern.fullmatch(path):
            named = [unquote(part) if part else None for part in found.groups()]
            asked = dict(parse_qsl(query)) if query else {}
            model, version = named or (asked.get("model"), asked.get("version"))
            return Route(endpoint, path, read, model, version, asked)
    return None


class RouteCache:
    """Remembers the targets that were asked for; their number and length are bounded."""

    def __init__(self) -> None:
        self._known: dict[bytes, Route | None] = {}

    def match(self, target: bytes) -> Route | None:
        """The route of a raw request target."""
        try:
            return self._known[target]
        except KeyError:
            route = match(target.decode("latin-1"))
            if len(target) <= _LONGEST:
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()  # a stranger's paths must not keep the others out
                self._known[target] = route
            return route
