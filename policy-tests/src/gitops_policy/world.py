"""What a rule may look at besides its own subject."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, TypeVar

from gitops_policy.apis.catalogue import BuiltIn, Custom, built_in, custom, schema_folder
from gitops_policy.config import Config
from gitops_policy.exemptions import Exemption, find_exemptions
from gitops_policy.fields import Path as FieldPath
from gitops_policy.fields import text
from gitops_policy.findings import Origin
from gitops_policy.model import Index, Problem, Resource
from gitops_policy.pods import Container, Pod, carrier_of, pods
from gitops_policy.reading.build import LEDGER, Build, build_kustomization, is_kustomization, upward
from gitops_policy.reading.kustomization import RenderError
from gitops_policy.reading.manifests import Source

Answer = TypeVar("Answer")


class Workspace:
    """A repository on disk; renders other kustomizations of it once, on demand."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._builds: dict[Path, Build | None] = {}

    def add(self, build: Build) -> None:
        """Remember a build that was rendered already."""
        if build.path:
            self._builds[build.path] = build

    def build(self, path: str | Path) -> Build | None:
        """Return the render of a folder of the repository; None where it cannot be rendered."""
        folder = (self.root / path).resolve()
        if folder not in self._builds:
            try:
                found = build_kustomization(folder) if is_kustomization(folder) else None
            except RenderError:
                found = None
            self._builds[folder] = found
        return self._builds[folder]


class World:
    """One build, indexed, with the settings of the run.

    `workspace` is the repository around the build, None for documents out of nowhere.
    """

    def __init__(self, build: Build, config: Config, workspace: Workspace | None) -> None:
        self.build = build
        self.config = config
        self.workspace = workspace
        self.index = Index(build.documents, build.namespace)
        self.answers: dict[Callable[[World], Any], Any] = {}

    @property
    def environment(self) -> str | None:
        """dev, staging, production, or None where the path does not say."""
        return self.config.environment or self.build.environment

    @property
    def core(self) -> BuiltIn:
        """Kubernetes' own kinds; raises LookupError for a version without schemas."""
        return built_in(self.config.kubernetes_version)

    @cached_property
    def custom(self) -> Custom | None:
        """The custom kinds of the repository's CRD schemas; None where the folder is missing."""
        root = self.workspace.root if self.workspace else None
        folder = self.config.schemas or schema_folder(self.build.path, root)
        return custom(folder) if folder and folder.is_dir() else None

    @property
    def today(self) -> date:
        """The day that decides what has expired."""
        return self.config.today or date.today()

    @cached_property
    def exemptions(self) -> list[Exemption]:
        """The exemptions that concern objects of this build."""
        beside = upward(self.workspace.root, str(LEDGER)) if self.workspace else None
        return find_exemptions(self.index, self.config.exemptions or beside)

    def apart(self, first: Resource, second: Resource) -> bool:
        """Say whether two objects of a folder of plain manifests need not be applied together.

        So it is in files of different folders, and in those of a folder of alternatives.
        """
        one, other = _file(first), _file(second)
        if not self.build.gathered or not one or not other or one == other:
            return False
        return one.parent != other.parent or one.parent in self._alternatives

    def unplaced(self, resource: Resource) -> bool:
        """Say whether an object names no namespace, and its build is of several folders or sets.

        What is applied beside it cannot be told then.
        """
        if not self.build.gathered or text(resource.content, "metadata", "namespace"):
            return False
        return bool(self._alternatives) or len(self._folders) > 1

    @cached_property
    def _folders(self) -> set[Path]:
        return {file.parent for file in map(_file, self.index.resources) if file}

    @cached_property
    def _alternatives(self) -> set[Path]:
        """The folders in which two files define the same object."""
        first: dict[tuple[Path, str, str, str], Path] = {}
        found = set()
        for resource in self.index.resources:
            if file := _file(resource):
                place = (file.parent, resource.group_kind, resource.namespace, resource.name)
                if first.setdefault(place, file) != file:
                    found.add(file.parent)
        return found

    @cached_property
    def _carried(self) -> dict[Resource, list[Pod]]:
        found = {resource: pods(resource) for resource in self.index.resources}
        return {resource: templates for resource, templates in found.items() if templates}

    def problem_in(self, source: Source, path: FieldPath, message: str, fix: str) -> Problem:
        """Describe a problem at a place of a file that the render read."""
        origin = Origin(self.build.name, source.file, source.line(path))
        return Problem(None, path, message, fix, origin=origin)

    def templates_in(self, resource: Resource) -> list[Pod]:
        """Return the pod templates that stand in an object of the build."""
        return self._carried.get(resource, [])

    @cached_property
    def pods(self) -> list[Pod]:
        """Every pod template of the build, each once."""
        return [pod for templates in self._carried.values() for pod in templates]

    @cached_property
    def containers(self) -> list[Container]:
        """Every container of every pod template."""
        return [container for pod in self.pods for container in pod.containers]

    def pods_of(self, resource: Resource) -> list[Pod]:
        """Return the pods an object runs; a Rollout's workloadRef is followed."""
        carrier = carrier_of(resource, self.index)
        if carrier is None:
            return []
        return self._carried[carrier] if carrier in self._carried else pods(carrier)


def _file(resource: Resource) -> Path | None:
    origin = resource.origin
    return Path(origin.file) if origin and origin.line and origin.file else None


def once(question: Callable[[World], Answer]) -> Callable[[World], Answer]:
    """Decorate a question about the whole build, so that it is worked out once per World."""

    @wraps(question)
    def ask(world: World) -> Answer:
        if question not in world.answers:
            world.answers[question] = question(world)
        found: Answer = world.answers[question]
        return found

    return ask
