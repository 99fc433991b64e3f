"""GET /routes over HTTP, for tests that record the weights."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

Answer = Callable[[], Awaitable[dict[str, Any]]]
_LIMIT_SECONDS = 5.0


async def serve(host: str, port: int, routes: Answer) -> asyncio.Server:
    """Answer /routes and /healthz; every other path is 404."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_LIMIT_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                status, body = await _answer(head, routes)
                length = f"content-type: application/json\r\ncontent-length: {len(body)}"
                writer.write(f"HTTP/1.1 {status}\r\n{length}\r\nconnection: close\r\n\r\n".encode())
                writer.write(body)
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # The client is gone or sent no request.
        finally:
            writer.close()

    return await asyncio.start_server(connected, host, port)


async def _answer(head: bytes, routes: Answer) -> tuple[str, bytes]:
    path = head.split(b" ", 2)[1] if head.count(b" ") > 1 else b""
    if path == b"/healthz":
        return "200 OK", b"{}"
    if path != b"/routes":
        return "404 Not Found", b"{}"
    try:
        return "200 OK", json.dumps(await routes()).encode()
    except (httpx.HTTPError, ValueError, LookupError) as error:
        return "503 Service Unavailable", json.dumps({"error": repr(error)}).encode()
