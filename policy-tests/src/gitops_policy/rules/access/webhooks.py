"""Admission webhooks: what happens to requests while they do not answer."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import entries, text
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule

_API = "admissionregistration.k8s.io"


@rule(
    id="webhook-fails-closed",
    title="Admission webhooks refuse what they cannot judge",
    severity="info",
    rationale=(
        "Of taste: with Ignore whoever makes the webhook fail gets past it, with Fail an outage of "
        "the webhook is one of the cluster."
    ),
    references=[
        "https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/"
        "#failure-policy"
    ],
    kinds=[f"{_API}/ValidatingWebhookConfiguration", f"{_API}/MutatingWebhookConfiguration"],
    known_as="kube-linter:webhook-failure-policy-ignore",
    default=False,
)
def webhook_fails_closed(configuration: Resource) -> Iterator[Problem]:
    """`failurePolicy` is Fail, as by default."""
    for i, webhook in entries(configuration.content, "webhooks"):
        if text(webhook, "failurePolicy") == "Ignore":
            yield configuration.problem(
                ("webhooks", i, "failurePolicy"),
                f"requests pass while webhook {text(webhook, 'name')!r} does not answer",
                "set Fail, with several replicas and a namespaceSelector without its own namespace",
            )
