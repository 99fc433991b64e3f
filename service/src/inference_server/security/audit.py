"""The audit log: who did what to the server, and what came of it."""

import logging

from inference_server.security.client import Client

_log = logging.getLogger("inference_server.audit")


def audit(
    client: Client | None, action: str, model: str | None, result: str, request_id: bytes = b""
) -> None:
    """One line about an administrative action, e.g. `load` of a model, `ok` or `refused: 403`.

    It holds names only; the logger's own level and handler decide where it goes.
    """
    _log.info(
        "%s: %s",
        action,
        result,
        extra={
            "client": "anybody" if client is None else client.id,
            "action": action,
            "result": result,
            "model_id": model,
            "request_id": request_id.decode("latin-1"),
        },
    )
