"""The view is readable in a log and in a terminal, and never trusts what it shows."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from gitops_policy import Finding, ResourceId, Severity
from release_play.outcome import (
    MeasurementOutcome,
    MetricOutcome,
    OverlayOutcome,
    ReleaseOutcome,
    RunOutcome,
    StepOutcome,
)
from release_play.view import View
from rich.console import Console

RELEASE = ReleaseOutcome(
    "bad", "aborted", "aborted", "at 10 %: [red]x[/red]", 9.4, {"stable": 900, "canary": 99}, 0, []
)


def test_a_log_gets_no_escape_codes_and_no_live_line(view: View, screen: io.StringIO) -> None:
    with view.doing("starting"):
        view.now("still starting")
        view.line("started")
    assert screen.getvalue() == "  started\n"


def test_a_terminal_gets_a_live_line_of_one_line(screen: io.StringIO) -> None:
    console = Console(file=screen, width=40, force_terminal=True, highlight=False)
    view = View(console)
    with view.doing("starting"):
        view.now("10 %, " + "x" * 100)
    assert "10 %, xxx" in screen.getvalue()
    assert "x" * 35 not in screen.getvalue()


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch, screen: io.StringIO) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    View(Console(file=screen, force_terminal=True, highlight=False)).release(RELEASE)
    assert "\x1b[3" not in screen.getvalue()


def test_a_finding_names_rule_object_and_what_is_wrong(view: View, screen: io.StringIO) -> None:
    finding = Finding(
        rule="run-as-non-root",
        severity=Severity.error,
        resource=ResourceId("argoproj.io/v1alpha1", "Rollout", "ns", "inference"),
        pointer="/spec",
        message="runs as [root]",
        fix="",
    )
    overlay = OverlayOutcome("dev/inference", 30, {"error": 1, "warning": 0})
    view.overlay(overlay, [finding])
    assert "dev/inference" in screen.getvalue()
    assert "30 manifests  1 errors" in screen.getvalue()
    assert "error run-as-non-root: Rollout/inference: runs as [root]" in screen.getvalue()


def test_a_step_shows_its_metrics_by_verdict(view: View, screen: io.StringIO) -> None:
    metrics = [
        MetricOutcome("model-sanity", "pass"),
        MetricOutcome("error-sprt", "fail"),
        MetricOutcome("pod-restarts", "pass"),
        *(MetricOutcome(f"metric-{number}", "undecided") for number in range(5)),
    ]
    view.step(StepOutcome(10, "fail", metrics))
    assert screen.getvalue() == (
        "   10 %  fail  (error-sprt fail; 5 metrics undecided; model-sanity, pod-restarts pass)\n"
    )


def test_a_release_shows_what_the_background_saw(view: View, screen: io.StringIO) -> None:
    looks = [MeasurementOutcome(float(at), "1", phase) for at, phase in enumerate(("Failed", "x"))]
    view.release(replace(RELEASE, beside=[MetricOutcome("slo-burn", "fail", looks)]))
    assert "  beside  slo-burn: 1 of 2 looks failed\n" in screen.getvalue()


def test_text_from_outside_is_shown_as_it_is(view: View, screen: io.StringIO) -> None:
    view.release(RELEASE)
    assert screen.getvalue() == "  aborted: at 10 %: [red]x[/red]\n"


def test_the_result_is_a_table_and_nothing_when_nothing_was_played(
    view: View, screen: io.StringIO
) -> None:
    view.result(RunOutcome([], [], 2))
    assert screen.getvalue() == ""
    view.result(RunOutcome([], [RELEASE], 1))
    assert "bad" in screen.getvalue()
    assert "900" in screen.getvalue()
