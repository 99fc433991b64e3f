from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from canary_gate.check import check_template
from canary_gate.cli import main
from canary_gate.template import read_template

Build = Callable[..., dict[str, Any]]


def problems(document: dict[str, Any]) -> list[str]:
    return [str(problem) for problem in check_template(read_template(document))]


def test_a_guarded_metric_that_ends_is_clean(build: Build) -> None:
    assert problems(build({}, {"name": "second", "interval": "5s", "count": 3})) == []


def test_a_metric_that_can_only_abort_needs_no_count(build: Build) -> None:
    assert problems(build({"interval": "5s", "inconclusiveLimit": 6307200})) == []


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ({"successCondition": ""}, "successCondition is missing"),
        ({"failureCondition": ""}, "failureCondition is missing"),
        (
            {"successCondition": "result[0] < 1"},
            "successCondition is unguarded: index out of range: 0",
        ),
        ({"successCondition": "len(result) == 0 || result[0] < 1"}, "it holds on the result []"),
        ({"successCondition": "all(result, # < 1)"}, "it holds on the result []"),
        (
            {"failureCondition": "len(result) > 0 && !(result[0] < 1)"},
            "failureCondition is unguarded: it holds on the result [nan]",
        ),
        (
            {"successCondition": "len(result) > 1 && !isNaN(result[0]) && !(result[1] > 5)"},
            "it holds on the result [0.0, nan]",
        ),
        (
            {"successCondition": "len(result) > 0 && result[0] < 1"},
            "it holds on the result [-inf]",
        ),
        (
            {"successCondition": "len(result) == 2 && result[0] < 1"},
            "successCondition is unguarded: it holds on the result [-inf, ",
        ),
        (
            {"failureCondition": "len(result) == 2 && !(result[0] < 1)"},
            "failureCondition is unguarded: it holds on the result [nan, ",
        ),
        ({"successCondition": "result < 1"}, "needs number, found numbers"),
        ({"successCondition": "sqrt(result[0]) < 1"}, "'sqrt' is not modelled"),
        ({"provider": {"prometheus": {"query": "sum(up"}}}, "the query does not parse"),
        ({"provider": {"prometheus": {"query": "up{{args.x}}"}}}, "failed to resolve"),
        ({"interval": "5s"}, "more than 0 undecided looks pause the release"),
        ({"interval": "5s", "inconclusiveLimit": 6307199}, "runs indefinitely"),
        (
            {"interval": "5s", "inconclusiveLimit": 999999999, "consecutiveSuccessLimit": 1},
            "runs indefinitely until it passes",
        ),
        ({"interval": "5s", "count": 3, "inconclusiveLimit": 4}, "must be >= inconclusiveLimit"),
        (
            {"interval": "5s", "count": 3, "inconclusiveLimit": 3},
            "passes without a single success",
        ),
        ({"inconclusiveLimit": 1}, "passes without a single success"),
        (
            {"interval": "5s", "count": 3, "inconclusiveLimit": 2, "failureLimit": 1},
            "passes without a single success",
        ),
    ],
)
def test_a_metric_that_cannot_be_trusted_is_named(
    build: Build, metric: dict[str, Any], reason: str
) -> None:
    (problem,) = problems(build(metric))
    assert problem.startswith("template template, metric metric: ")
    assert reason in problem


JOB = {
    "activeDeadlineSeconds": 60,
    "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "probe"}]}},
}


def job(build: Build, spec: dict[str, Any], **fields: Any) -> dict[str, Any]:
    conditions = {"successCondition": "", "failureCondition": ""}
    return build({"provider": {"job": {"spec": spec}}, **conditions, **fields})


def test_a_job_needs_no_conditions(build: Build) -> None:
    assert problems(job(build, JOB)) == []


@pytest.mark.parametrize(
    ("spec", "fields", "reason"),
    [
        (JOB, {"successCondition": "true"}, "successCondition is never asked of a job"),
        (JOB, {"failureCondition": "false"}, "failureCondition is never asked of a job"),
        (JOB, {"inconclusiveLimit": 1}, "passes without a single success"),
        (JOB, {"interval": "1m", "failureLimit": 1}, "runs indefinitely"),
        ({"template": JOB["template"]}, {}, "activeDeadlineSeconds is missing"),
        (
            JOB | {"template": {"spec": {"restartPolicy": "Never"}}},
            {},
            "the job has no containers",
        ),
        (
            JOB | {"template": {"spec": {"restartPolicy": "Always", "containers": [{}]}}},
            {},
            "without restartPolicy Never or OnFailure",
        ),
    ],
)
def test_a_job_that_cannot_be_trusted_is_named(
    build: Build, spec: dict[str, Any], fields: dict[str, Any], reason: str
) -> None:
    (problem,) = problems(job(build, spec, **fields))
    assert problem.startswith("template template, metric metric: ")
    assert reason in problem


def test_a_condition_is_guarded_whichever_way_a_switch_stands(build: Build) -> None:
    bare = "len(result) > 0 && ('{{args.shift}}' == 'true' || !isNaN(result[0])) && result[0] > 2"
    metric = {"failureCondition": bare.replace("result[0] > 2", "!(result[0] < 2)")}
    document = build(metric, args=[{"name": "shift", "value": "false"}])
    (problem,) = problems(document)
    assert "failureCondition is unguarded: it holds on the result [nan]" in problem


def parameters(build: Build, **values: str) -> list[str]:
    """Problems of a template that has these arguments, and uses all in its query."""
    names = {name.replace("_", "-"): value for name, value in values.items()}
    query = "up > " + " + ".join(f"{{{{ args.{name} }}}}" for name in names)
    return problems(
        build(
            {"provider": {"prometheus": {"query": query}}},
            args=[{"name": name, "value": value} for name, value in names.items()],
        )
    )


@pytest.mark.parametrize(
    "values",
    [
        {"error_p0": "0.001", "error_p1": "0.005"},
        {"error_accept_at": "-4.595", "error_reject_at": "4.595"},
        {"error_accept_at": "-6.907", "error_reject_at": "1000"},
        {"psi_undecided_above": "0.1", "psi_fail_above": "0.25"},
        {"burn_stable_at": "6", "burn_fail_at": "14.4"},
        {"error_z": "2.3263", "stable_alarm_at": "3", "design_effect": "1", "a_ratio": "1.5"},
        {"minimum_requests": "3000", "error_limit": "0.001", "psi_floor": "0.0001"},
        {"interval": "15s", "looks": "120"},
    ],
)
def test_parameters_in_range_and_order_are_clean(build: Build, values: dict[str, str]) -> None:
    assert parameters(build, **values) == []


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (
            {"error_p0": "0.005", "error_p1": "0.001"},
            "error-p0 (0.005) must be below error-p1 (0.001)",
        ),
        (
            {"error_p0": "0.001", "error_p1": "0.001"},
            "error-p0 (0.001) must be below error-p1 (0.001)",
        ),
        ({"error_p0": "0"}, "error-p0 must be between 0 and 1, found 0"),
        ({"error_p1": "1"}, "error-p1 must be between 0 and 1, found 1"),
        ({"error_limit": "1.2"}, "error-limit must be between 0 and 1, found 1.2"),
        ({"psi_floor": "0"}, "psi-floor must be between 0 and 1, found 0"),
        ({"burn_budget": "0"}, "burn-budget must be between 0 and 1, found 0"),
        ({"error_accept_at": "4.595"}, "error-accept-at must be below 0, found 4.595"),
        (
            {"error_accept_at": "1", "error_reject_at": "4.595"},
            "error-accept-at must be below 0, found 1",
        ),
        ({"error_reject_at": "-4.595"}, "error-reject-at must be above 0, found -4.595"),
        (
            {"error_accept_at": "-4.595", "error_reject_at": "0.1"},
            "error-accept-at and its counterpart allow alpha = 0.9, must be below 0.5",
        ),
        (
            {"error_accept_at": "-0.1", "error_reject_at": "1000"},
            "error-accept-at and its counterpart allow beta = 0.9, must be below 0.5",
        ),
        (
            {"psi_undecided_above": "0.3", "psi_fail_above": "0.25"},
            "psi-undecided-above (0.3) must be below psi-fail-above (0.25)",
        ),
        (
            {"burn_stable_at": "15", "burn_fail_at": "14.4"},
            "burn-stable-at (15) must be below burn-fail-at (14.4)",
        ),
        ({"error_z": "0"}, "error-z must be above 0, found 0"),
        ({"stable_alarm_at": "0"}, "stable-alarm-at must be above 0, found 0"),
        ({"against_stable_ratio": "1"}, "against-stable-ratio must be above 1, found 1"),
        ({"design_effect": "0.9"}, "design-effect must be at least 1, found 0.9"),
        ({"minimum_requests": "0"}, "minimum-requests must be above 0, found 0"),
        ({"error_p0": "inf"}, "error-p0 must be between 0 and 1, found inf"),
    ],
)
def test_a_parameter_out_of_range_or_order_is_named(
    build: Build, values: dict[str, str], reason: str
) -> None:
    assert parameters(build, **values) == [f"template template, metric metric: {reason}"]


def test_a_parameter_that_is_no_number_is_named(build: Build) -> None:
    (problem,) = parameters(build, error_p0="1 %")[:1]
    assert problem.endswith("metric metric: error-p0 must be between 0 and 1, found 1 %")


def test_a_parameter_without_a_default_is_the_rollouts_to_give(build: Build) -> None:
    query = {"provider": {"prometheus": {"query": "up > 0 # {{args.error-p0}}"}}}
    assert problems(build(query, args=[{"name": "error-p0"}])) == []


EDGES = {"latency_seconds": frozenset({"0.5", "1.0", "+Inf"})}


@pytest.mark.parametrize(
    "query",
    [
        'latency_seconds_bucket{le="0.5"}',
        'rate(latency_seconds_bucket{le="+Inf"}[5m]) - rate(latency_seconds_bucket{le="1.0"}[5m])',
        'latency_seconds_bucket{le=~"0.5|[+]Inf"}',
        'latency_seconds_bucket{endpoint="infer",le=~"(0.5|1.0)"}',
        'other_seconds_bucket{le="0.4"}',
        'latency_seconds_count{le="0.4"}',
        "latency_seconds_bucket",
    ],
)
def test_a_query_may_name_the_edges_that_there_are(build: Build, query: str) -> None:
    document = build({"provider": {"prometheus": {"query": query}}})
    assert check_template(read_template(document), EDGES) == []


@pytest.mark.parametrize(
    ("query", "edge"),
    [
        ('latency_seconds_bucket{le="0.4"}', "0.4"),
        ('sum(rate(latency_seconds_bucket{le="1"}[5m]))', "1"),
        ('up - max_over_time((-sum(latency_seconds_bucket{le="2"}))[5m:1m])', "2"),
        ('topk(scalar(latency_seconds_bucket{le="3"}), up)', "3"),
        ('latency_seconds_bucket{le!="0.4"}', "0.4"),
        ('latency_seconds_bucket{le=~"0.5|0.4"}', "0.4"),
        ('latency_seconds_bucket{le!~"0.5|0.4"}', "0.4"),
        ('latency_seconds_bucket{endpoint="0.5",le=~"(?<edge>0.5)"}', "(?<edge>0.5)"),
    ],
)
def test_an_edge_that_does_not_exist_is_named(build: Build, query: str, edge: str) -> None:
    document = build({"provider": {"prometheus": {"query": query}}})
    assert list(map(str, check_template(read_template(document), EDGES))) == [
        "template template, metric metric: latency_seconds_bucket has no bucket edge "
        f"{edge}; it has 0.5, 1.0, +Inf"
    ]


def test_count_without_a_default_is_refused_as_by_the_controller(build: Build) -> None:
    document = build({"interval": "5s", "count": "{{args.n}}"}, args=[{"name": "n"}])
    (problem,) = problems(document)
    assert "count must be an integer, found 'dummy-value'" in problem


def test_two_metrics_of_one_name_are_named(build: Build) -> None:
    assert problems(build({}, {})) == [
        "template template, metric metric: two metrics of one analysis have this name"
    ]


def write(path: Path, *documents: Any) -> Path:
    path.write_text(yaml.safe_dump_all(documents))
    return path


def test_the_command_reads_folders_and_passes_other_kinds_over(
    build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "deep").mkdir()
    write(tmp_path / "deep" / "one.yaml", {"kind": "Service"}, build({}))
    write(tmp_path / "two.yml", ["no object"], build({}, name="two"))
    assert main(["check", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "2 templates checked, 0 problems\n"


def test_the_command_names_file_template_metric_and_reason(
    build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "one.yaml", build({"failureCondition": ""}))
    other = write(tmp_path / "two.yaml", build({"provider": {"web": {}}}))
    assert main(["check", str(path), str(other)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{path}: template template, metric metric: failureCondition is missing: "
        "two sides, or a NaN decides",
        f"{other}: template template, metric metric: provider.web is not modelled",
        "2 templates checked, 2 problems",
    ]


CONTRACT = "metrics: {latency_seconds: {type: histogram, edges: [0.5, 1]}, up: {type: gauge}}"


def test_the_command_takes_the_edges_from_a_contract(
    build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    query = {"provider": {"prometheus": {"query": 'latency_seconds_bucket{le="0.4"}'}}}
    path = write(tmp_path / "one.yaml", build(query))
    (contract := tmp_path / "metrics.yaml").write_text(CONTRACT)
    assert main(["check", str(path)]) == 0
    assert main(["check", "--metrics", str(contract), str(path)]) == 1
    assert "has no bucket edge 0.4; it has 0.5, 1.0, +Inf" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("metrics: []", "metrics is not a mapping"),
        ("", "metrics is not a mapping"),
        ("metrics: {a: {edges: [x]}}", "could not convert"),
        ("metrics: {a: {edges: 1}}", "not iterable"),
        ("a: [1", "metrics.yaml:1"),
        (None, "No such file"),
    ],
)
def test_a_contract_that_cannot_be_read_is_status_2(
    build: Build,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str | None,
    reason: str,
) -> None:
    path, contract = write(tmp_path / "one.yaml", build({})), tmp_path / "metrics.yaml"
    if text is not None:
        contract.write_text(text)
    assert main(["check", "--metrics", str(contract), str(path)]) == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [1", "input.yaml:1: "),
        ("a: 1\n b: 2", "input.yaml:2: mapping values are not allowed here"),
        ("kind: Service", "no AnalysisTemplate in "),
        ("\x00", "input.yaml"),
        (None, "No such file"),
    ],
)
def test_input_that_cannot_be_read_is_status_2_and_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, reason: str
) -> None:
    path = tmp_path / "input.yaml"
    if text is not None:
        path.write_text(text)
    assert main(["check", str(path)]) == 2
    assert reason in capsys.readouterr().err


def test_bytes_that_are_no_text_are_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "input.yaml"
    path.write_bytes(b"\xff\xfe\xff")
    assert main(["check", str(path)]) == 2
    assert "input.yaml" in capsys.readouterr().err
