"""The end of a pod against what still sends requests to it."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.kubernetes.request_limits import published
from gitops_policy.model import Problem
from gitops_policy.pods import Container
from gitops_policy.registry import CONTAINERS, rule
from gitops_policy.rules.pods.lifetimes import pre_stop_seconds
from gitops_policy.world import World


@rule(
    id="pre-stop-covers-deregistration",
    title="A server waits until load balancers have let it go",
    severity="warning",
    rationale=(
        "A pod that ends is taken out of the load balancers at the same time, not before: without"
        " a pause new requests arrive at a server that is gone."
    ),
    references=[
        "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination-flow"
    ],
    kinds=CONTAINERS,
)
def pre_stop_covers_deregistration(container: Container, world: World) -> Iterator[Problem]:
    """A preStop that sleeps, does so for `Config.deregistration_seconds` behind a route."""
    pause, needed = pre_stop_seconds(container), world.config.deregistration_seconds
    behind = container.long_running and published(container.pod, world)
    if behind and 0 < pause < needed:
        yield container.problem(
            ("lifecycle", "preStop"),
            f"it sleeps {pause:g} s, deregistration takes up to {needed}",
            f"sleep {needed} s or more",
        )
