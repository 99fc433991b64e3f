"""Whether every pod finds a place: nodes and zones against replicas, budgets and updates."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import Path, entries, field, mapping, text
from gitops_policy.kubernetes.affinity import (
    HOSTNAME,
    ZONE,
    by_revision,
    constraints,
    key_of,
    required_terms,
    selects_itself,
)
from gitops_policy.kubernetes.budgets import budgets_of
from gitops_policy.kubernetes.scaling import (
    SCALABLE,
    count,
    release_pods,
    scale,
    unavailable,
    workload_of,
)
from gitops_policy.model import Problem, Resource
from gitops_policy.notations.quantities import share
from gitops_policy.pods import Pod
from gitops_policy.registry import PODS, rule
from gitops_policy.world import World

_AFFINITY = "https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/"
_SPREAD = "https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/"
_DRAIN = "https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/"
_DNS = "https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/#pod-dns-config"


def _exclusive(pod: Pod, key: str, world: World) -> Iterator[tuple[Path, bool]]:
    """Yield the terms that allow one pod of the template for each domain; True: each revision."""
    for path, term in required_terms(pod):
        if key_of(term) == key and selects_itself(term, pod, world):
            yield path, by_revision(term)


def _most(workload: Resource, world: World, *, by_revision: bool) -> int:
    """Return how many pods need a domain of their own at once."""
    highest = scale(workload, world).maximum
    # What an update takes away first leaves room for what it adds.
    if by_revision or (unavailable(workload, highest) and not _keeps_stable(workload)):
        return highest
    return release_pods(workload, highest)


def _keeps_stable(workload: Resource) -> bool:
    strategy = mapping(workload.spec, "strategy")
    return "blueGreen" in strategy or "trafficRouting" in mapping(strategy, "canary")


def _crowded(pod: Pod, key: str, domains: int, world: World) -> Iterator[tuple[Path, int]]:
    workload = workload_of(pod, world)
    if workload.group_kind not in SCALABLE or domains < 1:
        return
    for path, each_revision in _exclusive(pod, key, world):
        most = _most(workload, world, by_revision=each_revision)
        if most > domains:
            yield path, most


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
    for path, most in _crowded(pod, ZONE, world.config.zones, world):
        yield pod.problem(
            path,
            f"up to {most} pods for {world.config.zones} zones",
            "use a topologySpreadConstraint over the zones instead",
        )


@rule(
    id="node-anti-affinity-fits",
    title="Required node anti-affinity has a node for every pod",
    severity="error",
    rationale=(
        "A new pod finds no node while the old ones stand on all of them, and with"
        " maxUnavailable 0 none of those may go: the release hangs."
    ),
    references=[_AFFINITY],
    kinds=PODS,
)
def node_anti_affinity_fits(pod: Pod, world: World) -> Iterator[Problem]:
    """With a required term over nodes, no more pods than nodes (`Config.nodes`) may exist."""
    for path, most in _crowded(pod, HOSTNAME, world.config.nodes, world):
        yield pod.problem(
            path,
            f"up to {most} pods for {world.config.nodes} nodes",
            "prefer the term instead of requiring it, or allow maxUnavailable: 1",
        )


@rule(
    id="drain-has-a-place",
    title="A drained pod finds another place before the budget is spent",
    severity="warning",
    rationale=(
        "If every domain is taken, the evicted pod waits for the drained node to come back, and"
        " the budget lets no other pod go until then."
    ),
    references=[_DRAIN, _AFFINITY],
    kinds=PODS,
)
def drain_has_a_place(pod: Pod, world: World) -> Iterator[Problem]:
    """A budget of one pod stands beside required anti-affinity with a domain to spare."""
    workload = workload_of(pod, world)
    if workload.group_kind not in SCALABLE:
        return
    fewest, nodes = scale(workload, world).minimum, world.config.nodes
    tight = [budget for budget in budgets_of(pod, world) if _allowed(budget, fewest) == 1]
    for path, _ in _exclusive(pod, HOSTNAME, world):
        if tight and fewest == nodes > 1:
            yield pod.problem(
                path,
                f"{fewest} pods stand on all {nodes} nodes, and PodDisruptionBudget"
                f" {tight[0].name!r} lets one go",
                "prefer the term instead of requiring it, or add a node",
            )


def _allowed(budget: Resource, replicas: int) -> int:
    """Return how many of the pods a budget lets go at once."""
    most = share(field(budget.spec, "maxUnavailable"), replicas)
    if most is not None:
        return most
    return replicas - (share(field(budget.spec, "minAvailable"), replicas) or 0)


@rule(
    id="spread-has-enough-zones",
    title="A spread constraint asks for no more zones than there are",
    severity="error",
    rationale="With fewer zones than minDomains each holds maxSkew pods; the others stay Pending.",
    references=[_SPREAD],
    kinds=PODS,
)
def spread_has_enough_zones(pod: Pod, world: World) -> Iterator[Problem]:
    """minDomains over zones is at most `Config.zones`, unless few enough pods exist."""
    workload, zones = workload_of(pod, world), world.config.zones
    if workload.group_kind not in SCALABLE:
        return
    highest = scale(workload, world).maximum
    for path, item in constraints(pod):
        wanted, skew = count(item.get("minDomains"), 1), count(item.get("maxSkew"), 1)
        strict = text(item, "whenUnsatisfiable") == "DoNotSchedule"
        if strict and key_of(item) == ZONE and wanted > zones and highest > skew * zones:
            yield pod.problem(
                (*path, "minDomains"),
                f"{wanted} zones are asked for, there are {zones}: of {highest} pods"
                f" {skew * zones} find a place",
                f"set minDomains to {zones} or less",
            )


@rule(
    id="node-affinity",
    title="A workload says on which nodes it runs",
    severity="info",
    rationale="Where pools differ in size or hardware, a pod without affinity lands on any.",
    references=[_AFFINITY],
    kinds=PODS,
    known_as=["kube-linter:no-node-affinity"],
    default=False,
)
def node_affinity(pod: Pod) -> Iterator[Problem]:
    """There is a node affinity or, as good, a node selector."""
    if not mapping(pod.spec, "affinity", "nodeAffinity") and not mapping(pod.spec, "nodeSelector"):
        yield pod.problem(
            ("affinity", "nodeAffinity"), "any node will do", "name the nodes' labels"
        )


@rule(
    id="dns-ndots",
    title="Names outside the cluster resolve at the first try",
    severity="info",
    rationale="With ndots 5, the default, a name like a.example.com is looked up four times more.",
    references=[_DNS],
    kinds=PODS,
    known_as=["kube-linter:dnsconfig-options", "kyverno:dns-policy-and-dns-config"],
    default=False,
)
def dns_ndots(pod: Pod) -> Iterator[Problem]:
    """`dnsConfig.options` sets ndots to 2 or less."""
    options = {
        text(o, "name"): o.get("value") for _, o in entries(pod.spec, "dnsConfig", "options")
    }
    value = str(options.get("ndots", "5"))
    if not value.isdecimal() or int(value) > 2:
        yield pod.problem(
            ("dnsConfig", "options"), f"ndots is {value}", 'add the option ndots with value "2"'
        )
