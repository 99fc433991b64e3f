"""Starts and stops parts: what does not need each other at the same time."""

from __future__ import annotations

import json
import shutil
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from local_cluster import process
from local_cluster.cluster import PORTS, Cluster, ClusterError
from local_cluster.part import Part, levels, sorter

FORMAT = 1
_POLL_SECONDS = 0.2
_LOOK_SECONDS = 2
Say = Callable[[str], None]


class _CancelledError(Exception):
    """Another part failed, or a person pressed Ctrl-C."""


def claim(cluster: Cluster) -> None:
    """Make the state folder ours, or say whose it is."""
    marker = cluster.folder / "cluster.json"
    ours = {"format": FORMAT, "root": str(cluster.root), "network": cluster.network}
    if not marker.exists():
        if cluster.folder.exists() and any(cluster.folder.iterdir()):
            raise ClusterError(
                f"{cluster.folder} is not empty and holds no cluster of ours: "
                "move it away, or set LOCAL_CLUSTER_FOLDER"
            )
        cluster.folder.mkdir(parents=True, exist_ok=True)
        marker.write_text(json.dumps(ours))
    found = _marker(cluster)
    if found != ours:
        changed = [name for name in ours if found.get(name) != ours[name]]
        raise ClusterError(
            f"{cluster.folder} holds a cluster with another {', '.join(changed)} "
            f"({', '.join(str(found.get(name)) for name in changed)}): "
            "`local-cluster down` removes it, LOCAL_CLUSTER_FOLDER takes another folder"
        )


def exists(cluster: Cluster) -> bool:
    """Whether the state folder is one of ours."""
    return (cluster.folder / "cluster.json").exists()


def _marker(cluster: Cluster) -> dict[str, object]:
    try:
        found = json.loads((cluster.folder / "cluster.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def up(cluster: Cluster, parts: Mapping[str, Part], say: Say) -> None:
    """Start every part as soon as what it needs is ready; the first failure ends the wait."""
    graph, cancelled = sorter(parts), threading.Event()
    running: dict[Future[float], str] = {}
    ready: dict[str, Part] = {}
    with ThreadPoolExecutor(max_workers=max(1, len(parts))) as pool:
        try:
            while graph.is_active():
                for name in graph.get_ready():
                    running[pool.submit(bring_up, cluster, parts[name], cancelled)] = name
                done, _ = wait(running, _LOOK_SECONDS, return_when=FIRST_COMPLETED)
                require_alive(cluster, ready)
                for future in done:
                    name = running.pop(future)
                    say(f"{name:<28} {future.result():6.1f} s")
                    graph.done(name)
                    ready[name] = parts[name]
        except BaseException:
            cancelled.set()
            raise
    require_alive(cluster, ready)


def bring_up(cluster: Cluster, part: Part, cancelled: threading.Event | None = None) -> float:
    """Prepare one part, start it unless it lives, wait until it is ready; the seconds it took."""
    started = time.monotonic()
    try:
        _bring_up(cluster, part, cancelled or threading.Event())
    except (ClusterError, _CancelledError):
        raise
    except Exception as error:
        file = cluster.part_folder(part.name) / "traceback"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(traceback.format_exc())
        raise ClusterError(f"{part.name}: {type(error).__name__}: {error} (see {file})") from error
    return time.monotonic() - started


def _bring_up(cluster: Cluster, part: Part, cancelled: threading.Event) -> None:
    folder = cluster.part_folder(part.name)
    if part.command is None or process.alive(folder) is None:
        part.prepare(cluster)
        if cancelled.is_set():
            raise _CancelledError
        _start(cluster, part)
    limit = time.monotonic() + part.ready_seconds
    while (missing := _missing(cluster, part)) is not None:
        if part.command is not None and process.alive(folder) is None:
            raise ClusterError(process.ended(part.name, folder))
        if time.monotonic() > limit:
            raise ClusterError(_late(cluster, part, missing))
        if cancelled.wait(_POLL_SECONDS):
            raise _CancelledError


def _start(cluster: Cluster, part: Part) -> None:
    folder = cluster.part_folder(part.name)
    # A program that kwokctl started in `prepare` of another part may live by now.
    if part.command is None or process.alive(folder) is not None:
        return
    for name in part.listens:
        process.require_free(part.name, cluster.host, PORTS[name])
    command = part.command(cluster)
    process.start(part.name, folder, command.argv, command.environment, gives_way=part.gives_way)


def _missing(cluster: Cluster, part: Part) -> str | None:
    """What is missing; an answer that could not be had is what is missing."""
    try:
        return part.ready(cluster)
    except ClusterError as error:
        return str(error)
    except Exception as error:  # A program that starts may answer anything, or nothing.
        return f"{type(error).__name__}: {error}"


def _late(cluster: Cluster, part: Part, missing: str) -> str:
    folder = cluster.part_folder(part.name)
    late = f"{part.name}: not ready after {part.ready_seconds:.0f} s: {missing}"
    if part.command is None:
        return late
    return f"{late}\nthe end of {process.log_path(folder)}:\n{process.log_tail(folder)}"


def require_alive(cluster: Cluster, parts: Mapping[str, Part]) -> None:
    """ClusterError with the end of the log of the first part that has ended by itself."""
    for name, part in parts.items():
        folder = cluster.part_folder(name)
        if part.command is not None and process.alive(folder) is None:
            raise ClusterError(process.ended(name, folder))


@dataclass(frozen=True)
class State:
    """One program: ready, starting, ended (it crashed) or stopped (by a person, or never begun)."""

    name: str
    word: str
    pid: int | None = None
    memory: int = 0
    note: str = ""


def states(cluster: Cluster, parts: Iterable[Part]) -> list[State]:
    """The state of every program that was started; several are asked at the same time."""
    started = [
        part
        for part in parts
        if part.command is not None and cluster.part_folder(part.name).exists()
    ]
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(lambda part: _state(cluster, part), started))


def _state(cluster: Cluster, part: Part) -> State:
    folder = cluster.part_folder(part.name)
    if process.recorded(folder) is None:
        return State(part.name, "stopped")
    record = process.alive(folder)
    if record is None:
        return State(part.name, "ended")
    size, missing = process.memory(folder), _missing(cluster, part)
    if missing is not None:
        return State(part.name, "starting", record.pid, size, missing)
    url = cluster.url(part.listens[0]) if part.listens else ""
    return State(part.name, "ready", record.pid, size, url)


def down(cluster: Cluster, parts: Mapping[str, Part]) -> list[int]:
    """Stop everything that was started, what needs others first; then remove the state.

    Returns pids of processes that could not be ended.
    """
    stop(cluster, parts)
    process.kill(process.left_of(cluster.folder))
    left = process.left_of(cluster.folder)
    if not left:
        shutil.rmtree(cluster.folder, ignore_errors=True)
    return left


def stop(cluster: Cluster, parts: Mapping[str, Part]) -> None:
    """Stop parts, those that need others before those; each level at the same time."""
    for level in reversed(levels(parts)):
        with ThreadPoolExecutor(max_workers=len(level)) as pool:
            for name in level:
                seconds = parts[name].stop_seconds
                pool.submit(process.stop, cluster.part_folder(name), seconds)
