"""Asks a Prometheus server the instant queries of the templates."""

import math
import re
from types import TracebackType
from typing import Any, Self

import httpx

from canary_gate.errors import ProviderError
from canary_gate.evaluation import ProviderValue

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NAMED = re.compile(r"nan|[+-]?inf(inity)?", re.IGNORECASE)


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
        except httpx.HTTPError as error:
            raise ProviderError(f"Prometheus: {type(error).__name__}: {error}") from None
        try:
            return _value(_data(response))
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise ProviderError(f"Prometheus: unreadable answer: {error}") from None


def _data(response: httpx.Response) -> dict[str, Any]:
    """Data of an answer; the controller's client goes by the status code before the body."""
    broken = not response.is_success
    try:
        answer = response.json()
    except ValueError:
        if broken:
            raise ProviderError(f"Prometheus: HTTP {response.status_code}") from None
        raise
    if broken or answer.get("status") == "error":
        known = isinstance(answer, dict) and "error" in answer
        reason = answer["error"] if known else f"HTTP {response.status_code}"
        raise ProviderError(f"Prometheus: {reason}")
    data: dict[str, Any] = answer["data"]
    return data


def _value(data: dict[str, Any]) -> ProviderValue:
    kind, result = data["resultType"], data["result"]
    if not isinstance(result, list):
        raise ValueError(f"the result is {type(result).__name__}, not a list")
    if kind == "scalar":
        return _float(result[1])
    if kind == "vector":
        return [_sample(sample) for sample in result if sample is not None]
    if kind == "matrix":
        return [_strict(pair) for series in result if series for pair in _values(series)]
    raise ProviderError(f"Prometheus: result type {kind} is not supported")


def _sample(sample: dict[str, Any]) -> float:
    # To the controller a native histogram is the number 0, and so is a sample without a value.
    pair, histogram = sample.get("value"), sample.get("histogram")
    if histogram is not None:
        _, _ = histogram
        return 0.0
    if pair is None:
        return 0.0
    if not isinstance(pair, list):
        raise ValueError(f"the sample {pair!r} is not a list")
    _timestamp(*pair[:1])
    return 0.0 if pair[1:2] in ([], [None]) else _float(pair[1])


def _values(series: dict[str, Any]) -> list[Any]:
    values: list[Any] = series.get("values") or []
    return values


def _strict(pair: list[Any]) -> float:
    at, value = pair
    _timestamp(at)
    return _float(value)


def _timestamp(at: object = 0) -> None:
    if isinstance(at, bool) or not isinstance(at, (int, float)):
        raise ValueError(f"{at!r} is not a time")


def _float(text: str) -> float:
    """A number as Go reads it: no spaces, and nothing beyond the largest."""
    if _NAMED.fullmatch(text):
        return float(text)
    if not _NUMBER.fullmatch(text) or math.isinf(number := float(text)):
        raise ValueError(f"{text!r} is not a number")
    return number
