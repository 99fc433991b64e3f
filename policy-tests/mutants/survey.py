"""Applying the operators to what is delivered, and seeing what the suite says."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path

from gitops_policy.config import Config
from gitops_policy.config_file import read_config
from gitops_policy.diff.findings import news
from gitops_policy.diff.renders import Rendered
from gitops_policy.engine import lint
from gitops_policy.findings import Report, Severity
from gitops_policy.reading.build import Build, build_kustomization
from gitops_policy.world import Workspace

# Imported for the operators that they register.
from mutants import (  # noqa: F401
    applications,
    gates,
    hardening,
    monitoring,
    networking,
    placement,
    releases,
    routing,
    scaling,
    serving,
    workloads,
)
from mutants.mutation import OPERATORS, Mutant, apply, mutants

ROOT = Path(__file__).resolve().parents[2]
APPS = "apps"
FOLDERS = (
    "overlays/dev/inference",
    "overlays/staging/inference",
    "overlays/production/inference",
    APPS,
    "argocd",
)
THOROUGH = "overlays/production/inference"
SEED = 20261121


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the suite said of one mutant: the rules with new findings, and those that crashed."""

    mutant: str
    operator: str
    rules: tuple[str, ...]
    crashed: tuple[str, ...] = ()

    @property
    def caught(self) -> bool:
        """Whether a rule has something new to say."""
        return bool(self.rules)


@cache
def config() -> Config:
    """Return this repository's own settings."""
    return Config(**read_config(ROOT / ".gitops-policy.yaml"))


@cache
def builds() -> dict[str, Build]:
    """Return what is delivered, rendered once, by folder."""
    return {folder: build_kustomization(ROOT / folder) for folder in FOLDERS}


@cache
def all_mutants() -> tuple[tuple[str, Mutant], ...]:
    """Return the mutants with the folder of their build.

    Production is broken at every place; elsewhere one place of an object stands for the others.
    An object that two builds render alike is broken once.
    """
    found: dict[str, tuple[str, Mutant]] = {}
    seen = set()
    for folder, build in builds().items():
        for mutant in mutants(build, folder.removeprefix("overlays/")):
            resource = mutant.mutation.resource
            one = f"{mutant.operator} {resource.id} {mutant.mutation.variant}"
            key = mutant.id if folder == THOROUGH else one
            if key not in seen:
                seen.add(key)
                found[mutant.id] = (folder, mutant)
    # Mutants of one operator stand together: `judge` remembers what caught the last one.
    order = list(OPERATORS)
    return tuple(sorted(found.values(), key=lambda one: order.index(one[1].operator)))


def sample(share: float) -> list[str]:
    """Return the ids of a share of the mutants, the same ones each time."""
    ids = [mutant.id for _, mutant in all_mutants()]
    chosen = set(random.Random(SEED).sample(ids, round(len(ids) * share)))  # noqa: S311
    return [one for one in ids if one in chosen]


def survey(ids: Iterable[str] | None = None, jobs: int = 1) -> Iterator[Verdict]:
    """Yield a verdict for each mutant, or for those named."""
    wanted = [mutant.id for _, mutant in all_mutants()] if ids is None else list(ids)
    base(FOLDERS[0])
    if jobs == 1:
        yield from map(judge, wanted)
        return
    # Forked: the workers share the renders that were made above.
    with ProcessPoolExecutor(jobs, get_context("fork")) as pool:
        yield from pool.map(judge, wanted, chunksize=40)


def judge(id: str) -> Verdict:  # noqa: A002
    """Say what the suite finds in one mutant.

    The rules that caught the last mutant of this operator are asked alone first: most are caught
    by the same ones again, and one rule costs little.
    """
    folder, mutant = _by_id()[id]
    build = apply(builds()[folder], mutant)
    workspace = Workspace(ROOT)
    for other, one in builds().items():
        workspace.add(build if other == folder else one)
    hint = _LAST.get(mutant.operator, ())
    for settings in ([replace(config(), only=hint)] if hint else []) + [config()]:
        verdict = _judged(id, folder, build, workspace, settings)
        if verdict.caught:
            break
    if verdict.caught:
        _LAST[mutant.operator] = verdict.rules
    return verdict


_LAST: dict[str, tuple[str, ...]] = {}


def _judged(
    id: str,  # noqa: A002
    folder: str,
    build: Build,
    workspace: Workspace,
    settings: Config,
) -> Verdict:
    """Lint a mutant, and the Applications beside it where its own build says nothing new."""
    reports = {folder: lint(build, settings, workspace=workspace)}
    rules = _new(folder, build, reports[folder])
    if not rules and folder != APPS:
        reports[APPS] = lint(builds()[APPS], settings, workspace=workspace)
        rules = _new(APPS, builds()[APPS], reports[APPS])
    crashed = {error.rule for report in reports.values() for error in report.errors}
    return Verdict(id, _by_id()[id][1].operator, rules, tuple(sorted(crashed)))


@cache
def _by_id() -> dict[str, tuple[str, Mutant]]:
    return {mutant.id: (folder, mutant) for folder, mutant in all_mutants()}


@cache
def base(folder: str) -> Rendered:
    """Return what the suite says of a build as it is delivered."""
    workspace = Workspace(ROOT)
    for one in builds().values():
        workspace.add(one)
    build = builds()[folder]
    return Rendered(build, lint(build, config(), workspace=workspace))


def _new(folder: str, build: Build, report: Report) -> tuple[str, ...]:
    found = news(base(folder), Rendered(build, report)).new
    return tuple(sorted({f.rule for f in found if f.severity >= Severity.warning}))
