"""Promises of a canary release: its strategy, its steps, its analyses."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import sequence
from gitops_policy.model import Index

from mutants.mutation import GONE, Mutation, add, at, change, operator, outside_dev, remove

ROLLOUT = "argoproj.io/Rollout"
TEMPLATE = "argoproj.io/AnalysisTemplate"
CANARY = ("spec", "strategy", "canary")
STEPS = (*CANARY, "steps", "*")
ANALYSIS = (*STEPS, "analysis")

# The Rollout.
change(
    "one-service-for-both",
    "stable and canary are told apart",
    at(ROLLOUT, *CANARY, "canaryService"),
    "inference-stable",
)
change(
    "missing-canary-service",
    "the canary has a Service",
    at(ROLLOUT, *CANARY, "canaryService"),
    "inference-green",
    GONE,
)
change(
    "missing-stable-service",
    "the stable version has a Service",
    at(ROLLOUT, *CANARY, "stableService"),
    "inference-blue",
    GONE,
)
change(
    "missing-route",
    "the controller finds the route",
    at(ROLLOUT, *CANARY, "trafficRouting", "plugins", "argoproj-labs/gatewayAPI", "httpRoute"),
    "edge",
)
change(
    "route-in-wrong-namespace",
    "the controller finds the route",
    at(ROLLOUT, *CANARY, "trafficRouting", "plugins", "argoproj-labs/gatewayAPI", "namespace"),
    "default",
)
change(
    "no-traffic-routing",
    "the canary gets the share that a step says",
    outside_dev(at(ROLLOUT, *CANARY, "trafficRouting")),
    GONE,
)
change(
    "deadline-without-abort",
    "a release that hangs is aborted",
    at(ROLLOUT, "spec", "progressDeadlineAbort"),
    GONE,
    False,
)
change(
    "short-deadline",
    "a start is over before the deadline",
    at(ROLLOUT, "spec", "progressDeadlineSeconds"),
    120,
)
change(
    "short-history",
    "an older version can come back",
    at(ROLLOUT, "spec", "revisionHistoryLimit"),
    0,
    1,
)
add(
    "replicas-beside-autoscaler",
    "the autoscaler alone says how many",
    at(ROLLOUT, "spec", "replicas"),
    3,
)
change("no-strategy", "a release goes by steps", at(ROLLOUT, "spec", "strategy"), GONE)
change(
    "two-strategies",
    "a release has one strategy",
    at(ROLLOUT, "spec", "strategy"),
    lambda s: {**s, "blueGreen": {"activeService": "inference-stable"}},
)
change("no-steps", "a release goes by steps", outside_dev(at(ROLLOUT, *CANARY, "steps")), [])
change(
    "stuck-surge",
    "a release can start pods",
    at(ROLLOUT, "spec", "strategy", "canary"),
    lambda c: {**c, "maxSurge": 0, "maxUnavailable": 0},
)


# Its steps.
change(
    "no-analysis",
    "a step is judged",
    at(ROLLOUT, *CANARY, "steps"),
    lambda steps: [s for s in steps if "analysis" not in s],
)
change(
    "everything-first",
    "a canary starts small",
    at(ROLLOUT, *STEPS, "setWeight"),
    lambda weight: 100 if weight == 10 else weight,
)
change("weight-beyond-all", "a share is at most all", at(ROLLOUT, *STEPS, "setWeight"), 150)
change(
    "scale-fixed",
    "the canary has pods for its share",
    at(ROLLOUT, *STEPS, "setCanaryScale"),
    {"replicas": 1},
)
change(
    "step-of-two",
    "a step does one thing",
    at(ROLLOUT, *STEPS),
    lambda step: {**step, "pause": {}} if "setWeight" in step else step,
)
change(
    "step-misspelled",
    "a step does something",
    at(ROLLOUT, *STEPS),
    lambda step: {"setWeigth": step["setWeight"]} if "setWeight" in step else step,
)


@operator("pause-for-ever", "a release ends by itself")
def pause_for_ever(index: Index) -> Iterator[Mutation]:
    """Wait without end after the first share."""
    for resource, path in at(ROLLOUT, *CANARY, "steps")(index):
        steps = sequence(resource.content, *path)
        if steps:
            yield Mutation(resource, ((path, [*steps, {"pause": {}}]),))


@operator("weights-fall", "shares grow")
def weights_fall(index: Index) -> Iterator[Mutation]:
    """Give the first share to the second step, and the second to the first."""
    for resource, path in at(ROLLOUT, *CANARY, "steps")(index):
        steps = sequence(resource.content, *path)
        places = [i for i, step in enumerate(steps) if "setWeight" in step]
        if len(places) > 1:
            first, last = places[0], places[-1]
            yield Mutation(
                resource,
                (((*path, first), steps[last]), ((*path, last), steps[first])),
            )


# The analyses of the steps.
change(
    "analysis-of-missing-template",
    "each template exists",
    at(ROLLOUT, *ANALYSIS, "templates", "*", "templateName"),
    "error-rate",
)
change(
    "analysis-of-cluster-template",
    "each template exists",
    at(ROLLOUT, *ANALYSIS, "templates", 0),
    lambda t: {**t, "clusterScope": True},
)
change(
    "analysis-without-templates",
    "an analysis judges something",
    at(ROLLOUT, *ANALYSIS, "templates"),
    [],
)
change(
    "argument-not-given",
    "each argument is given",
    at(ROLLOUT, *ANALYSIS, "args"),
    lambda args: args[1:],
    lambda args: args[:1],
    lambda args: args[:2],
)
change(
    "argument-misspelled",
    "each argument is given",
    at(ROLLOUT, *ANALYSIS, "args", "*", "name"),
    "hash",
)
change(
    "argument-of-missing-field",
    "each argument has a value",
    at(ROLLOUT, *ANALYSIS, "args", "*", "valueFrom", "fieldRef", "fieldPath"),
    "metadata.labels['team']",
)
change(
    "argument-of-wrong-hash",
    "the canary is judged by its own pods",
    at(ROLLOUT, *ANALYSIS, "args", 1, "valueFrom", "podTemplateHashValue"),
    "Stable",
    "Newest",
)
remove("remove-template", "each template exists", TEMPLATE)
