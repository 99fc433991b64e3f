"""The variables of a container: each once, and Secrets as files."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import entries, mapping, text
from gitops_policy.model import Problem
from gitops_policy.pods import Container
from gitops_policy.registry import CONTAINERS, rule

_SECRETS = "https://kubernetes.io/docs/concepts/configuration/secret/#using-secrets"


@rule(
    id="secret-from-env",
    title="Secrets are read from files rather than from variables",
    severity="warning",
    rationale="Variables reach every child process, crash report and `kubectl describe`, and "
    "change only with a restart.",
    references=[_SECRETS, "https://www.cisecurity.org/benchmark/kubernetes"],
    kinds=CONTAINERS,
    known_as=(
        "kube-linter:read-secret-from-env-var checkov:CKV_K8S_35 kubescape:C-0207 datree:98 "
        "kyverno:disallow-secrets-from-env-vars cis:5.4.1"
    ),
)
def secret_from_env(container: Container) -> Iterator[Problem]:
    """No `secretKeyRef` in env, no `secretRef` in envFrom."""
    for part, key in (("env", ("valueFrom", "secretKeyRef")), ("envFrom", ("secretRef",))):
        for i, variable in entries(container.spec, part):
            secret = mapping(variable, *key)
            if secret:
                shown = text(variable, "name") or "all its keys"
                yield container.problem(
                    (part, i, *key),
                    f"reads Secret {text(secret, 'name')!r} into variables: {shown}",
                    "mount it as a volume and read the file",
                )


@rule(
    id="duplicate-env-var",
    title="No variable stands twice",
    severity="error",
    rationale="The last one wins at run time, and server-side apply refuses the list.",
    references=[
        "https://kubernetes.io/docs/tasks/inject-data-application/define-environment-variable-container/"
    ],
    kinds=CONTAINERS,
    known_as=(
        "kube-linter:duplicate-env-var kube-score:environment-variable-key-duplication "
        "kubescape:C-0295"
    ),
)
def duplicate_env_var(container: Container) -> Iterator[Problem]:
    """Names in a container's `env` are unique."""
    seen: set[str] = set()
    for i, variable in entries(container.spec, "env"):
        name = text(variable, "name")
        if name and name in seen:
            yield container.problem(
                ("env", i, "name"), f"variable {name} stands twice", "remove one"
            )
        seen.add(name)
