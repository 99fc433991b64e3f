"""Since when an apiVersion of a kind is deprecated, when it goes, and what replaces it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

# apiVersion, deprecated in, removed in, replacement, kinds. Kubernetes' own: from the lifecycle
# that k8s.io/api v0.36.3 declares, older ones from the deprecation guide.
_BUILT_IN = """
admissionregistration.k8s.io/v1alpha1 1.29 1.32 admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding
admissionregistration.k8s.io/v1alpha1 1.35 1.38 admissionregistration.k8s.io/v1 MutatingAdmissionPolicy MutatingAdmissionPolicyBinding
admissionregistration.k8s.io/v1beta1 1.16 1.22 admissionregistration.k8s.io/v1 MutatingWebhookConfiguration ValidatingWebhookConfiguration
admissionregistration.k8s.io/v1beta1 1.31 1.34 admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding
apiextensions.k8s.io/v1beta1 1.16 1.22 apiextensions.k8s.io/v1 CustomResourceDefinition
apiregistration.k8s.io/v1beta1 1.19 1.22 apiregistration.k8s.io/v1 APIService
apps/v1beta1 1.8 1.16 apps/v1 ControllerRevision Deployment StatefulSet
apps/v1beta2 1.9 1.16 apps/v1 ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet
auditregistration.k8s.io/v1alpha1 1.18 1.19 - AuditSink
autoscaling/v2beta1 1.22 1.25 autoscaling/v2 HorizontalPodAutoscaler
autoscaling/v2beta2 1.23 1.26 autoscaling/v2 HorizontalPodAutoscaler
batch/v1beta1 1.21 1.25 batch/v1 CronJob
batch/v2alpha1 1.8 1.21 batch/v1 CronJob
certificates.k8s.io/v1alpha1 1.34 1.37 certificates.k8s.io/v1beta1 ClusterTrustBundle
certificates.k8s.io/v1beta1 1.19 1.22 certificates.k8s.io/v1 CertificateSigningRequest
coordination.k8s.io/v1alpha2 1.35 1.38 coordination.k8s.io/v1beta1 LeaseCandidate
coordination.k8s.io/v1beta1 1.19 1.22 coordination.k8s.io/v1 Lease
coordination.k8s.io/v1beta1 1.36 1.39 - LeaseCandidate
discovery.k8s.io/v1beta1 1.21 1.25 discovery.k8s.io/v1 EndpointSlice
events.k8s.io/v1beta1 1.22 1.25 events.k8s.io/v1 Event
extensions/v1beta1 1.8 1.16 apps/v1 DaemonSet Deployment ReplicaSet
extensions/v1beta1 1.9 1.16 networking.k8s.io/v1 NetworkPolicy
extensions/v1beta1 1.11 1.16 - PodSecurityPolicy
extensions/v1beta1 1.14 1.22 networking.k8s.io/v1 Ingress
flowcontrol.apiserver.k8s.io/v1beta1 1.23 1.26 flowcontrol.apiserver.k8s.io/v1beta3 FlowSchema PriorityLevelConfiguration
flowcontrol.apiserver.k8s.io/v1beta2 1.26 1.29 flowcontrol.apiserver.k8s.io/v1beta3 FlowSchema PriorityLevelConfiguration
flowcontrol.apiserver.k8s.io/v1beta3 1.29 1.32 flowcontrol.apiserver.k8s.io/v1 FlowSchema PriorityLevelConfiguration
networking.k8s.io/v1alpha1 1.29 1.33 - ClusterCIDR
networking.k8s.io/v1alpha1 1.30 1.33 networking.k8s.io/v1 IPAddress ServiceCIDR
networking.k8s.io/v1beta1 1.19 1.22 networking.k8s.io/v1 Ingress IngressClass
networking.k8s.io/v1beta1 1.34 1.37 networking.k8s.io/v1 IPAddress ServiceCIDR
node.k8s.io/v1beta1 1.22 1.25 node.k8s.io/v1 RuntimeClass
policy/v1beta1 1.21 1.25 policy/v1 PodDisruptionBudget
policy/v1beta1 1.21 1.25 - PodSecurityPolicy
rbac.authorization.k8s.io/v1alpha1 1.17 1.22 rbac.authorization.k8s.io/v1 ClusterRole ClusterRoleBinding Role RoleBinding
rbac.authorization.k8s.io/v1beta1 1.17 1.22 rbac.authorization.k8s.io/v1 ClusterRole ClusterRoleBinding Role RoleBinding
resource.k8s.io/v1alpha3 1.36 1.39 resource.k8s.io/v1beta2 DeviceTaintRule
resource.k8s.io/v1beta1 1.35 1.38 resource.k8s.io/v1 DeviceClass ResourceClaim ResourceClaimTemplate ResourceSlice
resource.k8s.io/v1beta2 1.36 1.39 resource.k8s.io/v1 DeviceClass ResourceClaim ResourceClaimTemplate ResourceSlice
scheduling.k8s.io/v1alpha1 1.14 1.17 scheduling.k8s.io/v1 PriorityClass
scheduling.k8s.io/v1beta1 1.14 1.22 scheduling.k8s.io/v1 PriorityClass
settings.k8s.io/v1alpha1 1.19 1.20 - PodPreset
storage.k8s.io/v1alpha1 1.21 1.24 storage.k8s.io/v1beta1 CSIStorageCapacity
storage.k8s.io/v1alpha1 1.21 1.24 storage.k8s.io/v1 VolumeAttachment
storage.k8s.io/v1alpha1 1.32 1.35 storage.k8s.io/v1 VolumeAttributesClass
storage.k8s.io/v1beta1 1.17 1.22 storage.k8s.io/v1 CSINode
storage.k8s.io/v1beta1 1.19 1.22 storage.k8s.io/v1 CSIDriver StorageClass VolumeAttachment
storage.k8s.io/v1beta1 1.24 1.27 storage.k8s.io/v1 CSIStorageCapacity
storage.k8s.io/v1beta1 1.34 1.37 storage.k8s.io/v1 VolumeAttributesClass
v1 1.19 - - ComponentStatus
v1 1.33 - discovery.k8s.io/v1 Endpoints
"""  # noqa: E501
# The same of custom resources; their versions are those of the project that serves them.
_CUSTOM = """
acme.cert-manager.io/v1alpha2 cert-manager-1.4 cert-manager-1.6 acme.cert-manager.io/v1 Order Challenge
acme.cert-manager.io/v1alpha3 cert-manager-1.4 cert-manager-1.6 acme.cert-manager.io/v1 Order Challenge
acme.cert-manager.io/v1beta1 cert-manager-1.4 cert-manager-1.6 acme.cert-manager.io/v1 Order Challenge
autoscaling.k8s.io/v1beta2 vpa-0.9 - autoscaling.k8s.io/v1 VerticalPodAutoscaler
cert-manager.io/v1alpha2 cert-manager-1.4 cert-manager-1.6 cert-manager.io/v1 Certificate CertificateRequest ClusterIssuer Issuer
cert-manager.io/v1alpha3 cert-manager-1.4 cert-manager-1.6 cert-manager.io/v1 Certificate CertificateRequest ClusterIssuer Issuer
cert-manager.io/v1beta1 cert-manager-1.4 cert-manager-1.6 cert-manager.io/v1 Certificate CertificateRequest ClusterIssuer Issuer
certmanager.k8s.io/v1alpha1 cert-manager-0.11 cert-manager-0.11 cert-manager.io/v1 Certificate CertificateRequest ClusterIssuer Issuer
external-secrets.io/v1alpha1 external-secrets-0.5 external-secrets-0.17 external-secrets.io/v1 ClusterSecretStore ExternalSecret SecretStore
external-secrets.io/v1beta1 external-secrets-0.16 external-secrets-0.17 external-secrets.io/v1 ClusterExternalSecret ClusterSecretStore ExternalSecret SecretStore
gateway.networking.k8s.io/v1alpha2 gateway-api-0.5 gateway-api-1.0 gateway.networking.k8s.io/v1 Gateway GatewayClass HTTPRoute
gateway.networking.k8s.io/v1alpha2 gateway-api-1.1 gateway-api-1.2 gateway.networking.k8s.io/v1 GRPCRoute
gateway.networking.k8s.io/v1alpha2 gateway-api-0.6 gateway-api-1.2 gateway.networking.k8s.io/v1beta1 ReferenceGrant
gateway.networking.k8s.io/v1beta1 gateway-api-1.0 - gateway.networking.k8s.io/v1 Gateway GatewayClass HTTPRoute
keda.k8s.io/v1alpha1 keda-2.0 keda-2.0 keda.sh/v1alpha1 ScaledJob ScaledObject TriggerAuthentication
networking.x-k8s.io/v1alpha1 gateway-api-0.4 gateway-api-0.5 gateway.networking.k8s.io/v1 Gateway GatewayClass HTTPRoute
snapshot.storage.k8s.io/v1beta1 external-snapshotter-4.0 - snapshot.storage.k8s.io/v1 VolumeSnapshot VolumeSnapshotClass VolumeSnapshotContent
traefik.containo.us/v1alpha1 traefik-2.10 traefik-3.0 traefik.io/v1alpha1 IngressRoute IngressRouteTCP IngressRouteUDP Middleware MiddlewareTCP ServersTransport TLSOption TLSStore TraefikService
"""  # noqa: E501


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """When a version of a kind is deprecated and removed; `removed` and `replacement` may be empty.

    The releases are Kubernetes' (`1.22`), or `project-release` for custom resources.
    """

    deprecated: str
    removed: str
    replacement: str


@cache
def _lifecycles() -> dict[tuple[str, str], Lifecycle]:
    found = {}
    for line in (*_BUILT_IN.split("\n"), *_CUSTOM.split("\n")):
        if line:
            api_version, deprecated, removed, replacement, *kinds = line.split()
            life = Lifecycle(deprecated, removed.strip("-"), replacement.strip("-"))
            found.update({(api_version, kind): life for kind in kinds})
    return found


def lifecycle(api_version: str, kind: str) -> Lifecycle | None:
    """Return what is known of the end of an apiVersion; None where no end is in sight."""
    return _lifecycles().get((api_version, kind))


def reached(release: str, kubernetes: str) -> bool:
    """Say whether a release is out for a cluster of this Kubernetes version.

    A release of another project is: what is not told is taken as up to date.
    """
    if not release or not release[0].isdigit():
        return bool(release)
    return _numbers(kubernetes) >= _numbers(release)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.lstrip("v").split(".") if part.isdecimal())
