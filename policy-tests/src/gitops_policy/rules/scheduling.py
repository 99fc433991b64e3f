"""Spreading pods over nodes and zones."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import Path, entries, field, mapping, sequence, text
from gitops_policy.model import Problem, Resource
from gitops_policy.pods import Pod
from gitops_policy.registry import PODS, rule
from gitops_policy.scaling import SCALABLE, release_pods, scale, workload_of
from gitops_policy.selectors import matches
from gitops_policy.world import World

_SPREAD = "https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/"
_AFFINITY = "https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/"
_ZONE = "topology.kubernetes.io/zone"
_SPREADING = {"kubernetes.io/hostname", _ZONE}
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_ANTI_AFFINITY = ("affinity", "podAntiAffinity")
_HASH_LABELS = {
    "argoproj.io/Rollout": "rollouts-pod-template-hash",
    "apps/Deployment": "pod-template-hash",
}


def _terms(pod: Pod) -> Iterator[tuple[Path, dict[str, object]]]:
    """Yield the pod anti-affinity terms with their paths in the pod spec."""
    for i, term in entries(pod.spec, *_ANTI_AFFINITY, _REQUIRED):
        yield (*_ANTI_AFFINITY, _REQUIRED, i), term
    for i, item in entries(pod.spec, *_ANTI_AFFINITY, _PREFERRED):
        path = (*_ANTI_AFFINITY, _PREFERRED, i, "podAffinityTerm")
        yield path, mapping(item, "podAffinityTerm")


@rule(
    id="workload-spread",
    title="Replicas are spread over nodes or zones",
    severity="error",
    rationale="Without spreading the scheduler may put every replica on one node.",
    references=[_SPREAD, _AFFINITY],
    kinds=SCALABLE,
    known_as=[
        "kube-linter:no-anti-affinity",
        "kube-score:deployment-has-host-podantiaffinity",
        "kube-score:statefulset-has-host-podantiaffinity",
        "polaris:topologySpreadConstraint",
        "kyverno:topologyspreadconstraints-policy",
    ],
)
def workload_spread(workload: Resource, world: World) -> Iterator[Problem]:
    """Several replicas have anti-affinity or a spread constraint over hostname or zone."""
    if scale(workload, world).minimum < 2:
        return
    for pod in world.pods_of(workload):
        keys = {text(term, "topologyKey") for _, term in _terms(pod)}
        keys |= {text(c, "topologyKey") for _, c in entries(pod.spec, "topologySpreadConstraints")}
        if not keys & _SPREADING:
            yield pod.problem(
                ("topologySpreadConstraints",),
                "neither pod anti-affinity nor a spread constraint over hostname or zone",
                "add a topologySpreadConstraint or a podAntiAffinity term",
            )


@rule(
    id="topology-spread-valid",
    title="A topology spread constraint counts its own pods",
    severity="error",
    rationale="A constraint that does not match the pod's own labels spreads nothing.",
    references=[_SPREAD],
    kinds=PODS,
    known_as=["kube-score:pod-topology-spread-constraints"],
)
def topology_spread_valid(pod: Pod) -> Iterator[Problem]:
    """Each constraint is complete, and its selector matches the pod."""
    for i, item in entries(pod.spec, "topologySpreadConstraints"):
        for name, message, fix in _flaws(item, pod):
            yield pod.problem(("topologySpreadConstraints", i, name), message, fix)


def _flaws(item: dict[str, object], pod: Pod) -> Iterator[tuple[str, str, str]]:
    skew, when = field(item, "maxSkew"), text(item, "whenUnsatisfiable")
    if not isinstance(skew, int) or skew < 1:
        yield "maxSkew", f"maxSkew is {skew!r}", "set maxSkew to 1 or more"
    if not text(item, "topologyKey"):
        yield "topologyKey", "there is no topologyKey", f"set topologyKey: {_ZONE}"
    if when not in ("DoNotSchedule", "ScheduleAnyway"):
        yield "whenUnsatisfiable", f"it is {when!r}", "write DoNotSchedule or ScheduleAnyway"
    if "minDomains" in item and when != "DoNotSchedule":
        yield "minDomains", "minDomains needs DoNotSchedule", "remove minDomains"
    selector = mapping(item, "labelSelector")
    if not selector or not matches(selector, pod.labels):
        yield (
            "labelSelector",
            "the selector does not match the pod's own labels",
            "select by labels of the pod template",
        )


@rule(
    id="spread-tells-revisions-apart",
    title="matchLabelKeys names the label that this workload sets",
    severity="error",
    rationale="A key that the pods do not carry is ignored: old and new pods are counted together.",
    references=[_SPREAD + "#topologyspreadconstraints-field"],
    kinds=PODS,
)
def spread_tells_revisions_apart(pod: Pod, world: World) -> Iterator[Problem]:
    """On a Rollout the key is rollouts-pod-template-hash, on a Deployment pod-template-hash."""
    hash_label = _HASH_LABELS.get(workload_of(pod, world).group_kind, "")
    found: list[tuple[Path, dict[str, object]]] = [
        (("topologySpreadConstraints", i), item)
        for i, item in entries(pod.spec, "topologySpreadConstraints")
    ]
    for path, item in [*found, *_terms(pod)]:
        for i, key in enumerate(map(str, sequence(item, "matchLabelKeys"))):
            if key != hash_label and key not in pod.labels:
                yield pod.problem(
                    (*path, "matchLabelKeys", i),
                    f"the pods carry no label {key!r}",
                    f"write {hash_label or 'a label of the pod template'}",
                )


@rule(
    id="zone-anti-affinity-fits",
    title="Required zone anti-affinity has a zone for every pod",
    severity="error",
    rationale="Pods beyond the number of zones stay Pending for ever.",
    references=[_AFFINITY],
    kinds=PODS,
)
def zone_anti_affinity_fits(pod: Pod, world: World) -> Iterator[Problem]:
    """With a required term over zones, no more pods than zones (`Config.zones`) may exist."""
    workload, zones = workload_of(pod, world), world.config.zones
    if workload.group_kind not in SCALABLE:
        return
    most = release_pods(workload, scale(workload, world).maximum)
    for i, term in entries(pod.spec, *_ANTI_AFFINITY, _REQUIRED):
        own = matches(mapping(term, "labelSelector"), pod.labels)
        if text(term, "topologyKey") == _ZONE and own and most > zones:
            yield pod.problem(
                (*_ANTI_AFFINITY, _REQUIRED, i),
                f"up to {most} pods for {zones} zones",
                "use a topologySpreadConstraint over the zones instead",
            )
