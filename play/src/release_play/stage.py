"""The stage: where the traffic goes, which pods run, and whether all of it still lives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from release_play.pod_statuses import PodStatuses
from release_play.pods import Document, Node, Pod, pod_template_hash, start_pod
from release_play.processes import ProcessGroup
from release_play.prometheus import Prometheus
from release_play.traffic import Split, Traffic


@dataclass
class Stage:
    """One environment on this machine: one process for stable, one for the canary."""

    group: ProcessGroup
    folder: Path
    node: Node
    prometheus: Prometheus
    statuses: PodStatuses
    stable: Pod
    traffic: Traffic
    canary: Pod | None = None

    def start_canary(self, rollout: Document, documents: Sequence[Document]) -> Pod:
        """Start a pod of the new template; it is ready and scraped, and gets no traffic yet."""
        name = pod_name(rollout)
        self.canary = start_pod(self.group, self.folder, name, rollout, documents, self.node)
        self.traffic.split = Split(self.stable.base_url, self.canary.base_url, 0)
        self._scrape()
        self.prometheus.wait_until_scraped(self.canary.target)
        return self.canary

    def set_weight(self, weight: int) -> None:
        """Send `weight` percent of the requests to the canary."""
        self.traffic.split = Split(
            self.stable.base_url, self.canary.base_url if self.canary else None, weight
        )

    def promote(self) -> int:
        """The canary becomes stable; the old server drains. Its exit status."""
        if self.canary is None:
            raise ValueError("nothing to promote")
        old, self.stable, self.canary = self.stable, self.canary, None
        return self._settle(old)

    def abort(self) -> int | None:
        """All traffic back to stable; the canary drains. Its exit status, None without one."""
        old, self.canary = self.canary, None
        return self._settle(old) if old else None

    def broken(self) -> str | None:
        """What has died, or None while everything lives."""
        for process in self.group.running:
            if process.lasting and not process.alive:
                return f"{process.name} ended with status {process.popen.returncode}"
        return f"traffic stopped: {self.traffic.error}" if self.traffic.error else None

    def _settle(self, old: Pod) -> int:
        self.traffic.split = Split(self.stable.base_url)
        status = self.group.stop(old.process)
        self._scrape()
        return status

    def _scrape(self) -> None:
        self.statuses.pods = [self.stable, *([self.canary] if self.canary else [])]
        self.prometheus.scrape([pod.target for pod in self.statuses.pods])


def pod_name(rollout: Document) -> str:
    """A pod name as the ReplicaSet would make it, without the random end."""
    return f"{rollout['metadata']['name']}-{pod_template_hash(rollout)}-0"
