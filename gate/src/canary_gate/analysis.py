"""An analysis: templates flattened into one run, arguments merged and substituted, validated."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from canary_gate import durations
from canary_gate.errors import RefusedError
from canary_gate.expression import Node, parse
from canary_gate.static import require_condition
from canary_gate.template import AnalysisTemplate, Argument, MetricTemplate

#: The controller's default for a metric that sets no consecutiveErrorLimit.
DEFAULT_CONSECUTIVE_ERROR_LIMIT = 4

_TAG = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_INTEGER = re.compile(r"[+-]?\d+")


@dataclass(frozen=True)
class Metric:
    """A metric ready to be measured: nothing left to substitute, every number parsed.

    Times are seconds. A `count` of 0 is one that was not given.
    """

    template: str
    name: str
    query: str
    interval: float | None
    initial_delay: float | None
    count: int
    success: Node | None
    failure: Node | None
    failure_limit: int
    inconclusive_limit: int
    consecutive_error_limit: int
    consecutive_success_limit: int
    dry_run: bool = False

    @property
    def effective_count(self) -> int | None:
        """Measurements that complete the metric; None where only a verdict or a limit does."""
        return self.count or (1 if self.interval is None else None)


@dataclass(frozen=True)
class Analysis:
    """One AnalysisRun before it starts: the templates of a step and the arguments given.

    `dry_run` holds the step's own dryRun rules (regular expressions over metric names).

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
    ) -> None:
        # The controller flattens cluster templates after the namespaced ones.
        ordered = sorted(templates, key=lambda template: template.kind != "AnalysisTemplate")
        merged = merge_arguments(ordered, arguments or {})
        plain = [metric for template in ordered for metric in template.metrics]
        _unique(plain)
        rules = [rule for template in ordered for rule in template.dry_run]
        dry = _matching("dryRun", [*dry_run, *rules], plain)
        retention = [rule for template in ordered for rule in template.retention]
        _matching("measurementRetention", retention, plain)
        metrics = tuple(resolve(metric, merged, dry_run=metric.name in dry) for metric in plain)
        object.__setattr__(self, "templates", tuple(ordered))
        object.__setattr__(self, "arguments", merged)
        object.__setattr__(self, "metrics", metrics)


def merge_arguments(
    templates: Iterable[AnalysisTemplate], given: Mapping[str, str]
) -> dict[str, str]:
    """Flatten the declared arguments, then let the given ones win.

    Raises RefusedError for two defaults that differ and for an argument without a value.
    """
    declared: dict[str, Argument] = {}
    for template in templates:
        for argument in template.arguments:
            before = declared.get(argument.name)
            if before and before.value not in (None, argument.value) and argument.value is not None:
                raise RefusedError(
                    f"argument {argument.name} has the value {argument.value!r} here and "
                    f"{before.value!r} in another template of the same step",
                    template=template.name,
                )
            if before is None or before.value is None:
                declared[argument.name] = argument
    values = {name: given.get(name, argument.value) for name, argument in declared.items()}
    missing = sorted(name for name, value in values.items() if value is None)
    if missing:
        names = ", ".join(sorted(template.name for template in templates))
        raise RefusedError(f"no value for argument {', '.join(missing)}", template=names)
    return {name: value for name, value in values.items() if value is not None}


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

    def limit(what: str, value: str | int | None, default: int) -> int:
        return default if value is None else _integer(what, text(str(value)))

    return Metric(
        template=metric.template,
        name=metric.name,
        query=text(metric.query),
        interval=_duration("interval", text(metric.interval)),
        initial_delay=_duration("initialDelay", text(metric.initial_delay)),
        count=limit("count", metric.count, 0),
        success=_condition("successCondition", text(metric.success_condition)),
        failure=_condition("failureCondition", text(metric.failure_condition)),
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


def substitute(text: str, arguments: Mapping[str, str]) -> str:
    """Replace every `{{args.x}}`; raises RefusedError for one that cannot be."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1).strip()
        if not name.startswith("args.") or name[len("args.") :] not in arguments:
            raise RefusedError(f"failed to resolve {match.group()}")
        return arguments[name[len("args.") :]]

    if "{{" in _TAG.sub("", text):
        raise RefusedError("'{{' without '}}'")
    return _TAG.sub(value, text)


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
    found: set[str] = set()
    for rule in rules:
        try:
            names = {metric.name for metric in metrics if re.search(rule, metric.name)}
        except re.error:
            names = set()
        if not names:
            raise RefusedError(f"{what} {rule!r} matches no metric")
        found |= names
    return found
