"""RBAC: rights that lead to more rights."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.kubernetes.permissions import (
    CHANGES,
    GOOD_PRACTICES,
    RBAC,
    ROLES,
    Access,
    grants,
    of_the_system,
)
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule

_ESCALATE = GOOD_PRACTICES + "#escalate-verb"
_IMPERSONATE = GOOD_PRACTICES + "#impersonate-verb"
_ROLE_ESCALATION = Access(
    (RBAC,), ("roles", "clusterroles", "rolebindings", "clusterrolebindings"), ("bind", "escalate")
)
_IMPERSONATION = Access(
    ("", "authentication.k8s.io"),
    ("users", "groups", "serviceaccounts", "uids", "userextras", "userextras/scopes"),
    ("impersonate",),
)
_BINDING_CHANGES = Access(
    (RBAC,), ("roles", "rolebindings", "clusterroles", "clusterrolebindings"), CHANGES
)
_BINDING_CREATION = Access((RBAC,), ("rolebindings", "clusterrolebindings"), ("create",))
_BIND = Access((RBAC,), ("roles", "clusterroles"), ("bind",))
_WEBHOOKS = Access(
    ("admissionregistration.k8s.io",),
    (
        "mutatingwebhookconfigurations",
        "validatingwebhookconfigurations",
        "mutatingadmissionpolicies",
        "validatingadmissionpolicies",
    ),
    CHANGES,
)
_CERTIFICATES = "certificates.k8s.io"
_APPROVAL = Access((_CERTIFICATES,), ("certificatesigningrequests/approval",), ("update", "patch"))
_SIGNERS = Access((_CERTIFICATES,), ("signers",), ("approve", "sign"))
_NAME_SIGNERS = "name the signers in resourceNames"
_VOLUMES = Access(("",), ("persistentvolumes",), ("create",))
_TOKENS = Access(("",), ("serviceaccounts/token",), ("create",))


@rule(
    id="no-role-escalation",
    title="Roles neither bind nor escalate Roles",
    severity="error",
    rationale="Both verbs give rights that their user does not have.",
    references=[_ESCALATE],
    kinds=ROLES,
    known_as=(
        "kube-linter:bind-verb-in-role kube-linter:escalate-verb-in-role checkov:CKV_K8S_157 "
        "checkov:CKV_K8S_158 kubescape:C-0191 datree:105 "
        "kyverno:restrict-escalation-verbs-roles cis:5.1.8"
    ),
)
def no_role_escalation(role: Resource) -> Iterator[Problem]:
    """No rule allows `bind` or `escalate`, unless it names the Roles."""
    if not of_the_system(role):
        yield from grants(
            role, _ROLE_ESCALATION, "bind or escalate Roles", "name the Roles in resourceNames"
        )


@rule(
    id="no-impersonation",
    title="Roles impersonate nobody",
    severity="error",
    rationale="Who may impersonate has the rights of everybody whom it may name.",
    references=[_IMPERSONATE],
    kinds=ROLES,
    known_as=(
        "kube-linter:impersonate-without-resource-names kubescape:C-0065 kubescape:C-0191 "
        "trivy:KSV-0043 datree:105 "
        "kyverno:restrict-escalation-verbs-roles cis:5.1.8"
    ),
)
def no_impersonation(role: Resource) -> Iterator[Problem]:
    """No rule allows `impersonate`, unless it names whom."""
    if not of_the_system(role):
        yield from grants(
            role, _IMPERSONATION, "act as somebody else", "name whom in resourceNames"
        )


@rule(
    id="no-role-binding-changes",
    title="Roles change no Roles and bindings",
    severity="warning",
    rationale="Who writes bindings hands on all that it has; who deletes them locks others out.",
    references=[_ESCALATE],
    kinds=ROLES,
    known_as="trivy:KSV-0050 trivy:KSV-0055",
)
def no_role_binding_changes(role: Resource) -> Iterator[Problem]:
    """No rule allows to write Roles and bindings."""
    if not of_the_system(role):
        yield from grants(role, _BINDING_CHANGES, "change Roles or bindings", "let Git change them")


@rule(
    id="no-binding-of-any-role",
    title="No Role both writes bindings and binds any Role",
    severity="error",
    rationale="Together the two make their user an administrator in one step.",
    references=[GOOD_PRACTICES + "#bind-verb"],
    kinds=ROLES,
    known_as="trivy:KSV-0051 trivy:KSV-0052",
)
def no_binding_of_any_role(role: Resource) -> Iterator[Problem]:
    """A Role that may create bindings may bind named Roles only."""
    if of_the_system(role) or not any(grants(role, _BINDING_CREATION, "", "", named=True)):
        return
    yield from grants(
        role, _BIND, "bind any Role with the bindings it may create", "name the Roles"
    )


@rule(
    id="no-webhook-changes",
    title="Roles change no admission webhooks and policies",
    severity="error",
    rationale="An admission webhook reads and rewrites every object on its way into the cluster.",
    references=[GOOD_PRACTICES + "#control-admission-webhooks"],
    kinds=ROLES,
    known_as=(
        "checkov:CKV_K8S_155 kubescape:C-0281 trivy:KSV-0114 "
        "kyverno:restrict-clusterrole-mutating-validating-admission-webhooks cis:5.1.12"
    ),
)
def no_webhook_changes(role: Resource) -> Iterator[Problem]:
    """No rule allows to write webhook configurations, unless it names them."""
    if not of_the_system(role):
        yield from grants(
            role, _WEBHOOKS, "change admission webhooks", "name them in resourceNames"
        )


@rule(
    id="no-certificate-approval",
    title="Roles approve no certificates",
    severity="error",
    rationale="Who approves a certificate for the API server makes a user of any name.",
    references=[GOOD_PRACTICES + "#csrs-and-certificate-issuing"],
    kinds=ROLES,
    known_as=("checkov:CKV_K8S_156 kubescape:C-0280 kyverno:restrict-clusterrole-csr cis:5.1.11"),
)
def no_certificate_approval(role: Resource) -> Iterator[Problem]:
    """No rule allows to update approvals of requests, nor beside it to approve for any signer."""
    approval = list(grants(role, _APPROVAL, "approve certificates", _NAME_SIGNERS))
    if approval and not of_the_system(role):
        yield from approval
        yield from grants(role, _SIGNERS, "approve certificates of any signer", _NAME_SIGNERS)


@rule(
    id="no-approval-for-any-signer",
    title="Roles approve or sign for named signers only",
    severity="info",
    rationale="Rights of several Roles add up: another may hold the approval of requests.",
    references=[GOOD_PRACTICES + "#csrs-and-certificate-issuing"],
    kinds=ROLES,
    known_as="kube-linter:approve-signers-without-resource-names",
    default=False,
)
def no_approval_for_any_signer(role: Resource) -> Iterator[Problem]:
    """A rule to approve or sign for signers names them."""
    if not of_the_system(role):
        yield from grants(role, _SIGNERS, "approve certificates of any signer", _NAME_SIGNERS)


@rule(
    id="no-persistent-volume-creation",
    title="Roles create no PersistentVolumes",
    severity="error",
    rationale="A PersistentVolume of type hostPath reads and writes the node's files.",
    references=[GOOD_PRACTICES + "#persistent-volume-creation"],
    kinds=ROLES,
    known_as="kubescape:C-0278 cis:5.1.9",
)
def no_persistent_volume_creation(role: Resource) -> Iterator[Problem]:
    """No rule allows to create PersistentVolumes."""
    if not of_the_system(role):
        yield from grants(
            role, _VOLUMES, "create PersistentVolumes", "use PersistentVolumeClaims", named=True
        )


@rule(
    id="no-token-creation",
    title="Roles create no tokens of ServiceAccounts",
    severity="error",
    rationale="A token has all rights of its ServiceAccount, whichever that is.",
    references=[GOOD_PRACTICES + "#token-request"],
    kinds=ROLES,
    known_as="kubescape:C-0282 cis:5.1.13",
)
def no_token_creation(role: Resource) -> Iterator[Problem]:
    """No rule allows to create serviceaccounts/token, unless it names the accounts."""
    if not of_the_system(role):
        yield from grants(role, _TOKENS, "create tokens of any account", "add resourceNames")
