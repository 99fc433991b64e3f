"""Promises of a canary release: its steps, its routes, its analyses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gitops_policy.fields import sequence, text
from gitops_policy.model import Index

from mutants.mutation import GONE, Mutation, add, at, change, operator, outside_dev, remove

ROLLOUT = "argoproj.io/Rollout"
TEMPLATE = "argoproj.io/AnalysisTemplate"
CANARY = ("spec", "strategy", "canary")
STEPS = (*CANARY, "steps", "*")
ANALYSIS = (*STEPS, "analysis")
METRIC = ("spec", "metrics", "*")
QUERY = (*METRIC, "provider", "prometheus", "query")

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

# The templates.
change(
    "no-failure-condition",
    "a bad release is aborted",
    at(TEMPLATE, *METRIC, "failureCondition"),
    GONE,
)
change(
    "no-success-condition",
    "a good release is promoted",
    at(TEMPLATE, *METRIC, "successCondition"),
    GONE,
)
change(
    "always-success",
    "no data is no success",
    at(TEMPLATE, *METRIC, "successCondition"),
    "true",
    "len(result) >= 0",
)
change(
    "unread-condition",
    "a condition can be evaluated",
    at(TEMPLATE, *METRIC, "successCondition"),
    "result[0] < ",
    "result < 0.05",
)


def without(pattern: str) -> Any:
    """Return a change of a text: what fits the pattern is left out."""
    return lambda content: re.sub(pattern, "", content)


for _place in ("successCondition", "failureCondition"):
    _name = _place.removesuffix("Condition")
    change(
        f"{_name}-without-length",
        "no data is undecided",
        at(TEMPLATE, *METRIC, _place),
        without(r"len\(result\) (>|==) \d && "),
    )
    change(
        f"{_name}-without-nan",
        "0 / 0 is undecided",
        at(TEMPLATE, *METRIC, _place),
        without(r"!isNaN\(result\[\d\]\)\s+&&\s+"),
    )
change(
    "undeclared-argument",
    "each argument is declared",
    at(TEMPLATE, "spec", "args"),
    lambda args: args[2:],
    lambda args: args[:2],
)


@operator("unbounded-metric", "an analysis ends")
def unbounded_metric(index: Index) -> Iterator[Mutation]:
    """Let a metric that is measured again and again be measured for ever."""
    for resource, path in at(TEMPLATE, *METRIC)(index):
        if text(resource.content, *path, "interval"):
            yield Mutation(resource, (((*path, "count"), GONE),))


change(
    "failures-beyond-count", "enough failures abort", at(TEMPLATE, *METRIC, "failureLimit"), 1000
)
change(
    "undecided-beyond-count",
    "undecided for too long is a verdict",
    at(TEMPLATE, *METRIC, "inconclusiveLimit"),
    1000,
)
change("unread-interval", "times can be read", at(TEMPLATE, *METRIC, "initialDelay"), "30 seconds")
change("no-provider", "a metric asks somebody", at(TEMPLATE, *METRIC, "provider"), {})
change(
    "metric-twice",
    "each metric has a name of its own",
    at(TEMPLATE, "spec", "metrics"),
    lambda metrics: [*metrics, *metrics],
)

# The queries.
change("query-does-not-parse", "a query is PromQL", at(TEMPLATE, *QUERY), lambda q: q + " )")
change(
    "query-of-unknown-metric",
    "each metric is exported",
    at(TEMPLATE, *QUERY),
    lambda q: (
        q.replace("http_requests_total", "http_request_total")
        .replace("_duration_seconds", "_latency_seconds")
        .replace("outputs_invalid_total", "invalid_outputs_total")
    ),
)
change(
    "query-of-all-pods",
    "a query asks the canary only",
    at(TEMPLATE, *QUERY),
    without(r',rollouts_pod_template_hash="[^"]*"'),
)
change(
    "query-of-all-namespaces",
    "a query asks one namespace only",
    at(TEMPLATE, *QUERY),
    without(r'namespace="[^"]*",'),
)
change(
    "query-of-probes",
    "probes are no canary traffic",
    at(TEMPLATE, *QUERY),
    without(r',?\s*endpoint=~"infer\|predict"'),
)
change(
    "query-of-unknown-label",
    "each label is exported",
    at(TEMPLATE, *QUERY),
    lambda q: q.replace("endpoint=~", "handler=~"),
)
change(
    "query-of-unknown-value",
    "each value of a label can occur",
    at(TEMPLATE, *QUERY),
    lambda q: q.replace("infer|predict", "inference"),
)
change(
    "query-of-unknown-status",
    "each value of a label can occur",
    at(TEMPLATE, *QUERY),
    lambda q: q.replace('status=~"5.."', 'status="5xx"'),
)
change(
    "query-between-buckets",
    "a bucket has the edge that is asked",
    at(TEMPLATE, *QUERY),
    lambda q: q.replace('le="0.5"', 'le="0.6"'),
)
change(
    "query-of-undeclared-argument",
    "each argument is declared",
    at(TEMPLATE, *QUERY),
    lambda q: q.replace("args.canary-hash", "args.canary"),
)
change(
    "query-without-silence",
    "no data is not zero",
    at(TEMPLATE, *QUERY),
    lambda q: f"({q.rstrip()}) or vector(0)\n",
)


@operator("rate-of-gauge", "rates are those of counters")
def rate_of_gauge(index: Index) -> Iterator[Mutation]:
    """Ask for the rate of a gauge."""
    for resource, path in at(TEMPLATE, *QUERY)(index):
        if "increase(http_requests_total" in text(resource.content, *path):
            query = text(resource.content, *path)
            gauge = query.replace("increase(http_requests_total", "increase(inference_queue_depth")
            yield Mutation(resource, ((path, gauge),))
