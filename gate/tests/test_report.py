"""The gate's report: figures as people read them, three files, and a limit that is missed."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from canary_gate.cli import main
from canary_gate.report import command, figures
from canary_gate.report.document import Document, Plot, Section, Table, write_markdown, write_page
from canary_gate.report.plots import Panel, Point, curves
from canary_gate.simulation import Spread, expectations
from canary_gate.simulation.default_ladder import ladder_steps
from canary_gate.simulation.expectations import Expectation, Limit
from canary_gate.simulation.scenario import Rates, Scenario

ROOT = Path(__file__).resolve().parents[2]
BAD = Scenario("5 % errors", 100.0, Rates(errors=0.05))


def few(bound: float) -> tuple[Expectation, ...]:
    return (
        Expectation("good", [Scenario("good", 10.0), Scenario("good", 100.0)], []),
        Expectation(
            "bad: <stopped>", [BAD, replace(BAD, canary_rps=10.0)], [Limit("aborted", bound)]
        ),
    )


def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: float) -> int:
    monkeypatch.setattr(command, "EXPECTATIONS", few(bound))
    words = ["report", "--rollouts", str(ROOT / "rollouts"), "--page", str(tmp_path / "gate.md")]
    words += ["--output", str(tmp_path / "out"), "--releases", "20", "--alone", "20"]
    words += ["--prometheus", str(ROOT / ".tools" / "bin" / "prometheus")]
    return main([*words, "--processes", "1"])


def test_a_report_is_a_page_a_file_for_programs_and_markdown_with_plots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(tmp_path, monkeypatch, bound=1.0) == 0
    assert "4 kinds of release, 0 limits missed" in capsys.readouterr().out

    page = (tmp_path / "gate.md").read_text()
    assert "| 5 % errors | 100 | all 20 (above 83.2 %) | 0 of 20 (below 16.8 %) |" in page
    assert "aborted <= 100 %: proven" in page
    assert (tmp_path / "gate" / "aborted-by-error-rate.svg").read_text().startswith("<svg")
    html = (tmp_path / "out" / "report.html").read_text()
    assert "Bad: &lt;stopped&gt;" in html
    assert "<svg" in html

    cells = json.loads((tmp_path / "out" / "report.json").read_text())["cells"]
    (ladder,) = (
        cell
        for cell in cells
        if (cell["scenario"], cell["template"], cell["canary_rps"]) == ("5 % errors", "ladder", 100)
    )
    assert set(ladder["aborted"]) == {"rate", "low", "high"}
    assert ladder["aborted"]["rate"] == 1.0
    assert ladder["releases"] == 20
    assert ladder["seconds_to_verdict"] == 30.0
    assert ladder["requests_to_verdict"] == 3000.0


def test_a_missed_limit_is_named_and_ends_with_status_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(tmp_path, monkeypatch, bound=0.5) == 1
    assert "missed: 5 % errors at 100/s: aborted 1, limit 0.5" in capsys.readouterr().out


def test_a_folder_without_ladders_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--rollouts", str(tmp_path)]) == 2
    assert f"{tmp_path}: no folder with ladders/ and templates/" in capsys.readouterr().err


def test_the_published_page_is_about_the_templates_as_they_stand() -> None:
    fingerprint = command.fingerprint(ladder_steps(ROOT / "rollouts"))
    page = (ROOT / "docs" / "gate.md").read_text()
    assert f"templates `{fingerprint}`" in page, "run `make gate-report`"


def test_the_published_page_misses_no_limit() -> None:
    assert ": missed" not in (ROOT / "docs" / "gate.md").read_text()


def test_any_argument_changes_the_fingerprint() -> None:
    changed = ladder_steps(ROOT / "rollouts", {"error-z": "2.3264"})
    assert command.fingerprint(changed) != command.fingerprint(ladder_steps(ROOT / "rollouts"))


@pytest.mark.parametrize(
    ("count", "releases", "text"),
    [
        (0, 10_000, "0 of 10,000 (below 0.0369 %)"),
        (10_000, 10_000, "all 10,000 (above 99.963 %)"),
        (5, 10_000, "0.05 % (0.0162 % to 0.117 %)"),
        (9_999, 10_000, "99.99 % (99.944 % to 99.99975 %)"),
    ],
)
def test_a_share_says_how_sure_it_is(count: int, releases: int, text: str) -> None:
    assert figures.share(count, releases) == text


@pytest.mark.parametrize(
    ("spread", "text"),
    [
        (Spread.of(np.array([100.0, 300.0] * 50)), "200 ± 20 s"),
        (Spread.of(np.array([30.0] * 10)), "30 ± 0.00 s"),
        (Spread.of(np.array([])), "–"),
    ],
)
def test_a_mean_says_how_sure_it_is(spread: Spread, text: str) -> None:
    assert figures.mean(spread, " s") == text


def test_the_same_figures_give_the_same_plot() -> None:
    panel = Panel("10/s", "errors, %", 0.1, 0.5, {"gate": [Point(0.1, 0.5, 0.4, 0.6)]})
    assert curves([panel], "aborted") == curves([panel], "aborted")


def test_markup_in_a_text_is_text_on_the_page(tmp_path: Path) -> None:
    plot = Plot("plot", "<svg></svg>", "what it shows")
    section = Section("a < b", ["`x <y>` & z"], Table(("head",), [("`c`",)]), plot)
    written = Document("title", [], [section])
    write_page(written, tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    assert "<code>x &lt;y&gt;</code> &amp; z" in html
    assert "<td><code>c</code></td>" in html
    write_markdown(written, tmp_path / "page.md")
    assert "![what it shows](page/plot.svg)" in (tmp_path / "page.md").read_text()
    assert "| head |\n| --- |\n| `c` |\n" in (tmp_path / "page.md").read_text()


def test_every_limit_of_the_expectations_names_a_quantity_that_cells_have() -> None:
    limits = [limit for each in expectations.EXPECTATIONS for limit in each.limits]
    times = {"slowest", "p99.9"}
    counted = {"aborted", "undecided", "promoted", "aborted at 10 %", "undecided for outage"}
    assert {limit.quantity for limit in limits} <= times | counted
