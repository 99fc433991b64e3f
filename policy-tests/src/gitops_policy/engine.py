"""Running the rules over one build."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from gitops_policy.build import Build
from gitops_policy.config import Config
from gitops_policy.exemptions import apply_exemptions
from gitops_policy.findings import Finding, Report, ResourceId, RuleError
from gitops_policy.model import Document, Problem
from gitops_policy.origins import origin_of
from gitops_policy.registry import BUILD, CONTAINERS, EVERY, PODS, Rule, rules
from gitops_policy.world import Workspace, World


def lint(
    documents: Build | Iterable[Document | dict[str, Any]],
    config: Config | None = None,
    *,
    workspace: Workspace | None = None,
) -> Report:
    """Check the objects of one build.

    `documents` are plain dicts, Documents with their origin, or a Build. A rule that crashes is
    reported in `errors` and the others still run. Raises ConfigError for an unknown rule name.
    """
    settings = config or Config()
    build = documents if isinstance(documents, Build) else Build(tuple(map(_document, documents)))
    world = World(build, settings, workspace)
    findings: list[Finding] = []
    errors: list[RuleError] = []
    evaluated: dict[str, int] = {}
    selected = settings.selected(rules())
    for rule in selected:
        evaluated[rule.id] = _run(rule, world, findings, errors)
    kept, exempted = apply_exemptions(findings)
    return Report(_ordered(kept), tuple(exempted), evaluated, tuple(errors))


def _document(item: Document | dict[str, Any]) -> Document:
    return item if isinstance(item, Document) else Document(item)


def _run(rule: Rule, world: World, findings: list[Finding], errors: list[RuleError]) -> int:
    seen = set()
    for subject in subjects(rule, world):
        resource = getattr(subject, "resource", None if subject is world else subject)
        seen.add(id(resource))
        try:
            findings.extend(
                _finding(rule, problem, world) for problem in rule.check(subject, world)
            )
        except Exception as error:
            shown = f"{type(error).__name__}: {error}"
            errors.append(RuleError(rule.id, shown, resource.id if resource else None))
    return len(seen)


def subjects(rule: Rule, world: World) -> Iterator[Any]:
    """Yield what the rule's check is called with."""
    if rule.kinds == BUILD:
        yield world
    elif rule.kinds == EVERY:
        yield from world.index.resources
    elif rule.kinds == PODS:
        yield from world.pods
    elif rule.kinds == CONTAINERS:
        yield from world.containers
    else:
        yield from world.index.of_kind(*rule.kinds)


def _finding(rule: Rule, problem: Problem, world: World) -> Finding:
    resource = problem.resource
    return Finding(
        rule=rule.id,
        severity=rule.severity if problem.severity is None else problem.severity,
        resource=resource.id if resource else None,
        pointer=problem.pointer,
        message=problem.message,
        fix=problem.fix,
        origin=problem.origin or origin_of(world.build, resource, problem.path),
        container=problem.container,
    )


def _ordered(findings: list[Finding]) -> tuple[Finding, ...]:
    empty = ResourceId("", "", "", "")
    return tuple(
        sorted(findings, key=lambda f: (-f.severity, str(f.resource or empty), f.pointer, f.rule))
    )
