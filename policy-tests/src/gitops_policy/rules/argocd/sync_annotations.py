"""Argo CD's annotations: a value that it does not know does nothing, silently."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.argo.sync_waves import HOOKS
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import EVERY, rule

_SYNC = "https://argo-cd.readthedocs.io/en/stable/user-guide/sync-options/"
_HOOKS = "https://argo-cd.readthedocs.io/en/stable/user-guide/sync-waves/"
_COMPARE = "https://argo-cd.readthedocs.io/en/stable/user-guide/compare-options/"
_PREFIX = "argocd.argoproj.io/"
_OPTIONS = (
    "ClientSideApplyMigration",
    "Delete",
    "Force",
    "Prune",
    "PruneLast",
    "Replace",
    "ServerSideApply",
    "SkipDryRunOnMissingResource",
    "Validate",
)
_COMPARISONS = ("IgnoreExtraneous", "IncludeMutationWebhook", "ServerSideDiff")
_DELETIONS = ("HookSucceeded", "HookFailed", "BeforeHookCreation")


def _unknown(resource: Resource, name: str, known: tuple[str, ...]) -> Iterator[Problem]:
    value = resource.annotations.get(_PREFIX + name)
    for item in value.split(",") if isinstance(value, str) else ():
        key = item.strip().partition("=")[0]
        if key and key not in known:
            yield resource.problem(
                ("metadata", "annotations", _PREFIX + name),
                f"Argo CD does not know {item.strip()!r}",
                f"use {', '.join(known)}",
            )


@rule(
    id="resource-sync-options-known",
    title="Argo CD knows each sync option of an object",
    severity="warning",
    rationale="An option with a typing error does nothing: what was to be kept is pruned.",
    references=[_SYNC],
    kinds=EVERY,
    known_as=["argocd-source-lint:unknown-sync-option"],
)
def resource_sync_options_known(resource: Resource) -> Iterator[Problem]:
    """Each option of the annotation sync-options has a key that objects may set."""
    yield from _unknown(resource, "sync-options", _OPTIONS)


@rule(
    id="compare-options-known",
    title="Argo CD knows each compare option",
    severity="warning",
    rationale="An option with a typing error does nothing, and the object stays OutOfSync.",
    references=[_COMPARE],
    kinds=EVERY,
)
def compare_options_known(resource: Resource) -> Iterator[Problem]:
    """Each option of the annotation compare-options has a known key."""
    yield from _unknown(resource, "compare-options", _COMPARISONS)


@rule(
    id="hook-known",
    title="Argo CD knows each hook",
    severity="error",
    rationale="An object with a misspelled hook is synced with all others: nothing waits for it.",
    references=[_HOOKS],
    kinds=EVERY,
    known_as=["argocd-source-lint:unknown-resource-hook"],
)
def hook_known(resource: Resource) -> Iterator[Problem]:
    """The annotation hook holds names of hooks only, as they are spelled."""
    yield from _unknown(resource, "hook", HOOKS)


@rule(
    id="hook-delete-policy-known",
    title="Argo CD knows each delete policy of a hook",
    severity="warning",
    rationale="With a misspelled policy the finished hook stays, and the next sync finds it.",
    references=[_HOOKS],
    kinds=EVERY,
    known_as=["argocd-source-lint:unknown-resource-hook"],
)
def hook_delete_policy_known(resource: Resource) -> Iterator[Problem]:
    """The annotation hook-delete-policy holds names of policies only."""
    yield from _unknown(resource, "hook-delete-policy", _DELETIONS)
