"""The page about the scenarios: whole, without network, and true to what was recorded."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from e2e.scenarios.evidence import report
from e2e.scenarios.evidence.drawing import draw
from e2e.scenarios.evidence.recording import file_name
from e2e.scenarios.watch import envoy_weight

CHANGES = [
    [100, "route.canary", 0],
    [120, "route.canary", 10],
    [140, "route.canary", 0],
    [100, "rollout.phase", "Healthy"],
    [140, "rollout.phase", "Degraded"],
    [121, "analysis/one", "Running"],
    [139, "analysis/one", "Failed"],
]
REQUESTS = [
    {"at": 125, "version": "1", "status": 200, "requests": 90},
    {"at": 125, "version": "2", "status": 200, "requests": 8},
    {"at": 125, "version": "2", "status": 500, "requests": 2},
]
ENVIRONMENT = {
    "namespace": "inference-try",
    "template": "staging",
    "changes": CHANGES,
    "requests": REQUESTS,
}
RECORD = {
    "test": "e2e/scenarios/test_try.py::test_it[a <b>]",
    "title": "it: a <b>",
    "outcome": "failed",
    "began": 100.0,
    "ended": 160.0,
    "seconds": {"call": 60.0},
    "notes": {"refused by": "error-sprt"},
    "marks": [[110, "commit"]],
    "failure": "call: it was <not> so",
    "logs": {"part argo-rollouts": "a line"},
    "environments": [ENVIRONMENT],
}


def test_the_page_asks_nothing_of_the_network_and_escapes_what_was_said(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "_lowered", list)
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "a.json").write_text(json.dumps(RECORD))
    page = report.write(tmp_path).read_text()
    assert not re.search(r"(src|href)=[\"']https?:", page)
    assert "it was &lt;not&gt; so" in page
    assert "a line" in page
    assert "1 failed" in page


def test_a_run_without_scenarios_has_a_page_too(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "_lowered", list)
    assert "0 passed" in report.write(tmp_path).read_text()


def test_a_timeline_shows_weights_verdicts_and_requests_by_version_and_status():
    drawing = draw(ENVIRONMENT, [(110, "commit")], 100, 160)
    lanes = {lane.name: [(bar.text, bar.tone) for bar in lane.bars] for lane in drawing.lanes}
    assert lanes["Rollout"] == [("Healthy", "good"), ("Degraded", "bad")]
    assert lanes["analysis 1"] == [("Running", "busy"), ("Failed", "bad")]
    legend = [text for plot in drawing.plots for _, text in plot.legend]
    assert legend == [
        "HTTPRoute",
        "version 1: 2xx (90)",
        "version 2: 2xx (8)",
        "version 2: 500 (2)",
    ]


@pytest.mark.parametrize(
    ("weights", "percent"),
    [
        ({"inference-stable": 90, "inference-canary": 10}, 10),
        ({"inference-stable": 1, "inference-canary": 1}, 50),
        ({"inference-stable": 0, "inference-canary": 0}, None),
    ],
)
def test_envoys_weight_is_the_canarys_percentage(weights, percent):
    route = {"namespace": "inference-try", "name": "inference", "rule": 0, "weights": weights}
    assert envoy_weight({"routes": [route]}, "inference-try") == percent
    assert envoy_weight({"routes": [route]}, "inference-other") is None
    assert envoy_weight({"error": "no answer"}, "inference-try") is None


def test_a_tests_name_is_a_file_name():
    assert "/" not in file_name(RECORD["test"])
    assert Path(file_name(RECORD["test"])).name == file_name(RECORD["test"])
