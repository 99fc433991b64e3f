"""The loops: watch, translate, write the folder, look at Envoy, write statuses back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from gateway_bridge import folder
from gateway_bridge.api import RESOURCES, ApiServer
from gateway_bridge.envoy import Admin
from gateway_bridge.pods import pods_of
from gateway_bridge.status import missing, status
from gateway_bridge.translate import (
    CONTROLLER,
    Key,
    Object,
    Pod,
    Settings,
    Translation,
    translate,
)
from gateway_bridge.verdicts import Verdicts

_LOG = logging.getLogger(__name__)
_PODS_SECONDS = 0.25
_SETTLE_SECONDS = 0.02
_LOOK_SECONDS = 0.1
_IDLE_SECONDS = 1.0
_PATIENCE_SECONDS = 10.0
_ODD = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, OSError)
"""What odd input raises: it is logged, and the bridge goes on with what it has."""


@dataclass(frozen=True)
class Places:
    """Where everything stands that the bridge talks to."""

    kubeconfig: Path
    folder: Path
    pods: str
    admin: str
    log: Path
    address: str


@dataclass(frozen=True)
class _Goal:
    """What Envoy is to show: a translation and the objects that it was made of."""

    translation: Translation
    objects: Mapping[Key, Object]
    since: float = field(default_factory=time.monotonic)


class Bridge:
    """One bridge between an API server and a folder of Envoy Gateway."""

    def __init__(self, places: Places, settings: Settings) -> None:
        self._places = places
        self._settings = settings
        self._changed = asyncio.Event()
        self._look = asyncio.Event()
        self._pods: list[Pod] | None = None
        self._goal: _Goal | None = None
        self._verdicts = Verdicts(places.log)
        self._http = httpx.AsyncClient(timeout=2, trust_env=False)
        self._envoy = Admin(places.admin, self._http)

    async def run(self) -> None:
        """Work for ever."""
        self._server = await ApiServer.connect(self._places.kubeconfig, self._changed.set)
        if folder.empty(self._places.folder):
            # Envoy starts before the first Gateway; a restarted bridge must not take routes away.
            self._write_folder(_Goal(translate([], [], self._settings), {}))
        async with asyncio.TaskGroup() as group:
            for kind in RESOURCES:
                group.create_task(self._server.follow(kind))
            group.create_task(self._follow_pods())
            group.create_task(self._translate())
            group.create_task(self._watch_envoy())

    async def _follow_pods(self) -> None:
        said = ""
        while True:
            try:
                answer = await self._http.get(self._places.pods)
                found = pods_of(answer.raise_for_status().json())
                said = ""
            except (httpx.HTTPError, *_ODD) as error:
                # Envoy keeps the pods that it has: nothing is known of them now.
                said = _say_once(said, f"pods from {self._places.pods}: {error!r}")
            else:
                if found != self._pods:
                    self._pods = found
                    self._changed.set()
            await asyncio.sleep(_PODS_SECONDS)

    async def _translate(self) -> None:
        """Write the folder whenever something changed, but never from half a view."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(_SETTLE_SECONDS)
            self._changed.clear()
            if not self._server.complete or self._pods is None:
                continue
            objects = self._server.objects()
            try:
                goal = _Goal(translate(objects.values(), self._pods, self._settings), objects)
                self._write_folder(goal)
            except _ODD:
                _LOG.exception("objects were not translated, Envoy keeps what it has")

    def _write_folder(self, goal: _Goal) -> None:
        if folder.write(self._places.folder, goal.translation.documents):
            count = len(goal.translation.documents)
            _LOG.info("revision %s: %d documents", goal.translation.revision, count)
        self._goal = goal
        self._look.set()

    async def _watch_envoy(self) -> None:
        """Statuses follow what Envoy shows; a revision that it never shows is said by name."""
        settled, complained = "", ""
        while True:
            goal = self._goal
            if goal is None:
                await self._pause(_IDLE_SECONDS)
                continue
            answer = await self._missing(goal)
            revision = goal.translation.revision
            if answer is None:
                if revision != settled:
                    _LOG.info("revision %s: served after %.2f s", revision, _age(goal))
                settled = revision
                try:
                    await self._write_statuses(goal)
                except _ODD:
                    _LOG.exception("statuses were not written")
            elif _age(goal) > _PATIENCE_SECONDS and revision != complained:
                complained = revision
                _LOG.error(
                    "revision %s is not served after %.0f s: %s", revision, _age(goal), answer
                )
            await self._pause(_IDLE_SECONDS if answer is None else _LOOK_SECONDS)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._look.wait(), seconds)
        except TimeoutError:
            return
        self._look.clear()

    async def _missing(self, goal: _Goal) -> str | None:
        try:
            seen = await self._envoy.look()
        except (httpx.HTTPError, *_ODD) as error:
            return f"no answer from {self._places.admin}: {error!r}"
        if self._verdicts.read():
            for message in self._verdicts.errors:
                _LOG.warning("envoy-gateway: %.500s", message)
        return missing(goal.translation, goal.objects, seen, self._verdicts.statuses)

    async def _write_statuses(self, goal: _Goal) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        latest = self._server.objects() if goal.objects else {}
        for identity, thing in goal.objects.items():
            name = self._name(goal, identity, thing)
            verdict = self._verdicts.statuses.get(name) if name else None
            live = latest.get(identity)
            if verdict is None or live is None or _generation(live) != _generation(thing):
                continue
            wanted = status(live, dict(verdict), self._places.address, now)
            if any(live.get("status", {}).get(field) != wanted[field] for field in wanted):
                await self._server.write_status(live, wanted)

    def _name(self, goal: _Goal, identity: Key, thing: Object) -> Key | None:
        if identity[0] == "GatewayClass":
            ours = thing["spec"].get("controllerName") == CONTROLLER
            return identity if ours and identity[2] == self._settings.gateway_class else None
        return goal.translation.names.get(identity) if identity[0] != "Secret" else None

    async def routes(self) -> dict[str, Any]:
        """The weights that Envoy has now, by route and rule, with the names of the Services."""
        seen = await self._envoy.look()
        objects = self._server.objects()
        found = []
        for (namespace, name, rule), weights in sorted(seen.weights.items()):
            route = objects.get(("HTTPRoute", namespace, name)) or {}
            rules = route.get("spec", {}).get("rules", [])
            refs = rules[rule].get("backendRefs", []) if rule < len(rules) else []
            named = {ref["name"]: weights.get(index, 0) for index, ref in enumerate(refs)}
            found.append({"namespace": namespace, "name": name, "rule": rule, "weights": named})
        return {"time": time.time(), "revision": seen.revision, "routes": found}


def _generation(thing: Object) -> int:
    return int(thing["metadata"].get("generation", 1))


def _age(goal: _Goal) -> float:
    return time.monotonic() - goal.since


def _say_once(said: str, message: str) -> str:
    if message != said:
        _LOG.warning(message)
    return message
