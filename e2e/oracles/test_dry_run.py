"""The API server takes every object that this repository renders, with strict field validation.

Objects are applied server-side as a dry run, under names that no object has: an apply to one that
stands there would be judged together with what others wrote into it. The namespaces that they need
are made for real: `oracle-NAME-...` for NAME, with the labels that the overlay gives it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from copy import deepcopy
from time import monotonic
from typing import Any

import pytest

from e2e.oracles.api_server import Answer, ApiServer
from e2e.oracles.figures import Figures
from e2e.oracles.rendered import folders, objects

Manifest = dict[str, Any]
Spoil = Callable[[Manifest], None]


# Their names say what they define.
NAMED_BY_CONTENT = ("APIService", "CustomResourceDefinition")


class Namespaces:
    """Namespaces of our own in place of those that objects name."""

    def __init__(self, server: ApiServer, stack: ExitStack) -> None:
        self.server, self._stack = server, stack
        self._made: dict[str, str] = {}

    def moved(self, manifest: Manifest, labels: dict[str, str]) -> Manifest:
        """Return the object as one of our namespace, a cluster-scoped one by a name of our own."""
        if not self.server.namespaced(manifest):
            return self._renamed(manifest)
        name = manifest["metadata"].get("namespace", "default")
        if name not in self._made:
            self._made[name] = self._stack.enter_context(self.server.namespace(name, labels))
        moved = deepcopy(manifest)
        moved["metadata"]["namespace"] = self._made[name]
        return moved

    def _renamed(self, manifest: Manifest) -> Manifest:
        if manifest["kind"] in NAMED_BY_CONTENT:
            return manifest
        renamed = deepcopy(manifest)
        renamed["metadata"]["name"] += f"-{self.server.run}"
        return renamed


@pytest.fixture(scope="module")
def namespaces(api_server: ApiServer) -> Iterator[Namespaces]:
    with ExitStack() as stack:
        yield Namespaces(api_server, stack)


def applied(namespaces: Namespaces, folder: str) -> Iterator[tuple[Manifest, Answer]]:
    """Yield each object of a folder with what the API server says of it."""
    rendered = objects(folder)
    labels = {
        manifest["metadata"]["name"]: manifest["metadata"].get("labels", {})
        for manifest in rendered
        if manifest["kind"] == "Namespace"
    }
    moved = [
        namespaces.moved(m, labels.get(m["metadata"].get("namespace", ""), {})) for m in rendered
    ]
    server = namespaces.server
    answers = server.ask_all([server.apply(manifest) for manifest in moved])
    yield from zip(rendered, answers, strict=True)


@pytest.mark.parametrize("folder", folders())
def test_the_api_server_takes_every_object_of(
    folder: str, namespaces: Namespaces, figures: Figures
) -> None:
    started = monotonic()
    found = list(applied(namespaces, folder))
    refused = [
        f"{manifest['kind']} {manifest['metadata']['name']}: {answer.message}"
        for manifest, answer in found
        if not answer.accepted
    ]
    figures.add(
        f"dry run of {folder}", len(found), len(found) - len(refused), monotonic() - started
    )
    assert found, f"{folder} renders nothing"
    assert not refused, f"{len(refused)} of {len(found)} objects:\n" + "\n".join(refused)


def _rename(*path: Any, to: str) -> Spoil:
    def spoil(manifest: Manifest) -> None:
        holder = _at(manifest, path[:-1])
        holder[to] = holder.pop(path[-1])

    return spoil


def _set(*path: Any, to: Any) -> Spoil:
    def spoil(manifest: Manifest) -> None:
        _at(manifest, path[:-1])[path[-1]] = to

    return spoil


def _at(manifest: Manifest, path: tuple[Any, ...]) -> Any:
    value: Any = manifest
    for step in path:
        value = value[step]
    return value


@pytest.mark.parametrize(
    ("kind", "spoil", "said"),
    [
        ("Rollout", _rename("spec", "strategy", to="stratgey"), "unknown field|not declared"),
        ("Rollout", _set("spec", "revisionHistoryLimit", to="five"), "expected numeric"),
        ("Service", _rename("spec", "selector", to="selektor"), "not declared|unknown field"),
        ("Service", _set("spec", "ports", 0, "port", to="http"), "expected numeric|cannot unmarsh"),
        ("Service", _set("spec", "type", to="Internal"), "Unsupported value"),
        ("CronJob", _set("spec", "concurrencyPolicy", to="Refuse"), "Unsupported value"),
        ("CronJob", _set("spec", "schedule", to="61 * * * *"), "61|schedule"),
        ("HTTPRoute", _set("spec", "rules", 0, "backendRefs", 0, "weight", to=-1), "weight"),
        ("ServiceAccount", _set("metadata", "name", to="Not_A_Name"), "RFC 1123"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_broken_field_is_refused(
    kind: str, spoil: Spoil, said: str, namespaces: Namespaces
) -> None:
    """The oracle sees what it is there to see: the same object is taken before it is spoiled."""
    manifest = next(m for m in objects("overlays/production/inference") if m["kind"] == kind)
    whole = namespaces.moved(manifest, {})
    server = namespaces.server
    assert server.ask(server.apply(whole)).accepted
    broken = deepcopy(whole)
    spoil(broken)
    answer = server.ask(server.apply(broken))
    assert not answer.accepted
    assert re.search(said, answer.message), answer.message
