"""The analysis in the background may stop a release, whatever its step says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from canary_gate import Measurement, Phase
from release_play.gate import shown
from release_play.pace import Pace
from release_play.release import ABORTED, PROMOTED, UNDECIDED, Plan, ReleasePlay, find_rollout
from release_play.stage import Stage
from release_play.view import View

if TYPE_CHECKING:
    from conftest import Models, Release


def always(name: str, failure: str, success: str) -> dict[str, Any]:
    """A template's spec: one metric without end, whose result is always 1."""
    metric = {
        "name": name,
        "interval": "1s",
        "failureCondition": failure,
        "successCondition": success,
        "provider": {"prometheus": {"query": "vector(1)"}},
    }
    return {"metrics": [metric]}


@pytest.mark.parametrize(
    ("failure", "verdict", "why"),
    [
        ("result[0] == 1", ABORTED, "failed (1) > failureLimit (0), last value 1"),
        ("result[0] == 2", UNDECIDED, "inconclusive (1) > inconclusiveLimit (0), last value 1"),
    ],
)
def test_a_release_stops_for_what_the_background_sees(
    stage: Stage,
    models: Models,
    commit_release: Release,
    good_model: bytes,
    pace: Pace,
    view: View,
    failure: str,
    verdict: str,
    why: str,
) -> None:
    overlay = commit_release(models.release(2, good_model))
    named = {document["metadata"]["name"]: document for document in overlay.documents}
    named["slo-burn"]["spec"] = always("watch", failure, "result[0] == 3")
    named["load"]["spec"] = always("wait", "result[0] == 2", "result[0] == 1")
    canary = find_rollout(overlay.documents)["spec"]["strategy"]["canary"]
    canary["analysis"]["startingStep"] = 1
    step = {"analysis": {"templates": [{"templateName": "load"}]}}
    canary["steps"] = [{"setWeight": 10}, step]
    outcome = ReleasePlay(stage, overlay, pace, view).play(Plan("version 2", PROMOTED))
    assert outcome.verdict == verdict
    assert outcome.reason.startswith('at 10 %: in the background: Metric "watch" assessed ')
    assert outcome.reason.endswith(why)
    assert [(metric.name, len(metric.measurements)) for metric in outcome.beside] == [("watch", 1)]
    assert outcome.steps[0].verdict == "undecided"


@pytest.mark.parametrize(
    ("value", "message", "text"),
    [
        ([1.23456, 2.0], "", "1.235, 2"),
        (3.0, "", "3"),
        ([], "", "no data"),
        (None, "pass: 64 cases", "pass: 64 cases"),
        (None, "", "no answer"),
    ],
)
def test_a_measurement_is_shown_by_its_numbers_or_by_what_it_says(
    value: Any, message: str, text: str
) -> None:
    assert shown(Measurement("m", 0.0, value, Phase.SUCCESSFUL, message)) == text
