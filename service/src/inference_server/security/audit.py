"""The audit log: who did what to the server, and what came of it."""

import logging

from inference_server.security.client import Client

_ACTIONS = frozenset({"index", "load", "unload"})

_log = logging.getLogger("inference_server.audit")
_log.setLevel(logging.INFO)  # whatever LOG_LEVEL says


def audit(
    client: Client | None, path: str, model: str | None, status: int, request_id: bytes
) -> None:
    """One line about an administrative request, answered or refused.

    The action is the last word of its path: index, load or unload. Where the client is not known,
    because it was refused or because everybody may ask, the line has none.
    """
    action = path.rpartition("/")[2]
    extra: dict[str, object] = {
        "action": action if action in _ACTIONS else "other",
        "result": "done" if status < 400 else "failed" if status >= 500 else "refused",
        "status": status,
        "request_id": request_id.decode("latin-1"),
    }
    if client is not None:
        extra["client"] = client.id
    if model is not None:
        extra["model_id"] = model[:128]
    _log.info("administrative request", extra=extra)
