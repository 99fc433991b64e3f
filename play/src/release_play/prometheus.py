"""A real Prometheus that scrapes the play's servers as PodMonitor would have it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from release_play.processes import Process, ProcessError, ProcessGroup, free_port, wait_until_ready

READY_SECONDS = 30.0
SCRAPED_SECONDS = 30.0


@dataclass(frozen=True)
class Target:
    """One scraped server and the labels that the PodMonitor's relabelling gives it."""

    address: str
    namespace: str
    pod: str
    container: str
    pod_template_hash: str

    def as_file_sd(self) -> dict[str, object]:
        """The entry of a file_sd document."""
        return {
            "targets": [self.address],
            "labels": {
                "namespace": self.namespace,
                "pod": self.pod,
                "container": self.container,
                "rollouts_pod_template_hash": self.pod_template_hash,
            },
        }


class Prometheus:
    """The running server: `address` for queries, `scrape` for what it watches."""

    def __init__(self, folder: Path, process: Process, address: str):
        self._targets, self.process, self.address = folder / "targets.json", process, address

    def scrape(self, targets: Sequence[Target]) -> None:
        """Replace the scraped targets (the file is renamed into place, never half-written)."""
        _write_targets(self._targets, targets)

    def wait_until_scraped(self, target: Target) -> None:
        """Return once the target was scraped; ProcessError when that takes too long.

        Prometheus hands new targets to its scrapers at most every 5 s.
        """
        deadline = time.monotonic() + SCRAPED_SECONDS
        while time.monotonic() < deadline:
            self.process.require_alive()
            response = httpx.get(
                f"{self.address}/api/v1/query",
                params={"query": f'up{{pod="{target.pod}"}} == 1'},
                timeout=10.0,
            )
            if response.is_success and response.json()["data"]["result"]:
                return
            time.sleep(0.2)
        raise ProcessError(f"Prometheus did not scrape {target.pod} in {SCRAPED_SECONDS:.0f} s")

    def query_range(
        self, expression: str, start: float, end: float, step: float = 1.0
    ) -> list[tuple[float, float]]:
        """The first series of a range query as (Unix seconds, value), empty when there is none."""
        response = httpx.get(
            f"{self.address}/api/v1/query_range",
            params={"query": expression, "start": start, "end": end, "step": step},
            timeout=10.0,
        )
        response.raise_for_status()
        result = response.json()["data"]["result"]
        return [(float(at), float(value)) for at, value in result[0]["values"]] if result else []


def start_prometheus(
    group: ProcessGroup, folder: Path, binary: Path, interval: str, pod_statuses: str
) -> Prometheus:
    """Start Prometheus in `folder`; it scrapes every `interval`.

    Of servers there are none yet; `pod_statuses` is the address of kube-state-metrics' part.
    """
    folder.mkdir(parents=True)
    _write_targets(folder / "targets.json", [])
    config = folder / "prometheus.yaml"
    config.write_text(yaml.safe_dump(_config(folder / "targets.json", interval, pod_statuses)))
    port = free_port()
    process = group.start(
        "prometheus",
        [
            str(binary),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ],
    )
    address = f"http://127.0.0.1:{port}"
    wait_until_ready(process, f"{address}/-/ready", READY_SECONDS)
    return Prometheus(folder, process, address)


def _config(targets: Path, interval: str, pod_statuses: str) -> dict[str, object]:
    return {
        "global": {"scrape_interval": interval, "scrape_timeout": interval},
        "scrape_configs": [
            {
                "job_name": "inference",
                "file_sd_configs": [{"files": [str(targets)], "refresh_interval": "1s"}],
            },
            {
                "job_name": "kube-state-metrics",
                "honor_labels": True,
                "static_configs": [{"targets": [pod_statuses]}],
            },
        ],
    }


def _write_targets(path: Path, targets: Sequence[Target]) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps([target.as_file_sd() for target in targets]))
    temporary.replace(path)
