"""The Applications that an ApplicationSet makes of lists and of this repository's folders."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from gitops_policy.fields import entries, mapping, sequence, text
from gitops_policy.model import Index, Resource
from gitops_policy.notations.globs import matches
from gitops_policy.reading.manifests import ManifestError, read_file

APPLICATION_SET = "argoproj.io/ApplicationSet"

Parameters = dict[str, str]
_MOST = 1000
_PLACE = re.compile(r"\{\{-?\s*\.?([\w.-]+)\s*-?\}\}")


class UnresolvedError(Exception):
    """A generator whose result only a cluster, a registry or another repository knows."""


def generated(application_set: Resource, root: Path | None, own: set[str]) -> list[Resource]:
    """Return the Applications of an ApplicationSet.

    `own` holds the URLs of the repository at `root`. Raises UnresolvedError with the reason where
    they cannot be known here.
    """
    template = mapping(application_set.spec, "template")
    found = []
    for _, generator in entries(application_set.spec, "generators"):
        for parameters in _resolve(generator, root, own):
            content = _filled(template, parameters)
            content.update(apiVersion=application_set.api_version, kind="Application")
            found.append(Resource(content, application_set.namespace, application_set.origin))
    for application in found:
        if left := next(_unfilled(application.content), ""):
            raise UnresolvedError(f"{left} is not a parameter that can be filled in here")
    return found


def _resolve(generator: dict[str, Any], root: Path | None, own: set[str]) -> list[Parameters]:
    if "selector" in generator:
        raise UnresolvedError("a generator with a selector")
    if "list" in generator:
        return [flattened(item) for _, item in entries(generator, "list", "elements")]
    if "git" in generator:
        return _git(mapping(generator, "git"), root, own)
    if "matrix" in generator:
        return _matrix(mapping(generator, "matrix"), root, own)
    if "merge" in generator:
        return _merge(mapping(generator, "merge"), root, own)
    raise UnresolvedError(f"a generator of kind {next(iter(generator), 'none')}")


def _git(git: dict[str, Any], root: Path | None, own: set[str]) -> list[Parameters]:
    if root is None or text(git, "repoURL") not in own:
        raise UnresolvedError("a git generator of another repository")
    if text(git, "revision") not in ("", "HEAD", "main", "master"):
        raise UnresolvedError("a git generator of another revision")
    if "directories" in git:
        return _directories(git, root)
    return [parameters for _, item in entries(git, "files") for parameters in _files(item, root)]


def _directories(git: dict[str, Any], root: Path) -> list[Parameters]:
    wanted: set[str] = set()
    refused: set[str] = set()
    folders = [path.relative_to(root).as_posix() for path in _visible(root) if path.is_dir()]
    for _, item in entries(git, "directories"):
        hits = {folder for folder in folders if matches(text(item, "path"), folder, "/")}
        (refused if item.get("exclude") is True else wanted).update(hits)
    return [_place(folder) for folder in sorted(wanted - refused)]


def _files(item: dict[str, Any], root: Path) -> Iterator[Parameters]:
    for path in _visible(root):
        name = path.relative_to(root).as_posix()
        if not path.is_file() or not matches(text(item, "path"), name, "/"):
            continue
        try:
            contents = [source.content for source in read_file(path)]
        except ManifestError as error:
            raise UnresolvedError(f"{name}: {error.reason}") from None
        for content in contents:
            yield {**flattened(content), **_place(path.parent.relative_to(root).as_posix())}


def _visible(root: Path) -> Iterator[Path]:
    for path in sorted(root.iterdir()):
        if not path.name.startswith(".") and not path.is_symlink():
            yield path
            if path.is_dir():
                yield from _visible(path)


def _place(folder: str) -> Parameters:
    base = folder.rpartition("/")[2]
    plain = re.sub(r"[^a-z0-9-]+", "-", base.lower()).strip("-")
    parameters = {"path": folder, "path.path": folder, "path.basename": base}
    parameters["path.basenameNormalized"] = plain
    parameters |= {f"path[{i}]": part for i, part in enumerate(folder.split("/"))}
    return parameters


def _matrix(matrix: dict[str, Any], root: Path | None, own: set[str]) -> list[Parameters]:
    children = [_resolve(item, root, own) for _, item in entries(matrix, "generators")]
    if len(children) != 2:
        raise UnresolvedError("a matrix of other than two generators")
    if len(children[0]) * len(children[1]) > _MOST:
        raise UnresolvedError(f"a matrix of more than {_MOST} combinations")
    return [{**one, **other} for one, other in product(*children)]


def _merge(merge: dict[str, Any], root: Path | None, own: set[str]) -> list[Parameters]:
    keys = [str(key) for key in sequence(merge, "mergeKeys")]
    children = [_resolve(item, root, own) for _, item in entries(merge, "generators")]
    if not keys or not children:
        raise UnresolvedError("a merge without keys or generators")
    merged = {tuple(item.get(key, "") for key in keys): dict(item) for item in children[0]}
    for child in children[1:]:
        for item in child:
            merged.get(tuple(item.get(key, "") for key in keys), {}).update(item)
    return list(merged.values())


def flattened(value: object, prefix: str = "") -> Parameters:
    """Return the parameters of a list element or file: `cluster.address` and the like."""
    if isinstance(value, dict):
        return {
            name: found
            for key, item in value.items()
            for name, found in flattened(item, f"{prefix}.{key}" if prefix else str(key)).items()
        }
    return {prefix: "" if value is None else str(value)} if prefix else {}


def _filled(value: Any, parameters: Parameters) -> Any:
    if isinstance(value, str):
        return _PLACE.sub(lambda found: parameters.get(found.group(1), found.group(0)), value)
    if isinstance(value, dict):
        return {key: _filled(item, parameters) for key, item in value.items()}
    return [_filled(item, parameters) for item in value] if isinstance(value, list) else value


def _unfilled(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if "{{" in value:
            yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _unfilled(item)


def of_build(index: Index, root: Path | None, own: set[str]) -> list[Resource]:
    """Return what all ApplicationSets of a build make, those left out that nobody here knows."""
    found = []
    for application_set in index.of_kind(APPLICATION_SET):
        try:
            found += generated(application_set, root, own)
        except UnresolvedError:
            continue
    return found
