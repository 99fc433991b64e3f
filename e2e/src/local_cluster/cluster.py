"""Where everything of one local cluster stands; several can live side by side."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PORTS = {
    "argocd": 8080,
    "argocd-repo-server": 8081,
    "git": 8082,
    "argocd-metrics": 8083,
    "argocd-repo-server-metrics": 8084,
    "prometheus": 9090,
    "mlflow": 5000,
    "redis": 6379,
    "node-runner": 10250,
    "envoy-gateway": 18000,
    "gateway-bridge": 18001,
    "envoy-gateway-wasm": 18002,
    "envoy-gateway-health": 18003,
    "envoy-admin": 18010,
    "envoy-gateway-admin": 18011,
    "envoy-ready": 19003,
    "argocd-applicationset-metrics": 18080,
    "argocd-applicationset-probes": 18081,
    "argocd-applicationset-webhook": 18082,
    # Where Argo CD's notifications go: a test or a person may listen, no part does.
    "release-webhook": 18090,
    "rollouts-metrics": 18093,
    "rollouts-health": 18091,
    "prometheus-adapter": 6443,
    "kube-state-metrics": 8085,
    "kube-state-metrics-telemetry": 8086,
    "cert-manager-health": 18100,
    "external-secrets-health": 18101,
}
FIRST_NETWORK = 40


class ClusterError(Exception):
    """Something of the local cluster failed; the message names the part and what to do."""


@dataclass(frozen=True)
class Cluster:
    """Folders, addresses and programs of one local cluster."""

    root: Path
    folder: Path
    network: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Cluster:
        """The cluster of this checkout: LOCAL_CLUSTER_FOLDER and LOCAL_CLUSTER_NETWORK move it."""
        root = Path(__file__).resolve().parents[3]
        folder = Path(environment.get("LOCAL_CLUSTER_FOLDER") or root / "build" / "cluster")
        network = environment.get("LOCAL_CLUSTER_NETWORK") or f"127.{FIRST_NETWORK}"
        if not re.fullmatch(r"127\.(0|[1-9]\d?|1\d\d|2[0-4]\d|25[0-4])", network):
            raise ClusterError(
                f"LOCAL_CLUSTER_NETWORK={network} is no loopback network: "
                "give its first two octets, as in 127.40"
            )
        return cls(root, folder.resolve(), network)

    @property
    def host(self) -> str:
        """The address at which the programs listen; pods have x.y with x >= 1."""
        return f"{self.network}.0.1"

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of the administrator; its current namespace is argocd."""
        return self.folder / "kubeconfig"

    @property
    def tools(self) -> Path:
        """The folder of the pinned programs."""
        return self.root / ".tools" / "bin"

    @property
    def python(self) -> Path:
        """The interpreter; the commands of our Python packages stand beside it."""
        return Path(sys.executable)

    @property
    def scripts(self) -> Path:
        """The folder of the commands of our Python packages."""
        return self.python.parent

    @property
    def _shift(self) -> int:
        return int(self.network.split(".")[1]) - FIRST_NETWORK

    @property
    def gateway_http(self) -> int:
        """Plain HTTP at the gateway: Envoy binds every address, so it differs by network."""
        return self.shifted(10080)

    @property
    def gateway_https(self) -> int:
        """Port of TLS at the gateway."""
        return self.shifted(10443)

    def shifted(self, port: int, step: int = 1) -> int:
        """`port` as this network has it, for a program that cannot listen at `host` alone."""
        return port + step * self._shift

    def part_folder(self, name: str) -> Path:
        """Log, process record and configuration of one part."""
        return self.folder / "parts" / name

    def address(self, name: str) -> str:
        """`host:port` of a program."""
        return f"{self.host}:{PORTS[name]}"

    def url(self, name: str) -> str:
        """The http URL of a program."""
        return f"http://{self.address(name)}"
