import math
from collections.abc import Callable
from typing import Any

import pytest
from canary_gate import Action, Phase, Verdict
from canary_gate.check import check_template
from canary_gate.template import read_template
from hypothesis import given, settings
from hypothesis import strategies as st

Play = Callable[..., Any]
Build = Callable[..., dict[str, Any]]
GOOD, BAD, UNSURE, GONE = 0.0, 3.0, 1.5, None
SPRT = {
    "interval": "15s",
    "count": 120,
    "inconclusiveLimit": 120,
    "consecutiveSuccessLimit": 1,
}


def outcome(result: Any) -> tuple[str, str, str]:
    return result.phase, result.verdict, result.action


def test_ten_successes_a_minute_apart_span_nine_minutes(play: Play, build: Build) -> None:
    result, replay = play(build({"interval": "1m", "count": 10}), GOOD)
    assert outcome(result) == ("Successful", "pass", "advance")
    assert [at for at, _ in replay.looks] == [60.0 * n for n in range(10)]
    assert (result.started, result.finished) == (0.0, 540.0)


def test_without_interval_and_count_there_is_one_look(play: Play, build: Build) -> None:
    result, replay = play(build({}), GOOD)
    assert len(replay.looks) == 1
    assert result.verdict is Verdict.PASS


def test_initial_delay_postpones_the_first_look(play: Play, build: Build) -> None:
    _, replay = play(build({"initialDelay": "30s", "interval": "15s", "count": 2}), GOOD)
    assert [at for at, _ in replay.looks] == [30.0, 45.0]


def test_a_failure_limit_of_three_allows_three_failures(play: Play, build: Build) -> None:
    metric = {"interval": "10s", "count": 10, "failureLimit": 3}
    tolerated, _ = play(build(metric), BAD, BAD, BAD, GOOD)
    assert tolerated.phase is Phase.SUCCESSFUL
    failed, replay = play(build(metric), BAD, BAD, BAD, BAD, GOOD)
    assert outcome(failed) == ("Failed", "fail", "abort")
    assert failed.message == 'Metric "metric" assessed Failed due to failed (4) > failureLimit (3)'
    assert len(replay.looks) == 4


def test_the_first_undecided_look_pauses_by_default(play: Play, build: Build) -> None:
    result, _ = play(build({"interval": "10s", "count": 10}), UNSURE)
    assert outcome(result) == ("Inconclusive", "undecided", "pause")
    assert "inconclusive (1) > inconclusiveLimit (0)" in result.message


def test_an_error_is_repeated_every_ten_seconds_and_the_fifth_aborts(
    play: Play, build: Build
) -> None:
    result, replay = play(build({"interval": "1m", "count": 3}), GONE)
    assert [at for at, _ in replay.looks] == [0, 10, 20, 30, 40]
    assert outcome(result) == ("Error", "undecided", "abort")
    assert result.message == (
        'Metric "metric" assessed Error due to consecutiveErrors (5) > consecutiveErrorLimit (4): '
        '"Error Message: connection refused"'
    )


def test_an_answer_ends_the_row_of_errors(play: Play, build: Build) -> None:
    script = [GONE, GONE, GONE, GONE, GOOD, GONE, GONE, GONE, GONE, GOOD]
    result, replay = play(build({"interval": "1m", "count": 2}), *script)
    assert result.verdict is Verdict.PASS
    assert replay.looks[-1][0] == 40 + 60 + 40


def test_a_look_without_interval_is_repeated_after_an_error(play: Play, build: Build) -> None:
    result, replay = play(build({}), GONE, GONE, GOOD)
    assert result.verdict is Verdict.PASS
    assert [at for at, _ in replay.looks] == [0, 10, 20]


def test_a_condition_that_fails_to_evaluate_is_an_error(play: Play, build: Build) -> None:
    result, _ = play(build({"successCondition": "result[0] < 1"}), [])
    assert result.phase is Phase.ERROR
    assert result.metrics[0].measurements[0].value == []
    assert result.metrics[0].message == (
        'could not evaluate successCondition "result[0] < 1": '
        "metric result is nil or empty: no data returned from the metric provider"
    )


def test_a_condition_of_the_wrong_type_is_an_error_that_says_so(play: Play, build: Build) -> None:
    result, _ = play(build({"failureCondition": "result > 2"}), GOOD)
    assert result.phase is Phase.ERROR
    assert result.metrics[0].message.startswith('could not evaluate failureCondition "result > 2":')


def test_a_sequential_test_ends_at_its_first_success(play: Play, build: Build) -> None:
    result, replay = play(build(SPRT), UNSURE, UNSURE, GOOD)
    assert outcome(result) == ("Successful", "pass", "advance")
    assert len(replay.looks) == 3


def test_a_sequential_test_that_never_decides_is_inconclusive_when_its_looks_are_used(
    play: Play, build: Build
) -> None:
    result, replay = play(build(SPRT), UNSURE)
    assert outcome(result) == ("Inconclusive", "undecided", "pause")
    assert len(replay.looks) == 120


def test_a_success_limit_that_is_not_reached_is_no_success(play: Play, build: Build) -> None:
    metric = {"interval": "1s", "count": 4, "failureLimit": 2, "consecutiveSuccessLimit": 2}
    script = [GOOD, BAD, GOOD, BAD]
    assert play(build(metric), *script)[0].phase is Phase.INCONCLUSIVE
    assert play(build(metric | {"failureLimit": -1}), *script)[0].phase is Phase.FAILED


@pytest.mark.parametrize(
    ("conditions", "phases"),
    [
        ({"failureCondition": ""}, ("Successful", "Failed", "Failed")),
        ({"successCondition": ""}, ("Successful", "Successful", "Failed")),
        (
            {"failureCondition": "", "successCondition": ""},
            ("Successful", "Successful", "Successful"),
        ),
        ({"successCondition": "result[0] < 9"}, ("Successful", "Successful", "Failed")),
    ],
)
def test_a_missing_condition_is_the_opposite_of_the_other_and_failure_wins(
    play: Play, build: Build, conditions: dict[str, str], phases: tuple[str, ...]
) -> None:
    found = [play(build(conditions), value)[0].phase for value in (GOOD, UNSURE, BAD)]
    assert tuple(found) == phases


def two(build: Build, first: dict[str, Any], second: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return build(
        {"name": "first", "provider": {"prometheus": {"query": "a"}}, **first},
        {"name": "second", "provider": {"prometheus": {"query": "b"}}, **second},
        **spec,
    )


def test_a_failed_metric_ends_the_run_and_the_other_did_not_decide(
    play: Play, build: Build
) -> None:
    document = two(build, {"interval": "10s", "count": 5}, {"interval": "10s", "count": 5})
    result, replay = play(document, scripts={"a": [GOOD, GOOD, BAD], "b": [GOOD]})
    assert outcome(result) == ("Failed", "fail", "abort")
    assert [m.verdict for m in result.metrics] == ["fail", "undecided"]
    assert result.metrics[1].phase is Phase.SUCCESSFUL
    assert result.metrics[1].cut_short
    assert replay.looks[-1] == (20.0, "b")


def test_a_metric_that_never_looked_stays_pending(play: Play, build: Build) -> None:
    result, _ = play(two(build, {}, {"initialDelay": "10m"}), scripts={"a": [BAD], "b": [GOOD]})
    assert [(m.name, m.phase) for m in result.metrics] == [
        ("first", Phase.FAILED),
        ("second", Phase.PENDING),
    ]


def test_the_worst_metric_decides(play: Play, build: Build) -> None:
    for answers, phase in (
        ((GOOD, UNSURE), "Inconclusive"),
        ((UNSURE, BAD), "Failed"),
        ((BAD, UNSURE), "Failed"),
    ):
        scripts = {"a": [answers[0]], "b": [answers[1]]}
        assert play(two(build, {}, {}), scripts=scripts)[0].phase == phase


def test_of_two_that_fail_at_once_the_first_is_named(play: Play, build: Build) -> None:
    result, _ = play(two(build, {}, {}), scripts={"a": [BAD], "b": [BAD]})
    assert result.message.startswith('Metric "first" assessed Failed')


def test_an_error_ends_the_row_of_successes(play: Play, build: Build) -> None:
    metric = {"interval": "1m", "count": 3, "consecutiveSuccessLimit": 2}
    result, replay = play(build(metric), GOOD, GONE, GOOD, GOOD)
    assert result.phase is Phase.SUCCESSFUL
    assert len(replay.looks) == 4


def test_a_dry_run_decides_nothing(play: Play, build: Build) -> None:
    dry = [{"metricName": "fir.*"}]
    result, replay = play(
        two(build, {}, {"interval": "10s", "count": 3}, dryRun=dry),
        scripts={"a": [BAD], "b": [GOOD]},
    )
    assert outcome(result) == ("Successful", "pass", "advance")
    assert result.message == ""
    assert result.metrics[0].verdict is Verdict.FAIL
    assert result.metrics[0].message == (
        "Metric assessed Failed due to failed (1) > failureLimit (0)"
    )
    assert len(replay.looks) == 4


def test_a_run_waits_for_its_dry_runs(play: Play, build: Build) -> None:
    dry = [{"metricName": "first"}]
    result, _ = play(
        two(build, {"interval": "10s", "count": 9}, {}, dryRun=dry),
        scripts={"a": [GOOD], "b": [GOOD]},
    )
    assert (result.phase, result.finished) == (Phase.SUCCESSFUL, 80.0)


def test_stopping_ends_the_run_without_a_pass(play: Play, build: Build) -> None:
    seen: list[Any] = []
    result, _ = play(
        build({"interval": "10s", "count": 9}),
        GOOD,
        on_measurement=seen.append,
        stop=lambda: len(seen) == 2,
    )
    assert result.terminated
    assert (result.phase, result.message) == (Phase.SUCCESSFUL, "Run Terminated")
    assert (result.verdict, result.action) == (Verdict.UNDECIDED, Action.ADVANCE)
    assert [m.verdict for m in seen] == ["pass", "pass"]


def test_a_failure_in_time_stays_the_message_of_a_stopped_run(play: Play, build: Build) -> None:
    seen: list[Any] = []
    dry = [{"metricName": "first"}]
    result, _ = play(
        two(build, {"failureLimit": 0}, {"interval": "10s", "count": 9}, dryRun=dry),
        scripts={"a": [BAD], "b": [GOOD]},
        on_measurement=seen.append,
        stop=lambda: len(seen) == 3,
    )
    assert (result.phase, result.message) == (Phase.SUCCESSFUL, "Run Terminated")
    assert [m.cut_short for m in result.metrics] == [False, True]


def test_a_delay_of_zero_waits_for_the_metrics_that_have_none(play: Play, build: Build) -> None:
    document = two(build, {"initialDelay": "0s"}, {})
    result, replay = play(document, scripts={"a": [GOOD], "b": [BAD]})
    assert result.phase is Phase.FAILED
    assert replay.looks == [(0.0, "b")]


def test_a_run_stopped_before_its_first_look_passes_nothing(play: Play, build: Build) -> None:
    result, replay = play(build({}), GOOD, stop=lambda: True)
    assert replay.looks == []
    assert result.verdict is Verdict.UNDECIDED


def test_count_with_as_many_undecided_looks_allowed_would_pass_as_the_controller_does(
    play: Play, build: Build
) -> None:
    result, _ = play(build({"interval": "1s", "count": 3, "inconclusiveLimit": 3}), UNSURE)
    assert result.phase is Phase.SUCCESSFUL


WORTHLESS = st.one_of(
    st.none(), st.just([]), st.lists(st.just(math.nan), min_size=1, max_size=3), st.just(UNSURE)
)


@settings(max_examples=300)
@given(script=st.lists(WORTHLESS, min_size=1, max_size=30), data=st.data())
def test_answers_without_a_number_never_pass_a_run_that_the_check_lets_through(
    play: Play, build: Build, script: list[Any], data: st.DataObject
) -> None:
    metric = {
        "interval": "5s",
        "count": data.draw(st.integers(0, 12)),
        "failureLimit": data.draw(st.integers(-1, 3)),
        "inconclusiveLimit": data.draw(st.integers(0, 12)),
        "consecutiveSuccessLimit": data.draw(st.integers(0, 3)),
        "consecutiveErrorLimit": data.draw(st.integers(0, 5)),
    }
    document = build(metric)
    if check_template(read_template(document)):
        return
    result, _ = play(document, *script)
    assert result.verdict is not Verdict.PASS
    assert result.action is not Action.ADVANCE
