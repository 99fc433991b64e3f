"""Finds in templates what would abort good releases, pass bad ones or never run."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import promql_parser

from canary_gate.analysis import Analysis, Metric, resolve
from canary_gate.errors import EvaluationError, RefusedError
from canary_gate.evaluation import holds
from canary_gate.expression import Constant, Index, Node, Result
from canary_gate.template import AnalysisTemplate

#: What the controller puts in place of an argument without a value when it validates.
PLACEHOLDER = "dummy-value"

_PROBES = (0.0, 1e9, -1e9)
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


def check_template(template: AnalysisTemplate) -> list[Problem]:
    """Check every metric of a template with its default arguments."""
    arguments = {
        argument.name: PLACEHOLDER if argument.value is None else argument.value
        for argument in template.arguments
    }
    problems = []
    for plain in template.metrics:
        try:
            reasons = list(_metric_problems(resolve(plain, arguments)))
        except RefusedError as error:
            reasons = [error.reason]
        problems += [Problem(template.name, plain.name, reason) for reason in reasons]
    return problems or _whole_problems(template, arguments)


def _whole_problems(template: AnalysisTemplate, arguments: Mapping[str, str]) -> list[Problem]:
    try:
        Analysis([template], arguments)
    except RefusedError as error:
        return [Problem(template.name, error.metric, error.reason)]
    return []


def _metric_problems(metric: Metric) -> Iterator[str]:
    yield from _ending_problems(metric)
    if metric.job is not None:
        yield from _job_problems(metric, metric.job["spec"])
        return
    yield from _query_problems(metric.query)
    for side, condition in (
        ("successCondition", metric.success),
        ("failureCondition", metric.failure),
    ):
        if condition is None:
            yield f"{side} is missing: two sides, or a NaN decides"
        else:
            yield from _guard_problems(side, condition)


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


def _query_problems(query: str) -> Iterator[str]:
    try:
        promql_parser.parse(query)
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


def _guard_problems(side: str, condition: Node) -> Iterator[str]:
    for result in _worthless(condition):
        try:
            decided = holds(condition, result)
        except EvaluationError as error:
            yield f"{side} is unguarded: {error} on the result {result}"
            return
        infinite_failure = side == "failureCondition" and any(map(math.isinf, result))
        if decided and not infinite_failure:
            yield f"{side} is unguarded: it holds on the result {result}"
            return


def _worthless(condition: Node) -> Iterator[list[float]]:
    """Results that say nothing: empty, or no number in a place that the condition reads."""
    yield []
    read = sorted(set(_indices(condition))) or [0]
    width = max(read) + 1
    for bad, place in itertools.product((math.nan, math.inf, -math.inf), read):
        for others in itertools.product((bad, *_PROBES), repeat=width - 1):
            yield [*others[:place], bad, *others[place:]]


def _indices(node: Node) -> Iterator[int]:
    if isinstance(node, Index) and isinstance(node.value, Result):
        index = node.index.value if isinstance(node.index, Constant) else None
        if isinstance(index, int) and 0 <= index < 4:
            yield index
    for field in fields(node):
        value = getattr(node, field.name)
        for child in value if isinstance(value, tuple) else (value,):
            if is_dataclass(child):
                yield from _indices(child)  # type: ignore[arg-type]
