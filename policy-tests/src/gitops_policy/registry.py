"""The rules: one decorated generator function each."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from inspect import signature
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

from gitops_policy.findings import Severity
from gitops_policy.model import Problem
from gitops_policy.team_rules import (
    RuleLoadError,
    from_folders,
    load_entry_points,
    load_folder,
)

PODS = "pods"
CONTAINERS = "containers"
EVERY = "every object"
BUILD = "build"
EXEMPTIONS = "exemptions"

Check = Callable[..., Iterator[Problem]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: what it demands, why, of which subjects, and its names elsewhere.

    `kinds` is `PODS`, `CONTAINERS`, `EVERY`, `BUILD`, `EXEMPTIONS` or a tuple of `group/Kind`; it
    decides what the check is called with: a Pod, a Container, a Resource, the World once, or, when
    all other rules have run, an Exemption. `module` is where it was written, `doc` what it says
    there.
    """

    id: str
    title: str
    severity: Severity
    rationale: str
    references: tuple[str, ...]
    kinds: str | tuple[str, ...]
    known_as: tuple[str, ...]
    default: bool
    check: Check
    module: str = ""
    doc: str = ""
    by_name_only: bool = False
    needs_whole: bool = False

    @property
    def concern(self) -> str:
        """What the rule is about, in words: `area: module` here, else the name of its module."""
        ours = self.module.startswith(f"{_PACKAGE.__name__}.")
        names = self.module.split(".")[-2 if ours else -1 :]
        return ": ".join(dict.fromkeys(name.replace("_", " ") for name in names))

    def at(self, severity: Severity) -> Rule:
        """Return this rule with another severity, whatever its check says."""

        def check(subject: Any, world: Any) -> Iterator[Problem]:
            for problem in self.check(subject, world):
                yield replace(problem, severity=severity)

        return replace(self, severity=severity, check=check, needs_whole=False)


# Imported here so that the function `gitops_policy.rules` is bound after the package of that name.
_PACKAGE = import_module("gitops_policy.rules")
_RULES: dict[str, Rule] = {}


def rule(
    *,
    id: str,  # noqa: A002
    title: str,
    severity: str,
    rationale: str,
    references: Iterable[str],
    kinds: str | Iterable[str],
    known_as: str | Iterable[str] = "",
    default: bool = True,
    by_name_only: bool = False,
    needs_whole: bool = False,
) -> Callable[[Check], Check]:
    """Register the decorated generator function as a rule.

    The function takes (subject) or (subject, world) and yields `Problem`s, which
    `subject.problem(...)` makes.
    `known_as` holds names in other tools, `tool:name`, separated by spaces. `default=False`
    leaves the rule out unless the profile is `strict` or a setting names it; `by_name_only`
    leaves it out of `strict` too, such as one of two rules that contradict each other.
    `needs_whole`: it misses something that may stand in a file that was not linted; over plain
    files its findings are warnings at most, and say so.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", id) or len(id) > 50:
        raise ValueError(f"rule id {id!r} must be kebab-case, at most 50 characters")
    if id in _RULES:
        raise ValueError(f"rule id {id!r} is taken")

    def register(check: Check) -> Check:
        _RULES[id] = Rule(
            id=id,
            title=title,
            severity=Severity[severity],
            rationale=rationale,
            references=tuple(references),
            kinds=kinds if isinstance(kinds, str) else tuple(kinds),
            known_as=tuple(known_as.split() if isinstance(known_as, str) else known_as),
            default=default and not by_name_only,
            by_name_only=by_name_only,
            needs_whole=needs_whole,
            check=check if _takes_world(check) else _without_world(check),
            module=check.__module__,
            doc=(check.__doc__ or "").strip(),
        )
        return check

    return register


def _takes_world(check: Check) -> bool:
    code = getattr(check, "__code__", None)
    if code is None or hasattr(check, "__wrapped__"):
        return len(signature(check).parameters) > 1
    return bool(code.co_argcount > 1)


def _without_world(check: Check) -> Check:
    def call(subject: Any, _world: Any) -> Iterator[Problem]:
        return check(subject)

    return call


def rules(*folders: Path) -> tuple[Rule, ...]:
    """Return every known rule in the order of its id; imports the rule modules on first use.

    `folders` hold further rules, one module each. Raises RuleLoadError for one that fails.
    """
    _import_own()
    try:
        wanted = {name for folder in folders for name in load_folder(folder)}
    except RuleLoadError:
        for known in [known for known in _RULES.values() if known.module not in sys.modules]:
            del _RULES[known.id]
        raise
    others = from_folders() - wanted
    return tuple(_RULES[name] for name in sorted(_RULES) if _RULES[name].module not in others)


@cache
def _import_own() -> None:
    for module in walk_packages(_PACKAGE.__path__, f"{_PACKAGE.__name__}."):
        import_module(module.name)
    load_entry_points()


def named(name: str, known: Iterable[Rule]) -> tuple[Rule, ...]:
    """Return the rules that a name means: an id, `tool:name`, or a tool's name alone."""
    everything = tuple(known)
    exact = tuple(rule for rule in everything if rule.id == name)
    if exact:
        return exact
    wanted = name.lower()
    return tuple(
        rule
        for rule in everything
        if any(wanted in (n.lower(), n.lower().partition(":")[2]) for n in rule.known_as)
    )


def close_to(name: str, known: Iterable[Rule]) -> list[str]:
    """Return the ids and foreign names that look like a name nobody answers to, best first."""
    from difflib import get_close_matches

    names = {n for rule in known for n in (rule.id, *rule.known_as)}
    by_lower = {n.lower(): n for n in sorted(names)}
    return [by_lower[n] for n in get_close_matches(name.lower(), by_lower, n=3, cutoff=0.6)]
