"""A run over paths: what there is to build, and a report for each build."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from errno import ENAMETOOLONG
from functools import partial
from os.path import commonpath
from pathlib import Path

from gitops_policy.config import Config
from gitops_policy.engine import Evaluation, Outcome, Part, lint
from gitops_policy.findings import Report
from gitops_policy.reading.build import (
    Build,
    build_files,
    build_folder,
    build_many,
    build_sources,
    is_kustomization,
    repository,
    unrendered,
)
from gitops_policy.reading.discovery import contents
from gitops_policy.reading.kustomization import Tree, shown
from gitops_policy.reading.manifests import ManifestError, read_text
from gitops_policy.workers import Lost, cores, share
from gitops_policy.world import Workspace

RELEASE_RULE = "release-env"
_OBJECTS_PER_JOB = 300


def check(
    paths: Iterable[str], config: Config, *, jobs: int | None = None
) -> tuple[dict[str, Report], list[ManifestError]]:
    """Lint everything under `paths`; returns a report per build and what could not be read.

    `jobs` is the number of processes, None for as many as help; the result does not depend on it.
    """
    reports: dict[str, Report] = {}
    failures: list[ManifestError] = []
    workspaces: dict[Path, Workspace] = {}
    evaluations: dict[str, Evaluation] = {}
    for build, root in _builds(paths):
        if isinstance(build, ManifestError):
            found = release_findings(build, config)
            overlay = unrendered(build)
            if overlay and found.findings:
                reports[overlay.name] = found
            else:
                failures.append(build)
            continue
        workspace = workspaces.setdefault(root, Workspace(root))
        workspace.add(build)
        name = str(build.path) if build.name in reports else build.name
        evaluations[name] = Evaluation(build, config, workspace)
        reports[name] = Report()  # keeps the place among the others
    reports.update(_evaluated(evaluations, jobs))
    return reports, failures


def _evaluated(evaluations: dict[str, Evaluation], jobs: int | None) -> dict[str, Report]:
    tasks = [(name, part) for name, found in evaluations.items() for part in found.parts()]
    objects = sum(len(found.world.index.resources) for found in evaluations.values())
    answers = share(partial(_run, evaluations), tasks, jobs or _useful_jobs(objects))
    outcomes: dict[str, list[Outcome]] = {name: [] for name in evaluations}
    for (name, part), answer in zip(tasks, answers, strict=True):
        outcomes[name].append(_outcome(evaluations[name], part, answer))
    return {name: found.report(outcomes[name]) for name, found in evaluations.items()}


def _run(evaluations: dict[str, Evaluation], task: tuple[str, Part]) -> Outcome:
    name, part = task
    return evaluations[name].run(part)


def _outcome(evaluation: Evaluation, part: Part, answer: Outcome | Lost) -> Outcome:
    return evaluation.lost(part, answer.reason) if isinstance(answer, Lost) else answer


def _useful_jobs(objects: int) -> int:
    """Return how many processes pay: a start costs as much as some hundred objects."""
    return min(cores(), 1 + objects // _OBJECTS_PER_JOB)


def release_findings(error: ManifestError, config: Config) -> Report:
    """Return the findings in the release file that is why an overlay does not render, if it is."""
    build = unrendered(error)
    if build is None or not any(rule.id == RELEASE_RULE for rule in config.selected()):
        return Report()
    return lint(build, replace(config, only=(RELEASE_RULE,), skip=()))


def refuse_impossible(names: Iterable[str]) -> None:
    """Raise ManifestError for a name that no file can have."""
    for name in names:
        try:
            Path(name).resolve().lstat()
        except RuntimeError:
            raise ManifestError("cannot be read: links in a circle", name) from None
        except ValueError as error:
            raise ManifestError(f"is no path: {error}", ascii(name)) from None
        except OSError as error:
            if error.errno == ENAMETOOLONG:
                raise ManifestError("is no path: too long", f"{name[:40]}...") from None


def _builds(paths: Iterable[str]) -> Iterator[tuple[Build | ManifestError, Path]]:
    folders: list[Path] = []
    alone: list[Path] = []
    loose: list[tuple[str, list[Path]]] = []
    for path in map(Path, paths):
        if str(path) == "-":
            yield _standard_input(), Path.cwd()
        elif is_kustomization(path):
            folders.append(path)
        elif path.is_dir():
            found = contents(path)
            folders += found.kustomizations
            if found.files or not found.kustomizations:
                loose.append((str(path), found.files))
        else:
            alone.append(path)
    for folder, rendered in zip(folders, build_many(folders), strict=True):
        yield rendered, repository(folder)
    for name, files in loose:
        for outcome in _loose(name, files):
            yield outcome, repository(Path(name))
    yield from _named(alone)


def _loose(name: str, files: list[Path]) -> Iterator[Build | ManifestError]:
    """Yield the errors of files of a folder that cannot be read, and one build of the others."""
    if not files:
        yield ManifestError("no manifests in this folder", shown(Path(name)))
        return
    build, failures = build_folder(files, name)
    yield from failures
    if build.documents or build.foreign or not failures:
        yield build


def _by_repository(files: Iterable[Path]) -> dict[Path, list[Path]]:
    """Return files by the root around them; for those outside of any, the folder they share."""
    found: dict[Path, list[Path]] = {}
    outside: list[Path] = []
    for path, file in {file.resolve(): file for file in files}.items():
        root = repository(file)
        (outside if root == path else found.setdefault(root, [])).append(file)
    if outside:
        shared = Path(commonpath([file.resolve().parent for file in outside]))
        found.setdefault(shared, []).extend(outside)
    return found


def _named(named: Iterable[Path]) -> Iterator[tuple[Build | ManifestError, Path]]:
    """Yield the errors of files that cannot be read, and one build of all others together."""
    for root, files in _by_repository(named).items():
        parts: list[Build] = []
        for file in files:
            try:
                parts.append(build_files([file], str(file)))
            except ManifestError as error:
                yield error, root
        if parts:
            yield _joined(parts), root


def _joined(parts: list[Build]) -> Build:
    if len(parts) == 1:
        return parts[0]
    documents = tuple(document for part in parts for document in part.documents)
    sources = [source for part in parts for source in part.tree.sources]
    name = f"{parts[0].name} and {len(parts) - 1} more"
    return replace(parts[0], documents=documents, name=name, tree=Tree(sources=sources))


def _standard_input() -> Build | ManifestError:
    try:
        return build_sources(read_text(sys.stdin.buffer.read(), "(standard input)"), "-")
    except ManifestError as error:
        return error
