"""A release on real servers is promoted only by measurements that say so."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from release_play.outcome import ReleaseOutcome
from release_play.pace import Pace
from release_play.processes import Process
from release_play.release import ABORTED, PROMOTED, UNDECIDED, Plan, ReleasePlay, find_rollout
from release_play.stage import Stage
from release_play.view import View

if TYPE_CHECKING:
    from conftest import Models, Release


@pytest.fixture
def play(
    stage: Stage, models: Models, commit_release: Release, pace: Pace, view: View
) -> Callable[[bytes], ReleaseOutcome]:
    """Play a model as version 2."""

    def release(model: bytes) -> ReleaseOutcome:
        overlay = commit_release(models.release(2, model))
        return ReleasePlay(stage, overlay, pace, view).play(Plan("version 2", PROMOTED))

    return release


def kill_once(process: Callable[[], Process | None], when: Callable[[], bool]) -> threading.Thread:
    """Kill a program as soon as a condition holds, at most 60 s from now."""

    def wait_and_kill() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            target = process()
            if target and when():
                os.kill(target.popen.pid, signal.SIGKILL)
                return
            time.sleep(0.05)

    thread = threading.Thread(target=wait_and_kill, daemon=True)
    thread.start()
    return thread


def canary_serves(stage: Stage) -> bool:
    return stage.traffic.tally.requests["canary"] > 20


def test_a_model_that_fails_on_real_rows_is_aborted_at_ten_percent(
    play: Callable[[bytes], ReleaseOutcome], stage: Stage, bad_model: bytes
) -> None:
    before = stage.stable
    outcome = play(bad_model)
    assert outcome.verdict == ABORTED
    # Either sees it: the budget of a sample this small burns with four errors.
    assert "error-sprt" in outcome.reason or "slo-burn" in outcome.reason
    *at_zero, at_ten = [(step.weight, step.verdict) for step in outcome.steps]
    assert at_zero == [(0, "pass"), (0, "pass")]
    assert at_ten in [(10, "fail"), (10, "undecided")]
    assert stage.stable is before
    assert stage.canary is None
    assert stage.traffic.split.weight == 0


def test_a_model_of_another_hash_is_never_ready_and_gets_no_request(
    stage: Stage,
    models: Models,
    commit_release: Release,
    good_model: bytes,
    pace: Pace,
    view: View,
) -> None:
    release = replace(models.release(2, good_model), sha256="ab" * 32)
    overlay = commit_release(release)
    outcome = ReleasePlay(stage, overlay, pace, view).play(Plan("version 2", PROMOTED))
    assert outcome.verdict == ABORTED
    assert "never ready" in outcome.reason
    assert outcome.requests["canary"] == 0


def test_without_prometheus_nothing_is_promoted(
    play: Callable[[bytes], ReleaseOutcome], stage: Stage, good_model: bytes
) -> None:
    kill_once(lambda: stage.prometheus.process, lambda: canary_serves(stage))
    outcome = play(good_model)
    assert outcome.verdict == UNDECIDED
    assert "prometheus ended with status -9" in outcome.reason
    assert stage.traffic.split.weight == 0


def test_a_canary_that_dies_is_aborted_by_name(
    play: Callable[[bytes], ReleaseOutcome], stage: Stage, good_model: bytes
) -> None:
    kill_once(lambda: stage.canary and stage.canary.process, lambda: canary_serves(stage))
    outcome = play(good_model)
    assert outcome.verdict == ABORTED
    assert "inference-" in outcome.reason
    assert "ended with status -9" in outcome.reason


def test_without_traffic_the_answer_is_dont_know(
    stage: Stage, models: Models, commit_release: Release, good_model: bytes, view: View
) -> None:
    stage.traffic.__exit__(None, None, None)
    overlay = commit_release(models.release(2, good_model))
    pace = Pace(rate=10_000, minimum_requests=1_000)
    outcome = ReleasePlay(stage, overlay, pace, view).play(Plan("version 2", PROMOTED))
    assert outcome.verdict == UNDECIDED
    assert outcome.requests == {"stable": 0, "canary": 0}


def test_a_ladder_that_waits_for_a_person_is_undecided(
    stage: Stage,
    models: Models,
    commit_release: Release,
    good_model: bytes,
    pace: Pace,
    view: View,
) -> None:
    overlay = commit_release(models.release(2, good_model))
    canary = find_rollout(overlay.documents)["spec"]["strategy"]["canary"]
    canary["steps"] = [{"pause": {"duration": "1s"}}, {"pause": {}}]
    outcome = ReleasePlay(stage, overlay, pace, view).play(Plan("version 2", PROMOTED))
    assert (outcome.verdict, outcome.requests["canary"]) == (UNDECIDED, 0)
    assert outcome.seconds >= 1
    assert "waits for a person" in outcome.reason
