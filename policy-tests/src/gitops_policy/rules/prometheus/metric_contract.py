"""The metric contract: queries ask for series that somebody exports, with labels they have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches

from gitops_policy.argo.analyses import UNKNOWN, analyses
from gitops_policy.fields import entries, text
from gitops_policy.findings import Origin
from gitops_policy.model import Problem, Resource
from gitops_policy.notations import promql
from gitops_policy.prometheus.expressions import CARRIERS, each_once, expressions
from gitops_policy.prometheus.metrics import unreadable
from gitops_policy.prometheus.metrics_adapter import adapter_rules, adapters, has_defaults
from gitops_policy.prometheus.result_labels import NAME
from gitops_policy.prometheus.scraping import MONITORS, endpoints, pods_scraped, templates_scraped
from gitops_policy.prometheus.series import Knowledge, known, recorded_beside
from gitops_policy.registry import BUILD, rule
from gitops_policy.world import World

_SERIES = "https://prometheus.io/docs/concepts/data_model/"
_SELECTORS = (
    "https://prometheus.io/docs/prometheus/latest/querying/basics/#instant-vector-selectors"
)
_SCRAPE = "https://prometheus.io/docs/prometheus/latest/configuration/configuration/#scrape_config"
_OPERATOR = "https://prometheus-operator.dev/docs/api-reference/api/"
_MISSING = "https://prometheus.io/docs/practices/instrumentation/#avoid-missing-metrics"


@rule(
    id="metric-contract-readable",
    title="The files that say what services export can be read",
    severity="error",
    rationale="Without them a metric that nobody exports is not noticed.",
    references=[_SERIES],
    kinds=BUILD,
)
def metric_contract_readable(world: World) -> Iterator[Problem]:
    """Each file of the metric contract is YAML or JSON with `metrics`, or an answer of /metrics."""
    for path, reason in unreadable(world):
        origin = Origin(world.build.name, str(path), 1)
        yield Problem(None, (), f"{path.name}: {reason}", "correct the file", origin=origin)


@rule(
    id="metric-exists",
    title="A metric that a query asks for is exported",
    severity="error",
    rationale="A query for a metric that nobody exports is always empty: no alert, no verdict.",
    references=[_SERIES],
    kinds=CARRIERS,
    known_as=["pint:promql/series"],
)
@each_once
def metric_exists(resource: Resource, world: World) -> Iterator[Problem]:
    """Services, known exporters or recording rules of the environment make each metric.

    Without a contract of the repository's own services there is no finding.
    """
    series = known(world)
    for expression in expressions(resource):
        names = dict.fromkeys(map(promql.metric, promql.selectors(expression.tree)))
        for name in names:
            if not series.exists(name) and name not in recorded_beside(world):
                yield resource.problem(
                    expression.path, f"nobody exports or records {name}", _meant(name, series)
                )


def _meant(name: str, series: Knowledge) -> str:
    close = get_close_matches(name, [*series.contract.families, *series.recorded], 2)
    meant = f"write {' or '.join(close)}" if close else "correct the name"
    return f"{meant}, or add it to policy-tests/metrics"


@rule(
    id="metric-label-exists",
    title="A label that a query asks for is on the metric",
    severity="error",
    rationale="A matcher of a label that no series has finds nothing, or everything.",
    references=[_SELECTORS],
    kinds=CARRIERS,
    known_as=["pint:promql/series"],
)
@each_once
def metric_label_exists(resource: Resource, world: World) -> Iterator[Problem]:
    """Matched labels are the exporter's, the scrape's, or those a recording rule keeps."""
    series = known(world)
    for expression in expressions(resource):
        for name, label in dict.fromkeys(_matched(expression.tree)):
            labels = series.labels(_selector(name))
            if not labels.may(label):
                shown = ", ".join(sorted(labels.sure | labels.possible)) or "none"
                yield resource.problem(
                    expression.path,
                    f"{name} has no label {label}",
                    f"its labels are {shown}",
                )


def _matched(tree: promql.Node) -> Iterator[tuple[str, str]]:
    for selector in promql.selectors(tree):
        for matcher in selector.matchers.matchers:
            if promql.metric(selector) and matcher.name not in (NAME, "le", "quantile"):
                yield promql.metric(selector), str(matcher.name)


def _selector(name: str) -> promql.Node:
    plain = name.replace("\\", "").replace('"', "")
    return promql.parse(f'{{__name__="{plain}"}}')


@rule(
    id="metric-bucket-label",
    title="`le` is asked of buckets and `quantile` of summaries",
    severity="error",
    rationale="No other series has these labels: the matcher finds nothing.",
    references=["https://prometheus.io/docs/concepts/metric_types/#histogram"],
    kinds=CARRIERS,
)
@each_once
def metric_bucket_label(resource: Resource, world: World) -> Iterator[Problem]:
    """`le` stands on `_bucket` only, `quantile` on the plain name of a summary only."""
    series = known(world)
    for expression in expressions(resource):
        for selector in promql.selectors(expression.tree):
            name, labels = promql.metric(selector), promql.matchers(selector)
            wrong = "le" in labels and name.endswith(("_count", "_sum", "_total"))
            if wrong and name not in series.recorded:
                yield resource.problem(
                    expression.path, f"{name} has no label le", "ask its _bucket series"
                )
            if "quantile" in labels and series.type(name) == "counter":
                yield resource.problem(
                    expression.path, f"{name} has no label quantile", "ask the summary itself"
                )


@rule(
    id="metric-label-value-possible",
    title="A value that a query asks for can occur",
    severity="error",
    rationale=(
        "A status or endpoint that is never reported finds nothing; one that is created by its"
        " first event loses that event."
    ),
    references=[_SELECTORS, _MISSING],
    kinds=CARRIERS,
    known_as=["pint:promql/series"],
)
@each_once
def metric_label_value_possible(resource: Resource, world: World) -> Iterator[Problem]:
    """Each matcher accepts a value that its label has, where the contract lists them."""
    series = known(world)
    for expression in expressions(resource):
        for selector in promql.selectors(expression.tree):
            listed = series.values(promql.metric(selector))
            for matcher in selector.matchers.matchers:
                values = listed.get(matcher.name)
                if not values or UNKNOWN in matcher.value:
                    continue
                if not any(promql.accepts(str(matcher.op), matcher.value, v) for v in values):
                    yield resource.problem(
                        expression.path,
                        f"no {matcher.name} of {promql.metric(selector)} is accepted by"
                        f" {matcher.value!r}",
                        f"its values are {', '.join(sorted(values))}",
                    )


@rule(
    id="scrape-keeps-labels",
    title="A scrape leaves the exporter's labels alone",
    severity="error",
    rationale=(
        "A target label of the same name renames the exporter's to exported_..., and every query"
        " for it is empty."
    ),
    references=[_SCRAPE, _OPERATOR],
    kinds=MONITORS,
)
def scrape_keeps_labels(monitor: Resource, world: World) -> Iterator[Problem]:
    """No label that the scrape adds has the name of one that the repository's services write."""
    contract = known(world).contract
    own = {label: name for name in contract.own for label in contract.families[name].labels or ()}
    for endpoint in endpoints(monitor):
        if endpoint.honors_labels or not pods_scraped(monitor, world):
            continue
        for label in sorted(endpoint.target_labels[0] & set(own)):
            yield monitor.problem(
                endpoint.path,
                f"the scrape adds label {label}, which {own[label]} has itself",
                f"drop it: relabelings with action labeldrop and regex {label}",
            )


@rule(
    id="hpa-metric-served",
    title="A metric that an HPA asks for is served",
    severity="error",
    rationale="An HPA without one of its metrics scales up on the others only, and never down.",
    references=[
        "https://github.com/kubernetes-sigs/prometheus-adapter/blob/master/docs/config.md",
        "https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/",
    ],
    kinds=["autoscaling/HorizontalPodAutoscaler"],
)
def hpa_metric_served(hpa: Resource, world: World) -> Iterator[Problem]:
    """A rule of prometheus-adapter, where it is configured here, makes each custom metric."""
    configured = adapters(world)
    if not configured or any(map(has_defaults, configured)):
        return
    rules = [rule for resource in configured for rule in adapter_rules(resource)]
    for i, metric in entries(hpa.spec, "metrics"):
        for kind, api in (("pods", "custom"), ("object", "custom"), ("external", "external")):
            name = text(metric, kind, "metric", "name")
            served = {rule.served for rule in rules if rule.api == api}
            if name and name not in served and "" not in served:
                yield hpa.problem(
                    ("spec", "metrics", i, kind, "metric", "name"),
                    f"no rule of prometheus-adapter serves {name}",
                    f"use one of {', '.join(sorted(served))}" if served else "add a rule",
                )


@rule(
    id="queried-metrics-are-scraped",
    title="The pods whose metrics decide are scraped",
    severity="error",
    rationale="A gate over metrics that no Prometheus collects is undecided for ever.",
    references=[_OPERATOR],
    kinds=["argoproj.io/Rollout"],
)
def queried_metrics_are_scraped(rollout: Resource, world: World) -> Iterator[Problem]:
    """A monitor or a scrape annotation covers a Rollout beside gates over its own metrics."""
    series = known(world)
    asked = any(_asks_own(template, series) for template in _gates(rollout, world))
    if not asked:
        return
    found = templates_scraped(world)
    pods = world.pods_of(rollout)
    if pods and not any(id(p.template) in found or _annotated(p.annotations) for p in pods):
        yield rollout.problem(
            ("spec", "template"), "no monitor selects its pods", "add a PodMonitor"
        )


def _gates(rollout: Resource, world: World) -> list[Resource]:
    return [t for analysis in analyses(rollout) for t in analysis.templates(world)]


def _asks_own(template: Resource, series: Knowledge) -> bool:
    return any(
        (found := series.metric(promql.metric(selector))) is not None and found.own
        for expression in expressions(template)
        for selector in promql.selectors(expression.tree)
    )


def _annotated(annotations: dict[str, object]) -> bool:
    return any(
        re.fullmatch(r"prometheus\.io/scrape|.*/should_scrape", str(key)) and str(value) == "true"
        for key, value in annotations.items()
    )
