"""Finds in templates what would abort good releases, pass bad ones or never run."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from canary_gate.analysis import Analysis, Metric, resolve
from canary_gate.edges import Edges, missing_edges
from canary_gate.errors import RefusedError
from canary_gate.guards import guard_problems
from canary_gate.parameters import parameter_problems
from canary_gate.template import AnalysisTemplate, MetricTemplate

#: What the controller puts in place of an argument without a value when it validates.
PLACEHOLDER = "dummy-value"

#: A year: no release is under way for as long.
_NEVER_SECONDS = 365 * 24 * 3600.0


@dataclass(frozen=True)
class Problem:
    """Something wrong with a metric of a template."""

    template: str
    metric: str
    reason: str

    def __str__(self) -> str:
        return str(RefusedError(self.reason, template=self.template, metric=self.metric))


def check_template(template: AnalysisTemplate, edges: Edges | None = None) -> list[Problem]:
    """Check every metric of a template with its default arguments.

    `edges` are those of the histograms that the queries may name; None leaves them unchecked.
    """
    arguments = {
        argument.name: PLACEHOLDER if argument.value is None else argument.value
        for argument in template.arguments
    }
    problems: list[Problem] = []
    for plain in template.metrics:
        reasons = list(_parameter_problems(plain, arguments))
        for given in _variants(arguments):
            try:
                reasons += _metric_problems(resolve(plain, given), edges or {})
            except RefusedError as error:
                reasons.append(error.reason)
        # Once each: the variants of the arguments share most of what is wrong.
        problems += [Problem(template.name, plain.name, why) for why in dict.fromkeys(reasons)]
    return problems or _whole_problems(template, arguments)


def _variants(arguments: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """The defaults, and each switch thrown: what a condition says then has to be guarded too."""
    yield arguments
    for name, value in arguments.items():
        if value in ("true", "false"):
            yield {**arguments, name: "false" if value == "true" else "true"}


def _parameter_problems(metric: MetricTemplate, arguments: Mapping[str, str]) -> Iterator[str]:
    given = {name: value for name, value in arguments.items() if value != PLACEHOLDER}
    for name, reason in parameter_problems(given):
        if re.search(rf"\{{\{{\s*args\.{re.escape(name)}\s*\}}\}}", repr(metric)):
            yield reason


def _whole_problems(template: AnalysisTemplate, arguments: Mapping[str, str]) -> list[Problem]:
    try:
        Analysis([template], arguments)
    except RefusedError as error:
        return [Problem(template.name, error.metric, error.reason)]
    return []


def _metric_problems(metric: Metric, edges: Edges) -> Iterator[str]:
    yield from _ending_problems(metric)
    if metric.job is not None:
        yield from _job_problems(metric, metric.job["spec"])
        return
    yield from _query_problems(metric.query, edges)
    for side, condition in (
        ("successCondition", metric.success),
        ("failureCondition", metric.failure),
    ):
        if condition is None:
            yield f"{side} is missing: two sides, or a NaN decides"
        else:
            yield from guard_problems(side, condition)


def _job_problems(metric: Metric, spec: Mapping[str, Any]) -> Iterator[str]:
    for side, condition in (
        ("successCondition", metric.success),
        ("failureCondition", metric.failure),
    ):
        if condition is not None:
            yield f"{side} is never asked of a job: it decides by how it ends"
    if "activeDeadlineSeconds" not in spec:
        yield "the job may run for ever: activeDeadlineSeconds is missing"
    pod = (spec.get("template") or {}).get("spec") or {}
    if not pod.get("containers"):
        yield "the job has no containers"
    if pod.get("restartPolicy") not in ("Never", "OnFailure"):
        yield "the API server refuses a job without restartPolicy Never or OnFailure"


def _query_problems(query: str, edges: Edges) -> Iterator[str]:
    try:
        yield from missing_edges(query, edges)
    except ValueError as error:
        yield f"the query does not parse: {error}"


def _ending_problems(metric: Metric) -> Iterator[str]:
    if metric.effective_count is None:
        yield from _background_problems(metric)
        return
    tolerated = max(metric.failure_limit, 0) + metric.inconclusive_limit
    if metric.consecutive_success_limit == 0 and tolerated >= metric.effective_count:
        yield (
            f"passes without a single success: count ({metric.effective_count}) <= "
            f"failureLimit + inconclusiveLimit ({tolerated})"
        )


def _background_problems(metric: Metric) -> Iterator[str]:
    """Without count a metric is one for the background, where it may abort and nothing else."""
    if metric.consecutive_success_limit:
        yield "runs indefinitely until it passes: the controller refuses it in a step"
    elif metric.inconclusive_limit * (metric.interval or 0.0) < _NEVER_SECONDS:
        yield (
            "runs indefinitely: the controller refuses it in a step, and in the background "
            f"more than {metric.inconclusive_limit} undecided looks pause the release"
        )
