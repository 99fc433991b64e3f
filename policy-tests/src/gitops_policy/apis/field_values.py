"""What the API server asks of fields beyond their schema, as one more layer of schema.

The published schemas of Kubernetes hold types; which words, numbers and names a field may have
stands in hand-written code of the API server. What can be said of one field is said here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cache

from gitops_policy.apis.schemas import Schema

PREFIX = "io.k8s.api."
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."

# Definition, field, words; none of them may also stand for the default. As the OpenAPI document of
# kube-apiserver 1.36.3 has them (/openapi/v3), which the published one leaves out.
_WORDS = """
admissionregistration.v1.MatchResources matchPolicy Equivalent Exact
admissionregistration.v1.MutatingAdmissionPolicySpec failurePolicy Fail Ignore
admissionregistration.v1.MutatingAdmissionPolicySpec reinvocationPolicy IfNeeded Never
admissionregistration.v1.MutatingWebhook failurePolicy Fail Ignore
admissionregistration.v1.MutatingWebhook matchPolicy Equivalent Exact
admissionregistration.v1.MutatingWebhook reinvocationPolicy IfNeeded Never
admissionregistration.v1.MutatingWebhook sideEffects None NoneOnDryRun Some Unknown
admissionregistration.v1.Mutation patchType ApplyConfiguration JSONPatch
admissionregistration.v1.NamedRuleWithOperations operations * CONNECT CREATE DELETE UPDATE
admissionregistration.v1.NamedRuleWithOperations scope * Cluster Namespaced
admissionregistration.v1.RuleWithOperations operations * CONNECT CREATE DELETE UPDATE
admissionregistration.v1.RuleWithOperations scope * Cluster Namespaced
admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec validationActions Audit Deny Warn
admissionregistration.v1.ValidatingAdmissionPolicySpec failurePolicy Fail Ignore
admissionregistration.v1.ValidatingWebhook failurePolicy Fail Ignore
admissionregistration.v1.ValidatingWebhook matchPolicy Equivalent Exact
admissionregistration.v1.ValidatingWebhook sideEffects None NoneOnDryRun Some Unknown
apps.v1.DaemonSetUpdateStrategy type OnDelete RollingUpdate
apps.v1.DeploymentStrategy type Recreate RollingUpdate
apps.v1.StatefulSetSpec podManagementPolicy OrderedReady Parallel
apps.v1.StatefulSetUpdateStrategy type OnDelete RollingUpdate
batch.v1.CronJobSpec concurrencyPolicy Allow Forbid Replace
batch.v1.JobSpec completionMode Indexed NonIndexed
batch.v1.JobSpec podReplacementPolicy Failed TerminatingOrFailed
batch.v1.PodFailurePolicyOnExitCodesRequirement operator In NotIn
batch.v1.PodFailurePolicyRule action Count FailIndex FailJob Ignore
core.v1.AzureDiskVolumeSource cachingMode None ReadOnly ReadWrite
core.v1.AzureDiskVolumeSource kind Dedicated Managed Shared
core.v1.Container imagePullPolicy Always IfNotPresent Never
core.v1.Container terminationMessagePolicy FallbackToLogsOnError File
core.v1.ContainerPort protocol SCTP TCP UDP
core.v1.EndpointPort protocol SCTP TCP UDP
core.v1.EphemeralContainer imagePullPolicy Always IfNotPresent Never
core.v1.EphemeralContainer terminationMessagePolicy FallbackToLogsOnError File
core.v1.HTTPGetAction scheme HTTP HTTPS
core.v1.HostPathVolumeSource type BlockDevice CharDevice Directory DirectoryOrCreate File FileOrCreate Socket
core.v1.ImageVolumeSource pullPolicy Always IfNotPresent Never
core.v1.PersistentVolumeClaimSpec accessModes ReadOnlyMany ReadWriteMany ReadWriteOnce ReadWriteOncePod
core.v1.PersistentVolumeClaimSpec volumeMode Block Filesystem
core.v1.PersistentVolumeSpec accessModes ReadOnlyMany ReadWriteMany ReadWriteOnce ReadWriteOncePod
core.v1.PersistentVolumeSpec persistentVolumeReclaimPolicy Delete Recycle Retain
core.v1.PersistentVolumeSpec volumeMode Block Filesystem
core.v1.PodSpec dnsPolicy ClusterFirst ClusterFirstWithHostNet Default None
core.v1.PodSpec restartPolicy Always Never OnFailure
core.v1.ResourceQuotaSpec scopes BestEffort CrossNamespacePodAffinity NotBestEffort NotTerminating PriorityClass Terminating VolumeAttributesClass
core.v1.ScopedResourceSelectorRequirement operator DoesNotExist Exists In NotIn
core.v1.ScopedResourceSelectorRequirement scopeName BestEffort CrossNamespacePodAffinity NotBestEffort NotTerminating PriorityClass Terminating VolumeAttributesClass
core.v1.ServicePort protocol SCTP TCP UDP
core.v1.ServiceSpec externalTrafficPolicy Cluster Local
core.v1.ServiceSpec ipFamilies IPv4 IPv6
core.v1.ServiceSpec ipFamilyPolicy PreferDualStack RequireDualStack SingleStack
core.v1.ServiceSpec sessionAffinity ClientIP None
core.v1.ServiceSpec trafficDistribution PreferClose PreferSameNode PreferSameZone
core.v1.ServiceSpec type ClusterIP ExternalName LoadBalancer NodePort
core.v1.Taint effect NoExecute NoSchedule PreferNoSchedule
core.v1.Toleration effect NoExecute NoSchedule PreferNoSchedule
core.v1.Toleration operator Equal Exists Gt Lt
core.v1.VolumeMount mountPropagation Bidirectional HostToContainer None
discovery.v1.EndpointPort protocol SCTP TCP UDP
discovery.v1.EndpointSlice addressType FQDN IPv4 IPv6
networking.v1.HTTPIngressPath pathType Exact ImplementationSpecific Prefix
networking.v1.NetworkPolicyPort protocol SCTP TCP UDP
networking.v1.NetworkPolicySpec policyTypes Egress Ingress
resource.v1.DeviceAllocationConfiguration source FromClaim FromClass
resource.v1.DeviceSubRequest allocationMode All ExactCount
resource.v1.DeviceTaint effect NoExecute NoSchedule None
resource.v1.DeviceToleration effect NoExecute NoSchedule None
resource.v1.DeviceToleration operator Equal Exists
resource.v1.ExactDeviceRequest allocationMode All ExactCount
scheduling.v1.PriorityClass preemptionPolicy Never PreemptLowerPriority
storage.v1.StorageClass reclaimPolicy Delete Recycle Retain
storage.v1.StorageClass volumeBindingMode Immediate WaitForFirstConsumer
rbac.v1.RoleRef apiGroup rbac.authorization.k8s.io
rbac.v1.Subject apiGroup rbac.authorization.k8s.io
"""  # noqa: E501
# The same of fields that have no default: one of the words must stand there.
_CHOICES = """
autoscaling.v2.HPAScalingPolicy type Percent Pods
autoscaling.v2.HPAScalingRules selectPolicy Disabled Max Min
autoscaling.v2.MetricSpec type ContainerResource External Object Pods Resource
autoscaling.v2.MetricTarget type AverageValue Utilization Value
core.v1.AppArmorProfile type Localhost RuntimeDefault Unconfined
core.v1.NodeSelectorRequirement operator DoesNotExist Exists Gt In Lt NotIn
core.v1.PodSecurityContext fsGroupChangePolicy Always OnRootMismatch
core.v1.PodSecurityContext supplementalGroupsPolicy Merge Strict
core.v1.PodSpec preemptionPolicy Never PreemptLowerPriority
core.v1.SeccompProfile type Localhost RuntimeDefault Unconfined
core.v1.SecurityContext procMount Default Unmasked
core.v1.ServiceSpec internalTrafficPolicy Cluster Local
core.v1.TopologySpreadConstraint nodeAffinityPolicy Honor Ignore
core.v1.TopologySpreadConstraint nodeTaintsPolicy Honor Ignore
core.v1.TopologySpreadConstraint whenUnsatisfiable DoNotSchedule ScheduleAnyway
meta.v1.LabelSelectorRequirement operator DoesNotExist Exists In NotIn
policy.v1.PodDisruptionBudgetSpec unhealthyPodEvictionPolicy AlwaysAllow IfHealthyBudget
rbac.v1.RoleRef kind ClusterRole Role
rbac.v1.Subject kind Group ServiceAccount User
"""
# Definition, field, lowest and highest number.
_NUMBERS = """
autoscaling.v2.HPAScalingPolicy periodSeconds 1 1800
autoscaling.v2.HPAScalingPolicy value 1 -
autoscaling.v2.HPAScalingRules stabilizationWindowSeconds 0 3600
autoscaling.v2.HorizontalPodAutoscalerSpec maxReplicas 1 -
autoscaling.v2.HorizontalPodAutoscalerSpec minReplicas 1 -
autoscaling.v2.MetricTarget averageUtilization 1 -
batch.v1.CronJobSpec failedJobsHistoryLimit 0 -
batch.v1.CronJobSpec startingDeadlineSeconds 0 -
batch.v1.CronJobSpec successfulJobsHistoryLimit 0 -
batch.v1.JobSpec activeDeadlineSeconds 0 -
batch.v1.JobSpec backoffLimit 0 -
batch.v1.JobSpec completions 0 -
batch.v1.JobSpec parallelism 0 -
batch.v1.JobSpec ttlSecondsAfterFinished 0 -
networking.v1.NetworkPolicyPort port 1 65535
policy.v1.PodDisruptionBudgetSpec maxUnavailable 0 2147483647
policy.v1.PodDisruptionBudgetSpec minAvailable 0 2147483647
core.v1.PodSecurityContext fsGroup 0 2147483647
core.v1.PodSecurityContext runAsGroup 0 2147483647
core.v1.PodSecurityContext runAsUser 0 2147483647
core.v1.PodSpec activeDeadlineSeconds 1 2147483647
core.v1.PodSpec terminationGracePeriodSeconds 0 -
core.v1.Probe failureThreshold 0 -
core.v1.Probe initialDelaySeconds 0 -
core.v1.Probe periodSeconds 0 -
core.v1.Probe successThreshold 0 -
core.v1.Probe timeoutSeconds 0 -
core.v1.SecurityContext runAsGroup 0 2147483647
core.v1.SecurityContext runAsUser 0 2147483647
core.v1.HTTPGetAction port 1 65535
core.v1.PreferredSchedulingTerm weight 1 100
core.v1.ServicePort nodePort 0 65535
core.v1.ServicePort port 1 65535
core.v1.TCPSocketAction port 1 65535
core.v1.TopologySpreadConstraint maxSkew 1 -
core.v1.TopologySpreadConstraint minDomains 1 -
core.v1.WeightedPodAffinityTerm weight 1 100
"""
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"^(?=.{{1,253}}$){_LABEL}([.]{_LABEL})*$"
_LABEL_VALUE = r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"
_QUALIFIED = r"^([a-z0-9][-a-z0-9.]{0,251}[a-z0-9]/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
_SEGMENT = r"^(?![.]{1,2}$)[^/%]+$"
_PATTERNS = {
    "subdomain": _SUBDOMAIN,
    "subdomain-or-empty": f"^$|{_SUBDOMAIN}",
    "label-or-empty": rf"^(?=.{{0,63}}$)({_LABEL})?$",
    "label-value": _LABEL_VALUE,
    "not-negative": "^[^-]",
    "percentage": "^[0-9]+%$",
    "port-name": "^(?=.{1,15}$)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*$",
    "qualified": _QUALIFIED,
    "segment": _SEGMENT,
    "filled": "^.",
    "group-version": "^[^/]+/[^/]+$|^v[0-9]",
    "field-path": r"^(metadata[.](name|namespace|uid|labels|annotations)(\[.*\])?"
    r"|spec[.](nodeName|serviceAccountName)|status[.](hostIPs?|podIPs?))$",
    "key": "^[-._a-zA-Z0-9]{1,253}$",
    "limit-type": "^(Container|Pod|PersistentVolumeClaim|[^/]+/.+)$",
    "variable": "^[^=]+$",
}
# Definition, field, what its text is; it must not be empty where the name of the form says nothing.
_TEXTS = """
autoscaling.v2.CrossVersionObjectReference apiVersion group-version
autoscaling.v2.CrossVersionObjectReference kind segment
autoscaling.v2.CrossVersionObjectReference name segment
autoscaling.v2.MetricIdentifier name segment
core.v1.EmptyDirVolumeSource sizeLimit not-negative
core.v1.ConfigMapEnvSource name subdomain
core.v1.ConfigMapKeySelector key key
core.v1.ConfigMapKeySelector name subdomain
core.v1.ConfigMapProjection name filled
core.v1.ObjectFieldSelector fieldPath field-path
core.v1.Container image filled
core.v1.EnvVar name variable
core.v1.HTTPGetAction port port-name
core.v1.LimitRangeItem type limit-type
core.v1.PodSpec nodeName subdomain-or-empty
core.v1.PodSpec priorityClassName subdomain-or-empty
core.v1.PodSpec schedulerName filled
core.v1.PodSpec serviceAccountName subdomain-or-empty
core.v1.SecretEnvSource name subdomain
core.v1.SecretKeySelector key key
core.v1.SecretKeySelector name subdomain
core.v1.SecretProjection name filled
core.v1.SecretVolumeSource secretName filled
core.v1.ServicePort name label-or-empty
core.v1.TCPSocketAction port port-name
core.v1.TopologySpreadConstraint topologyKey filled
core.v1.TopologySpreadConstraint matchLabelKeys qualified
core.v1.VolumeMount mountPath filled
core.v1.VolumeMount name filled
meta.v1.LabelSelectorRequirement key qualified
meta.v1.LabelSelectorRequirement values label-value
meta.v1.ObjectMeta finalizers qualified
policy.v1.PodDisruptionBudgetSpec maxUnavailable percentage
policy.v1.PodDisruptionBudgetSpec minAvailable percentage
rbac.v1.RoleRef name segment
rbac.v1.Subject name filled
"""
# Fields that hold a map: what its values are.
_MAPS = """
core.v1.PodSpec nodeSelector
core.v1.ReplicationControllerSpec selector
core.v1.ServiceSpec selector
meta.v1.LabelSelector matchLabels
meta.v1.ObjectMeta labels
"""
# Lists that are not empty.
_LISTS = """
autoscaling.v2.HPAScalingRules policies
core.v1.PodSpec containers
core.v1.NodeSelector nodeSelectorTerms
rbac.v1.PolicyRule verbs
"""
# Objects that must be something: null would be one without the fields that it needs.
_THERE = """
autoscaling.v2.HPAScalingPolicy
autoscaling.v2.MetricSpec
autoscaling.v2.MetricTarget
batch.v1.CronJobSpec
batch.v1.JobSpec
batch.v1.JobTemplateSpec
core.v1.Container
core.v1.LimitRangeItem
core.v1.PodSpec
core.v1.PodTemplateSpec
core.v1.ServicePort
core.v1.ServiceSpec
meta.v1.LabelSelectorRequirement
networking.v1.NetworkPolicyPeer
rbac.v1.PolicyRule
rbac.v1.RoleRef
rbac.v1.Subject
"""
# Fields that must be there, though the schema does not say so.
_REQUIRED = """
batch.v1.JobTemplateSpec spec
core.v1.Container image
core.v1.PodTemplateSpec spec
core.v1.SecretVolumeSource secretName
core.v1.ConfigMapEnvSource name
core.v1.SecretEnvSource name
core.v1.ConfigMapKeySelector name
core.v1.SecretKeySelector name
"""
_AMOUNT = r"^\s*[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+|[numkMGTPE]|[KMGTPE]i)?\s*$"
_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9:]{8}([.][0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$"


def _filled(*names: str) -> Schema:
    some = {"type": "array", "minItems": 1}
    return {"required": [*names], "properties": dict.fromkeys(names, some)}


def _said(name: str, word: str, field: str) -> Schema:
    there = {"type": "object"}
    return {"required": [field], "properties": {name: {"enum": [word]}, field: there}}


def _valued(word: str, field: str) -> Schema:
    amount = {"type": ["integer", "number", "string"], "pattern": "^[^-]"}
    return {"required": [field], "properties": {"type": {"enum": [word]}, field: amount}}


def _both(*names: str) -> Schema:
    something = {"type": ["integer", "string"]}
    properties = dict.fromkeys(names, something)
    return {"type": "object", "required": [*names], "properties": properties}


def _unless(name: str, words: list[str], *fields: str) -> Schema:
    """These fields may only be there where another one has one of these words."""
    there = {"required": [name], "properties": {name: {"enum": words}}}
    absent = [{"not": {"type": "object", "required": [field]}} for field in fields]
    return {"anyOf": [there, {"allOf": absent}]}


def _one_of(*names: str) -> Schema:
    there = {"type": "object"}
    return {"anyOf": [{"required": [n], "properties": {n: there}} for n in names]}


_MODES = ("enforce", "audit", "warn")
_POD_SECURITY: Schema = {
    "properties": {
        f"pod-security.kubernetes.io/{mode}{suffix}": asked
        for mode in _MODES
        for suffix, asked in (
            ("", {"enum": ["privileged", "baseline", "restricted"]}),
            ("-version", {"type": "string", "pattern": r"^(latest|v1[.](0|[1-9][0-9]*))$"}),
        )
    }
}

_INIT_CONTAINER = _unless(
    "restartPolicy", ["Always"], "lifecycle", "livenessProbe", "readinessProbe", "startupProbe"
)
_COUNT = {
    "type": ["integer", "string", "null"],
    "pattern": r"^\s*[0-9]+([eE][0-9]+|[kMGTPE]i?)?\s*$",
}
_COUNTED = (
    "configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers", "resourcequotas",
    "secrets", "services", "services.loadbalancers", "services.nodeports",
)  # fmt: skip
_FINALIZERS = {
    "properties": {
        "finalizers": {"items": {"pattern": "^(foregroundDeletion|orphan|kubernetes)$|/"}}
    }
}

# What a definition asks of several of its fields.
_FORMS: Mapping[str, Schema] = {
    "rbac.v1.PolicyRule": {
        "anyOf": [_filled("apiGroups", "resources"), _filled("nonResourceURLs")]
    },
    "autoscaling.v2.MetricSpec": {
        "anyOf": [
            _said("type", "ContainerResource", "containerResource"),
            _said("type", "External", "external"),
            _said("type", "Object", "object"),
            _said("type", "Pods", "pods"),
            _said("type", "Resource", "resource"),
        ]
    },
    "policy.v1.PodDisruptionBudgetSpec": {"not": _both("minAvailable", "maxUnavailable")},
    "rbac.v1.Subject": {
        "anyOf": [
            {"properties": {"kind": {"enum": ["Group", "User"]}}},
            {
                "properties": {
                    "kind": {"enum": ["ServiceAccount"]},
                    "name": {"type": "string", "pattern": _SUBDOMAIN},
                }
            },
        ]
    },
    "rbac.v1.ClusterRoleBinding": {
        "properties": {
            "subjects": {
                "items": {
                    "anyOf": [
                        {"properties": {"kind": {"enum": ["Group", "User"]}}},
                        {
                            "required": ["namespace"],
                            "properties": {"namespace": {"type": "string", "minLength": 1}},
                        },
                    ]
                }
            }
        }
    },
    "core.v1.ServiceSpec": {
        "anyOf": [
            _filled("ports"),
            {"required": ["type"], "properties": {"type": {"enum": ["ExternalName"]}}},
            {"required": ["clusterIP"], "properties": {"clusterIP": {"enum": ["None"]}}},
        ],
        "allOf": [
            _unless(
                "type",
                ["LoadBalancer"],
                "allocateLoadBalancerNodePorts",
                "healthCheckNodePort",
                "loadBalancerClass",
            ),
            {
                "anyOf": [
                    {
                        "required": ["type"],
                        "properties": {"type": {"enum": ["NodePort", "LoadBalancer"]}},
                    },
                    {
                        "properties": {
                            "ports": {
                                "items": {"not": {"type": "object", "required": ["nodePort"]}}
                            }
                        }
                    },
                ]
            },
        ],
    },
    "core.v1.ResourceQuotaSpec": {
        "properties": {
            "hard": {
                "properties": dict.fromkeys(_COUNTED, _COUNT),
                "additionalProperties": {"pattern": _PATTERNS["not-negative"]},
            }
        }
    },
    "core.v1.Namespace": {"properties": {"metadata": {"properties": {"labels": _POD_SECURITY}}}},
    "autoscaling.v2.MetricTarget": {
        "anyOf": [
            _valued("Utilization", "averageUtilization"),
            _valued("Value", "value"),
            _valued("AverageValue", "averageValue"),
        ]
    },
    "core.v1.EnvFromSource": _one_of("configMapRef", "secretRef"),
    "core.v1.PodSpec": {"properties": {"initContainers": {"items": _INIT_CONTAINER}}},
    "core.v1.PodTemplateSpec": {
        "properties": {"spec": {"properties": {"ephemeralContainers": {"maxItems": 0}}}}
    },
    "core.v1.Volume": {"maxProperties": 2},
    "networking.v1.NetworkPolicyPeer": _one_of("ipBlock", "namespaceSelector", "podSelector"),
}


@cache
def _layers() -> dict[str, Schema]:
    """Return what is added to each definition: schemas of fields, and forms of the whole."""
    fields: dict[str, Schema] = defaultdict(dict)
    for name, field, *words in _lines(_WORDS):
        fields[name][field] = {"enum": [*words, "", None]}
    for name, field, *words in _lines(_CHOICES):
        fields[name][field] = {"enum": [*words, None]}
    for name, field, low, high in _lines(_NUMBERS):
        limits = {"minimum": low, "maximum": high}
        fields[name][field] = {key: int(text) for key, text in limits.items() if text != "-"}
    for name, field, form in _lines(_TEXTS):
        fields[name].setdefault(field, {})["pattern"] = _PATTERNS[form]
    for name, field in _lines(_MAPS):
        fields[name][field] = {"additionalProperties": {"pattern": _LABEL_VALUE}}
    for name, field in _lines(_LISTS):
        fields[name][field] = {"minItems": 1}
    layers: dict[str, Schema] = {name: {"properties": added} for name, added in fields.items()}
    for (name,) in _lines(_THERE):
        layers.setdefault(name, {})["type"] = "object"
    for name, field in _lines(_REQUIRED):
        layers.setdefault(name, {}).setdefault("also", []).append(field)
    for name, whole in _FORMS.items():
        layers[name] = _merged(layers.get(name, {}), whole)
    return layers


def _lines(table: str) -> Iterator[list[str]]:
    return (line.split() for line in table.split("\n") if line)


class Refined(Mapping[str, Schema]):
    """Definitions with what the API server asks beyond them."""

    def __init__(self, plain: Mapping[str, Schema]) -> None:
        self._plain = plain
        self._refined: dict[str, Schema] = {}

    def __getitem__(self, name: str) -> Schema:
        if name not in self._refined:
            self._refined[name] = refined(self._plain[name], name)
        return self._refined[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._plain)

    def __len__(self) -> int:
        return len(self._plain)


def refined_kind(schema: Schema, name: str) -> Schema:
    """Return the schema of a whole kind with its layer."""
    return refined(_merged(schema, {"properties": {"metadata": _FINALIZERS}}), name)


def refined(schema: Schema, name: str) -> Schema:
    """Return a definition with its layer."""
    if name == "io.k8s.apimachinery.pkg.api.resource.Quantity":
        return {"type": ["string", "number", "null"], "pattern": _AMOUNT}
    if name in (f"{_META}Time", f"{_META}MicroTime"):
        return {**schema, "pattern": _TIME}
    short = name.removeprefix(PREFIX).replace(_META, "meta.v1.")
    layer = _layers().get(short)
    return _merged(schema, layer) if layer else schema


def _merged(schema: Schema, layer: Schema) -> Schema:
    """Put a layer over a schema; where both have an object, field by field.

    What holds for an item of a list stands in the layer as if it held for the list.
    """
    if "$ref" in schema:
        return {"allOf": [schema, layer]}
    merged = dict(schema)
    for key, value in layer.items():
        below = merged.get(key)
        if key == "also":
            merged["required"] = [*(merged.get("required") or ()), *value]
        elif key in ("enum", "pattern") and "items" in merged:
            words = [word for word in value if word] if key == "enum" else value
            merged["items"] = {**merged["items"], key: words}
        elif isinstance(value, dict) and isinstance(below, dict):
            merged[key] = _merged(below, value)
        else:
            merged[key] = deepcopy(value)
    return merged
