"""Namespaces: own ones, with Pod Security enforced."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.apis.kinds import is_cluster_scoped
from gitops_policy.fields import entries, mapping, quoted, text
from gitops_policy.findings import Severity
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import EVERY, rule
from gitops_policy.world import World

_PSS = "https://kubernetes.io/docs/concepts/security/pod-security-admission/"
_ENFORCE = "pod-security.kubernetes.io/enforce"
_OF_THE_CLUSTER = {("Service", "kubernetes"), ("ServiceAccount", "default")}
_CONTROL_PLANE = ("kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler")
_WEBHOOKS = tuple(
    f"admissionregistration.k8s.io/{kind}"
    for kind in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
)
_DOCS = "https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/"


@rule(
    id="not-default-namespace",
    title="Nothing lives in the default namespace",
    severity="error",
    rationale="A missing namespace is `default`, where no quota and no policy of ours applies.",
    references=[_DOCS],
    kinds=EVERY,
    known_as=(
        "kube-linter:use-namespace checkov:CKV_K8S_21 kubescape:C-0061 kubescape:C-0212 "
        "trivy:KSV-0110 datree:15 kyverno:disallow-default-namespace cis:5.7.4"
    ),
)
def not_default_namespace(resource: Resource, world: World) -> Iterator[Problem]:
    """metadata.namespace (or the overlay's) is not `default`; the cluster's own objects may.

    Without any, who applies it may still name one: a warning, and in plain files information.
    """
    own = (resource.group_kind, resource.name) in _OF_THE_CLUSTER
    if resource.namespace == "default" and not own:
        written = bool(text(resource.content, "metadata", "namespace"))
        yield resource.problem(
            ("metadata", "namespace"),
            "it is in namespace default"
            if written
            else "it names no namespace: it goes to default unless who applies it names one",
            "set namespace: in the overlay",
            severity=None if written else _unnamed(world),
        )


def _unnamed(world: World) -> Severity:
    return Severity.info if world.build.partial else Severity.warning


@rule(
    id="not-kube-system",
    title="Nothing lives in the cluster's own namespaces",
    severity="error",
    rationale="kube-system holds the cluster; whoever writes there owns it.",
    references=[_DOCS],
    kinds=EVERY,
    known_as="trivy:KSV-0037 nsa",
)
def not_kube_system(resource: Resource) -> Iterator[Problem]:
    """Nothing but the control plane is in kube-system, kube-public or kube-node-lease."""
    reserved = resource.namespace in ("kube-system", "kube-public", "kube-node-lease")
    if reserved and not _is_control_plane(resource):
        yield resource.problem(
            ("metadata", "namespace"),
            f"it is in namespace {resource.namespace}",
            "use a namespace of its own",
        )


def _is_control_plane(resource: Resource) -> bool:
    labels = resource.labels
    return (
        labels.get("tier") == "control-plane"
        and labels.get("component") in _CONTROL_PLANE
        and resource.spec.get("priorityClassName") == "system-node-critical"
    )


@rule(
    id="namespace-enforces-pod-security",
    title="A Namespace enforces the Pod Security Standard restricted",
    severity="error",
    rationale="The label is the last check before a pod runs, whoever creates it.",
    references=[_PSS],
    kinds=["Namespace"],
    known_as=(
        "kubescape:C-0197 kubescape:C-0198 kubescape:C-0200 kubescape:C-0201 "
        "kyverno:psa kyverno:add-psa-labels"
    ),
)
def namespace_enforces_pod_security(namespace: Resource) -> Iterator[Problem]:
    """The enforce label is `restricted` (`baseline` is a warning's worth of trust too little)."""
    level = namespace.labels.get(_ENFORCE)
    if level != "restricted":
        yield namespace.problem(
            ("metadata", "labels", _ENFORCE),
            f"the level of Pod Security is {quoted(level)}",
            f"set {_ENFORCE}: restricted",
        )


@rule(
    id="namespace-enforces-baseline",
    title="A Namespace enforces a Pod Security Standard, baseline at least",
    severity="error",
    rationale="Of the default rules namespace-enforces-pod-security asks for more: restricted.",
    references=[_PSS],
    kinds=["Namespace"],
    known_as=(
        "kubescape:C-0193 kubescape:C-0194 kubescape:C-0195 kubescape:C-0196 kubescape:C-0199 "
        "kubescape:C-0202 kubescape:C-0203 kubescape:C-0204 kyverno:psa "
        "kyverno:deny-privileged-profile"
    ),
    default=False,
)
def namespace_enforces_baseline(namespace: Resource) -> Iterator[Problem]:
    """The enforce label is `baseline` or `restricted`."""
    level = namespace.labels.get(_ENFORCE)
    if level not in ("baseline", "restricted"):
        yield namespace.problem(
            ("metadata", "labels", _ENFORCE),
            f"the level of Pod Security is {quoted(level)}",
            f"set {_ENFORCE}: restricted",
        )


@rule(
    id="namespace-has-admission-control",
    title="Something decides which pods a Namespace admits",
    severity="error",
    rationale="Of the default rules namespace-enforces-pod-security asks for more: restricted.",
    references=[_PSS],
    kinds=["Namespace"],
    known_as="kubescape:C-0192 kyverno:psa kyverno:add-psa-namespace-reporting cis:5.2.1",
    default=False,
)
def namespace_has_admission_control(namespace: Resource, world: World) -> Iterator[Problem]:
    """It has an enforce label of any level, or the build has an admission webhook for objects."""
    webhooks = [
        rule_
        for configuration in world.index.of_kind(*_WEBHOOKS)
        for _, webhook in entries(configuration.content, "webhooks")
        for _, rule_ in entries(webhook, "rules")
    ]
    if _ENFORCE not in namespace.labels and all(r.get("scope") == "Cluster" for r in webhooks):
        yield namespace.problem(
            ("metadata", "labels", _ENFORCE),
            "nothing decides which pods it admits",
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
