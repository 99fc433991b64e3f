"""The access log: one line for each sampled request, and for each that failed on our side."""

import logging
from typing import TYPE_CHECKING, Any

from inference_server.observability.logs import Sampler
from inference_server.observability.traces import trace_id_of

if TYPE_CHECKING:
    from inference_server.inference.call import Answer, Call
    from inference_server.models.model import Model
    from inference_server.scheduling.lane import Outcome

_log = logging.getLogger("inference_server.access")


class AccessLog:
    """Writes no request content, no address, no key: only names, sizes and times."""

    def __init__(self, rate: float) -> None:
        self._sampled = Sampler(rate)

    def sample(self, rate: float) -> None:
        """Log this part of the requests from now on."""
        self._sampled = Sampler(rate)

    def wants(self, status: int) -> bool:
        """Whether this request is logged: a part of all of them, and every 5xx."""
        return self._sampled() or status >= 500

    def write(
        self,
        call: "Call",
        answer: "Answer",
        seconds: float,
        outcome: "Outcome | None" = None,
        model: "Model | None" = None,
    ) -> None:
        """One line about an inference; `outcome` and `model` where it came so far."""
        fields: dict[str, Any] = {
            "request_id": call.request_id.decode("latin-1"),
            "method": "POST",
            "endpoint": call.endpoint,
            "status": answer.status,
            "duration_ms": round(seconds * 1000, 3),
            "input_size": len(call.body) + len(call.tail or b""),
            "output_size": len(answer.body),
        }
        if call.client is not None:
            fields["client"] = call.client.id
        trace_id = call.span.trace_id if call.span is not None else trace_id_of(call.headers)
        if trace_id is not None:
            fields["trace_id"] = trace_id
        name = model.name if model is not None else call.model
        version = model.version if model is not None else call.version
        if name is not None:
            fields["model_id"] = name[:128]
        if version is not None:
            fields["model_version"] = str(version)[:32]
        if outcome is not None:
            fields["queue_ms"] = round(outcome.queued * 1000, 3)
            fields["inference_time_ms"] = round(outcome.inference * 1000, 3)
            fields["batch_rows"] = outcome.batch_rows
        _log.log(logging.ERROR if answer.status >= 500 else logging.INFO, "request", extra=fields)
