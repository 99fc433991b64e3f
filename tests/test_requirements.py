"""The page of requirements is true: every one is on it, and what it names shows something."""

import ast
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/requirements.md"
CASES = "policy-tests/cases/"
HIGHEST = {
    "CI": 18, "CD": 19, "GO": 6, "SV": 11, "MM": 4, "GPU": 4, "SE": 13, "HA": 10, "DA": 6,
    "TR": 12, "OB": 9, "AL": 6, "DR": 8, "CH": 1, "LT": 4, "CO": 3, "DO": 7, "CP": 5, "KB": 17,
}  # fmt: skip
EXPECTED = [f"{area}-{n:02d}" for area, last in HIGHEST.items() for n in range(1, last + 1)]


class Row(NamedTuple):
    """One line of a table: the requirement in short words, and what shows it."""

    id: str
    asked: str
    shown: str

    @property
    def is_open(self) -> bool:
        return self.shown.startswith("open")

    @property
    def references(self) -> list[str]:
        return re.findall(r"`([^`]+)`", self.shown)


def rows() -> list[Row]:
    lines = PAGE.read_text().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [Row(*c) for c in cells if re.fullmatch(r"[A-Z]+-\d+", c[0]) and len(c) == 3]


def references(of: list[Row]) -> list[str]:
    return sorted({reference for row in of for reference in row.references})


def shown_rows() -> list[Row]:
    return [row for row in rows() if not row.is_open]


@cache
def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))


@cache
def folders_of_make_test() -> tuple[Path, ...]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return tuple(ROOT / path for path in settings["tool"]["pytest"]["ini_options"]["testpaths"])


def is_run(file: Path) -> bool:
    """Whether `make test` collects this file."""
    return file.match("test_*.py") and any(
        file.is_relative_to(each) for each in folders_of_make_test()
    )


def functions_in(file: Path) -> set[str]:
    tree = ast.parse(file.read_text())
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return {node.name for node in tree.body if isinstance(node, kinds)}


def test_every_requirement_has_exactly_one_row() -> None:
    lines = re.findall(r"^\|\s*([A-Z]+-\d+)", PAGE.read_text(), re.MULTILINE)
    assert lines == EXPECTED
    assert [row.id for row in rows()] == EXPECTED, "a row has three cells"


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.id)
def test_a_row_says_what_was_asked_and_what_shows_it_or_that_it_is_open(row: Row) -> None:
    assert row.asked
    if row.is_open:
        assert re.fullmatch(r"open|open \(partly: .*`.+`.*\)", row.shown)
    else:
        assert row.references, f"{row.shown!r} is neither open nor a command or test in backticks"


@pytest.mark.parametrize("reference", references(rows()))
def test_what_a_row_names_exists(reference: str) -> None:
    if reference.startswith("make "):
        assert set(reference.split()[1:]) <= make_targets()
        return
    path, _, function = reference.partition("::")
    assert (ROOT / path).exists()
    if function:
        assert is_run(ROOT / path)
        assert function in functions_in(ROOT / path)


@pytest.mark.parametrize("row", shown_rows(), ids=lambda row: row.id)
def test_what_shows_a_requirement_can_be_run(row: Row) -> None:
    for reference in row.references:
        file = ROOT / reference.partition("::")[0]
        assert reference.startswith(("make ", CASES)) or is_run(file), (
            f"{reference} is neither a make target, nor a test, nor a case of a rule"
        )


@pytest.mark.parametrize("case", [r for r in references(shown_rows()) if r.startswith(CASES)])
def test_a_case_that_shows_a_requirement_is_one_that_a_rule_refuses(case: str) -> None:
    path = ROOT / case
    failing = [path] if path.is_file() else list(path.glob("fail-*"))
    assert failing
    assert all(each.name.startswith("fail-") for each in failing)
