"""Which target of a route a request takes: by a header's value, or by a share of its values."""

import hashlib
from collections.abc import Mapping

from inference_server.models.config import Route, Target


def choose_target(route: Route, headers: Mapping[bytes, bytes]) -> Target:
    """The target of a request; the same header value takes the same one, in every process.

    Without the header, and where no target has a percentage, it is the first one.
    """
    value = headers.get(route.header.lower().encode())
    if value is None:
        return route.targets[0]
    text = value.decode("latin-1")
    for target in route.targets:
        if text in target.values:
            return target
    place = int.from_bytes(hashlib.blake2b(value, digest_size=8).digest()) % 100
    for target in route.targets:
        if place < target.percent:
            return target
        place -= target.percent
    return route.targets[0]
