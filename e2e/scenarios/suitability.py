"""Whether scenarios can run on a cluster: that it answers, how old it is, what it serves."""

from __future__ import annotations

from typing import Any

import httpx
import kr8s

from e2e.scenarios.places import NoClusterError

# From here on `preStop.sleep` is on by default; the suite itself runs on that of tools/kubernetes.
OLDEST = (1, 30)
KINDS = (
    "applications.argoproj.io",
    "rollouts.argoproj.io",
    "httproutes.gateway.networking.k8s.io",
    "securitypolicies.gateway.envoyproxy.io",
    "externalsecrets.external-secrets.io",
    "podmonitors.monitoring.coreos.com",
    "certificates.cert-manager.io",
)
FAILURES = (httpx.HTTPError, kr8s.ServerError, kr8s.APITimeoutError, OSError)


def require_suitable(api: Any) -> None:
    """NoClusterError for an API server that does not answer, is too old, or misses CRDs."""
    try:
        version = api.version()
        missing = [kind for kind in KINDS if not _serves(api, kind)]
    except FAILURES as error:
        raise NoClusterError(
            f"the API server at {api.auth.server} does not answer ({error}): look at "
            "`make status`, or set KUBECONFIG to a cluster that runs"
        ) from None
    if said := too_old(version):
        raise NoClusterError(said)
    if missing:
        raise NoClusterError(
            f"the cluster at {api.auth.server} serves no {', '.join(missing)}: install what "
            "argocd/README.md installs, or unset KUBECONFIG and run the local cluster"
        )


def too_old(version: dict[str, str]) -> str | None:
    """What to say of an API server's own version, as /version tells it; None if it will do."""
    found = (int(version["major"]), int(version["minor"].rstrip("+")))
    if found >= OLDEST:
        return None
    oldest = ".".join(map(str, OLDEST))
    return (
        f"the API server is Kubernetes {version['gitVersion']}: the overlays need {oldest} or newer"
    )


def _serves(api: Any, kind: str) -> bool:
    try:
        list(api.get(kind, namespace="default"))
    except ValueError:
        # What kr8s says of a kind that discovery does not know.
        return False
    return True
