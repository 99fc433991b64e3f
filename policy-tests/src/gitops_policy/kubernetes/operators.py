"""The pods that operators make for custom resources: which of their labels are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gitops_policy.fields import mapping
from gitops_policy.model import Resource

_Labels = Callable[[Resource], dict[str, Any]]


def _by_name(*keys: str) -> _Labels:
    return lambda resource: dict.fromkeys(keys, resource.name)


def _of_prometheus(resource: Resource) -> dict[str, Any]:
    name = resource.kind.lower()
    return {
        **mapping(resource.spec, "podMetadata", "labels"),
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/instance": resource.name,
        "app.kubernetes.io/managed-by": "prometheus-operator",
        "operator.prometheus.io/name": resource.name,
        name: resource.name,
    }


# Kind -> the labels that its operator is documented to set; there may be more.
_MADE: dict[str, _Labels] = {
    "monitoring.coreos.com/Prometheus": _of_prometheus,
    "monitoring.coreos.com/Alertmanager": _of_prometheus,
    "postgresql.cnpg.io/Cluster": lambda r: {
        "cnpg.io/cluster": r.name,
        "cnpg.io/podRole": "instance",
    },
    "postgresql.cnpg.io/Pooler": _by_name("cnpg.io/poolerName"),
    "cert-manager.io/Certificate": lambda _: {"acme.cert-manager.io/http01-solver": "true"},
    "gateway.networking.k8s.io/Gateway": _by_name("gateway.networking.k8s.io/gateway-name"),
    "kafka.strimzi.io/Kafka": _by_name("strimzi.io/cluster"),
    "elasticsearch.k8s.elastic.co/Elasticsearch": _by_name(
        "elasticsearch.k8s.elastic.co/cluster-name"
    ),
    "kibana.k8s.elastic.co/Kibana": _by_name("kibana.k8s.elastic.co/name"),
    "rabbitmq.com/RabbitmqCluster": _by_name("app.kubernetes.io/name"),
    "opentelemetry.io/OpenTelemetryCollector": lambda r: {
        "app.kubernetes.io/component": "opentelemetry-collector",
        "app.kubernetes.io/instance": f"{r.namespace}.{r.name}",
    },
    "serving.kserve.io/InferenceService": _by_name("serving.kserve.io/inferenceservice"),
    "acid.zalan.do/postgresql": _by_name("cluster-name"),
}
KINDS = tuple(_MADE)


def made_labels(resource: Resource) -> dict[str, Any]:
    """Return the known labels of the pods that an operator makes for an object."""
    return _MADE[resource.group_kind](resource)
