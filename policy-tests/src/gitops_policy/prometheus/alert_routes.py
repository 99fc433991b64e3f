"""Alertmanager: which receivers the routes of an AlertmanagerConfig give an alert to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gitops_policy.fields import Path, entries, mapping, text
from gitops_policy.model import Resource
from gitops_policy.notations.patterns import matches_whole

ALERTMANAGER_CONFIG = "monitoring.coreos.com/AlertmanagerConfig"
_DEEPEST = 50


def receivers(config: Resource) -> dict[str, bool]:
    """Return the receivers by name, each with whether it sends anything anywhere."""
    return {
        text(item, "name"): any(value for key, value in item.items() if key.endswith("Configs"))
        for _, item in entries(config.spec, "receivers")
    }


def routes(config: Resource) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Yield every route of a configuration with its path, parents first."""
    root = mapping(config.spec, "route")
    waiting: list[tuple[Path, Any, int]] = [(("spec", "route"), root, 0)] if root else []
    while waiting:
        path, route, depth = waiting.pop(0)
        yield path, route
        if depth < _DEEPEST:
            waiting += [((*path, "routes", i), r, depth + 1) for i, r in entries(route, "routes")]


def receivers_of(config: Resource, labels: Mapping[str, str]) -> list[str] | None:
    """Return the receivers that get an alert; None where its labels decide at run time.

    `labels` are those that are known before it fires.
    """
    root = mapping(config.spec, "route")
    found: list[str] = []
    return found if _walk(root, labels, text(root, "receiver"), found, 0) is not None else None


def _walk(
    route: Mapping[str, Any], labels: Mapping[str, str], receiver: str, found: list[str], depth: int
) -> bool | None:
    """Add the receivers below a route; None where a matcher reads a label that is not known."""
    taken = False
    for _, child in entries(route, "routes") if depth < _DEEPEST else ():
        fits = _fits(child, labels)
        if fits is None:
            return None
        if not fits:
            continue
        taken = True
        below = _walk(child, labels, text(child, "receiver") or receiver, found, depth + 1)
        if below is None:
            return None
        if child.get("continue") is not True:
            break
    if not taken:
        found.append(receiver)
    return True


def _fits(route: Mapping[str, Any], labels: Mapping[str, str]) -> bool | None:
    verdicts = [_matches(matcher, labels) for _, matcher in entries(route, "matchers")]
    if False in verdicts:
        return False
    return None if None in verdicts else True


def _matches(matcher: Mapping[str, Any], labels: Mapping[str, str]) -> bool | None:
    name, value = text(matcher, "name"), text(matcher, "value")
    operator = text(matcher, "matchType") or ("=~" if matcher.get("regex") is True else "=")
    if name not in labels:
        return None
    regular = operator in ("=~", "!~")
    hit = matches_whole(value, labels[name]) if regular else labels[name] == value
    return None if hit is None else hit is not operator.startswith("!")
