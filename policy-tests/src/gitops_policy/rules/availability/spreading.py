"""Spreading pods over nodes and zones: terms and constraints that mean the pods themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitops_policy.fields import entries, field, mapping, sequence, text
from gitops_policy.findings import Severity
from gitops_policy.kubernetes.affinity import (
    HASH_LABELS,
    HOSTNAME,
    SPREADING,
    ZONE,
    constraints,
    key_of,
    selects_itself,
    terms,
)
from gitops_policy.kubernetes.scaling import SCALABLE, runs_elsewhere, scale, workload_of
from gitops_policy.kubernetes.selectors import matches
from gitops_policy.model import Problem, Resource
from gitops_policy.pods import Pod
from gitops_policy.registry import PODS, rule
from gitops_policy.world import World

_SPREAD = "https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/"
_AFFINITY = "https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/"


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
    ],
)
def workload_spread(workload: Resource, world: World) -> Iterator[Problem]:
    """Several replicas have anti-affinity to themselves, or a spread constraint, by node or zone.

    Where Git says no count it is information: an autoscaler elsewhere may own it.
    """
    found = scale(workload, world)
    if (found.minimum < 2 and found.written) or runs_elsewhere(workload, world):
        return
    for pod in world.pods_of(workload):
        keys = {key_of(term) for _, term in terms(pod) if selects_itself(term, pod, world)}
        keys |= {key_of(item) for _, item in constraints(pod)}
        if not keys & SPREADING:
            yield pod.problem(
                ("topologySpreadConstraints",),
                "neither pod anti-affinity nor a spread constraint over hostname or zone",
                "add a topologySpreadConstraint or a podAntiAffinity term for its own labels",
                severity=None if found.written else Severity.info,
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
    """Each constraint is complete, not said twice, and its selector matches the pod."""
    said: set[tuple[str, str]] = set()
    for path, item in constraints(pod):
        for name, message, fix in _flaws(item, pod):
            yield pod.problem((*path, name), message, fix)
        pair = (key_of(item), text(item, "whenUnsatisfiable"))
        if pair in said:
            yield pod.problem(
                (*path, "topologyKey"), f"{pair[0]} stands twice with {pair[1]}", "keep one of them"
            )
        said.add(pair)


def _flaws(item: dict[str, Any], pod: Pod) -> Iterator[tuple[str, str, str]]:
    skew, when = field(item, "maxSkew"), text(item, "whenUnsatisfiable")
    if not isinstance(skew, int) or skew < 1:
        yield "maxSkew", f"maxSkew is {skew!r}", "set maxSkew to 1 or more"
    if not key_of(item):
        yield "topologyKey", "there is no topologyKey", f"set topologyKey: {ZONE}"
    if when not in ("DoNotSchedule", "ScheduleAnyway"):
        yield "whenUnsatisfiable", f"it is {when!r}", "write DoNotSchedule or ScheduleAnyway"
    if item.get("minDomains") is not None:
        yield from _domain_flaws(item["minDomains"], when)
    selector = mapping(item, "labelSelector")
    if not selector or not matches(selector, pod.labels):
        yield (
            "labelSelector",
            "the selector does not match the pod's own labels",
            "select by labels of the pod template",
        )
    selected = [*mapping(selector, "matchLabels")]
    selected += [text(term, "key") for _, term in entries(selector, "matchExpressions")]
    for key in map(str, sequence(item, "matchLabelKeys")):
        if key in selected:
            yield "matchLabelKeys", f"labelSelector names {key} already", "write it in one of them"


def _domain_flaws(wanted: object, when: str) -> Iterator[tuple[str, str, str]]:
    if when != "DoNotSchedule":
        yield "minDomains", "minDomains needs DoNotSchedule", "remove minDomains"
    elif not isinstance(wanted, int) or wanted < 1:
        yield "minDomains", f"minDomains is {wanted!r}", "set minDomains to 1 or more"


@rule(
    id="spread-over-nodes-and-zones",
    title="Three replicas are spread over nodes and over zones",
    severity="info",
    rationale="Constraints over both keep a lost node and a lost zone from taking every replica.",
    references=[_SPREAD],
    kinds=SCALABLE,
    known_as=["kyverno:topologyspreadconstraints-policy"],
    default=False,
)
def spread_over_nodes_and_zones(workload: Resource, world: World) -> Iterator[Problem]:
    """With three replicas or more there is a spread constraint over hostname and one over zone."""
    if scale(workload, world).minimum < 3 or runs_elsewhere(workload, world):
        return
    for pod in world.pods_of(workload):
        keys = {key_of(item) for _, item in constraints(pod)}
        for key in sorted({HOSTNAME, ZONE} - keys):
            yield pod.problem(
                ("topologySpreadConstraints",), f"no constraint over {key}", "add a constraint"
            )


@rule(
    id="spread-never-blocks",
    title="A topology spread constraint leaves no pod unscheduled",
    severity="info",
    rationale="With DoNotSchedule a full or lost zone leaves pods Pending; it is often wanted so.",
    references=[_SPREAD],
    kinds=PODS,
    known_as=["datree:84"],
    default=False,
)
def spread_never_blocks(pod: Pod) -> Iterator[Problem]:
    """No constraint is DoNotSchedule."""
    for path, item in constraints(pod):
        if text(item, "whenUnsatisfiable") == "DoNotSchedule":
            yield pod.problem(
                (*path, "whenUnsatisfiable"),
                "pods stay Pending where the constraint cannot be met",
                "write ScheduleAnyway",
            )


@rule(
    id="affinity-term-has-key",
    title="A pod affinity term has a topology key",
    severity="error",
    rationale="The API server refuses a term without topologyKey, when the workload is applied.",
    references=[_AFFINITY],
    kinds=PODS,
    known_as=["datree:83"],
)
def affinity_term_has_key(pod: Pod) -> Iterator[Problem]:
    """Each affinity and anti-affinity term says over which domains it holds."""
    for kind in ("podAntiAffinity", "podAffinity"):
        for path, term in terms(pod, kind):
            if not key_of(term):
                yield pod.problem(
                    (*path, "topologyKey"),
                    "there is no topologyKey",
                    f"set topologyKey: {HOSTNAME}",
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
    hash_label = HASH_LABELS.get(workload_of(pod, world).group_kind, "")
    for path, item in [*constraints(pod), *terms(pod)]:
        for i, key in enumerate(map(str, sequence(item, "matchLabelKeys"))):
            if key != hash_label and key not in pod.labels:
                yield pod.problem(
                    (*path, "matchLabelKeys", i),
                    f"the pods carry no label {key!r}",
                    f"write {hash_label or 'a label of the pod template'}",
                )
