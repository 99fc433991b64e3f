"""What the runner tells others over HTTP: pods, Services, and what the containers use."""

from collections.abc import Iterable, Iterator

from aiohttp import web

from node_runner.manifest import metadata
from node_runner.pod import Pod
from node_runner.processes import Usage, usage_by_session
from node_runner.runner import Runner

_CPU = "container_cpu_usage_seconds_total"
_MEMORY = "container_memory_working_set_bytes"


def application(runner: Runner) -> web.Application:
    """Return the HTTP application of a runner."""

    async def pods(_: web.Request) -> web.Response:
        return web.json_response([pod.describe() for pod in runner.pods])

    async def services(_: web.Request) -> web.Response:
        return web.json_response(runner.services.describe())

    async def cadvisor(_: web.Request) -> web.Response:
        text = "".join(f"{line}\n" for line in metrics(runner.pods, usage_by_session()))
        return web.Response(text=text, content_type="text/plain")

    async def healthz(_: web.Request) -> web.Response:
        if runner.complete:
            return web.Response(text="ok\n")
        return web.Response(status=503, text="the API server has not been read yet\n")

    app = web.Application()
    app.router.add_get("/pods", pods)
    app.router.add_get("/services", services)
    app.router.add_get("/metrics/cadvisor", cadvisor)
    app.router.add_get("/healthz", healthz)
    return app


def metrics(pods: Iterable[Pod], usage: dict[int, Usage]) -> Iterator[str]:
    """Yield the lines of `/metrics/cadvisor`, with a kubelet's names of labels."""
    found = [
        (_labels(pod, container.state.name, container.state.image), usage[container.pid])
        for pod in pods
        for container in pod.containers
        if container.pid is not None and container.pid in usage
    ]
    yield f"# TYPE {_CPU} counter"
    for labels, used in found:
        yield f"{_CPU}{{{labels}}} {used.cpu_seconds:.2f}"
    yield f"# TYPE {_MEMORY} gauge"
    for labels, used in found:
        yield f"{_MEMORY}{{{labels}}} {used.memory_bytes}"


def _labels(pod: Pod, container: str, image: str) -> str:
    found = metadata(pod.manifest)
    labels = {
        "container": container,
        "id": f"/kubepods/pod{pod.uid}/{container}",
        "image": image,
        "name": f"{pod.uid}_{container}",
        "namespace": found["namespace"],
        "node": pod.manifest["spec"]["nodeName"],
        "pod": found["name"],
    }
    return ",".join(f'{key}="{value}"' for key, value in labels.items())
