"""Promises about who reaches whom: policies, Services, namespaces."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from copy import deepcopy

from gitops_policy.fields import sequence, text
from gitops_policy.model import Index

from mutants.mutation import GONE, Mutation, add, append, at, change, operator, remove

POLICY = "networking.k8s.io/NetworkPolicy"

# Policies.
remove("remove-default-deny", "nothing is reachable unless allowed", POLICY, "default-deny")
remove("remove-dns-policy", "names can be resolved", POLICY, "egress-dns")
remove(
    "remove-gateway-policy", "the gateway reaches the server", POLICY, "inference-ingress-gateway"
)
remove(
    "remove-scrape-policy", "Prometheus reaches the server", POLICY, "inference-ingress-prometheus"
)
remove(
    "remove-model-policy",
    "the model can be fetched",
    POLICY,
    "inference-egress-mlflow",
    "inference-egress-object-store",
)
remove(
    "remove-api-policy",
    "the job reaches the API server",
    POLICY,
    "config-retention-egress-apiserver",
)
remove(
    "remove-challenge-policy", "certificates can be renewed", POLICY, "acme-solver-ingress-gateway"
)
change(
    "deny-ingress-only",
    "egress is denied too",
    at(POLICY, "spec", "policyTypes", name="default-deny"),
    ["Ingress"],
    ["Egress"],
)
change(
    "deny-some-pods",
    "every pod is covered",
    at(POLICY, "spec", "podSelector", name="default-deny"),
    {"matchLabels": {"app": "other"}},
)
change(
    "policy-of-nobody",
    "a policy covers its pods",
    at(POLICY, "spec", "podSelector", "matchLabels"),
    {"app.kubernetes.io/name": "x"},
)
change(
    "widen-to-everybody",
    "only named peers come in",
    at(POLICY, "spec", "ingress", "*", "from"),
    GONE,
)
change(
    "widen-to-anywhere",
    "only named peers are reached",
    at(POLICY, "spec", "egress", "*", "to"),
    GONE,
)
change(
    "widen-to-namespace",
    "only named pods come in",
    at(POLICY, "spec", "ingress", "*", "from", "*", "podSelector"),
    GONE,
)
change(
    "widen-to-all-namespaces",
    "only named namespaces come in",
    at(POLICY, "spec", "ingress", "*", "from", "*", "namespaceSelector"),
    {},
)
change(
    "widen-egress-to-all-namespaces",
    "only named namespaces are reached",
    at(POLICY, "spec", "egress", "*", "to", "*", "namespaceSelector"),
    {},
)
change(
    "widen-to-all-ports",
    "only named ports are open",
    at(POLICY, "spec", "ingress", "*", "ports"),
    GONE,
)
change(
    "widen-egress-to-all-ports",
    "only named ports are reached",
    at(POLICY, "spec", "egress", "*", "ports"),
    GONE,
)
append(
    "widen-to-internet",
    "the internet stays out",
    at(POLICY, "spec", "ingress", "*", "from"),
    {"ipBlock": {"cidr": "0.0.0.0/0"}},
)
append(
    "widen-egress-to-internet",
    "nothing reaches the internet",
    at(POLICY, "spec", "egress", "*", "to"),
    {"ipBlock": {"cidr": "0.0.0.0/0"}},
    {"ipBlock": {"cidr": "::/0"}},
)
append("allow-all-ingress", "only named peers come in", at(POLICY, "spec", "ingress"), {})
append("allow-all-egress", "only named peers are reached", at(POLICY, "spec", "egress"), {})
change(
    "invalid-block",
    "the API server accepts the policy",
    at(POLICY, "spec", "egress", "*", "to", "*", "ipBlock", "cidr"),
    "10.0.0.0/33",
)


@operator("wrong-policy-port", "the port that is allowed is the port that listens")
def wrong_policy_port(index: Index) -> Iterator[Mutation]:
    """Allow another port on the way into a pod."""
    for resource, path in at(POLICY, "spec", "ingress", "*", "ports", "*", "port")(index):
        if text(resource.content, "metadata", "name") != "acme-solver-ingress-gateway":
            yield Mutation(resource, ((path, 9090),))


@operator("wrong-model-port", "the port that is allowed is the port that is asked")
def wrong_model_port(index: Index) -> Iterator[Mutation]:
    """Allow another port on the way to what the fetcher asks."""
    for resource, path in at(POLICY, "spec", "egress", "*", "ports", 0, "port")(index):
        if resource.name in ("inference-egress-mlflow", "inference-egress-object-store"):
            yield Mutation(resource, ((path, 9999),))


@operator("dns-over-one-protocol", "names can be resolved, long answers too")
def dns_over_one_protocol(index: Index) -> Iterator[Mutation]:
    """Allow DNS by UDP or by TCP alone."""
    for resource, path in at(POLICY, "spec", "egress", 0, "ports", name="egress-dns")(index):
        ports = sequence(resource.content, *path)
        for kept in ports:
            yield Mutation(resource, ((path, [kept]),), kept["protocol"])


change(
    "dns-on-wrong-port",
    "names can be resolved",
    at(POLICY, "spec", "egress", "*", "ports", "*", "port", name="egress-dns"),
    5353,
)

# Services.
change(
    "service-of-nobody",
    "a Service has pods",
    at("Service", "spec", "selector"),
    {"app.kubernetes.io/name": "other"},
)
change("service-without-selector", "a Service has pods", at("Service", "spec", "selector"), GONE)
change(
    "service-pins-revision",
    "the controller owns the hash",
    at("Service", "spec", "selector"),
    lambda s: {**s, "rollouts-pod-template-hash": "5f7d8c9b6d"},
)
change(
    "service-of-everybody",
    "a Service has its own pods only",
    at("Service", "spec", "selector"),
    {"app.kubernetes.io/part-of": "inference"},
)
change(
    "wrong-target-port",
    "a Service reaches a port of its pods",
    at("Service", "spec", "ports", "*", "targetPort"),
    "grpc",
    9999,
)
change(
    "wrong-service-port",
    "routes reach a port of the Service",
    at("Service", "spec", "ports", "*", "port"),
    8081,
)
change(
    "udp-service",
    "a Service speaks the protocol of its pods",
    at("Service", "spec", "ports", "*", "protocol"),
    "UDP",
)
add(
    "node-port-service",
    "nothing is exposed beside the gateway",
    at("Service", "spec", "type"),
    "NodePort",
    "LoadBalancer",
)
add(
    "external-ip-service",
    "nothing is exposed beside the gateway",
    at("Service", "spec", "externalIPs"),
    ["203.0.113.7"],
)
remove("remove-service", "routes and releases have their Services", "Service")

# Namespaces and what is in them.
change(
    "wrong-namespace",
    "objects stand in the namespace of their overlay",
    at("Service", "metadata", "namespace"),
    "default",
    "kube-system",
)
change(
    "wrong-namespace-of-workload",
    "a workload is where its Services are",
    at("argoproj.io/Rollout", "metadata", "namespace"),
    "inference-other",
)
change(
    "wrong-namespace-of-policy",
    "a policy is where its pods are",
    at(POLICY, "metadata", "namespace"),
    "inference-other",
)


@operator("object-twice", "each object stands once")
def object_twice(index: Index) -> Iterator[Mutation]:
    """Give one ServiceAccount the name of another."""
    accounts = index.of_kind("ServiceAccount")
    for resource, other in itertools.pairwise(accounts):
        yield Mutation(resource, ((("metadata", "name"), deepcopy(other.name)),))
