"""What `kubectl logs` asks a kubelet for: the lines that a container wrote."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

from aiohttp import web

from node_runner.manifest import metadata
from node_runner.pod import Pod
from node_runner.runner import Runner

PATH = "/containerLogs/{namespace}/{pod}/{container}"
# Lines are kept as they came, without their times.
_NEEDS_TIMES = ("sinceSeconds", "sinceTime", "timestamps")
_BLOCK_BYTES = 1 << 16
_LOOK_SECONDS = 0.2


def application(runner: Runner) -> web.Application:
    """Return the part of a kubelet's API that the API server asks for logs."""

    async def logs(request: web.Request) -> web.StreamResponse:
        pod = _pod(runner, request.match_info["namespace"], request.match_info["pod"])
        folder = _folder(pod, request.match_info["container"])
        query = request.query
        for name in _NEEDS_TIMES:
            if query.get(name, "false") != "false":
                raise web.HTTPBadRequest(text=f"{name}: node-runner keeps no times of lines")
        file = _file(folder, previous=query.get("previous") == "true")
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        begin = tail_begin(file, _number(query, "tailLines"))
        ended = _always if query.get("follow") != "true" else _ended(runner, pod, file)
        async for block in blocks(file, begin, _number(query, "limitBytes"), ended):
            await response.write(block)
        return response

    app = web.Application()
    app.router.add_get(PATH, logs)
    return app


def tail_begin(file: Path, lines: int | None) -> int:
    """Return where the last `lines` lines of a file begin, in bytes; 0 for all of them."""
    if lines is None:
        return 0
    content = file.read_bytes()
    end = len(content) - content.endswith(b"\n")
    for _ in range(lines):
        end = content.rfind(b"\n", 0, end)
        if end < 0:
            return 0
    return len(content) if lines == 0 else end + 1


async def blocks(
    file: Path, begin: int, limit: int | None, ended: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """Yield a file from byte `begin`, at most `limit` bytes, and go on until `ended()`."""
    left = limit if limit is not None else float("inf")
    with file.open("rb") as source:
        source.seek(begin)
        while left > 0:
            over = ended()
            while block := source.read(int(min(_BLOCK_BYTES, left))):
                left -= len(block)
                yield block
            if over:
                return
            await asyncio.sleep(_LOOK_SECONDS)


def _always() -> bool:
    return True


def _ended(runner: Runner, pod: Pod, file: Path) -> Callable[[], bool]:
    """Whether nobody writes to the file any more: a newer one is there, or the pod has ended."""
    return lambda: (
        pod.phase in ("Succeeded", "Failed")
        or pod not in runner.pods
        or _file(file.parent, previous=False) != file
    )


def _pod(runner: Runner, namespace: str, name: str) -> Pod:
    for pod in runner.pods:
        found = metadata(pod.manifest)
        if (found["namespace"], found["name"]) == (namespace, name):
            return pod
    raise web.HTTPNotFound(text=f"pod {namespace}/{name} does not run here")


def _folder(pod: Pod, container: str) -> Path:
    spec = pod.manifest["spec"]
    names = {each["name"] for each in [*spec.get("initContainers", []), *spec["containers"]]}
    if container not in names:
        raise web.HTTPNotFound(text=f"{pod.name} has no container {container}")
    return pod.logs / container


def _file(folder: Path, *, previous: bool) -> Path:
    """The log of the newest run of a container, or of the one before."""
    runs = sorted(int(file.stem) for file in folder.glob("*.log") if file.stem.isdigit())
    wanted = runs[-2:-1] if previous else runs[-1:]
    if not wanted:
        which = "ended before" if previous else "started"
        raise web.HTTPBadRequest(text=f"container {folder.name} has not {which}")
    return folder / f"{wanted[0]}.log"


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not text.isdecimal():
        raise web.HTTPBadRequest(text=f"{name}={text}: a whole number from 0 on is needed")
    return int(text)
