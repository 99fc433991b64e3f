from collections.abc import Callable, Mapping
from typing import Any

import pytest
from canary_gate import (
    Analysis,
    AnalysisRun,
    Job,
    Phase,
    ProviderError,
    RefusedError,
    Verdict,
    load_templates,
    run_analysis,
)

Build = Callable[..., dict[str, Any]]
Play = Callable[..., Any]
MANIFEST = {"spec": {"template": {"spec": {"containers": [{"name": "probe"}]}}}}
GOOD, BAD = 0.0, 3.0
DONE, FAILED = (Phase.SUCCESSFUL, ""), (Phase.FAILED, "")


class Jobs:
    """Runs jobs by a script of how long each lasts and what it comes to.

    An exception is a job that is gone, or in place of the pair one that cannot be started.
    """

    def __init__(self, *script: Any, clock: Callable[[], float] = lambda: 0.0) -> None:
        self.script, self.clock = list(script), clock
        self.started: list[tuple[str, Mapping[str, Any]]] = []
        self.stopped = 0
        self.stop_error: Exception | None = None

    def start(self, metric: str, manifest: Mapping[str, Any]) -> Job:
        self.started.append((metric, manifest))
        entry = self.script.pop(0)
        if isinstance(entry, Exception):
            raise entry
        return ScriptedJob(self, self.clock() + entry[0], entry[1])


class ScriptedJob:
    def __init__(self, jobs: Jobs, ends: float, outcome: Any) -> None:
        self.jobs, self.ends, self.outcome = jobs, ends, outcome

    def state(self) -> tuple[Phase, str]:
        if self.jobs.clock() < self.ends:
            return Phase.RUNNING, ""
        if isinstance(self.outcome, Exception):
            raise self.outcome
        state: tuple[Phase, str] = self.outcome
        return state

    def stop(self) -> None:
        self.jobs.stopped += 1
        if self.jobs.stop_error:
            raise self.jobs.stop_error


def job(build: Build, **fields: Any) -> dict[str, Any]:
    conditions = {"successCondition": "", "failureCondition": ""}
    return build({"provider": {"job": MANIFEST}, **conditions, **fields})


def outcome(result: Any) -> tuple[str, str, str]:
    return result.phase, result.verdict, result.action


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        (DONE, ("Successful", "pass", "advance")),
        (FAILED, ("Failed", "fail", "abort")),
        ((Phase.INCONCLUSIVE, "ErrImagePull"), ("Inconclusive", "undecided", "pause")),
    ],
)
def test_a_job_decides_by_how_it_ends(
    play: Play, build: Build, ended: Any, expected: tuple[str, str, str]
) -> None:
    jobs = Jobs((0, ended))
    result, replay = play(job(build), jobs=jobs)
    assert outcome(result) == expected
    assert replay.looks == []
    assert jobs.started == [("metric", MANIFEST)]


def test_a_job_is_looked_at_ever_less_often_until_it_ends(play: Play, build: Build) -> None:
    jobs = Jobs((60, DONE))
    replayed: list[Any] = []
    run, replay = virtual(job(build), jobs)
    while not run.phase.completed:
        run.reconcile()
        replayed.append(round(replay.now, 1))
        replay.now = max(replay.now, run.next_look)
    assert replayed[:6] == [0.0, 0.0, 1.0, 2.4, 4.6, 7.6]
    assert 60 <= replayed[-1] <= 60 + (2 * 60) ** 0.5
    assert run.result().metrics[0].measurements[0].at == replay.now


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Silent:
    def query(self, query: str) -> list[float]:
        raise ProviderError(query)


def virtual(document: dict[str, Any], jobs: Jobs) -> tuple[AnalysisRun, Clock]:
    clock = Clock()
    jobs.clock = clock
    analysis = Analysis(load_templates([document]).values())
    return AnalysisRun(analysis, Silent(), jobs=jobs, clock=clock), clock


def test_a_job_that_cannot_be_started_or_is_gone_is_repeated_after_ten_seconds(
    play: Play, build: Build
) -> None:
    jobs = Jobs(ProviderError("quota"), (0, ProviderError("gone")), (0, DONE))
    result, _ = play(job(build), jobs=jobs)
    looks = [(look.at, look.phase, look.message) for look in result.metrics[0].measurements]
    assert looks == [(0.0, "Error", "quota"), (10.0, "Error", "gone"), (20.0, "Successful", "")]
    assert result.verdict is Verdict.PASS


def test_a_job_with_count_runs_anew_each_interval(play: Play, build: Build) -> None:
    jobs = Jobs((0, DONE), (0, DONE), (0, FAILED))
    result, _ = play(job(build, interval="1m", count=3), jobs=jobs)
    assert len(jobs.started) == 3
    assert result.verdict is Verdict.FAIL


def beside(build: Build) -> dict[str, Any]:
    return build(
        {
            "name": "job",
            "provider": {"job": MANIFEST},
            "successCondition": "",
            "failureCondition": "",
        },
        {"name": "errors", "initialDelay": "30s"},
    )


def test_a_metric_that_fails_ends_the_job_beside_it(play: Play, build: Build) -> None:
    jobs = Jobs((600, DONE))
    result, _ = play(beside(build), BAD, jobs=jobs)
    assert outcome(result) == ("Failed", "fail", "abort")
    ended = result.metrics[0]
    assert jobs.stopped == 1
    assert (ended.phase, ended.message) == ("Inconclusive", "Metric Terminated")
    assert (ended.cut_short, ended.verdict) == (True, "undecided")


def test_a_metric_that_fails_at_once_ends_a_job_that_has_done_its_work(
    play: Play, build: Build
) -> None:
    document = beside(build)
    del document["spec"]["metrics"][1]["initialDelay"]
    jobs = Jobs((0, DONE))
    result, _ = play(document, BAD, jobs=jobs)
    assert (jobs.stopped, result.metrics[0].verdict) == (1, "undecided")


def test_a_run_stopped_while_its_job_runs_is_inconclusive(play: Play, build: Build) -> None:
    jobs = Jobs((600, DONE))
    run, clock = virtual(job(build), jobs)
    run.reconcile()
    run.terminate()
    result = run.result()
    assert outcome(result) == ("Inconclusive", "undecided", "pause")
    assert result.message == (
        'Metric "metric" assessed Inconclusive due to inconclusive (1) > inconclusiveLimit (0): '
        '"Error Message: Metric Terminated"'
    )
    assert clock.now == 0.0


def test_a_job_that_cannot_be_stopped_is_an_error(play: Play, build: Build) -> None:
    jobs = Jobs((600, DONE))
    jobs.stop_error = ProviderError("forbidden")
    run, _ = virtual(job(build, consecutiveErrorLimit=0), jobs)
    run.reconcile()
    run.terminate()
    assert run.result().phase is Phase.ERROR
    assert run.result().metrics[0].message == "forbidden"


def test_a_run_that_has_ended_does_nothing_more(build: Build) -> None:
    jobs = Jobs((0, DONE))
    run, _ = virtual(job(build), jobs)
    run.reconcile()
    run.reconcile()
    ended = run.result()
    run.reconcile()
    run.terminate()
    assert run.result() == ended
    assert (ended.phase, ended.terminated) == (Phase.SUCCESSFUL, False)


def test_an_analysis_with_a_job_is_refused_where_nothing_runs_jobs(build: Build) -> None:
    analysis = Analysis(load_templates([job(build)]).values())
    with pytest.raises(RefusedError, match="template template, metric metric: runs a job, and"):
        run_analysis(analysis, Silent())
