"""One JSON file for each test: what was expected, what was seen, how it ended."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2e.scenarios.environment import Environment

LOG_LINES = 60


@dataclass
class Evidence:
    """Of one test. `note` adds a figure to its line in the report."""

    test: str
    title: str
    began: float = field(default_factory=time.time)
    notes: dict[str, str] = field(default_factory=dict)
    marks: list[tuple[float, str]] = field(default_factory=list)
    environments: list[Environment] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    outcome: str = "passed"
    failure: str = ""
    seconds: dict[str, float] = field(default_factory=dict)

    def note(self, what: str, value: object) -> None:
        """A figure that the test measured."""
        self.notes[what] = str(value)

    def mark(self, what: str, at: float | None = None) -> None:
        """A moment that the timeline shows, as `commit` or `verdict`."""
        self.marks.append((time.time() if at is None else at, what))

    def fail(self, failure: str, logs: Callable[[], dict[str, str]]) -> None:
        """The test failed: why, and what the parts wrote last."""
        if self.outcome == "passed":
            self.outcome, self.failure, self.logs = "failed", failure, logs()

    def write(self, folder: Path) -> Path:
        """Write `<folder>/<test>.json`, renamed into place."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{file_name(self.test)}.json"
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.content(), indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)
        return path

    def content(self) -> dict[str, Any]:
        """The file's content."""
        return {
            "test": self.test,
            "title": self.title,
            "outcome": self.outcome,
            "began": self.began,
            "ended": time.time(),
            "seconds": self.seconds,
            "notes": self.notes,
            "marks": sorted(self.marks),
            "failure": self.failure,
            "logs": self.logs,
            "environments": [_environment(each) for each in self.environments],
        }


def file_name(test: str) -> str:
    """A test's id as the name of a file."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", test).strip("-")


def _environment(environment: Environment) -> dict[str, Any]:
    return {
        "namespace": environment.namespace,
        "template": environment.template,
        "changes": [[c.at, c.subject, c.value] for c in environment.timeline.changes()],
        "requests": [row for each in environment.traffics for row in each.per_second()],
        "postponed": sum(each.postponed for each in environment.traffics),
        "watch-errors": environment.watch.errors[-20:],
    }
