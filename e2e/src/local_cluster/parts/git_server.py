"""The Git server, with this repository fitted to the local cluster."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx

from local_cluster.cluster import PORTS, Cluster, ClusterError
from local_cluster.models import sha256_of_stable, trained
from local_cluster.part import Command, Part
from local_cluster.repository import NAME, RepositoryError, Setting, serve_repository


def folder(cluster: Cluster) -> Path:
    """Holds the bare repositories."""
    return cluster.folder / "git"


def repository_url(cluster: Cluster) -> str:
    """The URL by which Argo CD and a person reach the served repository."""
    return f"{cluster.url('git')}/{NAME}"


def _prepare(cluster: Cluster) -> None:
    checksum = sha256_of_stable(trained(cluster.root))
    setting = Setting(repository_url(cluster), cluster.url("argocd"), checksum)
    try:
        served = serve_repository(cluster.root, folder(cluster) / NAME, setting)
    except RepositoryError as error:
        raise ClusterError(f"git: {error}") from error
    if served.uncommitted:
        print(
            f"git: uncommitted changes are not served: {repository_url(cluster)} "
            f"holds {served.head[:12]} and one commit",
            file=sys.stderr,
        )


def _command(cluster: Cluster) -> Command:
    return Command(
        [
            *(str(cluster.python), "-m", "local_cluster.git_server"),
            *("--folder", str(folder(cluster))),
            *("--address", cluster.host, "--port", str(PORTS["git"])),
        ]
    )


def _ready(cluster: Cluster) -> str | None:
    answer = httpx.get(
        f"{repository_url(cluster)}/info/refs", params={"service": "git-upload-pack"}, timeout=5
    )
    return None if answer.is_success else f"it answers {answer.status_code}"


PART = Part("git", _command, _ready, needs=("models",), prepare=_prepare, listens=("git",))
