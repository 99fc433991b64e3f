"""The figures that pages repeat are those of the templates."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from canary_gate import Phase
from canary_gate.run import judge
from canary_gate.simulation.expectations import BURSTS
from scipy.stats import norm

from rollouts.cases import ROOT, TEMPLATES, analysis, read_document
from rollouts.conventions import SHARED

PAGE = (ROOT / "rollouts" / "README.md").read_text()
VALUES = (ROOT / "docs" / "runbooks" / "analysis-run.md").read_text()
NAMES = sorted(path.parent.name for path in TEMPLATES.glob("*/template.yaml"))
#: An argument, "is" or a bracket, and a number with its unit: `slow-1s-p0` (1 %), `class-z` is 4.
TOLD = re.compile(r"`([a-z][a-z0-9-]+)`\s+(?:\(|is\s+)?(-?\d[\d.]*)(?:\s(%|s|m|h)(?![\w/]))?")


def arguments(name: str) -> dict[str, str | None]:
    """Arguments of a template with their defaults."""
    return {item["name"]: item.get("value") for item in read_document(name)["spec"].get("args", ())}


def own(name: str) -> dict[str, str | None]:
    """Arguments that no other template shares by convention."""
    elsewhere = {"canary-service", "stable-service", "expected-shift"}
    given = arguments(name).items()
    return {key: value for key, value in given if key not in SHARED.keys() | elsewhere}


def as_written(number: str, unit: str) -> str:
    """A number of a page as an argument has it: 5 % is 0.05, 75 s is 75s."""
    return f"{float(number) / 100:g}" if unit == "%" else number + unit


def told(text: str) -> Iterator[tuple[str, str]]:
    for argument, number, unit in TOLD.findall(text):
        yield argument, as_written(number, unit)


def row(name: str) -> list[str]:
    (found,) = re.findall(rf"^\| \[{name}\]\(templates/{name}\) \| (.*) \|$", PAGE, re.MULTILINE)
    return [cell.strip() for cell in found.split(" | ")]


def defaults(cell: str) -> dict[str, str]:
    """Arguments of a cell with what stands behind them; "" is an empty one."""
    found = re.findall(r"`([a-z0-9-]+)` ([^\s,]+)", cell)
    return {argument: value.strip('"') for argument, value in found}


def referred(cell: str) -> str:
    """A cell with those of the rows that it refers to: as error-sprt."""
    return " ".join([cell, *(row(name)[-1] for name in re.findall(r"as ([a-z0-9-]+)", cell))])


@pytest.mark.parametrize("name", NAMES)
def test_the_table_gives_each_template_its_arguments_and_their_defaults(name: str) -> None:
    shown = defaults(referred(row(name)[-1]))
    assert {key: shown.get(key) for key in own(name)} == own(name)
    assert defaults(row(name)[-1]).keys() <= arguments(name).keys()


def test_the_table_of_shared_arguments_has_all_of_them_with_their_defaults() -> None:
    shown: dict[str, str | None] = {}
    for names, values in re.findall(r"^\| (`.+?`) \| (.*?) \| ", PAGE, re.MULTILINE):
        keys = re.findall(r"`(.+?)`", names)
        shown |= zip(keys, values.split(", ") * (len(keys) if values == "none" else 1), strict=True)
    shown = {key: None if value == "none" else value for key, value in shown.items()}
    assert {key: shown.get(key, "missing") for key in SHARED} == SHARED


def test_the_arguments_for_bursts_are_those_that_are_simulated() -> None:
    (bullet,) = re.findall(r"^- Errors in bursts.*?\.$", PAGE, re.MULTILINE | re.DOTALL)
    assert dict(re.findall(r"`([a-z-]+)` ([\d.]+\d|\d)", bullet)) == BURSTS


@pytest.mark.parametrize("name", NAMES)
def test_a_number_behind_an_argument_is_its_default(name: str) -> None:
    given = arguments(name)
    page = (TEMPLATES / name / "README.md").read_text()
    found = [(argument, value) for argument, value in told(page) if argument in given]
    assert found == [(argument, given[argument]) for argument, _ in found]


def test_some_numbers_stand_behind_arguments() -> None:
    pages = {name: (TEMPLATES / name / "README.md").read_text() for name in NAMES}
    found = [1 for name, page in pages.items() for key, _ in told(page) if key in arguments(name)]
    assert len(found) >= 15


@pytest.mark.parametrize("name", NAMES)
def test_a_page_asks_a_question_and_says_what_the_result_is(name: str) -> None:
    text = (TEMPLATES / name / "README.md").read_text()
    first = " ".join(text.split("\n\n")[1].split())
    assert text.startswith(f"# {name}\n\n")
    assert not re.search(r"\. |\.$", first.partition("?")[0])
    assert "?" in first
    job = "job" in read_document(name)["spec"]["metrics"][0]["provider"]
    assert job or "As [" in first or "The result is" in " ".join(text.split())


@pytest.mark.parametrize("name", NAMES)
def test_the_runbook_says_what_the_numbers_of_each_question_mean(name: str) -> None:
    rows = re.findall(r"^\| (`.+?) \|", VALUES, re.MULTILINE)
    assert sum(f"`{name}`" in cell for cell in rows) == 1


def fails(name: str, requests: int, bad: int) -> bool:
    """Whether a window fails at so many errors or slow requests; below, it passes."""
    second = bad if name == "error-window" else requests - bad
    metric: Any = analysis(read_document(name)).metrics[0]
    return judge(metric, [float(requests), float(second)]) is Phase.FAILED


QUANTILES = ("error-z", "latency-z")
WINDOWS = ["error-window", "latency-500ms-window", "latency-1s-window"]


@pytest.mark.parametrize("name", WINDOWS)
def test_the_counts_that_a_runbook_lets_pass_are_the_last_ones_that_do(name: str) -> None:
    (cell,) = re.findall(rf"^\| `{name}` \| .*? \| (up to .*?) \|", VALUES, re.MULTILINE)
    counts = [
        (int(n.replace(",", "")), int(bad))
        for bad, n in re.findall(r"(\d+)[a-z ]* of ([\d,]+)", cell)
    ]
    assert counts
    assert [(n, bad, fails(name, n, bad), fails(name, n, bad + 1)) for n, bad in counts] == [
        (n, bad, False, True) for n, bad in counts
    ]


@pytest.mark.parametrize(
    ("name", "bad"), [("latency-500ms-window", 183), ("latency-1s-window", 46)]
)
def test_the_counts_that_a_readme_names_are_the_first_that_fail(name: str, bad: int) -> None:
    assert f"{bad} of 3,000" in (TEMPLATES / name / "README.md").read_text()
    assert fails(name, 3_000, bad)
    assert not fails(name, 3_000, bad - 1)


@pytest.mark.parametrize("name", WINDOWS)
def test_the_level_of_a_window_in_the_table_is_that_of_its_quantile(name: str) -> None:
    (z,) = (float(str(value)) for key, value in arguments(name).items() if key in QUANTILES)
    levels = re.findall(r" at ([\d.]+) %", " ".join(row(name)))
    assert [float(level) / 100 for level in levels] == [pytest.approx(norm.cdf(z), abs=1e-4)]
