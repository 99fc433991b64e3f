"""Mount paths that do not exist on this machine, replaced by folders of the pod."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path


class MountPaths:
    """Where each mount path of one container stands on this machine.

    What begins with a folder in `here` is a path of this machine already, and stays.
    """

    def __init__(self, mounts: Mapping[str, Path], here: Sequence[str] = ()) -> None:
        self._mounts = {path.rstrip("/"): str(folder) for path, folder in mounts.items()}
        kept, alternatives = _any_of(here), _any_of(self._mounts)
        # A whole path, or the front of one: neither /models in /models2 nor in /srv/models.
        self._pattern = re.compile(
            rf"(?<![\w./-])(?:file://)?(?:{kept}|(?P<path>{alternatives}))(?![\w.-])"
        )

    def replace(self, text: str) -> str:
        """Return the text with every mount path in it replaced, the longest first."""
        if not self._mounts:
            return text
        return self._pattern.sub(self._replacement, text)

    def _replacement(self, match: re.Match[str]) -> str:
        path = match["path"]
        if path is None:
            return match[0]
        return match[0].removesuffix(path) + self._mounts[path]

    def folder(self, path: str) -> Path | None:
        """Return where a path in the container stands, if a mount holds it."""
        replaced = self.replace(path)
        return Path(replaced) if replaced != path else None


def _any_of(paths: Iterable[str]) -> str:
    """A pattern of these paths, the longest first; where there are none, of nothing."""
    return "|".join(re.escape(path) for path in sorted(paths, key=len, reverse=True)) or "(?!)"
