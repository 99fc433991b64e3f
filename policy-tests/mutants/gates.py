"""Promises of what judges a release: conditions, limits, queries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gitops_policy.fields import text
from gitops_policy.model import Index

from mutants.mutation import (
    GONE,
    Mutation,
    at,
    change,
    operator,
)

TEMPLATE = "argoproj.io/AnalysisTemplate"
METRIC = ("spec", "metrics", "*")
QUERY = (*METRIC, "provider", "prometheus", "query")

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
        if text(resource.content, *path, "interval") and text(resource.content, *path, "count"):
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
