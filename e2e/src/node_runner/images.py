"""What stands for an image on a machine without containers: a command and an environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml


class ImagesError(Exception):
    """The file of images cannot be used; the message names it."""


@dataclass(frozen=True)
class Image:
    """The entrypoint and the environment that an image would have.

    `places` are the folders of this machine that both may name.
    """

    entrypoint: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    places: tuple[str, ...] = ()


class Images:
    """The images of one file, which is read again when it changes."""

    def __init__(self, path: Path, places: Mapping[str, str]) -> None:
        self._path, self._places = path, places
        self._read_at = -1
        self._images: dict[str, Image] = {}

    def find(self, reference: str) -> Image | None:
        """Return the image by its exact reference, else by digest, by `name:tag`, by its name."""
        self._refresh()
        return next((self._images[key] for key in keys(reference) if key in self._images), None)

    def _refresh(self) -> None:
        try:
            changed = self._path.stat().st_mtime_ns
            if changed != self._read_at:
                self._images = parse(self._path.read_text(), self._places)
                self._read_at = changed
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise ImagesError(f"cannot read the images in {self._path}: {error}") from error


def keys(reference: str) -> list[str]:
    """Return the names that an image may stand under, the most exact first."""
    tagged, _, digest = reference.partition("@")
    path, slash, last = tagged.rpartition("/")
    name = path + slash + last.partition(":")[0]
    found = [reference, f"{name}@{digest}" if digest else tagged, tagged, name]
    return list(dict.fromkeys(found))


def parse(text: str, places: Mapping[str, str]) -> dict[str, Image]:
    """Return the images of a YAML text, with `{venv}` and the other places filled in."""
    document = yaml.safe_load(text) or {}
    if not isinstance(document, dict):
        raise ValueError("not a mapping from image to entrypoint and environment")
    return {str(name): _image(str(name), entry or {}, places) for name, entry in document.items()}


def _image(name: str, entry: object, places: Mapping[str, str]) -> Image:
    if not isinstance(entry, dict) or entry.keys() - {"entrypoint", "environment"}:
        raise ValueError(f"{name}: expected entrypoint and environment")
    return Image(
        tuple(_filled(str(part), places) for part in entry.get("entrypoint") or ()),
        {
            str(key): _filled(str(value), places)
            for key, value in (entry.get("environment") or {}).items()
        },
        tuple(places.values()),
    )


def _filled(text: str, places: Mapping[str, str]) -> str:
    for place, value in places.items():
        text = text.replace(f"{{{place}}}", value)
    return text
