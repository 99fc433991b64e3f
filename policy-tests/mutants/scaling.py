"""Promises about capacity: disruption budgets, autoscalers, quotas, namespaces, rights."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import field
from gitops_policy.model import Index

from mutants.mutation import (
    GONE,
    Mutation,
    add,
    append,
    at,
    change,
    in_containers,
    operator,
    outside_dev,
    remove,
)

PDB = "policy/PodDisruptionBudget"
HPA = "autoscaling/HorizontalPodAutoscaler"
ROLE = "rbac.authorization.k8s.io/Role"
BINDING = "rbac.authorization.k8s.io/RoleBinding"

# Disruption budgets.
remove("remove-budget", "a drain leaves enough pods", PDB, dev=False)
change("budget-blocks-drains", "a node can be drained", at(PDB, "spec", "maxUnavailable"), 0, "0%")
change(
    "budget-allows-all",
    "a drain leaves enough pods",
    outside_dev(at(PDB, "spec", "maxUnavailable")),
    "100%",
)
change(
    "budget-of-nobody",
    "a budget has its pods",
    at(PDB, "spec", "selector", "matchLabels"),
    {"app": "other"},
)
add("budget-both-ways", "the API server accepts the budget", at(PDB, "spec", "minAvailable"), 1)
change("budget-without-amount", "a budget says how many", at(PDB, "spec", "maxUnavailable"), GONE)
change(
    "budget-protects-broken-pods",
    "a broken pod does not stop a drain",
    at(PDB, "spec", "unhealthyPodEvictionPolicy"),
    GONE,
)


# Autoscalers.
remove("remove-autoscaler", "more requests start more pods", HPA, dev=False)
change("fewer-minimum-replicas", "one pod may fail", outside_dev(at(HPA, "spec", "minReplicas")), 1)
change("no-minimum-replicas", "one pod may fail", outside_dev(at(HPA, "spec", "minReplicas")), GONE)
change("maximum-below-minimum", "an autoscaler has room", at(HPA, "spec", "maxReplicas"), 1)
change("maximum-beyond-quota", "all replicas fit the quota", at(HPA, "spec", "maxReplicas"), 500)
change(
    "scale-missing-target",
    "an autoscaler has its target",
    at(HPA, "spec", "scaleTargetRef", "name"),
    "inferense",
)
change(
    "scale-wrong-kind",
    "an autoscaler has its target",
    at(HPA, "spec", "scaleTargetRef", "kind"),
    "Deployment",
)
change(
    "scale-wrong-version",
    "an autoscaler has its target",
    at(HPA, "spec", "scaleTargetRef", "apiVersion"),
    "apps/v1",
)
change(
    "scale-by-unrequested-resource",
    "utilisation has a request to compare with",
    at(HPA, "spec", "metrics", 0, "resource", "name"),
    "nvidia.com/gpu",
)
change("removed-autoscaler-api", "the API is served", at(HPA, "apiVersion"), "autoscaling/v2beta2")

# Quotas and limits.
QUOTA = ("spec", "hard")
change(
    "quota-too-small-for-cpu",
    "a release at full size fits the quota",
    at("ResourceQuota", *QUOTA, "requests.cpu"),
    "150m",
)
change(
    "quota-too-small-for-memory",
    "a release at full size fits the quota",
    at("ResourceQuota", *QUOTA, "requests.memory"),
    "200Mi",
)
change(
    "quota-too-small-for-limits",
    "a release at full size fits the quota",
    at("ResourceQuota", *QUOTA, "limits.memory"),
    "200Mi",
)


@operator("quota-too-small-for-gpus", "a release at full size fits the quota")
def quota_too_small_for_gpus(index: Index) -> Iterator[Mutation]:
    """Leave one GPU to a namespace whose pods want more of them."""
    users = list(in_containers("resources", "limits", "nvidia.com/gpu")(index))
    for resource, path in at("ResourceQuota", *QUOTA, "requests.nvidia.com/gpu")(index):
        if any(field(user.content, *place) for user, place in users):
            yield Mutation(resource, ((path, "1"),))


remove("remove-quota", "a namespace cannot take the cluster", "ResourceQuota")
remove("remove-limit-range", "a container without limits gets some", "LimitRange")
change(
    "limits-below-containers",
    "containers fit the LimitRange",
    at("LimitRange", "spec", "limits", "*", "max", "memory"),
    "128Mi",
)
change(
    "minimum-above-containers",
    "containers fit the LimitRange",
    at("LimitRange", "spec", "limits", "*", "min", "cpu"),
    "8",
)

# Namespaces.
LABELS = ("metadata", "labels")
change(
    "namespace-without-labels", "the namespace refuses unsafe pods", at("Namespace", *LABELS), GONE
)
change(
    "namespace-enforces-nothing",
    "the namespace refuses unsafe pods",
    at("Namespace", *LABELS, "pod-security.kubernetes.io/enforce"),
    GONE,
    "privileged",
    "baseline",
    "strict",
)

# Rights.
change("role-of-everything", "rights are named", at(ROLE, "rules", "*", "verbs"), ["*"])
change("role-on-everything", "rights are named", at(ROLE, "rules", "*", "resources"), ["*"])
change("role-in-every-group", "rights are named", at(ROLE, "rules", "*", "apiGroups"), ["*"])
change("role-reads-secrets", "nobody reads Secrets", at(ROLE, "rules", 0, "resources"), ["secrets"])
append(
    "role-escalates",
    "nobody gives himself rights",
    at(ROLE, "rules"),
    {
        "apiGroups": ["rbac.authorization.k8s.io"],
        "resources": ["roles"],
        "verbs": ["escalate", "bind"],
    },
    {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]},
)
change(
    "binding-of-missing-role", "a binding has its role", at(BINDING, "roleRef", "name"), "admin-x"
)
change(
    "binding-of-cluster-admin",
    "nobody is administrator",
    at(BINDING, "roleRef"),
    {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
)
change(
    "binding-of-missing-subject",
    "a binding has its subject",
    at(BINDING, "subjects", "*", "name"),
    "config-retenton",
)
change(
    "binding-of-everybody",
    "rights are given by name",
    at(BINDING, "subjects"),
    [{"kind": "Group", "name": "system:authenticated", "apiGroup": "rbac.authorization.k8s.io"}],
)
change(
    "binding-of-another-namespace",
    "a binding has its subject",
    at(BINDING, "subjects", "*", "namespace"),
    "inference-other",
)
remove("remove-service-account", "each service account exists", "ServiceAccount")
remove("remove-role", "a binding has its role", ROLE)

# Secrets and ConfigMaps.
EXTERNAL = "external-secrets.io/ExternalSecret"
remove("remove-external-secret", "something makes each Secret", EXTERNAL)
change(
    "external-secret-of-another-name",
    "something makes each Secret",
    at(EXTERNAL, "spec", "target", "name"),
    "other",
)
change(
    "external-secret-of-missing-store",
    "the store exists",
    at(EXTERNAL, "spec", "secretStoreRef", "name"),
    "aws",
)
change(
    "external-secret-of-local-store",
    "the store exists",
    at(EXTERNAL, "spec", "secretStoreRef", "kind"),
    "SecretStore",
)
remove("remove-config-map", "each ConfigMap exists", "ConfigMap")
append_secret = {"password": "Gx7#qP2m!w9Z"}
change(
    "credential-in-config-map",
    "no credential stands in a manifest",
    at("ConfigMap", "data"),
    lambda data: {**data, **append_secret},
)
