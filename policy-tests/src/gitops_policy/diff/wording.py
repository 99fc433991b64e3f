"""Sentences that the text and the Markdown report share."""

from __future__ import annotations

import json
from collections import Counter
from difflib import unified_diff
from typing import Any

from gitops_policy.diff.changes import ABSENT
from gitops_policy.diff.compare import Edit, ObjectDiff
from gitops_policy.diff.report import Comparison, Radius
from gitops_policy.fields import text

LONG = 160
MOST_LINES = 20


def count(number: int, noun: str) -> str:
    """Return `1 object`, `2 objects`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def value(item: Any) -> str:
    """Return a value on one line, cut where it gets long."""
    if item is ABSENT:
        return "(none)"
    shown = item if isinstance(item, str) else json.dumps(item, default=str)
    shown = shown.replace("\n", "\\n")
    return shown if len(shown) <= LONG else f"{shown[:LONG]} ... ({len(shown)} characters)"


def is_block(edit: Edit) -> bool:
    """Say whether an edit changes a text of several lines."""
    sides = (edit.before, edit.after)
    return all(isinstance(s, str) for s in sides) and any("\n" in s for s in sides)


def block(edit: Edit) -> list[str]:
    """Return the lines that differ in a text of several lines."""
    before, after = str(edit.before).splitlines(), str(edit.after).splitlines()
    lines = [
        line
        for line in unified_diff(before, after, lineterm="", n=0)
        if not line.startswith(("---", "+++", "@@"))
    ]
    if not lines:
        return ["(only the line end at the end differs)"]
    more = len(lines) - MOST_LINES
    return [*lines[:MOST_LINES], *([f"... {count(more, 'more line')}"] if more > 0 else [])]


def arrow(edit: Edit) -> str:
    """Return the old and the new value of an edit."""
    before, after = value(edit.before), value(edit.after)
    return image_arrow(before, after) if edit.category == "image" else f"{before} -> {after}"


def images(comparison: Comparison) -> list[tuple[str, str, list[str]]]:
    """Return (old, new, where) for each image that another one follows, each once."""
    found: dict[tuple[str, str], Counter[str]] = {}
    for build, _, edit in comparison.edits("image"):
        key = value(edit.before), value(edit.after)
        found.setdefault(key, Counter())[build.name] += 1
    return [
        (*key, [f"{name} ({count(n, 'container')})" for name, n in places.items()])
        for key, places in found.items()
    ]


def image_arrow(before: str, after: str) -> str:
    """Return old and new image, their common repository written once."""
    repository, at, digest = before.partition("@")
    if at and after.startswith(repository + "@"):
        return f"{repository} {_short(digest)} -> {_short(after.partition('@')[2])}"
    name, colon, tag = before.rpartition(":")
    if colon and "/" not in tag and "@" not in after and after.startswith(name + ":"):
        return f"{name} {tag} -> {after[len(name) + 1 :]}"
    return f"{before} -> {after}"


def _short(digest: str) -> str:
    kind, _, digits = digest.partition(":")
    return f"{kind}:{digits[:12]}"


def reach(radius: Radius) -> str:
    """Return how many objects of an environment differ, and how."""
    parts = [
        f"{number} {status}"
        for number, status in (
            (radius.added, "added"),
            (radius.removed, "removed"),
            (radius.changed, "changed"),
        )
        if number
    ]
    return f"{count(radius.objects, 'object')} ({', '.join(parts)})" if parts else "no object"


def restarts(radius: Radius) -> str:
    """Return which pods restart in an environment."""
    if not radius.restarts:
        return "no pod restarts"
    shown = [f"{item.shown}: {item.restarts}" for item in radius.restarts]
    return "; ".join(shown)


def about(item: ObjectDiff) -> str:
    """Return what is worth saying of an object besides its fields."""
    notes = []
    if item.former_name:
        notes.append(f"{item.former_name} -> {item.resource.name}")
    if item.status == "added" and item.resource.kind == "Application":
        notes.append(text(item.resource.spec, "destination", "namespace"))
    return ", ".join(filter(None, notes))
