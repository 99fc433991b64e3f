"""Which tests one worker takes, one after the other.

xdist has a mark for it, `xdist_group`, that pytest 9.2 does not let it see (its issue 1386).
"""

from __future__ import annotations

from pathlib import PurePosixPath

from xdist.scheduler import LoadScopeScheduling

# They run when no other scenario does: in several workers they would only wait for each other.
ALONE = (
    "test_controller_restarts.py",
    "test_node.py::test_a_pod_survives_a_restart_of_the_runner",
    "test_node_drain.py",
    "test_undecided.py::test_while_prometheus_is_down_the_release_waits_where_it_is",
    "test_zone_lost.py",
)
# Their tests share what takes long to make.
TOGETHER = (
    "test_first_install.py",
    "test_gateway.py",
    "test_gate.py",
    "test_pod_security.py",
    "test_schemas.py",
)


def scope(test: str) -> str:
    """Tests of one scope go to one worker; `test` is a test's id, as pytest has it."""
    path, _, name = test.partition("::")
    file = PurePosixPath(path).name
    if file in ALONE or f"{file}::{name}" in ALONE:
        return "alone"
    return path if file in TOGETHER else test


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out scopes in the order of the tests."""

    def _split_scope(self, nodeid: str) -> str:
        return scope(nodeid)
