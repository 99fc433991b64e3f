"""Facts about kinds: which are cluster-scoped, which carry pod templates and where."""

from __future__ import annotations

from gitops_policy.fields import Path

_CLUSTER_SCOPED = {
    "": {"Namespace", "Node", "PersistentVolume", "ComponentStatus"},
    "rbac.authorization.k8s.io": {"ClusterRole", "ClusterRoleBinding"},
    "apiextensions.k8s.io": {"CustomResourceDefinition"},
    "apiregistration.k8s.io": {"APIService"},
    "storage.k8s.io": {
        "StorageClass",
        "CSIDriver",
        "CSINode",
        "VolumeAttachment",
        "VolumeAttributesClass",
    },
    "scheduling.k8s.io": {"PriorityClass"},
    "node.k8s.io": {"RuntimeClass"},
    "networking.k8s.io": {"IngressClass", "IPAddress", "ServiceCIDR"},
    "admissionregistration.k8s.io": {
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
    },
    "flowcontrol.apiserver.k8s.io": {"FlowSchema", "PriorityLevelConfiguration"},
    "certificates.k8s.io": {"CertificateSigningRequest", "ClusterTrustBundle"},
    "resource.k8s.io": {"DeviceClass", "ResourceSlice", "DeviceTaintRule"},
    "gateway.networking.k8s.io": {"GatewayClass"},
    "cert-manager.io": {"ClusterIssuer"},
    "argoproj.io": {"ClusterAnalysisTemplate"},
    "external-secrets.io": {"ClusterSecretStore", "ClusterExternalSecret", "ClusterPushSecret"},
    "generators.external-secrets.io": {"ClusterGenerator"},
    "policy.networking.k8s.io": {
        "ClusterNetworkPolicy",
        "AdminNetworkPolicy",
        "BaselineAdminNetworkPolicy",
    },
}

# `*` stands for every item of a list.
POD_TEMPLATES: dict[str, Path] = {
    "Pod": (),
    "PodTemplate": ("template",),
    "ReplicationController": ("spec", "template"),
    "apps/Deployment": ("spec", "template"),
    "apps/StatefulSet": ("spec", "template"),
    "apps/DaemonSet": ("spec", "template"),
    "apps/ReplicaSet": ("spec", "template"),
    "batch/Job": ("spec", "template"),
    "batch/CronJob": ("spec", "jobTemplate", "spec", "template"),
    "argoproj.io/Rollout": ("spec", "template"),
    "argoproj.io/AnalysisTemplate": ("spec", "metrics", "*", "provider", "job", "spec", "template"),
    "argoproj.io/ClusterAnalysisTemplate": (
        "spec",
        "metrics",
        "*",
        "provider",
        "job",
        "spec",
        "template",
    ),
    "argoproj.io/AnalysisRun": ("spec", "metrics", "*", "provider", "job", "spec", "template"),
    "argoproj.io/Experiment": ("spec", "templates", "*", "template"),
    "keda.sh/ScaledJob": ("spec", "jobTargetRef", "template"),
    "apps.openshift.io/DeploymentConfig": ("spec", "template"),
    "apps.kruise.io/CloneSet": ("spec", "template"),
    "apps.kruise.io/DaemonSet": ("spec", "template"),
    "apps.kruise.io/StatefulSet": ("spec", "template"),
    "serving.knative.dev/Configuration": ("spec", "template"),
    "serving.knative.dev/Service": ("spec", "template"),
    "jobset.x-k8s.io/JobSet": ("spec", "replicatedJobs", "*", "template", "spec", "template"),
    "batch.volcano.sh/Job": ("spec", "tasks", "*", "template"),
    "leaderworkerset.x-k8s.io/LeaderWorkerSet": ("spec", "leaderWorkerTemplate", "workerTemplate"),
    "ray.io/RayCluster": ("spec", "headGroupSpec", "template"),
    "ray.io/RayJob": ("spec", "rayClusterSpec", "headGroupSpec", "template"),
    "ray.io/RayService": ("spec", "rayClusterConfig", "headGroupSpec", "template"),
    # A wrong apiVersion, which is a finding itself: the core group has no such kinds to mix up.
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "DaemonSet": ("spec", "template"),
    "Deployment": ("spec", "template"),
    "Job": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    # Removed from Kubernetes in 1.16, and still in old repositories.
    "extensions/DaemonSet": ("spec", "template"),
    "extensions/Deployment": ("spec", "template"),
    "extensions/ReplicaSet": ("spec", "template"),
}

# The other templates of kinds that carry more than one.
FURTHER_TEMPLATES: dict[str, Path] = {
    "leaderworkerset.x-k8s.io/LeaderWorkerSet": ("spec", "leaderWorkerTemplate", "leaderTemplate"),
    "ray.io/RayCluster": ("spec", "workerGroupSpecs", "*", "template"),
    "ray.io/RayJob": ("spec", "rayClusterSpec", "workerGroupSpecs", "*", "template"),
    "ray.io/RayService": ("spec", "rayClusterConfig", "workerGroupSpecs", "*", "template"),
}

# Workloads whose pods run until they are replaced.
LONG_RUNNING = frozenset(
    {
        "ReplicationController",
        "apps/Deployment",
        "apps/StatefulSet",
        "apps/DaemonSet",
        "apps/ReplicaSet",
        "argoproj.io/Rollout",
        "apps.openshift.io/DeploymentConfig",
        "apps.kruise.io/CloneSet",
        "apps.kruise.io/DaemonSet",
        "apps.kruise.io/StatefulSet",
        "leaderworkerset.x-k8s.io/LeaderWorkerSet",
        "extensions/DaemonSet",
        "extensions/Deployment",
        "extensions/ReplicaSet",
        "DaemonSet",
        "Deployment",
        "ReplicaSet",
        "StatefulSet",
    }
)


def is_cluster_scoped(group: str, kind: str) -> bool:
    """Say whether objects of this kind live outside namespaces."""
    return kind in _CLUSTER_SCOPED.get(group, ())
