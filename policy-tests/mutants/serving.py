"""Promises about probes, ports and shutdown: requests reach pods that can answer."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import text
from gitops_policy.model import Index

from mutants.mutation import (
    GONE,
    Mutation,
    add,
    append,
    change,
    in_containers,
    in_pods,
    operator,
)

# Probes.
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
for _probe in PROBES:
    _short = _probe.removesuffix("Probe")
    change(
        f"drop-{_short}-probe",
        f"the {_short} of a server is asked for",
        in_containers(_probe),
        GONE,
    )
    change(
        f"{_short}-of-unknown-port",
        "a probe asks a port that is there",
        in_containers(_probe, "httpGet", "port"),
        "admin",
        9999,
    )
    add(
        f"{_short}-of-another-host",
        "a probe asks its own pod",
        in_containers(_probe, "httpGet", "host"),
        "169.254.169.254",
    )
change(
    "readiness-slower-than-period",
    "an answer fits the period",
    in_containers("readinessProbe", "timeoutSeconds"),
    30,
)
change(
    "liveness-slower-than-period",
    "an answer fits the period",
    in_containers("livenessProbe", "timeoutSeconds"),
    30,
)
change(
    "startup-beyond-deadline",
    "a start is over before the deadline",
    in_containers("startupProbe", "failureThreshold"),
    900,
)
add(
    "liveness-needs-two-successes",
    "the API server accepts the probe",
    in_containers("livenessProbe", "successThreshold"),
    2,
)
change(
    "probe-two-ways",
    "a probe has one way to ask",
    in_containers("readinessProbe"),
    lambda probe: {**probe, "tcpSocket": {"port": 8080}},
)

# Ports.
change(
    "rename-port",
    "ports have the names that others use",
    in_containers("ports", "*", "name"),
    "web",
)
change(
    "invalid-port-name",
    "the API server accepts the port",
    in_containers("ports", "*", "name"),
    "HTTP_PORT_OF_SERVER",
)
append(
    "port-name-twice",
    "a port name means one port",
    in_containers("ports"),
    {"name": "http", "containerPort": 8081},
)
append("ssh-port", "nobody logs in", in_containers("ports"), {"name": "ssh", "containerPort": 22})

# Shutdown.
change(
    "shorter-grace-period",
    "a server has time to stop",
    in_pods("terminationGracePeriodSeconds"),
    20,
    GONE,
)
change("drop-pre-stop", "routes are gone before the server is", in_containers("lifecycle"), GONE)
change(
    "long-pre-stop",
    "stopping fits the grace period",
    in_containers("lifecycle", "preStop", "sleep", "seconds"),
    55,
)


@operator("longer-drain", "stopping fits the grace period")
def longer_drain(index: Index) -> Iterator[Mutation]:
    """Let the server take more seconds to stop than it is given."""
    for resource, path in in_containers("env", "*")(index):
        if text(resource.content, *path, "name") == "SHUTDOWN_SECONDS":
            yield Mutation(resource, (((*path, "value"), "300"),))
