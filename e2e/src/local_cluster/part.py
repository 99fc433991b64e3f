"""What a part of the local cluster is: how it starts, when it is ready, what it needs first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from local_cluster.cluster import Cluster, ClusterError


@dataclass(frozen=True)
class Command:
    """A program with its arguments, and what it gets beside our own environment."""

    argv: list[str]
    environment: dict[str, str] = field(default_factory=dict)


def nothing(_: Cluster) -> None:
    """Nothing to prepare."""


def at_once(_: Cluster) -> str | None:
    """Ready as soon as it is prepared."""
    return None


@dataclass(frozen=True)
class Part:
    """One program of the cluster, or with no command: something that is only applied.

    `prepare` writes configuration and applies manifests before the start, and may run again.
    `ready` answers None when ready, else one line: what is still missing.
    `listens` names the ports of `cluster.PORTS` that must be free before the start.
    `stop_seconds` after SIGTERM it is killed.
    `gives_way`: it runs when others leave it time, as on a machine of its own it would not have to.
    """

    name: str
    command: Callable[[Cluster], Command] | None
    ready: Callable[[Cluster], str | None] = at_once
    needs: tuple[str, ...] = ()
    prepare: Callable[[Cluster], None] = nothing
    ready_seconds: float = 120
    listens: tuple[str, ...] = ()
    stop_seconds: float = 10
    gives_way: bool = False


def chosen(parts: Iterable[Part], names: Iterable[str]) -> dict[str, Part]:
    """The named parts with everything that they need; all parts where none is named."""
    known = {part.name: part for part in parts}
    missing = {
        need: part.name for part in known.values() for need in part.needs if need not in known
    }
    if missing:
        need, part_name = next(iter(missing.items()))
        raise ClusterError(f"{part_name}: it needs {need}, and no part has that name")
    wanted = list(names) or list(known)
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        raise ClusterError(f"no such part: {', '.join(unknown)}; there are {', '.join(known)}")
    closure: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name not in closure:
            closure.add(name)
            wanted.extend(known[name].needs)
    return {name: part for name, part in known.items() if name in closure}


def sorter(parts: Mapping[str, Part]) -> TopologicalSorter[str]:
    """Gives out the names whose needs are done."""
    graph = TopologicalSorter(
        {name: [need for need in part.needs if need in parts] for name, part in parts.items()}
    )
    try:
        graph.prepare()
    except CycleError as error:
        raise ClusterError(f"parts need each other: {' -> '.join(error.args[1])}") from error
    return graph


def levels(parts: Mapping[str, Part]) -> list[list[str]]:
    """Names by level: a level needs only those before it."""
    graph, found = sorter(parts), []
    while graph.is_active():
        level = list(graph.get_ready())
        graph.done(*level)
        found.append(level)
    return found
