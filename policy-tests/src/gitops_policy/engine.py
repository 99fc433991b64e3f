"""Running the rules over one build, as a whole or in parts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, TypeVar

from gitops_policy.config import Config
from gitops_policy.exemptions import Exemption, apply_exemptions
from gitops_policy.findings import Finding, Report, ResourceId, RuleError, Severity
from gitops_policy.model import Document, Problem, Resource
from gitops_policy.pods import Container, Pod
from gitops_policy.reading.build import Build
from gitops_policy.reading.origins import origin_of
from gitops_policy.registry import BUILD, CONTAINERS, EVERY, EXEMPTIONS, PODS, Rule
from gitops_policy.world import Workspace, World

SLICE = 200
Said = TypeVar("Said", Finding, RuleError)


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
    build = documents if isinstance(documents, Build) else Build(tuple(map(_document, documents)))
    evaluation = Evaluation(build, config or Config(), workspace)
    return evaluation.report(map(evaluation.run, evaluation.parts()))


def _document(item: Document | dict[str, Any]) -> Document:
    return item if isinstance(item, Document) else Document(item)


@dataclass(frozen=True, slots=True)
class Part:
    """A share of the work: the rules on a slice of the objects, or one rule on the whole build."""

    start: int = 0
    stop: int = 0
    rule: int | None = None


@dataclass(slots=True)
class Outcome:
    """What the rules said in one part; each finding and error with its rule's position."""

    findings: list[tuple[int, Finding]] = field(default_factory=list)
    errors: list[tuple[int, RuleError]] = field(default_factory=list)
    evaluated: Counter[int] = field(default_factory=Counter)

    def add(self, other: Outcome) -> None:
        """Append what another part says."""
        self.findings += other.findings
        self.errors += other.errors
        self.evaluated.update(other.evaluated)


class Evaluation:
    """The selected rules and one build; parts run in any order and in any process."""

    def __init__(self, build: Build, config: Config, workspace: Workspace | None) -> None:
        self.world = World(build, config, workspace)
        self.rules = config.selected()

    def __reduce__(self) -> tuple[type[Evaluation], tuple[Build, Config, Workspace | None]]:
        return Evaluation, (self.world.build, self.world.config, self.world.workspace)

    def parts(self) -> list[Part]:
        """Return the shares of the work, the same ones however many processes there are."""
        whole = [Part(rule=i) for i, rule in enumerate(self.rules) if rule.kinds == BUILD]
        number = len(self.world.index.resources)
        return whole + [Part(i, min(i + SLICE, number)) for i in range(0, number, SLICE)]

    def run(self, part: Part) -> Outcome:
        """Call the rules of one part; a crash becomes an error of its rule."""
        outcome = Outcome()
        if part.rule is not None:
            self._call(part.rule, [self.world], outcome)
            return outcome
        subjects = _Subjects(self.world, self.world.index.resources[part.start : part.stop])
        for position, rule in enumerate(self.rules):
            self._call(position, subjects.of(rule), outcome)
        return outcome

    def lost(self, part: Part, reason: str) -> Outcome:
        """Return what stands for a part whose process died: an error, lest it look clean."""
        rule = "" if part.rule is None else self.rules[part.rule].id
        where = f"objects {part.start + 1} to {part.stop}: " if part.rule is None else ""
        error = RuleError(rule or "(all rules)", f"{where}not checked: {reason}")
        return Outcome(errors=[(part.rule or 0, error)])

    def report(self, outcomes: Iterable[Outcome]) -> Report:
        """Put the outcomes of all parts together, in the order of the parts."""
        total = Outcome()
        for outcome in outcomes:
            total.add(outcome)
        world, found = self.world, _by_rule(total.findings)
        kept, exempted = apply_exemptions(world.exemptions, found, world.today)
        last = Outcome()
        for position, rule in enumerate(self.rules):
            if rule.kinds == EXEMPTIONS:
                self._call(position, world.exemptions, last)
        evaluated = total.evaluated + last.evaluated
        counts = {rule.id: evaluated[position] for position, rule in enumerate(self.rules)}
        errors = _by_rule(total.errors + last.errors)
        return Report(
            _ordered(kept + _by_rule(last.findings)), tuple(exempted), counts, tuple(errors)
        )

    def _call(self, position: int, subjects: Iterable[Any], outcome: Outcome) -> None:
        rule, seen = self.rules[position], set()
        for subject in subjects:
            resource = _resource(subject)
            seen.add(id(resource or subject))
            try:
                problems = list(rule.check(subject, self.world))
            except Exception as error:
                shown = f"{type(error).__name__}: {error}"
                identity = resource.id if resource else None
                outcome.errors.append((position, RuleError(rule.id, shown, identity)))
            else:
                for problem in problems:
                    outcome.findings.append((position, _finding(rule, problem, self.world)))
        outcome.evaluated[position] += len(seen)


class _Subjects:
    """What the rules look at in a slice of the objects, each kind of subject gathered once."""

    def __init__(self, world: World, resources: list[Resource]) -> None:
        pods = [pod for resource in resources for pod in world.templates_in(resource)]
        containers = [container for pod in pods for container in pod.containers]
        self.named: dict[str, list[Any]] = {EVERY: resources, PODS: pods, CONTAINERS: containers}
        self.by_kind: dict[str, list[Resource]] = defaultdict(list)
        for resource in resources:
            self.by_kind[resource.group_kind].append(resource)

    def of(self, rule: Rule) -> list[Any]:
        if isinstance(rule.kinds, str):
            return self.named.get(rule.kinds, [])
        return [resource for kind in rule.kinds for resource in self.by_kind.get(kind, ())]


def _resource(subject: object) -> Resource | None:
    if isinstance(subject, Resource):
        return subject
    return subject.resource if isinstance(subject, Pod | Container | Exemption) else None


def _finding(rule: Rule, problem: Problem, world: World) -> Finding:
    resource = problem.resource
    severity = rule.severity if problem.severity is None else problem.severity
    message = problem.message
    if rule.needs_whole and world.build.partial and not problem.certain:
        severity, message = min(severity, Severity.warning), f"{message} (in the linted files)"
    return Finding(
        rule=rule.id,
        severity=severity,
        resource=resource.id if resource else None,
        pointer=problem.pointer,
        message=message,
        fix=problem.fix,
        origin=problem.origin or origin_of(world.build, resource, problem.path),
        container=problem.container,
    )


def _by_rule(said: list[tuple[int, Said]]) -> list[Said]:
    return [what for _, what in sorted(said, key=itemgetter(0))]


def _ordered(findings: list[Finding]) -> tuple[Finding, ...]:
    empty = ResourceId("", "", "", "")
    return tuple(
        sorted(
            findings, key=lambda f: (-f.severity.rank, str(f.resource or empty), f.pointer, f.rule)
        )
    )
