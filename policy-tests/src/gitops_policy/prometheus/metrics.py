"""The metric contract: which metrics exist, of which type, with which labels and values.

Known exporters' metrics come with this package (`exporters/`). What a repository exports itself
stands in files of its own: `Config.metrics`, or every file in `policy-tests/metrics/`. Such a
file is YAML or JSON in the form of `exporters/`, or a saved answer of `/metrics`. Only with one
of its own can a repository's unknown metric be called a mistake.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from gitops_policy.fields import mapping, sequence, text
from gitops_policy.reading.build import upward
from gitops_policy.reading.manifests import ManifestError, read_file
from gitops_policy.world import World

FOLDER = Path("policy-tests") / "metrics"
_EXPORTERS = Path(__file__).parent / "exporters"
TYPES = frozenset({"counter", "gauge", "histogram", "summary"})
Values = frozenset[str] | None
_PARTS = ("_bucket", "_count", "_sum")
_SAMPLE = re.compile(r"([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+\S")
_LABEL = re.compile(r'([A-Za-z_]\w*)="((?:\\.|[^"\\])*)"')


@dataclass(frozen=True, slots=True)
class Metric:
    """What is known of the series of one name.

    `type` is that of the series (a histogram's buckets are counters), None where it is not known.
    `labels` are those the exporter writes, each with its values or None for any; None where they
    are not known. `own` says that this repository's contract names it.
    """

    type: str | None
    labels: Mapping[str, Values] | None = None
    own: bool = False
    edges: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Contract:
    """Metric families by name, and name prefixes of which nothing else is known.

    `own` names the families that the repository exports itself.
    """

    families: Mapping[str, Metric] = field(default_factory=dict)
    prefixes: tuple[str, ...] = ()
    own: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether the repository says what it exports itself."""
        return bool(self.own)

    def series(self, name: str) -> Metric | None:
        """Return what is known of the series of this name; None where nobody exports it."""
        found = self.families.get(name)
        if found is not None and found.type != "histogram":
            return found
        base, part = _split(name)
        family = self.families.get(base)
        if part and family is not None and family.type in ("histogram", "summary"):
            return _part(family, part)
        if found is not None:
            return Metric("histogram", found.labels, found.own, found.edges)
        return Metric(None) if name.startswith(self.prefixes) else None


def _split(name: str) -> tuple[str, str]:
    for part in _PARTS:
        if name.endswith(part):
            return name.removesuffix(part), part
    return name, ""


def _part(family: Metric, part: str) -> Metric | None:
    if part != "_bucket":
        return Metric("counter", family.labels, family.own, family.edges)
    if family.type == "summary":
        return None
    labels = None if family.labels is None else {**family.labels, "le": None}
    return Metric("counter", labels, family.own, family.edges)


def contract(world: World) -> Contract:
    """Return the metrics that the queries of a build may ask for."""
    return _read(own_files(world))


def own_files(world: World) -> tuple[Path, ...]:
    """Return the files that say what the repository exports itself."""
    if world.config.metrics:
        return tuple(world.config.metrics)
    folder = upward(world.workspace.root, str(FOLDER)) if world.workspace else None
    if folder is None or not folder.is_dir():
        return ()
    return tuple(sorted(path for path in folder.iterdir() if path.suffix in _READERS))


@lru_cache(maxsize=16)
def _read(own: tuple[Path, ...]) -> Contract:
    families = _Families()
    prefixes: list[str] = []
    for entry in _EXPORTERS.iterdir():
        if entry.name.endswith(".json"):
            content = json.loads(entry.read_text(encoding="utf-8"))
            families.add(content, own=False)
            prefixes += map(str, sequence(content, "prefixes"))
    for path in own:
        content, _ = _content(path)
        families.add(content, own=True)
        prefixes += map(str, sequence(content, "prefixes"))
    return Contract(families, tuple(prefixes) or ("\0",), tuple(families.own))


class _Families(Mapping[str, Metric]):
    """Metric families by name, each read when somebody asks: most runs ask for a few of many."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[object, bool]] = {}
        self._read: dict[str, Metric] = {}
        self.own: list[str] = []

    def add(self, content: object, *, own: bool) -> None:
        metrics = {k: v for k, v in mapping(content, "metrics").items() if isinstance(k, str)}
        self.own += metrics if own else ()
        self._entries |= {name: (item, own) for name, item in metrics.items()}

    def __getitem__(self, name: str) -> Metric:
        if name not in self._read:
            entry, own = self._entries[name]
            self._read[name] = Metric(_type(entry), _labels(entry), own, _edges(entry))
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _type(entry: object) -> str | None:
    found = text(entry, "type")
    return found if found in TYPES else None


def _labels(entry: object) -> dict[str, Values] | None:
    listed = entry.get("labels") if isinstance(entry, dict) else None
    if isinstance(listed, list):
        return {str(label): None for label in listed}
    if isinstance(listed, dict):
        return {
            str(label): frozenset(map(str, values)) if isinstance(values, list) else None
            for label, values in listed.items()
        }
    return None


def _edges(entry: object) -> tuple[float, ...]:
    edges = sequence(entry, "edges")
    return tuple(float(edge) for edge in edges if isinstance(edge, int | float))


def _yaml(path: Path) -> object:
    sources = read_file(path, str(path))
    return sources[0].content if sources else {}


def _exposition(path: Path) -> object:
    """Read a saved answer of `/metrics`: names, types, labels and edges, but no sets of values."""
    types: dict[str, str] = {}
    found: dict[str, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if line.startswith("# TYPE ") and len(words) == 4:
            types[words[2]] = words[3]
            found[words[2]] = {"type": words[3], "labels": {}, "edges": []}
        elif not line.startswith("#") and (sample := _SAMPLE.match(line)):
            _sample(sample.group(1), _LABEL.findall(sample.group(2) or ""), found)
    return {"metrics": found}


def _sample(name: str, labels: list[tuple[str, str]], found: dict[str, dict[str, Any]]) -> None:
    base = _split(name)[0] if _split(name)[0] in found else name
    # OpenMetrics names a counter's family without `_total`.
    family = found.pop(name.removesuffix("_total"), None) if name.endswith("_total") else None
    entry = found.setdefault(base, family or {"type": "", "labels": {}, "edges": []})
    for label, value in labels:
        if label == "le":
            entry["edges"] += [float(value)] if value != "+Inf" else []
        elif label != "quantile" or entry["type"] != "summary":
            entry["labels"][label] = None


_READERS = {
    ".yaml": _yaml,
    ".yml": _yaml,
    ".json": _yaml,
    ".prom": _exposition,
    ".txt": _exposition,
}


def _content(path: Path) -> tuple[object, str]:
    """Return what a file says; or nothing, and why it cannot be read."""
    try:
        content = _READERS.get(path.suffix, _yaml)(path)
    except (OSError, ManifestError, ValueError) as error:
        return {}, str(error)
    return content, "" if mapping(content, "metrics") else "it has no `metrics`"


def unreadable(world: World) -> list[tuple[Path, str]]:
    """Return the contract files that cannot be read, with the reason."""
    return [(path, reason) for path in own_files(world) if (reason := _content(path)[1])]
