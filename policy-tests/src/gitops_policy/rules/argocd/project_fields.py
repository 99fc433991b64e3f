"""AppProjects that Argo CD accepts: nothing twice, and windows that can open."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitops_policy.fields import Path, entries, field, sequence, text
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule

_PROJECT = ["argoproj.io/AppProject"]
_DOCS = "https://argo-cd.readthedocs.io/en/stable/user-guide/projects/"
_WINDOWS = "https://argo-cd.readthedocs.io/en/stable/user-guide/sync_windows/"
_DURATION = re.compile(r"([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+")
_POLICY = re.compile(r"\s*p\s*,\s*proj:([^:,\s]+):([^,\s]+)\s*,(\s*[^,]+\s*,){3}\s*(allow|deny)\s*")


@rule(
    id="project-valid",
    title="An AppProject is one that Argo CD accepts",
    severity="error",
    rationale="Argo CD refuses the whole project: its Applications stop syncing.",
    references=[_DOCS],
    kinds=_PROJECT,
)
def project_valid(project: Resource) -> Iterator[Problem]:
    """No entry of a list stands twice, no pattern is `!*`, roles have well-formed policies."""
    for name in ("sourceRepos", "sourceNamespaces"):
        items = [str(item) for item in sequence(project.spec, name)]
        yield from _twice(project, ("spec", name), items)
    destinations = [
        f"{text(item, 'server') or text(item, 'name')}/{text(item, 'namespace')}"
        for _, item in entries(project.spec, "destinations")
    ]
    yield from _twice(project, ("spec", "destinations"), destinations)
    roles = entries(project.spec, "roles")
    yield from _twice(project, ("spec", "roles"), [text(role, "name") for _, role in roles])
    for i, role in roles:
        path: Path = ("spec", "roles", i, "policies")
        policies = [str(item) for item in sequence(role, "policies")]
        yield from _twice(project, path, policies)
        for j, policy in enumerate(policies):
            match = _POLICY.fullmatch(policy)
            if match is None or match.groups()[:2] != (project.name, text(role, "name")):
                yield project.problem(
                    (*path, j),
                    "it is no policy of this project's role",
                    "write p, proj:PROJECT:ROLE, applications, get, PROJECT/*, allow",
                )


def _twice(project: Resource, path: Path, items: list[str]) -> Iterator[Problem]:
    for i, item in enumerate(items):
        if item in items[:i]:
            yield project.problem((*path, i), f"{item!r} stands there twice", "keep one")
        elif item == "!*" or (path[-1] == "destinations" and "!*" in item.split("/")):
            yield project.problem((*path, i), "`!*` refuses everything", "name what is refused")


@rule(
    id="sync-window-valid",
    title="A sync window can open",
    severity="error",
    rationale="Argo CD refuses a project with a wrong window, or the window never opens.",
    references=[_WINDOWS],
    kinds=_PROJECT,
)
def sync_window_valid(project: Resource) -> Iterator[Problem]:
    """Kind, schedule and duration are well-formed, and the window is about something."""
    for i, window in entries(project.spec, "syncWindows"):
        path: Path = ("spec", "syncWindows", i)
        if text(window, "kind") not in ("allow", "deny"):
            yield project.problem((*path, "kind"), "it is neither allow nor deny", "correct it")
        if len(text(window, "schedule").split()) != 5:
            yield project.problem((*path, "schedule"), "it is no cron schedule", "write 5 fields")
        if not _DURATION.fullmatch(text(window, "duration")):
            yield project.problem((*path, "duration"), "it is no duration", "write 8h or 30m")
        names = ("applications", "namespaces", "clusters")
        if not any(field(window, name) for name in names):
            yield project.problem(path, "it is about nothing", f"name one of {', '.join(names)}")
