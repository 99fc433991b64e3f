"""The volumes of one pod, written when it is admitted and when their sources change."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from node_runner.api import ApiServer
from node_runner.environment import PodFacts, Source
from node_runner.manifest import Manifest
from node_runner.volumes import Files, volume_files, write_volume


@dataclass(frozen=True)
class _Token:
    value: str
    renew_at: float


class PodVolumes:
    """The volumes below `folder`, one folder each."""

    def __init__(
        self, folder: Path, facts: Callable[[], PodFacts], source: Source, api: ApiServer
    ) -> None:
        self.folder, self._facts, self._source, self._api = folder, facts, source, api
        self._tokens: dict[str, _Token] = {}

    async def write(self) -> None:
        """Write what is new.

        Raises MissingReferenceError, UnsupportedError, and what the API server may answer to a
        request for a token. Nothing is written unless every volume can be.
        """
        facts = self._facts()
        volumes = facts.pod["spec"].get("volumes") or []
        for chosen in _wanted_tokens(volumes):
            await self._renew(facts.pod, chosen)
        written = {volume["name"]: self._files(volume, facts) for volume in volumes}
        for name, files in written.items():
            if files is None:
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            else:
                write_volume(self.folder / name, files)

    def _files(self, volume: Manifest, facts: PodFacts) -> Files | None:
        return volume_files(volume, facts, self._source, self._token)

    def _token(self, chosen: Manifest) -> str:
        return self._tokens[chosen.get("audience") or ""].value

    async def _renew(self, pod: Manifest, chosen: Manifest) -> None:
        audience = chosen.get("audience") or ""
        known = self._tokens.get(audience)
        if known is None or time.monotonic() > known.renew_at:
            value = await self._api.token(pod, chosen)
            # A kubelet asks again when 80 % of the lifetime are over.
            lasts = 0.8 * float(chosen.get("expirationSeconds", 3600))
            self._tokens[audience] = _Token(value, time.monotonic() + lasts)


def _wanted_tokens(volumes: list[Manifest]) -> Iterator[Manifest]:
    for volume in volumes:
        for source in (volume.get("projected") or {}).get("sources") or []:
            if "serviceAccountToken" in source:
                yield source["serviceAccountToken"]
