"""One address of the service, asked within bounds of time and size."""

import asyncio
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import orjson

from inference_server.probe.outcome import FAIL, MISUSE, UNDECIDED, ProbeError

MAX_ANSWER_BYTES = 16 * 2**20
ANSWER_SECONDS = 10.0
_PAUSE_SECONDS = 0.5
_SAYS_NOTHING = (None, 401, 403)


@dataclass(frozen=True)
class Answer:
    """A status with its JSON, or the reason why no complete answer came."""

    status: int | None
    content: Any = None
    reason: str | None = None

    @property
    def problem(self) -> str | None:
        """What is wrong with it, None for a 200 with a JSON object."""
        if self.status is None:
            return f"no answer ({self.reason})"
        if self.status != 200:
            said = self.content.get("error") if isinstance(self.content, dict) else None
            return f"HTTP {self.status}" + (f": {str(said)[:200]}" if said else "")
        return None if isinstance(self.content, dict) else "the answer is no JSON object"

    def problem_as(self, version: int | None) -> str | None:
        """The same for an inference that this model version has to answer; None: any version."""
        if self.problem is not None or version is None:
            return self.problem
        answered, expected = self.content.get("model_version"), str(version)
        if answered != expected:
            return f"answered by version {answered!r}, expected {expected!r}"
        return None


class Address:
    """Where to ask; one connection at a time. Use it as a context."""

    def __init__(
        self,
        url: str,
        api_key: str | None,
        *,
        keep: bool = False,
        host: str | None = None,
        ca_file: Path | None = None,
    ) -> None:
        """`keep` reuses the connection; else each request meets any pod behind a Service.

        `host` is asked for, and has to be certified, where the URL names only the way to it;
        `ca_file` replaces the certificates that are trusted. Raises ProbeError where it is none.
        """
        self.url = url
        self._extensions = {"sni_hostname": host} if host else {}
        headers = {"Content-Type": "application/json"} | ({"Host": host} if host else {})
        if api_key is not None:
            headers["X-API-Key"] = api_key
        # Shorter than the server's own keep-alive: it must not close a connection in use.
        limits = httpx.Limits(
            max_connections=1, max_keepalive_connections=1 if keep else 0, keepalive_expiry=2
        )
        self._client = httpx.AsyncClient(
            headers=headers,
            limits=limits,
            timeout=ANSWER_SECONDS,
            verify=_tls(url, ca_file),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def get(self, path: str) -> Answer:
        """GET; never raises for what the other side does."""
        return await self._ask("GET", path, None)

    async def post(self, path: str, body: bytes, seconds: float = ANSWER_SECONDS) -> Answer:
        """POST a JSON body; the whole answer has to be there within `seconds`."""
        return await self._ask("POST", path, body, seconds)

    async def infer(self, name: str, request: Any) -> Answer:
        """One inference by v2 with the version that a client gets who names none."""
        return await self.post(f"/v2/models/{name}/infer", orjson.dumps(request))

    async def _ask(
        self, method: str, path: str, body: bytes | None, seconds: float = ANSWER_SECONDS
    ) -> Answer:
        try:
            async with (
                asyncio.timeout(seconds),
                self._client.stream(
                    method, self.url + path, content=body, extensions=self._extensions
                ) as response,
            ):
                return Answer(response.status_code, _json(await _read(response)))
        except TimeoutError:
            return Answer(None, reason=f"not within {seconds:g} s")
        except httpx.HTTPError as error:
            return Answer(None, reason=str(error) or type(error).__name__)


async def _read(response: httpx.Response) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise httpx.ReadError(f"more than {MAX_ANSWER_BYTES} bytes")
    return bytes(content)


def _json(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return None


def _tls(url: str, ca_file: Path | None) -> ssl.SSLContext | bool:
    """Without TLS no certificates are read: that takes longer than a probe's requests."""
    if not url.startswith("https:"):
        return False
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ProbeError(MISUSE, f"{ca_file}: no certificates ({type(error).__name__})") from None
    # What is in the file is trusted itself, be it the server's own: no root has to follow.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def named_tensors(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The outputs of a v2 answer by their names; what is no tensor is left out."""
    outputs = content.get("outputs")
    return {
        output["name"]: output
        for output in (outputs if isinstance(outputs, list) else [])
        if isinstance(output, dict) and isinstance(output.get("name"), str)
    }


async def wait_until_served(
    address: Address, name: str, version: int | None, seconds: float
) -> None:
    """Until a model version, or any for None, is ready behind the address; raises ProbeError.

    A Service and its policies need a moment to follow a new pod, so it is asked for `seconds`:
    then what was answered is a failure, and silence or a refused key leaves it undecided.
    """
    model = f"/v2/models/{name}" + ("" if version is None else f"/versions/{version}")
    wanted = name if version is None else f"{name} version {version}"
    answer = await _until_ready(address, f"{model}/ready", seconds)
    if answer.problem is None:
        answer = await address.get(model)  # readiness asks for no key, everything else does
    if answer.problem is not None:
        raise ProbeError(
            UNDECIDED if answer.status in _SAYS_NOTHING else FAIL,
            f"{address.url} does not serve {wanted}: {answer.problem}",
        )


async def _until_ready(address: Address, path: str, seconds: float) -> Answer:
    deadline = time.monotonic() + seconds
    answer = await address.get(path)
    while answer.problem is not None and time.monotonic() < deadline:
        await asyncio.sleep(_PAUSE_SECONDS)
        answer = await address.get(path)
    return answer
