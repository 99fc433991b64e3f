"""An analysis: templates flattened into one run, arguments substituted, limits validated."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from canary_gate import durations
from canary_gate.arguments import merge_arguments, substitute, substitute_all
from canary_gate.errors import RefusedError
from canary_gate.expression import Node, parse
from canary_gate.static import require_condition
from canary_gate.template import AnalysisTemplate, MetricTemplate

#: The controller's default for a metric that sets no consecutiveErrorLimit.
DEFAULT_CONSECUTIVE_ERROR_LIMIT = 4

_INTEGER = re.compile(r"[+-]?\d{1,9}")
#: What Go's and Python's regular expressions read alike.
_PATTERN = re.compile(r"(?!.*[*+?]\+)[\w.*+?|()^$/ -]*")


@dataclass(frozen=True)
class Metric:
    """A metric ready to be measured: nothing left to substitute, every number parsed.

    Times are seconds. A `count` of 0 is one that was not given. A metric that runs a `job`
    has no query, and its conditions are never asked.
    """

    template: str
    name: str
    query: str
    job: Mapping[str, Any] | None
    interval: float | None
    initial_delay: float | None
    count: int
    success: Node | None
    failure: Node | None
    failure_limit: int
    inconclusive_limit: int
    consecutive_error_limit: int
    consecutive_success_limit: int
    success_condition: str = ""
    failure_condition: str = ""
    dry_run: bool = False

    @property
    def effective_count(self) -> int | None:
        """Measurements that complete the metric; None where only a verdict or a limit does."""
        return self.count or (1 if self.interval is None else None)


@dataclass(frozen=True)
class Analysis:
    """One AnalysisRun before it starts: the templates of a step and the arguments given.

    `dry_run` and `retention` hold the step's own dryRun and measurementRetention rules
    (regular expressions over metric names).

    Raises RefusedError where the controller would not run it (a missing or contradictory
    argument, an unresolved `{{args.x}}`, invalid limits) or where it is not modelled.
    Arguments that no template declares are ignored, as the controller does.
    """

    templates: tuple[AnalysisTemplate, ...]
    arguments: Mapping[str, str]
    metrics: tuple[Metric, ...] = field(init=False)

    def __init__(
        self,
        templates: Iterable[AnalysisTemplate],
        arguments: Mapping[str, str] | None = None,
        *,
        dry_run: Iterable[str] = (),
        retention: Iterable[str] = (),
    ) -> None:
        # The controller flattens cluster templates after the namespaced ones, each one once.
        unique = {(template.kind, template.name): template for template in templates}
        ordered = sorted(unique.values(), key=lambda template: template.kind != "AnalysisTemplate")
        merged = merge_arguments(ordered, arguments or {})
        plain = [metric for template in ordered for metric in template.metrics]
        _unique(plain)
        rules = [rule for template in ordered for rule in template.dry_run]
        dry = _matching("dryRun", [*dry_run, *rules], plain)
        kept = [rule for template in ordered for rule in template.retention]
        _matching("measurementRetention", [*retention, *kept], plain)
        metrics = tuple(resolve(metric, merged, dry_run=metric.name in dry) for metric in plain)
        object.__setattr__(self, "templates", tuple(ordered))
        object.__setattr__(self, "arguments", merged)
        object.__setattr__(self, "metrics", metrics)


def resolve(
    metric: MetricTemplate, arguments: Mapping[str, str], *, dry_run: bool = False
) -> Metric:
    """Substitute the arguments of one metric, parse and validate it.

    Raises RefusedError with template, metric and reason.
    """
    try:
        resolved = _resolve(metric, arguments, dry_run)
        validate(resolved)
    except RefusedError as error:
        raise RefusedError(error.reason, template=metric.template, metric=metric.name) from None
    return resolved


def _resolve(metric: MetricTemplate, arguments: Mapping[str, str], dry_run: bool) -> Metric:
    def text(value: str) -> str:
        return substitute(value, arguments)

    success, failure = text(metric.success_condition), text(metric.failure_condition)

    def limit(what: str, value: str | int | None, default: int) -> int:
        return default if value is None else _integer(what, text(str(value)))

    return Metric(
        template=metric.template,
        name=metric.name,
        query=text(metric.query),
        job=None if metric.job is None else substitute_all(metric.job, arguments),
        interval=_duration("interval", text(metric.interval)),
        initial_delay=_duration("initialDelay", text(metric.initial_delay)),
        count=limit("count", metric.count, 0),
        success=_condition("successCondition", success),
        failure=_condition("failureCondition", failure),
        success_condition=success,
        failure_condition=failure,
        failure_limit=limit("failureLimit", metric.failure_limit, 0),
        inconclusive_limit=limit("inconclusiveLimit", metric.inconclusive_limit, 0),
        consecutive_error_limit=limit(
            "consecutiveErrorLimit", metric.consecutive_error_limit, DEFAULT_CONSECUTIVE_ERROR_LIMIT
        ),
        consecutive_success_limit=limit(
            "consecutiveSuccessLimit", metric.consecutive_success_limit, 0
        ),
        dry_run=dry_run,
    )


def validate(metric: Metric) -> None:
    """Refuse what the controller's validation refuses; raises RefusedError with the reason."""
    failure, success = metric.failure_limit, metric.consecutive_success_limit
    _require(success >= 0, "consecutiveSuccessLimit must be >= 0")
    _require(failure >= -1, "failureLimit must be >= 0, or -1 to be disabled")
    _require(
        success > 0 or failure != -1,
        "failureLimit and consecutiveSuccessLimit cannot both be disabled",
    )
    _require(metric.inconclusive_limit >= 0, "inconclusiveLimit must be >= 0")
    _require(metric.consecutive_error_limit >= 0, "consecutiveErrorLimit must be >= 0")
    _require(metric.count >= 0, "count must be >= 0")
    _require(
        metric.count <= 1 or metric.interval is not None,
        "interval must be specified when count > 1",
    )
    if metric.count == 0:
        return
    _require(
        metric.count >= max(failure, 0) + success,
        f"count ({metric.count}) must be >= failureLimit + consecutiveSuccessLimit "
        f"({failure} + {success})",
    )
    _require(
        metric.count >= metric.inconclusive_limit,
        f"count ({metric.count}) must be >= inconclusiveLimit ({metric.inconclusive_limit})",
    )


def _require(holds: bool, reason: str) -> None:
    if not holds:
        raise RefusedError(reason)


def _integer(what: str, text: str) -> int:
    # The controller reads a text that is no integer as 0 without a word.
    if not _INTEGER.fullmatch(text):
        raise RefusedError(f"{what} must be an integer, found {text!r}")
    return int(text)


def _duration(what: str, text: str) -> float | None:
    if not text:
        return None
    try:
        return durations.seconds(text)
    except ValueError as error:
        raise RefusedError(f"{what}: {error}") from None


def _condition(what: str, text: str) -> Node | None:
    if not text:
        return None
    try:
        node = parse(text)
        require_condition(node)
    except RefusedError as error:
        raise RefusedError(f"{what}: {error.reason}") from None
    return node


def _unique(metrics: list[MetricTemplate]) -> None:
    seen: set[str] = set()
    for metric in metrics:
        if metric.name in seen:
            raise RefusedError(
                "two metrics of one analysis have this name",
                template=metric.template,
                metric=metric.name,
            )
        seen.add(metric.name)


def _matching(what: str, rules: list[str], metrics: list[MetricTemplate]) -> set[str]:
    """Names of the metrics that a rule matches; a rule that is written twice is refused."""
    found: set[str] = set()
    for number, rule in enumerate(rules):
        if rule in rules[:number]:
            raise RefusedError(f"two {what} rules have the name {rule!r}")
        if not _PATTERN.fullmatch(rule):
            raise RefusedError(f"{what} {rule!r} is not modelled")
        names = {metric.name for metric in metrics if _matches(rule, metric.name)}
        if not names:
            raise RefusedError(f"{what} {rule!r} matches no metric")
        found |= names
    return found


def _matches(rule: str, name: str) -> bool:
    try:
        return re.search(rule, name) is not None
    except re.error:
        return False
