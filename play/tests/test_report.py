"""The report says what was found, and needs nothing but itself to be read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from release_play.outcome import (
    Curves,
    MeasurementOutcome,
    MetricOutcome,
    OverlayOutcome,
    ReleaseOutcome,
    RunOutcome,
    StepOutcome,
)
from release_play.report import plot, write_reports


def release(
    verdict: str = "aborted", expected: str = "aborted", **changes: object
) -> ReleaseOutcome:
    looks = [
        MeasurementOutcome(101.0, "no data", "Inconclusive"),
        MeasurementOutcome(102.0, "5.2", "Failed"),
    ]
    values: dict[str, object] = {
        "name": "bad",
        "expected": expected,
        "verdict": verdict,
        "reason": "at 10 %: <script>alert(1)</script>",
        "seconds": 9.4,
        "requests": {"stable": 900, "canary": 100},
        "lost": 0,
        "steps": [StepOutcome(10, "fail", [MetricOutcome("error-sprt", "fail", looks)])],
        "beside": [
            MetricOutcome(
                "slo-burn", "undecided", [MeasurementOutcome(101.0, "0.1, 0.1", "Successful")]
            )
        ],
        "curves": Curves(
            stable=[(100.0, 450.0), (101.0, 452.0)],
            canary=[(101.0, 50.0)],
            errors=[(101.0, 5.0)],
            llr=[(101.0, 1.6), (102.0, 5.2)],
            boundaries=(-4.595, 4.595),
        ),
    }
    return ReleaseOutcome(**{**values, **changes})  # type: ignore[arg-type]


def run(errors: int = 0, *releases: ReleaseOutcome) -> RunOutcome:
    overlay = OverlayOutcome("staging/inference", 40, {"error": errors, "warning": 1})
    return RunOutcome([overlay], list(releases), expected_releases=1)


def test_a_run_is_clean_only_with_every_release_judged_as_expected() -> None:
    assert run(0, release()).clean
    assert not run(1, release()).clean
    assert not run(0, release(verdict="promoted")).clean
    assert not run(0, release(verdict="undecided")).clean
    assert not run(0).clean


def test_the_json_has_the_shape_that_other_parts_read(tmp_path: Path) -> None:
    write_reports(run(0, release()), {"interval": "1s"}, tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["overlays"] == [
        {"name": "staging/inference", "manifests": 40, "findings": {"error": 0, "warning": 1}}
    ]
    (found,) = report["releases"]
    assert set(found) == {
        *("name", "expected", "verdict", "reason", "seconds", "requests", "lost", "steps", "beside")
    }
    assert found["beside"][0]["measurements"][0]["value"] == "0.1, 0.1"
    (step,) = found["steps"]
    assert (step["weight"], step["verdict"]) == (10, "fail")
    assert step["metrics"][0]["measurements"][1] == {"at": 102.0, "value": "5.2", "phase": "Failed"}


def test_the_page_needs_no_other_file_and_escapes_what_it_shows(tmp_path: Path) -> None:
    page = write_reports(run(0, release()), {"interval": "1s"}, tmp_path).read_text()
    assert not re.search(r'<(script|link|img|iframe)\b|(src|href)="https?:', page)
    assert "&lt;script&gt;" in page
    assert "<svg" in page
    assert "interval" in page
    assert re.search(r"<td>beside</td><td>slo-burn</td>.*\n.*1</td>\n.*0\.1, 0\.1", page)


def test_a_run_without_releases_has_a_page_too(tmp_path: Path) -> None:
    assert "Not as expected" in write_reports(run(2), {}, tmp_path).read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]


def test_a_release_that_measured_nothing_can_be_drawn() -> None:
    empty = Curves([], [], [], [], None)
    assert plot(release(curves=empty, steps=[])).startswith("<svg")
    with pytest.raises(ValueError, match="no curves"):
        plot(release(curves=None))
