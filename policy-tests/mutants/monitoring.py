"""Promises about what is measured, and what wakes somebody up."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import sequence, text
from gitops_policy.model import Index

from mutants.mutation import GONE, Mutation, add, at, change, operator, outside_dev, remove

MONITOR = "monitoring.coreos.com/PodMonitor"
RULES = "monitoring.coreos.com/PrometheusRule"
RULE = ("spec", "groups", "*", "rules", "*")
ENDPOINT = ("spec", "podMetricsEndpoints", "*")

# Scraping.
change(
    "scrape-unknown-port", "Prometheus finds the port", at(MONITOR, *ENDPOINT, "port"), "metrics"
)
change(
    "scrape-nobody",
    "Prometheus finds the pods",
    at(MONITOR, "spec", "selector", "matchLabels"),
    {"app": "other"},
)
change(
    "scrape-without-revision",
    "series tell revisions apart",
    at(MONITOR, "spec", "podTargetLabels"),
    GONE,
    [],
)
change(
    "scrape-slower-than-interval",
    "a scrape fits its interval",
    at(MONITOR, *ENDPOINT, "scrapeTimeout"),
    "30s",
)
change("scrape-unread-interval", "times can be read", at(MONITOR, *ENDPOINT, "interval"), "15")
add(
    "scrape-another-namespace",
    "Prometheus finds the pods",
    outside_dev(at(MONITOR, "spec", "namespaceSelector")),
    {"matchNames": ["default"]},
)
remove("remove-monitor", "the server is measured", MONITOR, dev=False)

# Alerts.
change(
    "alert-does-not-parse",
    "an expression is PromQL",
    at(RULES, *RULE, "expr"),
    lambda e: e.rstrip() + " by",
)
change(
    "alert-of-unknown-metric",
    "each metric is exported or recorded",
    at(RULES, *RULE, "expr"),
    lambda e: (
        e.replace("http_requests_total", "http_request_total")
        .replace(":inference_", ":infer_")
        .replace("_duration_seconds", "_latency_seconds")
    ),
)
change(
    "alert-without-severity",
    "an alert says how bad it is",
    at(RULES, *RULE, "labels", "severity"),
    GONE,
)
change(
    "alert-without-runbook",
    "an alert says what to do",
    at(RULES, *RULE, "annotations", "runbook_url"),
    GONE,
)
change(
    "alert-without-summary",
    "an alert says what is wrong",
    at(RULES, *RULE, "annotations", "summary"),
    GONE,
)
change(
    "alert-of-missing-runbook",
    "the runbook exists",
    at(RULES, *RULE, "annotations", "runbook_url"),
    lambda url: url.replace("#", "#no-such-"),
    lambda url: url.replace("inference.md", "nowhere.md"),
)
change("alert-at-once", "one bad scrape wakes nobody", at(RULES, *RULE, "for"), GONE)
change("alert-unread-duration", "times can be read", at(RULES, *RULE, "for"), "5 minutes")
change(
    "alert-template-broken",
    "annotations can be filled in",
    at(RULES, *RULE, "annotations", "summary"),
    lambda s: s.replace("}}", "}"),
)
change(
    "alert-template-label",
    "annotations name labels that are there",
    at(RULES, *RULE, "annotations", "summary"),
    lambda s: s.replace("$labels.namespace", "$labels.cluster"),
)
change(
    "alert-of-unknown-label",
    "each label is exported",
    at(RULES, *RULE, "expr"),
    lambda e: e.replace("endpoint=~", "handler=~"),
)
change(
    "alert-of-unknown-status",
    "each value of a label can occur",
    at(RULES, *RULE, "expr"),
    lambda e: e.replace('status=~"5.."', 'status=~"5xx"'),
)
change(
    "alert-between-buckets",
    "a bucket has the edge that is asked",
    at(RULES, *RULE, "expr"),
    lambda e: e.replace('le="0.5"', 'le="0.6"').replace('le="1.0"', 'le="1.1"'),
)
change(
    "alert-without-window",
    "a rate needs two scrapes",
    at(RULES, *RULE, "expr"),
    lambda e: e.replace("[5m]", "[10s]"),
)
change(
    "alert-without-rate",
    "rates are those of counters",
    at(RULES, *RULE, "expr"),
    lambda e: e.replace("rate(", "(").replace("[5m]", ""),
)
change(
    "alert-always-true",
    "an alert compares",
    at(RULES, *RULE, "expr"),
    lambda e: e.partition(">")[0] if e.startswith("namespace:") else e,
)
change(
    "recording-renamed",
    "alerts read what is recorded",
    at(RULES, *RULE, "record"),
    lambda name: name + "_total",
)
change(
    "recording-badly-named",
    "a recorded name can be stored",
    at(RULES, *RULE, "record"),
    lambda name: name.replace(":", "-"),
)


@operator("alert-twice", "an alert stands once in its group")
def alert_twice(index: Index) -> Iterator[Mutation]:
    """Write the first rule of each group a second time."""
    for resource, path in at(RULES, "spec", "groups", "*", "rules")(index):
        rules = sequence(resource.content, *path)
        if rules and text(rules[0], "alert"):
            yield Mutation(resource, ((path, [*rules, rules[0]]),))
