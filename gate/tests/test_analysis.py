from collections.abc import Callable
from typing import Any

import pytest
from canary_gate import Analysis, RefusedError, load_templates
from canary_gate.durations import seconds
from hypothesis import given
from hypothesis import strategies as st

Build = Callable[..., dict[str, Any]]


def analysis(*documents: dict[str, Any], **arguments: str) -> Analysis:
    return Analysis(load_templates(documents).values(), arguments)


def with_arguments(build: Build, name: str, *arguments: dict[str, str]) -> dict[str, Any]:
    return build({"name": name}, name=name, args=list(arguments))


def test_arguments_are_substituted_in_every_field(build: Build) -> None:
    metric = {
        "interval": "{{args.every}}",
        "initialDelay": "{{ args.every }}",
        "count": "{{args.looks}}",
        "inconclusiveLimit": "{{args.looks}}",
        "consecutiveErrorLimit": "{{args.looks}}",
        "provider": {"prometheus": {"query": "up{a='{{args.every}}'} > {{args.looks}}"}},
    }
    given = [{"name": "every", "value": "15s"}, {"name": "looks", "value": "7"}]
    (found,) = analysis(build(metric, args=given), looks="12", unknown="ignored").metrics
    assert (found.interval, found.initial_delay, found.count) == (15.0, 15.0, 12)
    assert (found.inconclusive_limit, found.consecutive_error_limit) == (12, 12)
    assert found.query == "up{a='15s'} > 12"


def test_defaults_are_the_controllers(build: Build) -> None:
    (found,) = analysis(build({})).metrics
    assert (found.failure_limit, found.inconclusive_limit) == (0, 0)
    assert (found.consecutive_error_limit, found.consecutive_success_limit) == (4, 0)
    assert (found.interval, found.count, found.effective_count) == (None, 0, 1)


def test_an_interval_without_count_never_completes(build: Build) -> None:
    (found,) = analysis(build({"interval": "5s"})).metrics
    assert found.effective_count is None


def test_a_substituted_value_is_not_substituted_again(build: Build) -> None:
    metric = {"provider": {"prometheus": {"query": "up{a='{{args.a}}'}"}}}
    (found,) = analysis(build(metric, args=[{"name": "a", "value": "{{args.b}}"}])).metrics
    assert found.query == "up{a='{{args.b}}'}"


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("up{{args.x}}", r"failed to resolve \{\{args.x\}\}"),
        ("up{{x}}", "failed to resolve"),
        ("up{{args.a", ".* without"),
    ],
)
def test_an_argument_that_cannot_be_substituted_is_refused(
    build: Build, query: str, reason: str
) -> None:
    document = build({"provider": {"prometheus": {"query": query}}})
    with pytest.raises(RefusedError, match=f"template template, metric metric: {reason}"):
        analysis(document)


def test_an_argument_without_a_value_is_refused_by_name(build: Build) -> None:
    with pytest.raises(RefusedError, match="template one: no value for argument hash"):
        analysis(with_arguments(build, "one", {"name": "hash"}))


def test_one_argument_may_be_declared_by_several_templates(build: Build) -> None:
    documents = [
        with_arguments(build, "one", {"name": "a"}),
        with_arguments(build, "two", {"name": "a", "value": "2"}),
        with_arguments(build, "three", {"name": "a"}),
        with_arguments(build, "four", {"name": "a", "value": "2"}),
    ]
    assert analysis(*documents).arguments == {"a": "2"}


def test_two_different_defaults_for_one_argument_are_refused(build: Build) -> None:
    with pytest.raises(RefusedError, match="argument a has the value '3' here and '2'"):
        analysis(
            with_arguments(build, "one", {"name": "a", "value": "2"}),
            with_arguments(build, "two", {"name": "a", "value": "3"}),
        )


def test_two_metrics_of_one_name_are_refused(build: Build) -> None:
    with pytest.raises(RefusedError, match="template two, metric metric: two metrics"):
        analysis(build({}, name="one"), build({}, name="two"))


def test_two_templates_of_one_name_are_refused(build: Build) -> None:
    with pytest.raises(RefusedError, match="template same: two templates"):
        load_templates([build({}, name="same"), build({}, name="same")])


@pytest.mark.parametrize("field", ["dryRun", "measurementRetention"])
@pytest.mark.parametrize("rule", ["other", "("])
def test_a_rule_that_matches_no_metric_is_refused(build: Build, field: str, rule: str) -> None:
    with pytest.raises(RefusedError, match=f"{field} .* matches no metric"):
        analysis(build({}, **{field: [{"metricName": rule}]}))


@pytest.mark.parametrize("field", ["dryRun", "measurementRetention"])
@pytest.mark.parametrize("rule", ["met{1}ric", r"\w+", "[a-z]+", "met(?=ric)", "metr.++"])
def test_a_rule_that_go_may_read_otherwise_is_refused(build: Build, field: str, rule: str) -> None:
    with pytest.raises(RefusedError, match=f"{field} .* is not modelled"):
        analysis(build({}, **{field: [{"metricName": rule}]}))


@pytest.mark.parametrize("field", ["dry_run", "retention"])
def test_a_rule_that_step_and_template_both_have_is_refused(build: Build, field: str) -> None:
    name = {"dry_run": "dryRun", "retention": "measurementRetention"}[field]
    templates = load_templates([build({}, **{name: [{"metricName": "metric"}]})]).values()
    with pytest.raises(RefusedError, match=f"two {name} rules have the name 'metric'"):
        Analysis(templates, {}, **{field: ["metric"]})


@pytest.mark.parametrize(
    ("field", "rule", "reason"),
    [
        ("dryRun", {"metricName": "metric", "limit": 3}, "dryRun.limit is not modelled"),
        ("measurementRetention", {"metricName": "metric", "limit": 1.5}, "must be an integer"),
    ],
)
def test_a_rule_of_another_shape_is_refused(
    build: Build, field: str, rule: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RefusedError, match=reason):
        analysis(build({}, **{field: [rule]}))


def test_a_template_that_a_step_names_twice_counts_once(build: Build) -> None:
    (template,) = load_templates([build({})]).values()
    assert len(Analysis([template, template]).metrics) == 1


JOB = {
    "metadata": {"labels": {"app": "{{args.hash}}", "of-{{args.hash}}": "yes"}},
    "spec": {"backoffLimit": 0, "template": {"spec": {"args": ["--hash={{ args.hash }}", 1]}}},
}


def test_arguments_are_substituted_everywhere_in_a_job(build: Build) -> None:
    document = build({"provider": {"job": JOB}}, args=[{"name": "hash"}])
    (found,) = analysis(document, hash="abc").metrics
    assert found.query == ""
    assert found.job == {
        "metadata": {"labels": {"app": "abc", "of-abc": "yes"}},
        "spec": {"backoffLimit": 0, "template": {"spec": {"args": ["--hash=abc", 1]}}},
    }


def test_a_job_with_an_argument_that_does_not_exist_is_refused(build: Build) -> None:
    with pytest.raises(RefusedError, match=r"metric metric: failed to resolve \{\{args.hash"):
        analysis(build({"provider": {"job": JOB}}))


def test_an_argument_in_the_name_of_a_metric_is_refused(build: Build) -> None:
    with pytest.raises(RefusedError, match="an argument in the name m-"):
        analysis(build({"name": "m-{{args.x}}"}))


def test_a_step_may_declare_a_dry_run(build: Build) -> None:
    templates = load_templates([build({})]).values()
    assert Analysis(templates, {}, dry_run=["met"]).metrics[0].dry_run
    assert not Analysis(templates, {}).metrics[0].dry_run


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ({"consecutiveSuccessLimit": -1}, "consecutiveSuccessLimit must be >= 0"),
        ({"failureLimit": -2}, "failureLimit must be >= 0, or -1"),
        ({"failureLimit": -1}, ".* cannot both be disabled"),
        ({"inconclusiveLimit": -1}, "inconclusiveLimit must be >= 0"),
        ({"consecutiveErrorLimit": -1}, "consecutiveErrorLimit must be >= 0"),
        ({"count": 2}, "interval must be specified"),
        ({"count": -1}, "count must be >= 0"),
        ({"count": 2, "interval": "1s", "failureLimit": 3}, r"count \(2\) must be >= failureLimit"),
        (
            {"count": 2, "interval": "1s", "failureLimit": -1, "consecutiveSuccessLimit": 3},
            r"count \(2\) must be >= failureLimit",
        ),
        (
            {"count": 2, "interval": "1s", "inconclusiveLimit": 3},
            r"count \(2\) must be >= inconclusiveLimit \(3\)",
        ),
        ({"count": "many", "interval": "1s"}, "count must be an integer, found 'many'"),
        ({"interval": "15"}, "interval: '15' is not a duration"),
        ({"initialDelay": "1d"}, "initialDelay: '1d' is not a duration"),
        ({"successCondition": "result > mean(1)"}, "successCondition: column 10: 'mean'"),
        ({"failureCondition": "1"}, "failureCondition: the condition is not true or false"),
    ],
)
def test_what_the_controller_or_the_evaluator_would_not_run_is_refused(
    build: Build, metric: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RefusedError, match=f"template template, metric metric: {reason}"):
        analysis(build(metric))


def test_an_undecided_limit_above_the_looks_is_no_matter_without_count(build: Build) -> None:
    (found,) = analysis(build({"inconclusiveLimit": 5})).metrics
    assert found.inconclusive_limit == 5


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"spec": None}, "spec is not a mapping"),
        ({"spec": {}}, "no metrics specified"),
        ({"spec": {"metrics": {}}}, "metrics is not a list"),
        ({"spec": {"metrics": [1]}}, "a metric is not a mapping"),
        ({"spec": {"metrics": [{}]}}, "a metric has no name"),
        ({"spec": {"templates": []}}, "spec.templates is not modelled"),
        ({"spec": {"metrics": [{"name": "m", "retries": 1}]}}, "metric.retries is not modelled"),
        ({"spec": {"metrics": [{"name": "m"}]}}, "provider is not a mapping"),
    ],
)
def test_a_template_of_another_shape_is_refused(
    build: Build, change: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RefusedError, match=f"template template.*: {reason}"):
        load_templates([build({}) | change])


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("count", 1.5, "count must be an integer"),
        ("count", True, "count must be an integer"),
        ("interval", 15, "interval must be a string, found 15; quote it"),
        ("provider", {"job": {}}, "provider.job.spec is not a mapping"),
        ("provider", {"job": {"spec": {}, "wait": 1}}, "provider.job.wait is not modelled"),
        ("provider", {"job": {"spec": {}}, "prometheus": {}}, "multiple providers specified"),
        ("provider", {"web": {"url": "x"}}, "provider.web is not modelled"),
        ("provider", {}, "no provider specified"),
        ("provider", {"prometheus": 1}, "provider.prometheus is not a mapping"),
        ("provider", {"prometheus": {"query": " "}}, "the query is empty"),
        (
            "provider",
            {"prometheus": {"query": "up", "rangeQuery": {}}},
            "provider.prometheus.rangeQuery is not modelled",
        ),
        (
            "provider",
            {"prometheus": {"query": "up", "address": "http://elsewhere"}},
            "provider.prometheus.address is not modelled",
        ),
    ],
)
def test_a_metric_that_is_not_modelled_is_refused(
    build: Build, field: str, value: Any, reason: str
) -> None:
    with pytest.raises(RefusedError, match=f"template template, metric metric: {reason}"):
        load_templates([build({field: value})])


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ({"name": "a", "value": 0.001}, "argument a must be a string, found 0.001"),
        ({"value": "1"}, "an argument has no name"),
        ({"name": "a", "valueFrom": {}}, "args.valueFrom is not modelled"),
        (
            {"name": "a", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            "argument a: valueFrom.secretKeyRef is not modelled",
        ),
    ],
)
def test_an_argument_of_another_shape_is_refused(
    build: Build, argument: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RefusedError, match=reason):
        load_templates([build({}, args=[argument])])


def test_other_kinds_are_passed_over_and_cluster_templates_come_last(build: Build) -> None:
    cluster = build({"name": "c"}, name="c") | {"kind": "ClusterAnalysisTemplate"}
    documents = [cluster, {"kind": "Service"}, None, build({"name": "a"}, name="a")]
    found = Analysis(load_templates(documents).values())  # type: ignore[arg-type]
    assert [metric.name for metric in found.metrics] == ["a", "c"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("15s", 15), ("1h30m", 5400), ("1.5s", 1.5), ("500ms", 0.5), ("-1m", -60), ("0", 0)],
)
def test_durations_are_gos(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@given(st.text(alphabet="0123456789hms.-+dw ", max_size=8))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    try:
        value = seconds(text)
    except ValueError:
        return
    assert value == 0 or text[-1] in "hms"
