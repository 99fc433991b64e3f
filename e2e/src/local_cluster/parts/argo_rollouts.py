"""The Argo Rollouts controller with its traffic-router plugin."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from local_cluster import objects
from local_cluster.cluster import PORTS, Cluster, ClusterError
from local_cluster.part import Command, Part

NAME = "argo-rollouts"
VARIABLE = "ROLLOUTS_GATEWAYAPI_PLUGIN"
_CONFIGURATION = "apps/platform/argo-rollouts/argo-rollouts-config.yaml"
_PLUGIN = "argoproj-labs/gatewayAPI"
_DOUBLE = "gatewayapi-traffic-router"
_ANSWER_SECONDS = 5.0


@dataclass(frozen=True)
class Plugin:
    """Where the controller takes the plugin from, and whether it is our test double."""

    location: str
    sha256: str = ""
    double: bool = False


def plugin(environment: Mapping[str, str], tools: Path) -> Plugin:
    """The plugin that the environment names by path or by URL with its hash; else the double."""
    named = environment.get(VARIABLE, "")
    if not named:
        return Plugin(f"file://{tools / _DOUBLE}", double=True)
    if named.startswith(("https://", "http://")):
        url, _, digest = named.partition("#sha256=")
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise ClusterError(f"{NAME}: {VARIABLE} is a URL: end it with #sha256= and its 64 hex")
        return Plugin(url, digest)
    path = Path(named).resolve()
    if not path.is_file():
        raise ClusterError(f"{NAME}: {VARIABLE}={named} is no file, and no URL with #sha256=")
    return Plugin(f"file://{path}")


def with_plugin(configuration: objects.Object, chosen: Plugin) -> objects.Object:
    """The platform's ConfigMap with the plugin's location filled in."""
    plugins = yaml.safe_load(configuration["data"]["trafficRouterPlugins"])
    for entry in plugins:
        if entry["name"] == _PLUGIN:
            entry |= {"location": chosen.location, "sha256": chosen.sha256}
    filled = {**configuration["data"], "trafficRouterPlugins": yaml.safe_dump(plugins)}
    metadata = {**configuration["metadata"], "namespace": NAME}
    return {**configuration, "metadata": metadata, "data": filled}


def _prepare(cluster: Cluster) -> None:
    chosen = plugin(os.environ, cluster.tools)
    [configuration] = objects.load(cluster.root / _CONFIGURATION)
    objects.apply(cluster, with_plugin(configuration, chosen))
    folder = cluster.part_folder(NAME)
    folder.mkdir(parents=True, exist_ok=True)
    said = {"double": chosen.double, "location": chosen.location, "sha256": chosen.sha256}
    (folder / "traffic-router.json").write_text(json.dumps(said))


def _command(cluster: Cluster) -> Command:
    return Command(
        [
            str(cluster.tools / "rollouts-controller"),
            f"--kubeconfig={cluster.kubeconfig}",
            "--leader-elect=false",
            "--logformat=json",
            f"--metricsPort={cluster.shifted(PORTS['rollouts-metrics'])}",
            f"--healthzPort={cluster.shifted(PORTS['rollouts-health'])}",
        ],
        {
            "ARGO_ROLLOUTS_PROMETHEUS_ADDRESS": cluster.url("prometheus"),
            # The plugin is a child of the controller and looks for the cluster by itself.
            "KUBECONFIG": str(cluster.kubeconfig),
            "POD_NAMESPACE": NAME,
        },
    )


def _ready(cluster: Cluster) -> str | None:
    url = f"http://{cluster.host}:{cluster.shifted(PORTS['rollouts-health'])}/healthz"
    answer = httpx.get(url, timeout=_ANSWER_SECONDS, trust_env=False)
    return None if answer.is_success else f"it answers {answer.status_code}: {answer.text[:200]}"


PART = Part(NAME, _command, _ready, ("crds", "namespaces"), _prepare, ready_seconds=60)
