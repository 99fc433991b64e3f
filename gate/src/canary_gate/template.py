"""AnalysisTemplates as they stand in Git: shape, fields, and nothing that is not modelled."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from canary_gate.errors import RefusedError

KINDS = ("AnalysisTemplate", "ClusterAnalysisTemplate")
_SPEC = {"args", "metrics", "dryRun", "measurementRetention"}
_METRIC = {
    "name",
    "interval",
    "initialDelay",
    "count",
    "successCondition",
    "failureCondition",
    "failureLimit",
    "inconclusiveLimit",
    "consecutiveErrorLimit",
    "consecutiveSuccessLimit",
    "provider",
}
_LIMITS = (
    "count",
    "failureLimit",
    "inconclusiveLimit",
    "consecutiveErrorLimit",
    "consecutiveSuccessLimit",
)
_TEXTS = ("interval", "initialDelay", "successCondition", "failureCondition")


@dataclass(frozen=True)
class Argument:
    """An argument that a template declares; without a value the Rollout has to give one."""

    name: str
    value: str | None


@dataclass(frozen=True)
class MetricTemplate:
    """A metric before its arguments are substituted; every text may hold `{{args.x}}`.

    It asks Prometheus a `query` or runs a `job`, which is then the Job's metadata and spec.
    """

    template: str
    name: str
    query: str
    job: Mapping[str, Any] | None
    interval: str
    initial_delay: str
    success_condition: str
    failure_condition: str
    count: str | int | None
    failure_limit: str | int | None
    inconclusive_limit: str | int | None
    consecutive_error_limit: str | int | None
    consecutive_success_limit: str | int | None


@dataclass(frozen=True)
class AnalysisTemplate:
    """One AnalysisTemplate or ClusterAnalysisTemplate."""

    kind: str
    name: str
    arguments: tuple[Argument, ...]
    metrics: tuple[MetricTemplate, ...]
    dry_run: tuple[str, ...]
    retention: tuple[str, ...]


def load_templates(documents: Iterable[Mapping[str, Any]]) -> dict[str, AnalysisTemplate]:
    """Read the templates among parsed YAML documents, by name; other kinds are passed over.

    Raises RefusedError for a field, provider or type that is not modelled, and for two
    templates of one name.
    """
    found: dict[str, AnalysisTemplate] = {}
    for document in documents:
        if not isinstance(document, Mapping) or document.get("kind") not in KINDS:
            continue
        template = read_template(document)
        if template.name in found:
            raise RefusedError("two templates have this name", template=template.name)
        found[template.name] = template
    return found


def read_template(document: Mapping[str, Any]) -> AnalysisTemplate:
    """Read one document of a template kind; raises RefusedError as `load_templates` does."""
    name = (document.get("metadata") or {}).get("name") or "without name"
    place = _Place(str(name))
    spec = place.mapping(document.get("spec"), "spec")
    place.only(spec, _SPEC, "spec")
    metrics = place.list(spec.get("metrics"), "metrics")
    if not metrics:
        raise RefusedError("no metrics specified", template=place.template)
    return AnalysisTemplate(
        kind=str(document["kind"]),
        name=place.template,
        arguments=tuple(_argument(place, a) for a in place.list(spec.get("args"), "args")),
        metrics=tuple(_metric(place, metric) for metric in metrics),
        dry_run=_rules(place, spec, "dryRun"),
        retention=_rules(place, spec, "measurementRetention"),
    )


def read_rules(value: Mapping[str, Any], field: str) -> tuple[str, ...]:
    """Patterns of the dryRun or measurementRetention rules of an analysis in a Rollout."""
    return _rules(_Place(""), value, field)


@dataclass(frozen=True)
class _Place:
    """Where the reader is, for refusals that name it."""

    template: str
    metric: str = ""

    def refused(self, reason: str) -> RefusedError:
        return RefusedError(reason, template=self.template, metric=self.metric)

    def mapping(self, value: object, what: str) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise self.refused(f"{what} is not a mapping")
        return value

    def list(self, value: object, what: str) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.refused(f"{what} is not a list")
        return value

    def only(self, value: Mapping[str, Any], known: set[str], what: str) -> None:
        for field in value:
            if field not in known:
                raise self.refused(f"{what}.{field} is not modelled")

    def text(self, value: object, what: str) -> str:
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.refused(f"{what} must be a string, found {value!r}; quote it")
        return value

    def limit(self, value: object, what: str) -> str | int | None:
        if value is None or (isinstance(value, (int, str)) and not isinstance(value, bool)):
            return value
        raise self.refused(f"{what} must be an integer, found {value!r}")


def _argument(place: _Place, value: object) -> Argument:
    argument = place.mapping(value, "an argument")
    name = place.text(argument.get("name"), "args.name")
    if not name:
        raise place.refused("an argument has no name")
    for kind in place.mapping(argument.get("valueFrom") or {}, f"argument {name}: valueFrom"):
        raise place.refused(f"argument {name}: valueFrom.{kind} is not modelled")
    place.only(argument, {"name", "value"}, "args")
    given = argument.get("value")
    return Argument(name, None if given is None else place.text(given, f"argument {name}"))


def _metric(place: _Place, value: object) -> MetricTemplate:
    metric = place.mapping(value, "a metric")
    name = place.text(metric.get("name"), "metrics.name")
    if not name:
        raise place.refused("a metric has no name")
    if "{{" in name:
        raise place.refused(f"an argument in the name {name} of a metric is not modelled")
    place = _Place(place.template, name)
    place.only(metric, _METRIC, "metric")
    texts = {field: place.text(metric.get(field), field) for field in _TEXTS}
    limits = {field: place.limit(metric.get(field), field) for field in _LIMITS}
    query, job = _provider(place, metric.get("provider"))
    return MetricTemplate(
        template=place.template,
        name=name,
        query=query,
        job=job,
        interval=texts["interval"],
        initial_delay=texts["initialDelay"],
        success_condition=texts["successCondition"],
        failure_condition=texts["failureCondition"],
        count=limits["count"],
        failure_limit=limits["failureLimit"],
        inconclusive_limit=limits["inconclusiveLimit"],
        consecutive_error_limit=limits["consecutiveErrorLimit"],
        consecutive_success_limit=limits["consecutiveSuccessLimit"],
    )


def _provider(place: _Place, value: object) -> tuple[str, Mapping[str, Any] | None]:
    """The query of a metric, or else its job."""
    provider = place.mapping(value, "provider")
    place.only(provider, {"prometheus", "job"}, "provider")
    if len(provider) != 1:
        raise place.refused(f"{'multiple providers' if provider else 'no provider'} specified")
    if "job" in provider:
        return "", _job(place, provider["job"])
    prometheus = place.mapping(provider["prometheus"], "provider.prometheus")
    place.only(prometheus, {"query"}, "provider.prometheus")
    query = place.text(prometheus.get("query"), "query")
    if not query.strip():
        raise place.refused("the query is empty")
    return query, None


def _job(place: _Place, value: object) -> Mapping[str, Any]:
    job = place.mapping(value, "provider.job")
    place.only(job, {"metadata", "spec"}, "provider.job")
    place.mapping(job.get("spec"), "provider.job.spec")
    return job


def _rules(place: _Place, spec: Mapping[str, Any], field: str) -> tuple[str, ...]:
    """Patterns over metric names. How many measurements are kept changes no verdict."""
    known = {"metricName", "limit"} if field == "measurementRetention" else {"metricName"}
    rules = [place.mapping(rule, field) for rule in place.list(spec.get(field), field)]
    for rule in rules:
        place.only(rule, known, field)
        place.limit(rule.get("limit"), f"{field}.limit")
    return tuple(place.text(rule.get("metricName"), f"{field}.metricName") for rule in rules)
