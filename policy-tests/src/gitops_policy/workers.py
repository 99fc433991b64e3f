"""Work shared among processes: results in the order of the tasks, a lost process is an error."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import BaseContext
    from multiprocessing.process import BaseProcess

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Lost:
    """Stands for the result of a task whose process ended before it answered."""

    reason: str


def cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def seldom_collecting() -> Iterator[None]:
    """Look for garbage cycles seldom: a run makes few, and each look costs a walk over all."""
    before = gc.get_threshold()
    gc.set_threshold(200_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def leave_quickly() -> None:
    """Hand memory back as it is when the process ends: nobody needs garbage found in it then."""
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)


def share(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    jobs: int,
    method: str | None = None,
) -> list[Result | Lost]:
    """Return what `work` returns for each task, worked out by `jobs` processes.

    `method` is how processes start; by default they fork, which hands `work` over for nothing,
    where nothing forbids it. Raises what `work` raises.
    """
    jobs = min(jobs, len(tasks))
    if jobs < 2:
        return [work(task) for task in tasks]
    crew = _Crew(work, tasks, method)
    gc.freeze()  # a collection in a child would copy every page of ours that it looks at
    try:
        crew.hire(jobs)
        return crew.answers()
    finally:
        crew.dismiss()
        gc.unfreeze()


def _context(method: str | None) -> BaseContext:
    """Return how to start processes: a fork copies no thread, so none may hold a lock now."""
    from multiprocessing import get_context

    single = sys.platform == "linux" and threading.active_count() == 1
    return get_context(method or ("fork" if single else "spawn"))


class _Crew(Generic[Task, Result]):
    """The processes, each with a pipe: a task goes down, its result comes up."""

    def __init__(
        self, work: Callable[[Task], Result], tasks: Sequence[Task], method: str | None
    ) -> None:
        self.work, self.tasks = work, tasks
        self.context = _context(method)
        self.processes: dict[Connection, BaseProcess] = {}

    def hire(self, jobs: int) -> None:
        for _ in range(jobs):
            ours, theirs = self.context.Pipe()
            forked = self.context.get_start_method() == "fork"
            # A child that keeps its siblings' pipes open would hide from them that we are gone.
            inherited = [*self.processes, ours] if forked else []
            arguments = (theirs, inherited, self.work, self.tasks)
            process = self.context.Process(target=_serve, args=arguments, daemon=True)  # type: ignore[attr-defined]
            process.start()
            theirs.close()
            self.processes[ours] = process

    def answers(self) -> list[Result | Lost]:
        from multiprocessing.connection import wait

        found: list[Result | Lost] = [Lost("no process was left to do it") for _ in self.tasks]
        waiting = iter(range(len(self.tasks)))
        busy: dict[Connection, int] = {}
        idle = list(self.processes)
        while True:
            for pipe in idle:
                if (number := next(waiting, None)) is not None:
                    busy[pipe] = number
                    with suppress(OSError):
                        pipe.send(number)
            if not busy:
                return found
            idle = []
            ready = set(wait(list(busy)))
            for pipe in [pipe for pipe in busy if pipe in ready]:
                number = busy.pop(pipe)
                found[number] = self._answer(pipe)
                if not isinstance(found[number], Lost):
                    idle.append(pipe)

    def _answer(self, pipe: Connection) -> Result | Lost:
        try:
            done, answer = pipe.recv()
        except (EOFError, OSError):
            process = self.processes[pipe]
            process.join()
            return Lost(f"its process ended {_ending(process.exitcode)}")
        if not done:
            raise answer
        result: Result = answer
        return result

    def dismiss(self) -> None:
        for pipe, process in self.processes.items():
            pipe.close()
            process.terminate()
        for process in self.processes.values():
            process.join()


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        return f"by signal {-code}"
    return f"with status {code}"


def _serve(
    pipe: Connection,
    inherited: Sequence[Connection],
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
) -> None:
    """Answer task numbers until nobody asks any more; an interrupt is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for other in inherited:
        other.close()
    with suppress(EOFError, OSError):
        while True:
            task = tasks[pipe.recv()]
            try:
                answer: tuple[bool, object] = (True, work(task))
            except Exception as error:
                answer = (False, error)
            pipe.send(answer)


def _end_with_parent() -> None:
    from multiprocessing import parent_process

    if parent := parent_process():
        parent.join()
        os._exit(1)
