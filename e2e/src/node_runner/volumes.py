"""The files of a pod's volumes: which bytes belong where, and writing them as a kubelet does."""

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from node_runner.environment import MissingReferenceError, PodFacts, Source, UnsupportedError
from node_runner.manifest import Manifest

# The token of a `serviceAccountToken` source.
Token = Callable[[Manifest], str]
Files = dict[str, bytes]

_DATA = "..data"


def volume_files(volume: Manifest, facts: PodFacts, source: Source, token: Token) -> Files | None:
    """Return the files of a volume by path; None for a folder that the containers fill.

    Raises MissingReferenceError for what is not there and not optional.
    """
    if "emptyDir" in volume:
        return None
    if "projected" in volume:
        found: Files = {}
        for entry in volume["projected"].get("sources") or []:
            found.update(_projected(entry, facts, source, token))
        return found
    if "configMap" in volume:
        return _items("ConfigMap", volume["configMap"], source)
    if "secret" in volume:
        secret = volume["secret"]
        return _items("Secret", {**secret, "name": secret["secretName"]}, source)
    if "downwardAPI" in volume:
        return _downward(volume["downwardAPI"], facts)
    kinds = ", ".join(key for key in volume if key != "name")
    raise UnsupportedError(f'volume "{volume["name"]}": {kinds} is not mounted here')


def _projected(entry: Manifest, facts: PodFacts, source: Source, token: Token) -> Files:
    if "serviceAccountToken" in entry:
        chosen = entry["serviceAccountToken"]
        return {chosen["path"]: token(chosen).encode()}
    if "configMap" in entry:
        return _items("ConfigMap", entry["configMap"], source)
    if "secret" in entry:
        return _items("Secret", entry["secret"], source)
    if "downwardAPI" in entry:
        return _downward(entry["downwardAPI"], facts)
    raise UnsupportedError(f"projected source {', '.join(entry)} is not known")


def _items(kind: str, reference: Manifest, source: Source) -> Files:
    data = source(kind, reference["name"])
    if data is None:
        if reference.get("optional"):
            return {}
        raise MissingReferenceError(f'{kind.lower()} "{reference["name"]}" not found')
    if not reference.get("items"):
        return dict(data)
    found = {}
    for item in reference["items"]:
        if item["key"] in data:
            found[item["path"]] = data[item["key"]]
        elif not reference.get("optional"):
            raise MissingReferenceError(
                f"references non-existent {kind.lower()} key: {item['key']}"
            )
    return found


def _downward(chosen: Manifest, facts: PodFacts) -> Files:
    return {
        item["path"]: (
            facts.field(item["fieldRef"]["fieldPath"])
            if "fieldRef" in item
            else facts.resource(item["resourceFieldRef"], {"name": ""})
        ).encode()
        for item in chosen.get("items") or []
    }


def write_volume(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make the folder show exactly these files, all at once, by replacing the link `..data`."""
    folder.mkdir(parents=True, exist_ok=True)
    if read_volume(folder) == files:
        return
    version = folder / f"..{time.time_ns()}"
    for path, content in files.items():
        file = version / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    version.mkdir(exist_ok=True)
    data = folder / _DATA
    previous = data.resolve() if data.is_symlink() else None
    _replace_link(data, version.name)
    _show(folder, {path.split("/")[0] for path in files})
    if previous is not None:
        shutil.rmtree(previous, ignore_errors=True)


def read_volume(folder: Path) -> Files | None:
    """Return the files that `write_volume` last put there; None if it never did."""
    data = folder / _DATA
    if not data.is_dir():
        return None
    return {
        str(file.relative_to(data)): file.read_bytes() for file in data.rglob("*") if file.is_file()
    }


def _show(folder: Path, names: set[str]) -> None:
    for entry in folder.iterdir():
        if not entry.name.startswith("..") and entry.name not in names:
            entry.unlink()
    for name in names:
        if not (folder / name).is_symlink():
            _replace_link(folder / name, f"{_DATA}/{name}")


def _replace_link(link: Path, target: str) -> None:
    temporary = link.with_name(f"..new-{link.name.lstrip('.')}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)
