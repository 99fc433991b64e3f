"""Watches an environment and its Application, and notes what changes in its timeline."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import kr8s.asyncio

from e2e.scenarios import facts
from e2e.scenarios.places import Places
from e2e.scenarios.timeline import Timeline

ARGOCD = "argocd"
ENVOY_SECONDS = 0.4
RECONNECT_SECONDS = 0.5

WATCHED: dict[str, Callable[[facts.Object], facts.Facts]] = {
    "rollouts.argoproj.io": facts.rollout,
    "analysisruns.argoproj.io": facts.analysis_run,
    "httproutes.gateway.networking.k8s.io": facts.http_route,
    "services": facts.service,
    "horizontalpodautoscalers.autoscaling": facts.autoscaler,
}


class Watch:
    """A thread that watches one namespace and its Application until it is closed."""

    def __init__(self, places: Places, namespace: str, application: str, timeline: Timeline):
        self._places, self._namespace, self._application = places, namespace, application
        self._timeline = timeline
        self._pods: dict[str, facts.Object] = {}
        self._stop = threading.Event()
        self.errors: list[str] = []
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.run(self._watch_all())

    async def _watch_all(self) -> None:
        api = await kr8s.asyncio.api(kubeconfig=str(self._places.kubeconfig))
        tasks = [
            self._again(lambda kind=kind, read=read: self._watch(api, kind, read))  # type: ignore[misc]
            for kind, read in WATCHED.items()
        ]
        tasks += [
            self._again(lambda: self._watch_pods(api)),
            self._again(lambda: self._watch_application(api)),
        ]
        if self._places.routes:
            tasks.append(self._again(lambda: self._poll_envoy(str(self._places.routes))))
        running = [asyncio.create_task(task) for task in tasks]
        await asyncio.to_thread(self._stop.wait)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _again(self, watch: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Watch for ever: the API server ends each watch now and then."""
        while True:
            try:
                await watch()
            except Exception as error:
                self.errors.append(f"{time.time():.1f} {type(error).__name__}: {error}")
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _watch(
        self, api: Any, kind: str, read: Callable[[facts.Object], facts.Facts]
    ) -> None:
        async for event, found in api.async_watch(kind, namespace=self._namespace):
            if event != "DELETED":
                self._timeline.note(read(found.raw))

    async def _watch_pods(self, api: Any) -> None:
        self._pods.clear()
        async for event, found in api.async_watch("pods", namespace=self._namespace):
            before = facts.pods(self._pods.values())
            if event == "DELETED":
                self._pods.pop(found.name, None)
            else:
                self._pods[found.name] = found.raw
            self._timeline.note(dict.fromkeys(before, 0) | facts.pods(self._pods.values()))

    async def _watch_application(self, api: Any) -> None:
        selector = {"metadata.name": self._application}
        watch = api.async_watch(
            "applications.argoproj.io", namespace=ARGOCD, field_selector=selector
        )
        async for event, found in watch:
            if event != "DELETED":
                self._timeline.note(facts.application(found.raw))

    async def _poll_envoy(self, url: str) -> None:
        async with httpx.AsyncClient(timeout=5) as client:
            while True:
                answer = (await client.get(url)).json()
                weight = envoy_weight(answer, self._namespace)
                if weight is not None:
                    self._timeline.note({"envoy.canary": weight})
                await asyncio.sleep(ENVOY_SECONDS)


def envoy_weight(answer: Any, namespace: str) -> int | None:
    """The canary's percentage in Envoy, from the bridge's answer; None while there is no route."""
    for route in answer.get("routes", []):
        if (route["namespace"], route["name"]) == (namespace, facts.ROLLOUT):
            weights = route["weights"]
            total = sum(weights.values())
            return round(100 * weights.get("inference-canary", 0) / total) if total else None
    return None
