"""Operators come before what only they understand, across Applications."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.argo.applications import APPLICATION, all_applications, sources, synced
from gitops_policy.argo.sync_waves import WAVE, wave
from gitops_policy.fields import text
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import BUILD, rule
from gitops_policy.world import World

_WAVES = "https://argo-cd.readthedocs.io/en/stable/user-guide/sync-waves/"
_ROLLOUTS = frozenset(
    f"argoproj.io/{kind}"
    for kind in ("AnalysisTemplate", "ClusterAnalysisTemplate", "Experiment", "Rollout")
)
# Chart or repository -> the groups, or the kinds of a group, that it brings.
_BRINGS: dict[str, frozenset[str]] = {
    "argo-rollouts": _ROLLOUTS,
    "cert-manager": frozenset({"cert-manager.io", "acme.cert-manager.io"}),
    "chaos-mesh": frozenset({"chaos-mesh.org"}),
    "cloudnative-pg": frozenset({"postgresql.cnpg.io"}),
    "external-secrets": frozenset({"external-secrets.io", "generators.external-secrets.io"}),
    "gateway-helm": frozenset({"gateway.envoyproxy.io", "gateway.networking.k8s.io"}),
    "keda": frozenset({"keda.sh"}),
    "kube-prometheus-stack": frozenset({"monitoring.coreos.com"}),
    "prometheus-operator": frozenset({"monitoring.coreos.com"}),
    "sealed-secrets": frozenset({"bitnami.com"}),
    "velero": frozenset({"velero.io"}),
}


@rule(
    id="operator-before-use",
    title="An operator is synced no later than what it operates",
    severity="error",
    rationale="Its CRDs are missing until then: the earlier wave fails and the later never starts.",
    references=[_WAVES],
    kinds=BUILD,
)
def operator_before_use(world: World) -> Iterator[Problem]:
    """An Application that brings custom kinds is not in a later wave than one that renders them."""
    applications = [a for a in all_applications(world) if a.group_kind == APPLICATION]
    operators = [(a, brought) for a in applications if (brought := _brought(a))]
    for user in applications if operators else ():
        used = {r.group_kind for _, index in synced(user, world) for r in index.resources}
        for operator, brought in operators:
            kinds = sorted(k for k in used if k in brought or k.partition("/")[0] in brought)
            if kinds and operator is not user and wave(operator) > wave(user):
                yield operator.problem(
                    ("metadata", "annotations", WAVE),
                    f"it is in wave {wave(operator)}, and {user.name!r} in wave {wave(user)} has"
                    f" {kinds[0]}",
                    f"put it into wave {wave(user)} or an earlier one",
                )


def _brought(application: Resource) -> frozenset[str]:
    """Return what the charts and repositories of an Application are known to bring."""
    found: frozenset[str] = frozenset()
    for _, source in sources(application):
        url = text(source, "repoURL").rstrip("/").removesuffix(".git")
        for name in (text(source, "chart"), url.rpartition("/")[2]):
            found |= _BRINGS.get(name, frozenset())
    return found
