"""Runbooks and dashboards: links into this repository lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gitops_policy.argo.applications import own_repositories
from gitops_policy.fields import mapping
from gitops_policy.model import Problem, Resource
from gitops_policy.prometheus.expressions import RULES, rule_items
from gitops_policy.registry import rule
from gitops_policy.world import Workspace, World, once

_LINKS = ("runbook_url", "runbook", "dashboard_url", "dashboard")
# Between a repository's address and a path in it, by forge.
_INSIDE = re.compile(r"/(?:-/)?(?:blob|tree|raw|src/branch|src)/[^/]+/")
_HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$")
_FENCE = re.compile(r"^ {0,3}(```|~~~)")


@rule(
    id="runbook-exists",
    title="A runbook in this repository exists, and so does its heading",
    severity="error",
    rationale="A page leads to a missing heading at the moment when somebody needs it.",
    references=["https://prometheus.io/docs/practices/alerting/"],
    kinds=[RULES],
    known_as=["pint:rule/link"],
)
def runbook_exists(resource: Resource, world: World) -> Iterator[Problem]:
    """runbook_url and dashboard_url that point into the repository name a file and an anchor."""
    workspace = world.workspace
    if workspace is None:
        return
    for item in rule_items(resource):
        for name in _LINKS:
            link = mapping(item.content, "annotations").get(name)
            flaw = _flaw(link, workspace, world) if isinstance(link, str) else ""
            if flaw:
                yield resource.problem(
                    (*item.path, "annotations", name), flaw, "correct the link, or write the page"
                )


def _flaw(link: str, workspace: Workspace, world: World) -> str:
    address = urlsplit(link)
    inside = _INSIDE.search(address.path)
    if not inside or "{{" in link:
        return ""
    repository = f"{address.scheme}://{address.netloc}{address.path[: inside.start()]}"
    place = unquote(address.path[inside.end() :])
    if not _ours(repository, place, workspace, world):
        return ""
    file = (workspace.root / place).resolve()
    if not file.is_relative_to(workspace.root.resolve()) or not file.exists():
        return f"there is no {place} in this repository"
    if address.fragment and file.suffix == ".md":
        known = anchors(file.read_text(encoding="utf-8", errors="replace"))
        if unquote(address.fragment) not in known:
            return f"{place} has no heading #{address.fragment}"
    return ""


def _ours(repository: str, place: str, workspace: Workspace, world: World) -> bool:
    """Say whether a link points here: by the Applications' repository, else by its folder."""
    own = _own(world)
    if own:
        return repository in own
    first = Path(place).parts[:1]
    return bool(first) and (workspace.root / first[0]).exists()


@once
def _own(world: World) -> set[str]:
    workspace = world.workspace
    build = workspace.build("apps") if workspace else None
    applications = World(build, world.config, workspace) if build is not None else world
    return {url.removesuffix(".git").rstrip("/") for url in own_repositories(applications)}


@lru_cache(maxsize=64)
def anchors(markdown: str) -> frozenset[str]:
    """Return the anchors of a Markdown file's headings, as forges write them."""
    found: dict[str, int] = {}
    fenced = ""
    for line in markdown.splitlines():
        if fence := _FENCE.match(line):
            fenced = "" if fenced == fence.group(1) else fenced or fence.group(1)
        elif not fenced and (heading := _HEADING.match(line)):
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.group(1)).lower()
            anchor = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
            found[anchor] = found.get(anchor, -1) + 1
    explicit = re.findall(r"<a\s+(?:id|name)=[\"']([^\"']+)", markdown)
    made = {
        f"{anchor}-{i}" if i else anchor for anchor, last in found.items() for i in range(last + 1)
    }
    return frozenset(made | set(explicit))
