"""Everything that changed in one environment, with the time at which it was seen."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import kr8s.asyncio

from e2e.scenarios import facts
from e2e.scenarios.places import Places

ARGOCD = "argocd"
POLL_SECONDS = 0.2
RECONNECT_SECONDS = 0.5

WATCHED: dict[str, Callable[[facts.Object], facts.Facts]] = {
    "rollouts.argoproj.io": facts.rollout,
    "analysisruns.argoproj.io": facts.analysis_run,
    "httproutes.gateway.networking.k8s.io": facts.http_route,
    "services": facts.service,
    "horizontalpodautoscalers.autoscaling": facts.autoscaler,
}


@dataclass(frozen=True)
class Change:
    """A subject had this value from this moment on (Unix seconds)."""

    at: float
    subject: str
    value: Any


class Timeline:
    """Watches one namespace and its Application until it is closed.

    Subjects: rollout.{phase,message,step,current,stable,weight,aborted,replicas,available,
    release}, analysis/RUN, message/RUN, metric/RUN/METRIC, application.{sync,health,revision,
    operation,synced-revision}, route.{canary,stable}, envoy.canary (the real weight),
    service.{stable,canary}, autoscaler.desired, pods/HASH (ready ones).
    """

    def __init__(self, places: Places, namespace: str, application: str):
        self._places, self._namespace, self._application = places, namespace, application
        self._values: dict[str, Any] = {}
        self._changes: list[Change] = []
        self._pods: dict[str, facts.Object] = {}
        self._stop = threading.Event()
        self.errors: list[str] = []
        self._thread = threading.Thread(target=self._run, name="timeline", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching; what was seen stays."""
        self._stop.set()
        self._thread.join(10)

    def now(self, subject: str) -> Any:
        """The newest value; None where nothing was seen."""
        return self._values.get(subject)

    def at(self, subject: str, moment: float) -> Any:
        """The value that a subject had at a moment."""
        value = None
        for change in self.history(subject):
            if change.at > moment:
                break
            value = change.value
        return value

    def history(self, subject: str, since: float = 0.0) -> list[Change]:
        """The changes of one subject, oldest first."""
        return [c for c in self.changes(since) if c.subject == subject]

    def changes(self, since: float = 0.0) -> list[Change]:
        """All changes, oldest first."""
        return [change for change in list(self._changes) if change.at >= since]

    def values(self, prefix: str) -> dict[str, Any]:
        """The newest values of all subjects that begin so, by the rest of their name."""
        found = dict(self._values)
        return {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}

    def runs(self, since: float = 0.0) -> dict[str, str]:
        """AnalysisRuns that began since then: name and newest phase."""
        first: dict[str, float] = {}
        for change in self.changes():
            if change.subject.startswith("analysis/"):
                first.setdefault(change.subject.removeprefix("analysis/"), change.at)
        phases = self.values("analysis/")
        return {name: phases[name] for name, at in first.items() if at >= since}

    def metrics(self, phase: str, since: float = 0.0) -> set[str]:
        """Names of the metrics that have this phase in a run that began since then."""
        runs = self.runs(since)
        found = self.values("metric/").items()
        pairs = [(name.split("/", 1), value) for name, value in found]
        return {metric for (run, metric), value in pairs if run in runs and value == phase}

    def said(self) -> str:
        """The state in one line, for a person whose wait has ended."""
        shown = {k: v for k, v in sorted(self._values.items()) if k.split("/")[0] in _SAID}
        failing = {k: v for k, v in self._values.items() if k.startswith("metric/")}
        bad = {k: v for k, v in failing.items() if v not in ("Successful", "Running", "Pending")}
        return ", ".join(f"{k}={v}" for k, v in {**shown, **bad}.items())

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
                self._note(read(found.raw))

    async def _watch_pods(self, api: Any) -> None:
        self._pods.clear()
        async for event, found in api.async_watch("pods", namespace=self._namespace):
            before = facts.pods(self._pods.values())
            if event == "DELETED":
                self._pods.pop(found.name, None)
            else:
                self._pods[found.name] = found.raw
            self._note(dict.fromkeys(before, 0) | facts.pods(self._pods.values()))

    async def _watch_application(self, api: Any) -> None:
        selector = {"metadata.name": self._application}
        watch = api.async_watch(
            "applications.argoproj.io", namespace=ARGOCD, field_selector=selector
        )
        async for event, found in watch:
            if event != "DELETED":
                self._note(facts.application(found.raw))

    async def _poll_envoy(self, url: str) -> None:
        async with httpx.AsyncClient(timeout=5) as client:
            while True:
                answer = (await client.get(url)).json()
                weight = envoy_weight(answer, self._namespace)
                if weight is not None:
                    self._note({"envoy.canary": weight})
                await asyncio.sleep(POLL_SECONDS)

    def _note(self, seen: facts.Facts) -> None:
        at = time.time()
        for subject, value in seen.items():
            if subject not in self._values or self._values[subject] != value:
                self._values[subject] = value
                self._changes.append(Change(at, subject, value))


_SAID = {
    *("rollout.phase", "rollout.message", "rollout.step", "rollout.weight", "rollout.release"),
    *("application.sync", "application.health", "application.operation", "route.canary"),
    *("envoy.canary", "pods", "analysis"),
}


def envoy_weight(routes: Any, namespace: str) -> int | None:
    """The canary's percentage in Envoy, from the bridge's answer; None while there is no route."""
    for route in routes:
        if (route["namespace"], route["name"]) == (namespace, facts.ROLLOUT):
            weights = route["weights"]
            total = sum(weights.values())
            return round(100 * weights.get("inference-canary", 0) / total) if total else None
    return None


def spans(changes: list[Change], end: float) -> Iterator[tuple[float, float, Any]]:
    """From, to and value of each stretch between changes of one subject."""
    for number, change in enumerate(changes):
        until = changes[number + 1].at if number + 1 < len(changes) else end
        yield change.at, until, change.value
