"""Which traffic-router plugin the Argo Rollouts controller is given."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from local_cluster.cluster import ClusterError
from local_cluster.parts.argo_rollouts import VARIABLE, Plugin, plugin, with_plugin

ROOT = Path(__file__).parents[2]
TOOLS = Path("/tools")


def test_without_a_word_it_is_the_test_double() -> None:
    assert plugin({}, TOOLS) == Plugin("file:///tools/gatewayapi-traffic-router", double=True)


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    program = tmp_path / "plugin"
    program.touch()
    assert plugin({VARIABLE: str(program)}, TOOLS) == Plugin(f"file://{program}")


def test_a_url_brings_its_hash() -> None:
    named = f"https://example.com/plugin#sha256={'a' * 64}"
    assert plugin({VARIABLE: named}, TOOLS) == Plugin("https://example.com/plugin", "a" * 64)


@pytest.mark.parametrize("named", ["https://example.com/plugin", "https://x/#sha256=12"])
def test_a_url_without_its_hash_is_refused(named: str) -> None:
    with pytest.raises(ClusterError, match="end it with #sha256="):
        plugin({VARIABLE: named}, TOOLS)


def test_a_path_to_nothing_is_refused() -> None:
    with pytest.raises(ClusterError, match="/nowhere is no file"):
        plugin({VARIABLE: "/nowhere"}, TOOLS)


def test_only_the_plugins_location_differs_from_what_the_platform_ships() -> None:
    path = ROOT / "apps/platform/argo-rollouts/argo-rollouts-config.yaml"
    shipped = yaml.safe_load(path.read_text())
    filled = with_plugin(shipped, Plugin("file:///plugin", "b" * 64))
    assert filled["metadata"] == {**shipped["metadata"], "namespace": "argo-rollouts"}
    assert set(filled["data"]) == set(shipped["data"])
    assert yaml.safe_load(filled["data"]["trafficRouterPlugins"]) == [
        {"name": "argoproj-labs/gatewayAPI", "location": "file:///plugin", "sha256": "b" * 64}
    ]
