"""Asks a Prometheus server the instant queries of the templates."""

import math
from types import TracebackType
from typing import Any, Self

import httpx

from canary_gate.errors import ProviderError
from canary_gate.evaluation import ProviderValue


class PrometheusProvider:
    """Instant queries over HTTP. A vector gives a list of numbers, a scalar a number.

    `address` is the server's base URL, `timeout` seconds for one whole query (the
    controller's default is 30). Usable as a context manager, which closes the connections.
    """

    def __init__(self, address: str, timeout: float = 30.0) -> None:
        url = httpx.URL(address)
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError(f"{address!r} is not a Prometheus address such as http://host:9090")
        self._client = httpx.Client(base_url=address.rstrip("/"), timeout=timeout, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def query(self, query: str, at: float | None = None) -> ProviderValue:
        """Evaluate a query now, or at a Unix time; raises ProviderError with the reason."""
        form = {"query": query} if at is None else {"query": query, "time": f"{at:.3f}"}
        try:
            response = self._client.post("/api/v1/query", data=form)
            answer = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise ProviderError(f"Prometheus: {type(error).__name__}: {error}") from None
        if not isinstance(answer, dict) or answer.get("status") != "success":
            reason = answer.get("error") if isinstance(answer, dict) else response.status_code
            raise ProviderError(f"Prometheus: {reason}")
        try:
            return _value(answer["data"])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ProviderError(f"Prometheus: unreadable answer: {error}") from None


def _value(data: dict[str, Any]) -> ProviderValue:
    kind = data["resultType"]
    if kind == "scalar":
        return _float(data["result"][1])
    if kind == "vector":
        return [_float(sample["value"][1]) for sample in data["result"]]
    if kind == "matrix":
        return [_float(value[1]) for series in data["result"] for value in series["values"]]
    raise ProviderError(f"Prometheus: result type {kind} is not supported")


def _float(text: str) -> float:
    return {"+Inf": math.inf, "-Inf": -math.inf, "NaN": math.nan}.get(text) or float(text)
