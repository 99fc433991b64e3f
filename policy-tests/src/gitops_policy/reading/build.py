"""Rendering: from a kustomization or plain manifests to the objects of one build."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from gitops_policy.fields import mapping, sequence, text
from gitops_policy.findings import Origin
from gitops_policy.model import Document
from gitops_policy.reading.kustomization import (
    RenderError,
    Tree,
    kustomization_file,
    read_tree,
    shown,
)
from gitops_policy.reading.manifests import ManifestError, Source, read_file, read_text
from gitops_policy.reading.release_file import FILE, faults

RENDER_SECONDS = 60
SUFFIXES = (".yaml", ".yml", ".json")
LEDGER = Path("policy-tests") / "exemptions.yaml"
_INSTALL = (
    "install it (https://kubectl.docs.kubernetes.io/installation/kustomize/; here: `make tools`)"
)
_CONFIGURATION_GROUPS = (".config.k8s.io", ".kind.x-k8s.io")
_CHART = "is a Helm chart, which is not rendered: lint what `helm template` makes of it"


@dataclass(frozen=True)
class Build:
    """The objects of one overlay (or of plain manifests), and the files they came from.

    `path` is the kustomization's folder, None for plain manifests; `namespace` stands in for a
    missing `metadata.namespace`. `foreign` are files of a linted folder that hold no objects.
    `partial`: plain files, beside which others may be applied; `gathered`: found in a folder, so
    that nobody said they are applied together.
    """

    documents: tuple[Document, ...]
    name: str = ""
    path: Path | None = None
    tree: Tree = field(default_factory=Tree)
    namespace: str = "default"
    foreign: tuple[str, ...] = ()
    partial: bool = False
    gathered: bool = False

    @cached_property
    def declared(self) -> dict[tuple[str, str, str], list[Source]]:
        """The documents behind the build by apiVersion, kind and name, in the order of the tree."""
        found: dict[tuple[str, str, str], list[Source]] = {}
        for source in self.tree.sources:
            content = source.content
            name = text(content, "metadata", "name")
            key = (text(content, "apiVersion"), text(content, "kind"), name)
            found.setdefault(key, []).append(source)
        return found

    def __iter__(self) -> Iterator[Document]:
        return iter(self.documents)

    @property
    def environment(self) -> str | None:
        """dev, staging or production for `overlays/<env>/<component>`, else None."""
        parts = self.path.parts if self.path else ()
        return parts[-2] if len(parts) > 2 and parts[-3] == "overlays" else None


def upward(start: Path, *names: str) -> Path | None:
    """Return the first of `names` found in `start` or a folder above it."""
    for folder in (start, *start.parents):
        for name in names:
            if (folder / name).exists():
                return folder / name
    return None


def repository(path: Path) -> Path:
    """Return the root of the repository (or copy of it) that holds `path`."""
    for folder in path.resolve().parents:
        if folder.name == "overlays":
            return folder.parent
    mark = upward(path.resolve(), ".git", ".tools")
    return mark.parent if mark else path.resolve()


def render(path: str | Path) -> list[dict[str, Any]]:
    """Render one kustomization folder.

    Raises RenderError with file, line and reason.
    """
    return [document.content for document in build_kustomization(Path(path))]


def build_kustomization(path: Path) -> Build:
    """Render a kustomization folder and remember the files behind it."""
    folder = path.resolve()
    tree = read_tree(folder)
    overlay = _name(folder)
    output = _kustomize(folder)
    try:
        sources = read_text(output, shown(folder))
    except ManifestError as error:
        raise RenderError(f"rendered output {error.reason}", shown(folder)) from None
    namespace = next((text(k.source.content, "namespace") for k in tree.kustomizations), "")
    namespace = namespace or _destination(folder) or "default"
    documents = (Document(s.content, Origin(overlay)) for s in sources if s.content is not None)
    return Build(tuple(documents), overlay, folder, tree, namespace)


def _destination(folder: Path) -> str:
    """Return the namespace of the Argo CD Application in `apps/` that deploys this folder."""
    root = repository(folder)
    path = folder.relative_to(root).as_posix() if folder.is_relative_to(root) else ""
    for file in manifest_files(root / "apps") if path not in ("", ".") else []:
        if not file.is_file() or path not in file.read_text(encoding="utf-8", errors="replace"):
            continue
        for application in read_file(file, shown(file)):
            spec = mapping(application.content, "spec")
            sources = [mapping(spec, "source"), *sequence(spec, "sources")]
            if any(text(source, "path").strip("/") == path for source in sources):
                return text(spec, "destination", "namespace")
    return ""


def build_many(paths: Sequence[Path]) -> Iterable[Build | RenderError]:
    """Render several kustomizations in parallel; what fails comes back as its error."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=4) as pool:
        yield from pool.map(_build_or_error, paths)


def _build_or_error(path: Path) -> Build | RenderError:
    try:
        return build_kustomization(path)
    except RenderError as error:
        error.folder = path.resolve()
        return error


def unrendered(error: ManifestError) -> Build | None:
    """Return the Build without objects of what could not be rendered, where its folder is known."""
    folder = error.folder if isinstance(error, RenderError) else None
    return Build((), _name(folder), folder) if folder else None


def build_files(paths: Iterable[Path], name: str = "") -> Build:
    """Read plain manifests.

    Raises ManifestError for anything that is not a Kubernetes object.
    """
    sources = [source for path in paths for source in read_file(path, shown(path))]
    return replace(build_sources(sources, name), partial=True)


def build_folder(files: Iterable[Path], name: str = "") -> tuple[Build, list[ManifestError]]:
    """Read the files that stand in a folder; what cannot be read comes back as its error.

    A file without any object is `foreign`; a ledger of exemptions is none of the manifests; a Helm
    chart is one error, whatever it holds.
    """
    kept: list[Source] = []
    foreign: list[str] = []
    every = tuple(files)
    charts = [file.parent for file in every if file.name == "Chart.yaml"]
    tops = [chart for chart in charts if not any(one in chart.parents for one in charts)]
    failures = [ManifestError(_CHART, shown(chart / "Chart.yaml")) for chart in tops]
    for file in every:
        if any(chart in file.parents for chart in tops):
            continue
        try:
            sources = [] if file.parts[-2:] == LEDGER.parts else read_file(file, shown(file))
            sources = [source for source in sources if not _is_ledger(source.content)]
            if sources and all(_is_foreign(source.content) for source in sources):
                foreign.append(shown(file))
            else:
                kept += build_sources(sources, name).tree.sources
        except ManifestError as error:
            failures.append(error)
    build = build_sources(kept, name)
    return replace(build, foreign=tuple(foreign), partial=True, gathered=True), failures


def _is_ledger(content: object) -> bool:
    """Say whether a document is a list of exemptions, which may stand anywhere."""
    return (
        isinstance(content, list)
        and bool(content)
        and all(
            isinstance(entry, dict) and {"rule", "resource"} <= entry.keys() for entry in content
        )
    )


def _is_foreign(content: object) -> bool:
    """Say whether a document is a mapping that never was to be an object of a cluster.

    Components and tools read files of their own, which have an apiVersion and no metadata.
    """
    if not isinstance(content, dict) or "metadata" in content:
        return False
    group = text(content, "apiVersion").rpartition("/")[0]
    return "kind" not in content or f".{group}".endswith(_CONFIGURATION_GROUPS)


def build_sources(sources: Iterable[Source], name: str = "") -> Build:
    """Make a build of documents that were read already.

    Raises ManifestError for anything that is not a Kubernetes object.
    """
    kept = [source for source in sources if source.content is not None]
    for source in kept:
        _check_object(source)
    documents = tuple(Document(s.content, Origin(name or None, s.file, s.line())) for s in kept)
    return Build(documents, name, None, Tree(sources=kept))


def _check_object(source: Source) -> None:
    content, line = source.content, source.line()
    if not isinstance(content, dict):
        what = "a list" if isinstance(content, list) else "plain text or a number"
        raise ManifestError(f"the document is {what}, not an object", source.file, line)
    for key in ("apiVersion", "kind"):
        if not text(content, key):
            reason = f"the object has no {key}"
            raise ManifestError(reason, source.file, line)
    if text(content, "kind").endswith("List") and "items" in content:
        return
    if not isinstance(content.get("metadata"), dict):
        raise ManifestError("the object has no metadata", source.file, line)


def manifest_files(folder: Path) -> list[Path]:
    """Return the YAML and JSON files under a folder, hidden ones left out.

    A link to nowhere is one of them: reading it says so.
    """
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix in SUFFIXES
        and (path.is_file() or (path.is_symlink() and not path.exists()))
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def is_kustomization(path: Path) -> bool:
    """Say whether a folder is rendered by kustomize."""
    return path.is_dir() and kustomization_file(path) is not None


def _name(folder: Path) -> str:
    parts = folder.parts
    if len(parts) > 2 and parts[-3] == "overlays":
        return "/".join(parts[-2:])
    return shown(folder)


def _kustomize(folder: Path) -> str:
    import shutil
    import subprocess

    binary = upward(folder, ".tools/bin/kustomize") or upward(Path.cwd(), ".tools/bin/kustomize")
    command = str(binary) if binary else shutil.which("kustomize")
    if not command:
        reason = f"kustomize is neither in .tools/bin nor in PATH: {_INSTALL}"
        raise RenderError(reason, shown(folder))
    try:
        done = subprocess.run(  # noqa: S603
            [command, "build", str(folder)],
            capture_output=True,
            text=True,
            timeout=RENDER_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        reason = f"kustomize did not finish in {RENDER_SECONDS} s"
        raise RenderError(reason, shown(folder)) from None
    if done.returncode:
        _blame_release_file(folder)
        reason = done.stderr.strip().removeprefix("Error: ").replace(str(Path.cwd()) + "/", "")
        raise RenderError(f"kustomize: {reason}", shown(kustomization_file(folder) or folder))
    return done.stdout


def _blame_release_file(folder: Path) -> None:
    """Raise with the line of a broken release file, of which kustomize says only what it lacks."""
    path = folder / FILE
    if path.is_file():
        for _, line, message, fix in faults(path.read_text(encoding="utf-8", errors="replace")):
            raise RenderError(f"{message}; {fix}", shown(path), line or None)
