"""Which schemas exist: those of a Kubernetes version, and those of installed CRDs."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from gitops_policy.apis.field_values import PREFIX, Refined, refined_kind
from gitops_policy.apis.schemas import Schema, Validator
from gitops_policy.fields import mapping
from gitops_policy.reading.build import upward

POD_TEMPLATE = "io.k8s.api.core.v1.PodTemplateSpec"
OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
VALIDATIONS = "x-kubernetes-validations"
_DECODER = json.JSONDecoder()


class Definitions(Mapping[str, Schema]):
    """The shared definitions of a Kubernetes version, each parsed when somebody asks for it.

    The package writes its JSON indented by two: a name at depth two starts a definition.
    """

    _START = re.compile(r'^    "([^"\n]+)": (?=\{$)', re.MULTILINE)
    _KIND = re.compile(r'"group": "([^"]*)",\s+"kind": "[^"]*",\s+"version": "')

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = {match[1]: match.end() for match in self._START.finditer(text)}
        self._parsed: dict[str, Schema] = {}

    def __getitem__(self, name: str) -> Schema:
        if name not in self._parsed:
            found, _ = _DECODER.raw_decode(self._text, self._starts[name])
            self._parsed[name] = found
        return self._parsed[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._starts)

    def __len__(self) -> int:
        return len(self._starts)

    def groups(self) -> set[str]:
        """Return the API groups of the kinds that the definitions belong to."""
        return set(self._KIND.findall(self._text))


_API_VERSION = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*/)?[a-z0-9]+"
)
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_LONGEST = 100


class BuiltIn:
    """The kinds of one Kubernetes version, from the package kubernetes-validate."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.definitions = Definitions((folder / "_definitions.json").read_text(encoding="utf-8"))
        self.validator = Validator(self.definitions, structural=False)
        self.refined = Refined(self.definitions)
        self.refined_validator = Validator(self.refined, structural=False)
        self.groups = self.definitions.groups()
        self._versions: dict[str, list[str]] = defaultdict(list)
        for name in sorted(entry.name for entry in os.scandir(folder)):
            stem, dash, version = name.removesuffix(".json").rpartition("-")
            if dash:
                self._versions[stem].append(version)
        self._schemas: dict[str, Schema | None] = {}
        self._refined: dict[tuple[str, str], Schema | None] = {}

    def refined_schema(self, api_version: str, kind: str) -> Schema | None:
        """Return the schema of a kind with what the API server asks beyond it."""
        key = (api_version, kind)
        if key not in self._refined:
            group, _, version = api_version.rpartition("/")
            name = f"{PREFIX}{group.partition('.')[0] or 'core'}.{version}.{kind}"
            plain = self.schema(api_version, kind)
            self._refined[key] = refined_kind(plain, name) if plain else None
        return self._refined[key]

    def schema(self, api_version: str, kind: str) -> Schema | None:
        """Return the schema of a kind, None if this version of Kubernetes does not serve it."""
        group, _, version = api_version.rpartition("/")
        name = "-".join(filter(None, [kind.lower(), group.partition(".")[0], version]))
        if not _is_plain(api_version, kind):
            return None
        if name not in self._schemas:
            file = self.folder / f"{name}.json"
            found = json.loads(file.read_text(encoding="utf-8")) if _exists(file) else None
            self._schemas[name] = found
        found = self._schemas[name]
        served = mapping(found, "properties", "apiVersion").get("enum") or [api_version]
        return found if api_version in served else None

    def versions(self, group: str, kind: str) -> list[str]:
        """Return the apiVersions of a built-in kind that are served."""
        stem = "-".join(filter(None, [kind.lower(), group.partition(".")[0]]))
        found = self._versions.get(stem, [])
        candidates = [f"{group}/{version}" if group else version for version in found]
        return [name for name in candidates if self.schema(name, kind) is not None]


def _is_plain(api_version: str, kind: str) -> bool:
    """Say whether both can be names of files: manifests are not to be trusted with paths."""
    if len(api_version) > _LONGEST or len(kind) > _LONGEST:
        return False
    return bool(_API_VERSION.fullmatch(api_version) and _KIND.fullmatch(kind))


class Custom:
    """The kinds of custom resource definitions, one file each: `<group>/<kind>_<version>.json`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.validator = Validator({}, structural=True)
        self._schemas: dict[tuple[str, str], Schema | None] = {}
        self._versions: dict[tuple[str, str], list[str]] = {}
        self._ruled: set[tuple[str, str]] = set()

    def schema(self, api_version: str, kind: str) -> Schema | None:
        """Return the schema of a kind; None if no definition is there."""
        key = (api_version, kind)
        if key not in self._schemas:
            group, _, version = api_version.rpartition("/")
            path = self.folder / group / f"{kind.lower()}_{version}.json"
            known = _is_plain(api_version, kind) and _exists(path)
            content = path.read_text(encoding="utf-8") if known else "null"
            if VALIDATIONS in content:
                self._ruled.add(key)
            self._schemas[key] = json.loads(content)
        return self._schemas[key]

    def ruled(self, api_version: str, kind: str) -> Schema | None:
        """Return the schema of a kind if it holds validation rules anywhere."""
        found = self.schema(api_version, kind)
        return found if (api_version, kind) in self._ruled else None

    def versions(self, group: str, kind: str) -> list[str]:
        """Return the apiVersions of a custom kind that have a schema."""
        key = (group, kind)
        if key not in self._versions:
            plain = _is_plain(f"{group}/v1", kind)
            paths = (self.folder / group).glob(f"{kind.lower()}_*.json") if plain else ()
            found = sorted(f"{group}/{path.stem.rpartition('_')[2]}" for path in paths)
            self._versions[key] = found
        return self._versions[key]


@cache
def built_in(version: str) -> BuiltIn:
    """Return the kinds of a Kubernetes version such as `1.36`.

    Raises LookupError where the installed package does not know that version.
    """
    folder = _packaged(version)
    if folder is None:
        raise LookupError(f"kubernetes-validate has no schemas of Kubernetes {version}")
    return BuiltIn(folder)


def is_known_version(version: str) -> bool:
    """Say whether there are schemas of a Kubernetes version such as `1.36`."""
    return _packaged(version) is not None


def known_versions() -> list[str]:
    """Return the Kubernetes versions whose schemas there are, oldest first."""
    spec = find_spec("kubernetes_validate")
    places = spec.submodule_search_locations if spec else None
    folder = Path(places[0]) / "kubernetes-json-schema" if places else Path()
    found = {m[1] for f in folder.glob("v*") if (m := re.match(r"v(\d+\.\d+)\.", f.name))}
    return sorted(found, key=lambda version: int(version.partition(".")[2]))


def _packaged(version: str) -> Path | None:
    spec = find_spec("kubernetes_validate")
    places = spec.submodule_search_locations if spec else None
    if not places or not re.fullmatch(r"\d+\.\d+", version):
        return None
    folder = Path(places[0]) / "kubernetes-json-schema"
    return max(folder.glob(f"v{version}.*-local-strict"), default=None)


@cache
def custom(folder: Path) -> Custom:
    """Return the custom kinds of a schema folder."""
    return Custom(folder)


def schema_folder(*starts: Path | None) -> Path | None:
    """Return the repository's `.tools/schemas`, looked for upward from each start."""
    found = (upward(start, ".tools/schemas") for start in (*starts, Path.cwd()) if start)
    return next((path for path in found if path), None)


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
