"""Analyses: who asks which AnalysisTemplates, with which arguments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from gitops_policy.fields import Path, entries, field, mapping, sequence, text
from gitops_policy.model import Resource
from gitops_policy.notations import promql
from gitops_policy.world import World

TEMPLATE = "argoproj.io/AnalysisTemplate"
CLUSTER_TEMPLATE = "argoproj.io/ClusterAnalysisTemplate"
ARGUMENT = re.compile(r"\{\{\s*args\.([A-Za-z0-9_.-]+)\s*\}\}")
# Stands for the value of an argument that only a run knows.
UNKNOWN = "unknown_until_run"
_LIKELY = ("1", "5m", "x")


@dataclass(frozen=True, slots=True)
class Analysis:
    """One analysis that a Rollout asks for; `path` leads to it, `templates` to its names.

    `inline` analyses hold the release up, background ones run beside it.
    """

    rollout: Resource
    path: Path
    content: Mapping[str, Any]
    inline: bool

    @property
    def references(self) -> list[tuple[Path, str, bool]]:
        """The path, name and cluster scope of each template it names."""
        if "templateName" in self.content:
            return [((*self.path, "templateName"), *_named(self.content))]
        return [
            ((*self.path, "templates", i, "templateName"), *_named(item))
            for i, item in entries(self.content, "templates")
        ]

    @property
    def arguments(self) -> list[tuple[int, dict[str, Any]]]:
        """The supplied arguments with their positions."""
        return entries(self.content, "args")

    def templates(self, world: World) -> list[Resource]:
        """Return every template it runs, nested ones included."""
        names = [(name, cluster) for _, name, cluster in self.references]
        return resolve(names, self.rollout.namespace, world)


def _named(item: Mapping[str, Any]) -> tuple[str, bool]:
    return text(item, "templateName"), item.get("clusterScope") is True


def find(name: str, cluster: bool, namespace: str, world: World) -> Resource | None:
    """Return a template by name and scope."""
    if cluster:
        return world.index.get(CLUSTER_TEMPLATE, "", name)
    return world.index.get(TEMPLATE, namespace, name)


def resolve(names: Iterable[tuple[str, bool]], namespace: str, world: World) -> list[Resource]:
    """Return the templates with these names and scopes, and those they refer to; each once."""
    found: dict[tuple[str, bool], Resource] = {}
    waiting = list(names)
    while waiting:
        name, cluster = waiting.pop(0)
        template = find(name, cluster, namespace, world)
        if template is not None and (name, cluster) not in found:
            found[(name, cluster)] = template
            waiting += [_named(item) for _, item in entries(template.spec, "templates")]
    return list(found.values())


def analyses(rollout: Resource) -> Iterator[Analysis]:
    """Yield the analyses of a Rollout: background, inline, around a switch, in experiments."""
    strategy: Path = ("spec", "strategy")
    places: list[tuple[Path, bool]] = [((*strategy, "canary", "analysis"), False)]
    places += [
        ((*strategy, "blueGreen", name), True)
        for name in ("prePromotionAnalysis", "postPromotionAnalysis")
    ]
    for i, step in entries(rollout.content, *strategy, "canary", "steps"):
        base = (*strategy, "canary", "steps", i)
        places.append(((*base, "analysis"), True))
        places += [
            ((*base, "experiment", "analyses", j), True)
            for j, _ in entries(step, "experiment", "analyses")
        ]
    for path, inline in places:
        if content := mapping(rollout.content, *path):
            yield Analysis(rollout, path, content, inline)


def declared(template: Resource) -> dict[str, dict[str, Any]]:
    """Return the arguments that a template declares, by name."""
    return {text(item, "name"): item for _, item in entries(template.spec, "args")}


def has_value(argument: Mapping[str, Any]) -> bool:
    """Say whether an argument has a value or a source of one."""
    return "value" in argument or bool(mapping(argument, "valueFrom"))


def used(value: object, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield the place and name of every `{{args.name}}` inside a value."""
    if isinstance(value, str):
        for match in ARGUMENT.finditer(value):
            yield path, match.group(1)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from used(item, (*path, key))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from used(item, (*path, i))


def substituted(template: Resource, value: object) -> Iterator[str]:
    """Yield a text with its arguments filled in: defaults, and likely values where there are none.

    A query is right if one of the variants is.
    """
    known = {
        name: str(item["value"]) for name, item in declared(template).items() if "value" in item
    }
    query = str(value)
    yield _by_place(query, known)
    for guess in _LIKELY:
        yield ARGUMENT.sub(partial(_value, known, guess), query)


def _by_place(query: str, known: Mapping[str, str]) -> str:
    """Fill in what fits the place: text in quotes, a long time in brackets, else NaN."""
    quoted = [found.span() for found in promql.QUOTED.finditer(query)]

    def fill(match: re.Match[str]) -> str:
        if match.group(1) in known:
            return known[match.group(1)]
        if any(start < match.start() < end for start, end in quoted):
            return UNKNOWN
        return "1d" if promql.wants_duration(query[: match.start()]) else "NaN"

    return ARGUMENT.sub(fill, query)


def _value(known: Mapping[str, str], guess: str, match: re.Match[str]) -> str:
    return known.get(match.group(1), guess)


def whole_number(template: Resource, value: object) -> int | None:
    """Read a number of a metric, through an argument's default; None where it is unknown."""
    filled = next(iter(substituted(template, value)))
    unknown = any("value" not in declared(template).get(name, {}) for _, name in used(value))
    return int(filled) if not unknown and re.fullmatch(r"-?\d+", filled) else None


def prometheus_metrics(template: Resource) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the metrics that ask Prometheus, with their paths."""
    for i, metric in entries(template.spec, "metrics"):
        if field(metric, "provider", "prometheus") is not None:
            yield ("spec", "metrics", i), metric


def steps(rollout: Resource) -> list[Any]:
    """Return the canary steps of a Rollout."""
    return sequence(rollout.spec, "strategy", "canary", "steps")
