"""The program of a container: what the pod's spec says, on a machine without containers."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from node_runner.environment import (
    PodFacts,
    Source,
    UnsupportedError,
    container_environment,
    expand,
)
from node_runner.images import Image
from node_runner.manifest import Manifest, metadata
from node_runner.names import Addresses, substitute
from node_runner.paths import MountPaths

_ANY_ADDRESS = re.compile(r"(?<![\d.])0\.0\.0\.0(?![\d.])")


@dataclass(frozen=True)
class Command:
    """What is run, with which environment, and in which folder."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path


@dataclass(frozen=True)
class Place:
    """Where one container of a pod stands on this machine."""

    volumes: Path
    folder: Path
    address: str
    logs: Path
    names: Callable[[], Addresses]
    api_server: tuple[str, int]

    def mounts(self, container: Manifest, here: Sequence[str] = ()) -> MountPaths:
        """Return the folders of the container's mount paths; `/tmp` is its own unless mounted.

        A checkout may stand below a path that a container mounts: `here` are its folders.
        """
        found = {"/tmp": self.folder / "tmp"}  # noqa: S108 - the path inside the container
        for mount in container.get("volumeMounts") or []:
            path = self.volumes / mount["name"]
            sub = mount.get("subPath")
            found[mount["mountPath"]] = path / sub if sub else path
        return MountPaths(found, here)


def build_command(
    container: Manifest, facts: PodFacts, source: Source, image: Image, place: Place
) -> Command:
    """Return the command of a container.

    Raises MissingReferenceError while a ConfigMap or Secret is missing, UnsupportedError for what
    can never run here.
    """
    declared = container_environment(container, facts, source, _base(facts, image, place))
    argv = [
        *(container.get("command") or image.entrypoint),
        *(container.get("args") or []),
    ]
    if not argv:
        raise UnsupportedError(f"no command, and no entrypoint for image {container['image']}")
    here = _Here(place.mounts(container, image.places), metadata(facts.pod)["namespace"], place)
    return Command(
        tuple(here.argument(expand(part, declared)) for part in argv),
        {name: here.text(value) for name, value in declared.items()},
        here.working_directory(container.get("workingDir")),
    )


def localised_scripts(
    container: Manifest, place: Place, read: Callable[[Path], str | None]
) -> Iterator[tuple[Path, str]]:
    """Yield the copies of mounted scripts on the command line whose text names a mount path.

    A constant such as the folder of the service account's token cannot be given by argument.
    """
    mounts = place.mounts(container)
    for part in [*(container.get("command") or []), *(container.get("args") or [])]:
        file = mounts.folder(part)
        text = read(file) if file else None
        if file is not None and text is not None and mounts.replace(text) != text:
            yield place.folder / "scripts" / file.name, mounts.replace(text)


@dataclass(frozen=True)
class _Here:
    """Replaces what is true in a container by what is true on this machine."""

    mounts: MountPaths
    namespace: str
    place: Place

    def text(self, value: str) -> str:
        named = substitute(value, self.namespace, self.place.names())
        return _ANY_ADDRESS.sub(self.place.address, self.mounts.replace(named))

    def argument(self, value: str) -> str:
        file = self.mounts.folder(value)
        copy = self.place.folder / "scripts" / file.name if file else None
        return str(copy) if copy is not None and copy.is_file() else self.text(value)

    def working_directory(self, path: str | None) -> Path:
        return (self.mounts.folder(path) if path else None) or self.place.folder


def _base(facts: PodFacts, image: Image, place: Place) -> dict[str, str]:
    host, port = place.api_server
    return {
        "HOSTNAME": metadata(facts.pod)["name"],
        "HOME": "/tmp",  # noqa: S108 - the path inside the container
        "TMPDIR": "/tmp",  # noqa: S108
        "KUBERNETES_SERVICE_HOST": host,
        "KUBERNETES_SERVICE_PORT": str(port),
        "KUBERNETES_SERVICE_PORT_HTTPS": str(port),
        **image.environment,
    }
