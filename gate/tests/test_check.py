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
