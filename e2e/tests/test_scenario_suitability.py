"""Scenarios refuse a cluster that cannot run them, and say why."""

from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from e2e.scenarios.places import NoClusterError
from e2e.scenarios.suitability import KINDS, require_suitable, too_old


class Api:
    """An API server of this version that serves these kinds, or none that answers."""

    def __init__(self, minor: str, kinds: tuple[str, ...] = KINDS, answers: bool = True) -> None:
        self.auth = SimpleNamespace(server="https://cluster.test:6443")
        self._minor, self._kinds, self._answers = minor, kinds, answers

    def version(self) -> dict[str, str]:
        if not self._answers:
            raise httpx.ConnectError("All connection attempts failed")
        return {"major": "1", "minor": self._minor, "gitVersion": f"v1.{self._minor}.3"}

    def get(self, kind: str, namespace: str) -> list[Any]:
        if kind not in self._kinds:
            raise ValueError(f"Kind {kind} not found.")
        return []


@pytest.mark.parametrize("minor", ["30", "36", "34+"])
def test_a_cluster_that_serves_what_the_overlays_use_will_do(minor: str) -> None:
    require_suitable(Api(minor))


def test_an_old_api_server_is_refused_by_its_version() -> None:
    with pytest.raises(NoClusterError, match=r"Kubernetes v1\.29\.3: the overlays need 1\.30"):
        require_suitable(Api("29"))
    assert too_old({"major": "2", "minor": "0", "gitVersion": "v2.0.0"}) is None


def test_a_cluster_without_the_crds_is_told_which() -> None:
    with pytest.raises(NoClusterError, match=r"cluster\.test:6443 serves no rollouts\.argoproj"):
        require_suitable(Api("36", tuple(k for k in KINDS if not k.startswith("rollouts"))))


def test_an_api_server_that_does_not_answer_is_named() -> None:
    with pytest.raises(NoClusterError, match=r"cluster\.test:6443 does not answer"):
        require_suitable(Api("36", answers=False))
