"""Jobs of an analysis, run as processes on this machine: the probes that a template asks for."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from canary_gate import Phase, ProviderError

from release_play.pods import Document, Node, PodError, container_command, make_volumes
from release_play.processes import Process, ProcessError, ProcessGroup

#: Name, command and environment of a container.
Container = tuple[str, list[str], dict[str, str]]


@dataclass
class LocalJob:
    """One Job: its containers one after the other, the init containers first.

    `ignored` holds, by container, the exit statuses that the Job's podFailurePolicy ignores: its
    pod begins again, until the deadline.
    """

    name: str
    group: ProcessGroup
    containers: list[Container]
    ignored: Mapping[str, Collection[int]]
    deadline: float
    waiting: list[Container] = field(init=False)
    running: str = ""
    process: Process | None = None
    ended: tuple[Phase, str] | None = None

    def __post_init__(self) -> None:
        self.waiting = list(self.containers)

    def advance(self) -> None:
        """Go on to the next container where one has ended, to the end where one has failed."""
        if self.ended is not None:
            return
        if time.monotonic() > self.deadline:
            self._end(Phase.FAILED, "activeDeadlineSeconds is over")
            return
        process = self.process
        if process is not None and process.alive:
            return
        if process is not None and (status := process.popen.returncode) != 0:
            if status not in self.ignored.get(self.running, ()):
                self._end(Phase.FAILED, _last_line(process))
                return
            self.waiting = list(self.containers)
        if self.waiting:
            self._next()
        elif process is not None:
            self._end(Phase.SUCCESSFUL, _last_line(process))

    def _next(self) -> None:
        self._forget()
        self.running, command, environment = self.waiting.pop(0)
        self.process = self.group.start(
            f"{self.name}.{self.running}", command, environment, lasting=False
        )

    def state(self) -> tuple[Phase, str]:
        """Running, or how it ended and the last line that it wrote."""
        try:
            self.advance()
        except ProcessError as error:
            raise ProviderError(str(error)) from None
        return self.ended or (Phase.RUNNING, "")

    def stop(self) -> None:
        """End what runs and start nothing more."""
        self._end(Phase.INCONCLUSIVE, "stopped")

    def _end(self, phase: Phase, message: str) -> None:
        self.waiting.clear()
        self._forget()
        self.ended = (phase, message)

    def _forget(self) -> None:
        if self.process is not None:
            self.group.stop(self.process)


@dataclass
class LocalJobs:
    """Runs the Jobs of one release's analyses. `documents` is the rendered overlay."""

    group: ProcessGroup
    folder: Path
    node: Node
    namespace: str
    documents: Sequence[Document]
    release: str
    jobs: list[LocalJob] = field(default_factory=list)

    def start(self, metric: str, manifest: Mapping[str, Any]) -> LocalJob:
        """Start a Job; ProviderError where this machine cannot run it."""
        name = f"{metric}-{self.release}-{len(self.jobs) + 1}"
        try:
            job = self._job(name, manifest["spec"])
            job.advance()
        except (PodError, ProcessError) as error:
            raise ProviderError(f"job {name}: {error}") from None
        self.jobs.append(job)
        return job

    def advance(self) -> None:
        """Let no Job wait for the gate's next look to go on to its next container."""
        for job in self.jobs:
            job.state()

    def _job(self, name: str, spec: Document) -> LocalJob:
        if spec.get("backoffLimit") != 0:
            raise PodError("a job that is tried again is not one that the play runs")
        pod = spec["template"]["spec"]
        volumes = make_volumes(pod, self.folder / name, self.node)
        containers = []
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            command, environment = container_command(
                container, volumes, self.namespace, self.documents, self.node.environment
            )
            containers.append((container["name"], command, environment))
        deadline = time.monotonic() + spec["activeDeadlineSeconds"]
        return LocalJob(name, self.group, containers, _ignored(spec), deadline)


def _ignored(spec: Document) -> dict[str, list[int]]:
    """Exit statuses by container at which the pod begins again instead of failing the Job."""
    rules = spec.get("podFailurePolicy", {}).get("rules", [])
    codes = [rule["onExitCodes"] for rule in rules if "onExitCodes" in rule]
    return {code["containerName"]: code["values"] for code in codes}


def _last_line(process: Process) -> str:
    return process.log_tail(1) or f"{process.name} ended with status {process.popen.returncode}"
