"""Load tests that prove what they claim: real requests, at a rate that can be reached."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.model import Problem
from gitops_policy.notations.load_scripts import is_health, pace, paths
from gitops_policy.notations.scripts import scripts
from gitops_policy.registry import BUILD, rule
from gitops_policy.world import World

_OPEN_CLOSED = "https://grafana.com/docs/k6/latest/using-k6/scenarios/concepts/open-vs-closed/"


@rule(
    id="load-test-asks-the-service",
    title="A load test asks for more than health",
    severity="error",
    rationale="A health check touches neither model nor database: its latency proves nothing.",
    references=["https://grafana.com/docs/k6/latest/testing-guides/api-load-testing/"],
    kinds=BUILD,
)
def load_test_asks_the_service(world: World) -> Iterator[Problem]:
    """At least one path that a k6, Locust or command-line test asks is no health check."""
    for script in scripts(world):
        asked = paths(script.content, command=script.resource.kind != "ConfigMap")
        if asked and all(map(is_health, asked)):
            yield script.resource.problem(
                script.path,
                f"it only asks {', '.join(sorted(set(asked)))}",
                "send real requests, as clients do",
            )


@rule(
    id="load-test-reaches-its-rate",
    title="A load test can reach the rate that it claims to prove",
    severity="error",
    rationale="Users who wait send less the slower the server is: the test slows with it.",
    references=[_OPEN_CLOSED],
    kinds=BUILD,
)
def load_test_reaches_its_rate(world: World) -> Iterator[Problem]:
    """A rate in a k6 script is sent by an arrival-rate executor with enough users."""
    for script in scripts(world):
        found = pace(script.content)
        if found is None or found.claimed is None:
            continue
        short = found.reach is not None and found.reach < found.claimed
        if short or found.closed:
            most = f"at most {float(found.reach or 0):g}" if short else "as many as answers come"
            yield script.resource.problem(
                script.path,
                f"it claims {float(found.claimed):g} requests a second and sends {most}",
                "use executor constant-arrival-rate with maxVUs above rate times duration",
            )
