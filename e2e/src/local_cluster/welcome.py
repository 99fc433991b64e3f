"""What `up` tells at its end: addresses, where the credentials are, five commands to try."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from local_cluster.api_keys import api_key
from local_cluster.cluster import Cluster
from local_cluster.parts.argo_cd import admin_password, root_manifest

_STAGING = "inference.staging.example.com"


def lines(cluster: Cluster, parts: Iterable[str]) -> Iterator[str]:
    """The text for the parts that run."""
    running = set(parts)
    yield from _addresses(cluster, running)
    if "argocd-server" in running:
        yield ""
        yield from _commands(cluster, _keep_password(cluster))
    else:
        yield ""
        yield f"export KUBECONFIG={_short(cluster.kubeconfig)}"


def _addresses(cluster: Cluster, running: set[str]) -> Iterator[str]:
    found = {
        "argocd-server": (
            "Argo CD",
            f"{cluster.url('argocd')} (API; its UI is no part of the module)",
        ),
        "prometheus": ("Prometheus", cluster.url("prometheus")),
        "mlflow": ("MLflow", cluster.url("mlflow")),
        "git": ("Git", f"{cluster.url('git')}/inference-gitops.git"),
        "gateway-bridge": (
            "Gateway",
            f"http://{cluster.host}:{cluster.gateway_http} https://{cluster.host}:{cluster.gateway_https}",
        ),
    }
    yield ""
    for part, (name, address) in found.items():
        if part in running:
            yield f"{name:<12} {address}"


def _keep_password(cluster: Cluster) -> Path:
    file = cluster.folder / "argocd-password"
    file.touch(mode=0o600)
    file.write_text(admin_password(cluster) or "")
    return file


def _commands(cluster: Cluster, password: Path) -> Iterator[str]:
    yield f"{'Argo CD':<12} user admin, password in {_short(password)}"
    yield f"{'API keys':<12} {api_key('staging', 'client-001')} and so on, for local use only"
    yield ""
    yield f'export KUBECONFIG={_short(cluster.kubeconfig)} PATH="{_short(cluster.tools)}:$PATH"'
    yield ""
    yield "1. Install everything from Git:"
    yield f"   kubectl apply --server-side --force-conflicts -f {_short(root_manifest(cluster))}"
    yield "2. See it become Synced and Healthy, production on request only:"
    yield "   kubectl get applications"
    yield "3. Look at a release:"
    yield "   kubectl argo rollouts get rollout inference -n inference-staging"
    yield "4. Ask the service through the gateway:"
    yield (
        f"   curl -k --resolve {_STAGING}:{cluster.gateway_https}:{cluster.host} "
        f"-H 'X-API-Key: {api_key('staging', 'client-001')}' "
        f"https://{_STAGING}:{cluster.gateway_https}/v2/health/ready -i"
    )
    yield "5. Release to production, by hand as it should be:"
    yield (
        f"   argocd login {cluster.address('argocd')} --plaintext --grpc-web --username admin "
        f'--password "$(cat {_short(password)})" && argocd app sync inference-production'
    )


def _short(path: Path) -> str:
    """As a person in the current folder would type it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
