"""Argo CD out of the cluster: its programs as processes, configured by our argocd/config."""

from __future__ import annotations

import os
import secrets
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import yaml

from local_cluster import objects
from local_cluster.cluster import PORTS, Cluster, ClusterError
from local_cluster.part import Command, Part
from local_cluster.parts import git_server
from local_cluster.repository import NAME, RepositoryError, export

NAMESPACE = "argocd"
_RENDER_SECONDS = 30
_TOKEN_BYTES = 32
_CONTROLLER_METRICS = 28100
_NOTIFICATIONS_METRICS = 28400
_CONTROLLER = "ARGOCD_APPLICATION_CONTROLLER"

# Upstream's Deployments give these keys of the two ConfigMaps to the programs as variables.
VARIABLES = {
    "argocd-cm": {
        "timeout.reconciliation": "ARGOCD_RECONCILIATION_TIMEOUT",
        "timeout.reconciliation.jitter": "ARGOCD_RECONCILIATION_JITTER",
    },
    "argocd-cmd-params-cm": {
        "controller.resource.health.persist": f"{_CONTROLLER}_PERSIST_RESOURCE_HEALTH",
        "controller.sync.timeout.seconds": f"{_CONTROLLER}_SYNC_TIMEOUT",
    },
}


def _folder(cluster: Cluster) -> Path:
    return cluster.folder / "argocd"


def served_files(cluster: Cluster) -> Path:
    """The folders argocd/ and e2e/component/ as the served repository had them at the start."""
    return _folder(cluster) / "source"


def root_manifest(cluster: Cluster) -> Path:
    """The one file that is applied by hand, as the served repository has it."""
    return served_files(cluster) / "argocd" / "root.yaml"


def variables(config: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Environment of the programs from ConfigMaps by name; ClusterError for a key it misses."""
    unknown = set(config["argocd-cmd-params-cm"]) - set(VARIABLES["argocd-cmd-params-cm"])
    if unknown:
        raise ClusterError(
            f"argo-cd: no program is given {', '.join(sorted(unknown))} of argocd-cmd-params-cm; "
            "name the variable in e2e/src/local_cluster/parts/argo_cd.py"
        )
    return {
        variable: config[name][key]
        for name, keys in VARIABLES.items()
        for key, variable in keys.items()
        if key in config[name]
    }


def _prepare(cluster: Cluster) -> None:
    """Export the served configuration, apply it with the Secrets, make the programs' folders."""
    source = served_files(cluster)
    try:
        export(git_server.folder(cluster) / NAME, source, ["argocd", "e2e/component"])
    except RepositoryError as error:
        raise ClusterError(f"argo-cd: {error}") from error
    rendered = _render(cluster, source / "argocd" / "config")
    (_folder(cluster) / "config.yaml").write_text(rendered)
    for name in ("gpg-keys", "gpg-source", "home", "plugins", "ssh", "static", "temporary", "tls"):
        (_folder(cluster) / name).mkdir(exist_ok=True)
    objects.apply(
        cluster,
        *objects.namespaces([NAMESPACE]),
        _folder(cluster) / "config.yaml",
        objects.MANIFESTS / "argocd-empty.yaml",
    )
    for secret in _secrets(cluster):
        # Made once: a key that changes logs everyone out.
        if objects.get(cluster, "secret", secret["metadata"]["name"], NAMESPACE) is None:
            objects.apply(cluster, secret)


def _render(cluster: Cluster, folder: Path) -> str:
    try:
        result = subprocess.run(
            [str(cluster.tools / "kustomize"), "build", str(folder)],
            capture_output=True,
            text=True,
            timeout=_RENDER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClusterError(f"argo-cd: argocd/config does not render: {error}") from error
    if result.returncode:
        raise ClusterError(f"argo-cd: argocd/config does not render: {result.stderr.strip()}")
    return result.stdout


def _secrets(cluster: Cluster) -> list[objects.Object]:
    """Generated here and kept in the cluster alone; the server adds the administrator's."""
    return [
        _secret("argocd-secret", {"server.secretkey": _token()}),
        _secret(
            "argocd-notifications-secret",
            {
                "release-webhook-url": f"{cluster.url('release-webhook')}/",
                "release-webhook-token": _token(),
            },
        ),
    ]


def _secret(name: str, data: Mapping[str, str]) -> objects.Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {
                "app.kubernetes.io/name": name,
                "app.kubernetes.io/part-of": "argocd",
            },
        },
        "data": {key: b64encode(value.encode()).decode() for key, value in data.items()},
    }


def _token() -> str:
    return secrets.token_urlsafe(_TOKEN_BYTES)


def _environment(cluster: Cluster) -> dict[str, str]:
    folder = _folder(cluster)
    config = {
        document["metadata"]["name"]: document.get("data", {})
        for document in yaml.safe_load_all((folder / "config.yaml").read_text())
    }
    return variables(config) | {
        "KUBECONFIG": str(cluster.kubeconfig),
        # kustomize, and upstream's two scripts that the repo server calls.
        "PATH": f"{cluster.tools}:{os.environ['PATH']}",
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "temporary"),
        # https://kubernetes.default.svc is the cluster of the kubeconfig.
        "ARGOCD_FAKE_IN_CLUSTER": "true",
        # Seconds between waves: upstream's 2 would be half of every sync here.
        "ARGOCD_SYNC_WAVE_DELAY": "1",
        "ARGOCD_GPG_ENABLED": "false",
        "ARGOCD_GNUPGHOME": str(folder / "gpg-keys"),
        "ARGOCD_GPG_DATA_PATH": str(folder / "gpg-source"),
        "ARGOCD_TLS_DATA_PATH": str(folder / "tls"),
        "ARGOCD_SSH_DATA_PATH": str(folder / "ssh"),
        "ARGOCD_PLUGINSOCKFILEPATH": str(folder / "plugins"),
        "ARGOCD_ASK_PASS_SOCK": str(folder / "ask-pass.sock"),
        "GIT_CONFIG_GLOBAL": os.devnull,
    }


def _addresses(cluster: Cluster, program: str) -> list[str]:
    """Where a program listens and what it connects to."""
    host = cluster.host
    redis = ["--redis", cluster.address("redis")]
    repo_server = cluster.address("argocd-repo-server")
    return {
        "argocd-repo-server": [
            *("--address", host, "--port", str(PORTS["argocd-repo-server"])),
            *("--metrics-address", host),
            *("--metrics-port", str(PORTS["argocd-repo-server-metrics"])),
            *redis,
        ],
        "argocd-server": [
            *("--insecure", "--address", host, "--port", str(PORTS["argocd"])),
            *("--metrics-address", host, "--metrics-port", str(PORTS["argocd-metrics"])),
            *("--repo-server", repo_server),
            # Nobody listens there: people log in as admin.
            *("--dex-server", f"http://{host}:5556"),
            # The interface's files are not in the Go module; the CLI and the API need none.
            *("--staticassets", str(_folder(cluster) / "static")),
            *redis,
        ],
        "argocd-application-controller": [
            *("--metrics-port", str(cluster.shifted(_CONTROLLER_METRICS))),
            *("--repo-server", repo_server),
            *redis,
        ],
        "argocd-applicationset-controller": [
            *("--metrics-addr", cluster.address("argocd-applicationset-metrics")),
            *("--probe-addr", cluster.address("argocd-applicationset-probes")),
            *("--webhook-addr", cluster.address("argocd-applicationset-webhook")),
            *("--argocd-repo-server", repo_server),
        ],
        "argocd-notifications": [
            *("--metrics-port", str(cluster.shifted(_NOTIFICATIONS_METRICS))),
            *("--argocd-repo-server", repo_server),
        ],
    }[program]


def _program(name: str, health: Callable[[Cluster], str], *, listens: tuple[str, ...] = ()) -> Part:
    def command(cluster: Cluster) -> Command:
        argv = [str(cluster.tools / name), *_addresses(cluster, name), "--loglevel", "info"]
        return Command(argv, _environment(cluster))

    def ready(cluster: Cluster) -> str | None:
        answer = httpx.get(health(cluster), timeout=5)
        return None if answer.is_success else f"{health(cluster)} answers {answer.status_code}"

    # It compares for seconds, and beside it a gate measures answers by the millisecond.
    needs = (CONFIG.name, "redis")
    return Part(name, command, ready, needs=needs, listens=listens, gives_way=True)


def admin_password(cluster: Cluster) -> str | None:
    """The password of `admin`, which the server makes at its first start."""
    secret = objects.get(cluster, "secret", "argocd-initial-admin-secret", NAMESPACE)
    return b64decode(secret["data"]["password"]).decode() if secret else None


CONFIG = Part(
    "argo-cd",
    None,
    needs=("kube-apiserver", "namespaces", "crds", "git"),
    prepare=_prepare,
)
PARTS = (
    CONFIG,
    _program(
        "argocd-repo-server",
        lambda cluster: f"{cluster.url('argocd-repo-server-metrics')}/healthz",
        listens=("argocd-repo-server", "argocd-repo-server-metrics"),
    ),
    _program(
        "argocd-server",
        lambda cluster: f"{cluster.url('argocd')}/healthz?full=true",
        listens=("argocd", "argocd-metrics"),
    ),
    _program(
        "argocd-application-controller",
        lambda cluster: f"http://{cluster.host}:{cluster.shifted(_CONTROLLER_METRICS)}/healthz",
    ),
    _program(
        "argocd-applicationset-controller",
        lambda cluster: f"{cluster.url('argocd-applicationset-metrics')}/metrics",
        listens=(
            "argocd-applicationset-metrics",
            "argocd-applicationset-probes",
            "argocd-applicationset-webhook",
        ),
    ),
    _program(
        "argocd-notifications",
        lambda cluster: f"http://{cluster.host}:{cluster.shifted(_NOTIFICATIONS_METRICS)}/metrics",
    ),
)
