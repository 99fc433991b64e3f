"""The view is readable in a log and in a terminal, and never trusts what it shows."""

from __future__ import annotations

import io

import pytest
from gitops_policy import Finding, ResourceId, Severity
from release_play.outcome import (
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


def test_a_step_shows_the_verdict_of_each_metric(view: View, screen: io.StringIO) -> None:
    metrics = [MetricOutcome("error-sprt", "fail"), MetricOutcome("model-sanity", "undecided")]
    view.step(StepOutcome(10, "fail", metrics))
    assert screen.getvalue() == "   10 %  fail  (error-sprt fail, model-sanity undecided)\n"


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
