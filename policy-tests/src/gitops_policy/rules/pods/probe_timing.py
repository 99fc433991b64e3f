"""The fields of a probe that say how often, how long and how many times."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import mapping
from gitops_policy.kubernetes.scaling import count
from gitops_policy.model import Problem
from gitops_policy.pods import PROBES, Container
from gitops_policy.registry import CONTAINERS, rule

_FIELDS = (
    "https://kubernetes.io/docs/tasks/configure-pod-container/"
    "configure-liveness-readiness-startup-probes/#configure-probes"
)


def _implicit(container: Container, key: str, least: int) -> Iterator[Problem]:
    """Yield each probe of the container that leaves a field out, or below what the API takes."""
    for probe in PROBES:
        content = mapping(container.spec, probe)
        if content and content.get(key) is None:
            message = f"{probe} leaves {key} to the default"
            yield container.problem((probe, key), message, f"set {key}")
        elif content and count(content.get(key), least) < least:
            message = f"{probe} has {key} below {least}"
            yield container.problem((probe, key), message, f"set it to {least} or more")


@rule(
    id="probe-period",
    title="Probes say how often they ask",
    severity="info",
    rationale="The default of 10 s was chosen for nobody's service.",
    references=[_FIELDS],
    kinds=CONTAINERS,
    known_as="datree:56",
)
def probe_period(container: Container) -> Iterator[Problem]:
    """`periodSeconds` is explicit."""
    yield from _implicit(container, "periodSeconds", 1)


@rule(
    id="probe-timeout",
    title="Probes say how long they wait for an answer",
    severity="info",
    rationale="The default of 1 s kills a busy server.",
    references=[_FIELDS],
    kinds=CONTAINERS,
    known_as="datree:57",
)
def probe_timeout(container: Container) -> Iterator[Problem]:
    """`timeoutSeconds` is explicit."""
    yield from _implicit(container, "timeoutSeconds", 1)


@rule(
    id="probe-failure-threshold",
    title="Probes say how many failures they take",
    severity="info",
    rationale="Period times failures is how long an outage lasts before anything happens.",
    references=[_FIELDS],
    kinds=CONTAINERS,
    known_as="datree:59",
)
def probe_failure_threshold(container: Container) -> Iterator[Problem]:
    """`failureThreshold` is explicit."""
    yield from _implicit(container, "failureThreshold", 1)


@rule(
    id="probe-initial-delay",
    title="Probes say when they start",
    severity="info",
    rationale="Of taste: the default of 0 is right beside a startup probe.",
    references=[_FIELDS],
    kinds=CONTAINERS,
    known_as="datree:55",
    default=False,
)
def probe_initial_delay(container: Container) -> Iterator[Problem]:
    """`initialDelaySeconds` is explicit."""
    yield from _implicit(container, "initialDelaySeconds", 0)


@rule(
    id="probe-success-threshold",
    title="Probes say how many successes they take",
    severity="info",
    rationale="Of taste: for liveness and startup only the default of 1 is allowed.",
    references=[_FIELDS],
    kinds=CONTAINERS,
    known_as="datree:58",
    default=False,
)
def probe_success_threshold(container: Container) -> Iterator[Problem]:
    """`successThreshold` is explicit."""
    yield from _implicit(container, "successThreshold", 1)
