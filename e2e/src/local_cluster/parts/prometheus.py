"""Prometheus, and beside it what the Prometheus Operator would do."""

from __future__ import annotations

import httpx
import yaml

from local_cluster import monitors
from local_cluster.cluster import Cluster
from local_cluster.part import Command, Part

_ANSWER_SECONDS = 5.0


def _prepare(cluster: Cluster) -> None:
    """A configuration to start with; where there is one already, its monitors stay."""
    file = cluster.part_folder("prometheus") / "prometheus.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        first = monitors.configuration(monitors.settings(cluster), [])
        file.write_text(yaml.safe_dump(first, sort_keys=False))


def _command(cluster: Cluster) -> Command:
    folder = cluster.part_folder("prometheus")
    return Command(
        [
            str(cluster.tools / "prometheus"),
            f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={cluster.address('prometheus')}",
            "--web.enable-lifecycle",
        ]
    )


def _ready(cluster: Cluster) -> str | None:
    url = f"{cluster.url('prometheus')}/-/ready"
    answer = httpx.get(url, timeout=_ANSWER_SECONDS, trust_env=False)
    return None if answer.is_success else f"it answers {answer.status_code}: {answer.text[:200]}"


def _forget(cluster: Cluster) -> None:
    (cluster.part_folder("monitors") / monitors.SYNCED).unlink(missing_ok=True)


def _translate(cluster: Cluster) -> Command:
    return Command(
        [str(cluster.python), "-m", "local_cluster.monitors"],
        {"LOCAL_CLUSTER_FOLDER": str(cluster.folder), "LOCAL_CLUSTER_NETWORK": cluster.network},
    )


def _translated(cluster: Cluster) -> str | None:
    synced = (cluster.part_folder("monitors") / monitors.SYNCED).exists()
    return None if synced else "it has not read the PodMonitors yet"


PARTS = (
    Part("prometheus", _command, _ready, ("namespaces",), _prepare, listens=("prometheus",)),
    Part("monitors", _translate, _translated, ("prometheus", "crds"), _forget),
)
