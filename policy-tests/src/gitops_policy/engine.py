"""Running the rules over one build."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from gitops_policy.build import Build
from gitops_policy.config import Config
from gitops_policy.exemptions import Exemption, apply_exemptions
from gitops_policy.findings import Finding, Report, ResourceId, RuleError
from gitops_policy.model import Document, Problem, Resource
from gitops_policy.origins import origin_of
from gitops_policy.pods import Container, Pod
from gitops_policy.registry import BUILD, CONTAINERS, EVERY, EXEMPTIONS, PODS, Rule
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
    run = _Run(world)
    selected = settings.selected()
    for rule in selected:
        if rule.kinds != EXEMPTIONS:
            run.rule(rule)
    run.findings, exempted = apply_exemptions(world.exemptions, run.findings, world.today)
    for rule in selected:
        if rule.kinds == EXEMPTIONS:
            run.rule(rule)
    return Report(_ordered(run.findings), tuple(exempted), run.evaluated, tuple(run.errors))


def _document(item: Document | dict[str, Any]) -> Document:
    return item if isinstance(item, Document) else Document(item)


class _Run:
    """Collects what the rules say about one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.findings: list[Finding] = []
        self.errors: list[RuleError] = []
        self.evaluated: dict[str, int] = {}

    def rule(self, rule: Rule) -> None:
        """Call a rule with each of its subjects; a crash becomes an error of this rule."""
        seen = set()
        for subject in subjects(rule, self.world):
            resource = _resource(subject)
            seen.add(id(resource or subject))
            try:
                problems = list(rule.check(subject, self.world))
            except Exception as error:
                shown = f"{type(error).__name__}: {error}"
                identity = resource.id if resource else None
                self.errors.append(RuleError(rule.id, shown, identity))
            else:
                self.findings += [_finding(rule, problem, self.world) for problem in problems]
        self.evaluated[rule.id] = len(seen)


def _resource(subject: object) -> Resource | None:
    if isinstance(subject, Resource):
        return subject
    return subject.resource if isinstance(subject, Pod | Container | Exemption) else None


def subjects(rule: Rule, world: World) -> Iterator[Any]:
    """Yield what the rule's check is called with."""
    if rule.kinds == BUILD:
        yield world
    elif rule.kinds == EVERY:
        yield from world.index.resources
    elif rule.kinds == PODS:
        yield from world.pods
    elif rule.kinds == EXEMPTIONS:
        yield from world.exemptions
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
