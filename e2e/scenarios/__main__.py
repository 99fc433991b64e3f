"""`python -m e2e.scenarios`: the cluster where none is given, then pytest; its exit code."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from local_cluster.cluster import Cluster

from e2e.scenarios.places import OUTPUT, ROOT

SUITES = ("e2e/scenarios", "e2e/oracles")
# Ladders that no overlay takes, and 6 minutes: `make e2e-ladders` names them.
LADDERS = "e2e/scenarios/test_ladders.py"
# Each scenario runs servers, a client and a canary of its own.
WORKERS = os.environ.get("E2E_WORKERS", "2")
NO_CLUSTER = 4


def main(arguments: Sequence[str]) -> int:
    """Run the suites, or the ones that `arguments` name; a cluster that was there stays."""
    signal.signal(signal.SIGTERM, _end)
    for name in ("scenarios", "report.html", "junit.xml"):
        _remove(name)
    if os.environ.get("KUBECONFIG"):
        return _tools() or _pytest(arguments)
    with _local_cluster() as ready:
        return _pytest(arguments) if ready else NO_CLUSTER


def _tools() -> int:
    """What scenarios ask another cluster with; the local one has built them itself."""
    argv = [sys.executable, "tools/install.py", "kustomize", "kubernetes", "argo-cd"]
    return subprocess.run(argv, cwd=ROOT, check=False).returncode


def _pytest(arguments: Sequence[str]) -> int:
    named = [word for word in arguments if word.split("::")[0].startswith("e2e/")]
    suites = [] if named else [*SUITES, f"--ignore={LADDERS}"]
    argv = [
        *(sys.executable, "-m", "pytest", "--no-cov", "--tb=short"),
        *("-n", WORKERS, "--dist", "loadscope", "--no-loadscope-reorder"),
        f"--junit-xml={OUTPUT / 'junit.xml'}",
        *suites,
        *arguments,
    ]
    code = subprocess.run(argv, cwd=ROOT, check=False).returncode
    print(f"e2e: {OUTPUT / 'report.html'}", file=sys.stderr)
    return code


@contextmanager
def _local_cluster() -> Iterator[bool]:
    """The running one, or one that is started here and stopped afterwards; whether it is up."""
    cluster = Cluster.from_environment()
    there = cluster.kubeconfig.is_file()
    try:
        # A cluster that was there serves the commit of its start.
        yield _command(cluster, "up") == 0 and _command(cluster, "restart", "git") == 0
    finally:
        if not there:
            _command(cluster, "down")


def _command(cluster: Cluster, *words: str) -> int:
    argv = [str(cluster.scripts / "local-cluster"), *words]
    return subprocess.run(argv, cwd=ROOT, check=False).returncode


def _remove(name: str) -> None:
    path = OUTPUT / name
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _end(number: int, _: FrameType | None) -> NoReturn:
    """A run that is ended still stops the cluster that it started."""
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
