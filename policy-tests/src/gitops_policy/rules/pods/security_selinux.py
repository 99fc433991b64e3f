"""Pod Security Standards, level baseline: SELinux labels."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import field
from gitops_policy.kubernetes.pod_standards import BASELINE, CONTAINER_ENGINE, contexts, revision
from gitops_policy.model import Problem
from gitops_policy.pods import Pod
from gitops_policy.registry import PODS, rule
from gitops_policy.world import World

_WHY = "A custom SELinux label can take a container out of its confinement."
_ELSEWHERE = (
    "trivy:KSV-0025 kubescape:set-seLinuxOptions kyverno:disallow-selinux gatekeeper:selinux "
    "pss:baseline"
)
# Each type with the revision of the standard that allowed it.
_TYPES = {
    "": 0,
    "container_t": 0,
    "container_init_t": 0,
    "container_kvm_t": 0,
    "container_engine_t": CONTAINER_ENGINE,
}


@rule(
    id="selinux-type",
    title="The SELinux type is one for containers",
    severity="error",
    rationale=_WHY,
    references=[BASELINE],
    kinds=PODS,
    known_as=f"{_ELSEWHERE} datree:86",
)
def selinux_type(pod: Pod, world: World) -> Iterator[Problem]:
    """`seLinuxOptions.type` is unset or one of the container types."""
    for subject, context in contexts(pod):
        value = field(context, "seLinuxOptions", "type")
        since = _TYPES.get(str(value or ""))
        if since is None or since > revision(world):
            yield subject.problem(
                ("securityContext", "seLinuxOptions", "type"),
                f"sets the SELinux type {value!r}",
                "remove seLinuxOptions.type",
            )


@rule(
    id="selinux-user",
    title="The SELinux user is not customised",
    severity="error",
    rationale=_WHY,
    references=[BASELINE],
    kinds=PODS,
    known_as=f"{_ELSEWHERE} datree:87",
)
def selinux_user(pod: Pod) -> Iterator[Problem]:
    """`seLinuxOptions.user` is not set."""
    yield from _set(pod, "user")


@rule(
    id="selinux-role",
    title="The SELinux role is not customised",
    severity="error",
    rationale=_WHY,
    references=[BASELINE],
    kinds=PODS,
    known_as=f"{_ELSEWHERE} datree:88",
)
def selinux_role(pod: Pod) -> Iterator[Problem]:
    """`seLinuxOptions.role` is not set."""
    yield from _set(pod, "role")


def _set(pod: Pod, key: str) -> Iterator[Problem]:
    for subject, context in contexts(pod):
        if value := field(context, "seLinuxOptions", key):
            yield subject.problem(
                ("securityContext", "seLinuxOptions", key),
                f"sets the SELinux {key} {value!r}",
                f"remove seLinuxOptions.{key}",
            )
