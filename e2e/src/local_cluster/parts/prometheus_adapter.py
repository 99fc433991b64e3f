"""prometheus-adapter: metrics for the autoscaler, and for `kubectl top`, out of Prometheus.

Its rules are those of the platform's Application. On a cluster with kubelets metrics-server
gives the resource metrics; here the same adapter does, from what node-runner measures.
"""

from __future__ import annotations

from typing import Any

import httpx
import yaml

from local_cluster import objects
from local_cluster.cluster import PORTS, Cluster, ClusterError
from local_cluster.part import Command, Part

APPLICATION = "apps/platform/prometheus-adapter.yaml"
_MANIFEST = objects.MANIFESTS / "metrics-api.yaml"
_ANSWER_SECONDS = 2.0
_WINDOW = "10s"
_NAMES = {name: {"resource": name} for name in ("namespace", "node", "pod")}


def configuration(application: dict[str, Any]) -> dict[str, Any]:
    """The adapter's configuration, as the chart would write it from the Application's values."""
    try:
        custom = application["spec"]["source"]["helm"]["valuesObject"]["rules"]["custom"]
    except KeyError as error:
        raise ClusterError(
            f"prometheus-adapter: {APPLICATION} has no {error} where its rules should be"
        ) from error
    cpu = f'rate(container_cpu_usage_seconds_total{{<<.LabelMatchers>>,container!=""}}[{_WINDOW}])'
    memory = 'container_memory_working_set_bytes{<<.LabelMatchers>>,container!=""}'
    resources = {"cpu": _resource(cpu), "memory": _resource(memory), "window": _WINDOW}
    return {"rules": custom, "resourceRules": resources}


def _resource(series: str) -> dict[str, Any]:
    query = f"sum({series}) by (<<.GroupBy>>)"
    # A node that runs nothing uses nothing.
    idle = "0 * sum(kube_node_info{<<.LabelMatchers>>}) by (<<.GroupBy>>)"
    return {
        "containerLabel": "container",
        "containerQuery": query,
        "nodeQuery": f"{query} or {idle}",
        "resources": {"overrides": _NAMES},
    }


def api_services(cluster: Cluster) -> list[objects.Object]:
    """The groups that the adapter serves, at a Service that is a name for its process."""
    documents = objects.load(_MANIFEST)
    for document in documents:
        if document["kind"] == "Service":
            document["spec"]["externalName"] = cluster.host
        else:
            document["spec"]["service"]["port"] = PORTS["prometheus-adapter"]
    return documents


def _prepare(cluster: Cluster) -> None:
    folder = cluster.part_folder("prometheus-adapter")
    folder.mkdir(parents=True, exist_ok=True)
    application = yaml.safe_load((cluster.root / APPLICATION).read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(configuration(application)))


def _command(cluster: Cluster) -> Command:
    folder = cluster.part_folder("prometheus-adapter")
    return Command(
        [
            str(cluster.tools / "prometheus-adapter"),
            *(f"--bind-address={cluster.host}", f"--secure-port={PORTS['prometheus-adapter']}"),
            f"--cert-dir={folder / 'certificates'}",
            f"--lister-kubeconfig={cluster.kubeconfig}",
            f"--authentication-kubeconfig={cluster.kubeconfig}",
            f"--authorization-kubeconfig={cluster.kubeconfig}",
            f"--config={folder / 'config.yaml'}",
            f"--prometheus-url={cluster.url('prometheus')}/",
            # A metric is known this soon after its first series.
            *("--metrics-relist-interval=5s", "--metrics-max-age=1m"),
        ]
    )


def _ready(cluster: Cluster) -> str | None:
    url = f"https://{cluster.address('prometheus-adapter')}/readyz"
    # Its certificate is its own; kube-apiserver does not check it either.
    answer = httpx.get(url, timeout=_ANSWER_SECONDS, trust_env=False, verify=False)  # noqa: S501
    return None if answer.is_success else f"it answers {answer.status_code}: {answer.text[:200]}"


def _register(cluster: Cluster) -> None:
    objects.apply(cluster, *api_services(cluster))


def _available(cluster: Cluster) -> str | None:
    found = {item["metadata"]["name"]: item for item in objects.items(cluster, "apiservices")}
    for document in objects.load(_MANIFEST):
        name = document["metadata"]["name"]
        if document["kind"] == "APIService" and (missing := _missing(found.get(name, {}))):
            return f"{name}: {missing}"
    return None


def _missing(api_service: objects.Object) -> str | None:
    for condition in api_service.get("status", {}).get("conditions", []):
        if condition["type"] == "Available":
            return None if condition["status"] == "True" else str(condition.get("message"))
    return "kube-apiserver has not asked for it yet"


PARTS = (
    Part(
        "prometheus-adapter",
        _command,
        _ready,
        needs=("namespaces",),
        prepare=_prepare,
        listens=("prometheus-adapter",),
    ),
    # Only once it answers: an API group that does not answer stops every deletion of a namespace.
    Part("metrics-api", None, _available, needs=("prometheus-adapter",), prepare=_register),
)
