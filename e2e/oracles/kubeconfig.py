"""The API server of an oracle: the one that KUBECONFIG names, else the local cluster's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from local_cluster.cluster import Cluster

from e2e.oracles.api_server import NoClusterError

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 180


def find_kubeconfig(part: str) -> Path:
    """Where KUBECONFIG names none, the local cluster's, running as far as `part`."""
    if named := os.environ.get("KUBECONFIG", ""):
        return Path(named.split(os.pathsep)[0])
    command = [sys.executable, "-m", "local_cluster.cli", "up", "--only", part]
    started = subprocess.run(
        command, capture_output=True, text=True, timeout=START_SECONDS, check=False, cwd=ROOT
    )
    if started.returncode:
        raise NoClusterError(f"the local cluster does not start:\n{started.stderr[-2000:]}")
    return Cluster.from_environment().kubeconfig
