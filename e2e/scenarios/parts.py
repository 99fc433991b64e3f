"""Parts of the local cluster as processes: stopped and started in the middle of a release."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from local_cluster import lifecycle, process
from local_cluster.cluster import Cluster
from local_cluster.part import Part, chosen
from local_cluster.parts import all_parts


class Parts:
    """By the names of `local-cluster status`; a test that uses them is marked `alone`."""

    def __init__(self, cluster: Cluster):
        self._cluster = cluster

    @contextmanager
    def without(self, name: str) -> Iterator[None]:
        """The part is stopped inside, and ready again after it."""
        part = self._part(name)
        process.stop(self._cluster.part_folder(name), part.stop_seconds)
        try:
            yield
        finally:
            lifecycle.bring_up(self._cluster, part)

    def restart(self, name: str) -> None:
        """Stop the part and start it again; returns when it is ready."""
        with self.without(name):
            pass

    @staticmethod
    def _part(name: str) -> Part:
        return chosen(all_parts(), [name])[name]
