"""Writing the status of one pod, whenever it changes, and removing the pod at its end."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import kr8s
from local_cluster.watching import FAILURES

from node_runner.api import ApiServer
from node_runner.manifest import Manifest, name_of
from node_runner.status import PodView, now, pod_status

_LOG = logging.getLogger(__name__)
_RETRY_SECONDS = 0.5
_GONE = (404, 409)


class Publisher:
    """Writes what `view` returns; a status that the API server has already is not sent again."""

    def __init__(self, api: ApiServer, view: Callable[[], PodView]) -> None:
        self._api, self._view = api, view
        self._dirty = asyncio.Event()
        self._sent: Manifest | None = None

    def changed(self) -> None:
        """Look at the pod again, soon."""
        self._dirty.set()

    async def keep(self) -> None:
        """Write every change, for ever."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            await self.publish()

    async def publish(self) -> None:
        """Write the status as it is now; return when the API server has it, or has no such pod."""
        await self._until_done("status not written", self._write)

    async def delete(self) -> None:
        """Remove the pod; return when it is gone."""
        await self._until_done("not deleted", lambda: self._api.delete_pod(self._view().pod))

    async def _write(self) -> None:
        view = self._view()
        status = pod_status(view, now())
        if _timeless(status) != self._sent:
            await self._api.patch_status("pods", view.pod, status)
            self._sent = _timeless(status)

    async def _until_done(self, failed: str, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await work()
            except FAILURES as error:
                if isinstance(error, kr8s.ServerError) and _code(error) in _GONE:
                    return None
                name = name_of(self._view().pod)
                _LOG.warning("%s: %s: %s", name, failed, error or type(error).__name__)
            await asyncio.sleep(_RETRY_SECONDS)


def _timeless(status: Manifest) -> Manifest:
    undated = [
        {key: value for key, value in entry.items() if key != "lastTransitionTime"}
        for entry in status["conditions"]
    ]
    return {**status, "conditions": undated}


def _code(error: kr8s.ServerError) -> int | None:
    return error.response.status_code if error.response is not None else None
