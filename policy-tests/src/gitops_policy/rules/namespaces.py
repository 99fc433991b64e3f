"""Namespaces: own ones, with Pod Security enforced."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import mapping
from gitops_policy.kinds import is_cluster_scoped
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import EVERY, rule

_PSS = "https://kubernetes.io/docs/concepts/security/pod-security-admission/"
_ENFORCE = "pod-security.kubernetes.io/enforce"
_DOCS = "https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/"


@rule(
    id="not-default-namespace",
    title="Nothing lives in the default namespace",
    severity="error",
    rationale="A missing namespace is `default`, where no quota and no policy of ours applies.",
    references=[_DOCS],
    kinds=EVERY,
    known_as=[
        "kube-linter:use-namespace",
        "checkov:CKV_K8S_21",
        "kubescape:C-0061",
        "trivy:KSV-0110",
        "kyverno:disallow-default-namespace",
    ],
)
def not_default_namespace(resource: Resource) -> Iterator[Problem]:
    """metadata.namespace (or the overlay's) is not `default`."""
    if resource.namespace == "default":
        yield resource.problem(
            ("metadata", "namespace"), "it is in namespace default", "set namespace: in the overlay"
        )


@rule(
    id="not-kube-system",
    title="Nothing lives in the cluster's own namespaces",
    severity="error",
    rationale="kube-system holds the cluster; whoever writes there owns it.",
    references=[_DOCS],
    kinds=EVERY,
    known_as=["trivy:KSV-0037"],
)
def not_kube_system(resource: Resource) -> Iterator[Problem]:
    """The namespace is not one of kube-system, kube-public, kube-node-lease."""
    if resource.namespace in ("kube-system", "kube-public", "kube-node-lease"):
        yield resource.problem(
            ("metadata", "namespace"),
            f"it is in namespace {resource.namespace}",
            "use a namespace of its own",
        )


@rule(
    id="namespace-enforces-pod-security",
    title="A Namespace enforces the Pod Security Standard restricted",
    severity="error",
    rationale="The label is the last check before a pod runs, whoever creates it.",
    references=[_PSS],
    kinds=["Namespace"],
    known_as=["kubescape:C-0192", "kyverno:psa"],
)
def namespace_enforces_pod_security(namespace: Resource) -> Iterator[Problem]:
    """The enforce label is `restricted` (`baseline` is a warning's worth of trust too little)."""
    level = namespace.labels.get(_ENFORCE)
    if level != "restricted":
        yield namespace.problem(
            ("metadata", "labels", _ENFORCE),
            f"Pod Security is enforced at {level!r}",
            f"set {_ENFORCE}: restricted",
        )


@rule(
    id="no-namespace-on-cluster-scoped",
    title="A cluster-scoped object has no namespace",
    severity="error",
    rationale="Kustomize stamps its namespace on kinds it does not know as cluster-scoped.",
    references=[
        "https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/#not-all-objects-are-in-a-namespace"
    ],
    kinds=EVERY,
)
def no_namespace_on_cluster_scoped(resource: Resource) -> Iterator[Problem]:
    """metadata.namespace is absent on kinds that live outside namespaces."""
    if is_cluster_scoped(resource.group, resource.kind) and "namespace" in mapping(
        resource.content, "metadata"
    ):
        yield resource.problem(
            ("metadata", "namespace"),
            f"{resource.kind} is cluster-scoped",
            "render it in a kustomization without namespace:",
        )
