"""What the pages promise exists: links and anchors, commands, decisions with their price."""

import os
import re
import subprocess
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOT_OURS = {".git", ".venv", ".tools", "build"}
FENCE = re.compile(r"^[ >]*```(\w*)\n(.*?)^[ >]*```$", re.MULTILINE | re.DOTALL)
DIAGRAMS = ("flowchart", "stateDiagram-v2", "sequenceDiagram")
THIS_MACHINE = re.compile(r"(?<![\w.~/-])/(?:root|home|work|Users|tmp/brief)/")
TO_BE_FILLED = re.compile(r"@[A-Z_]+@|\| `DIGEST` \||\b(?:TODO|FIXME|TBD)\b")


def markdown_files() -> Iterator[Path]:
    for folder, subfolders, files in os.walk(ROOT):
        hidden = {name for name in subfolders if name.startswith(".") and name != ".github"}
        subfolders[:] = sorted(set(subfolders) - NOT_OURS - hidden)
        yield from (Path(folder) / name for name in sorted(files) if name.endswith(".md"))


PAGES = [pytest.param(page, id=str(page.relative_to(ROOT))) for page in markdown_files()]


def prose(text: str) -> str:
    """The text without blocks and spans of code."""
    return re.sub(r"`[^`\n]+`", "", FENCE.sub("", text))


def links(text: str) -> list[str]:
    return [each for each in re.findall(r"\]\(([^)\s]+)\)", prose(text)) if "://" not in each]


@cache
def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings: the second of one name ends in -1."""
    found: Counter[str] = Counter()
    names = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *$", FENCE.sub("", text), re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", shown).replace(" ", "-")
        names.add(f"{name}-{found[name]}" if found[name] else name)
        found[name] += 1
    return names


def problem_of_link(page: Path, link: str) -> str | None:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.is_relative_to(ROOT) or not target.exists():
        return f"{link}: no such file"
    if not anchor:
        return None
    if target.suffix != ".md" or anchor not in anchors(target.read_text()):
        return f"{link}: no such heading"
    return None


def blocks(text: str, *languages: str) -> list[str]:
    return [body for language, body in FENCE.findall(text) if language in languages]


def commands(text: str) -> list[list[str]]:
    """The commands of sh blocks, and those behind a `$` of console blocks, as words."""
    shell = "\n".join(blocks(text, "sh")).splitlines()
    console = "\n".join(blocks(text, "console")).splitlines()
    lines = shell + [line.strip()[2:] for line in console if line.strip().startswith("$ ")]
    parts = [part for line in lines for part in re.split(r"&&|\||;", line.split(" #")[0])]
    return [words for part in parts if (words := part.split())]


@cache
def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@cache
def entry_points() -> set[str]:
    """What stands in `.venv/bin` that we say something of: our commands, and pytest."""
    projects = [tomllib.loads(file.read_text()) for file in ROOT.glob("*/pyproject.toml")]
    return {"python", "pytest"}.union(*(each["project"].get("scripts", {}) for each in projects))


@cache
def tools() -> set[str]:
    families = [tomllib.loads(file.read_text()) for file in ROOT.glob("tools/*/build.toml")]
    return {binary for family in families for binary in family["binaries"]}


def problem_of_command(words: list[str]) -> str | None:
    command, *rest = words
    folder, _, name = command.rpartition("/")
    if command == "make":
        missing = {word for word in rest if "=" not in word} - make_targets()
        return f"make has no target {sorted(missing)}" if missing else None
    if folder == ".venv/bin":
        return None if name in entry_points() else f"no package installs {name}"
    if folder == ".tools/bin":
        return None if name in tools() else f"tools/ builds no {name}"
    if folder and not command.startswith(("/", "http")):
        return None if (ROOT / command).is_file() else f"no such file: {command}"
    return None


def problems_of_diagram(body: str) -> list[str]:
    """Nothing renders here: first word, quotes, brackets and subgraphs are looked at."""
    lines = [line.strip() for line in body.strip().splitlines()]
    bare = re.sub(r'"[^"\n]*"', "", body)
    found = []
    if lines[0].split()[0] not in DIAGRAMS:
        found.append(f"{lines[0]!r} begins no diagram")
    if '"' in bare:
        found.append("a quote is not closed")
    bare = re.sub(r"-->|<-->|->>|\[\*\]", "", bare)
    for opening, closing in ("()", "[]", "{}"):
        if bare.count(opening) != bare.count(closing):
            found.append(f"{opening}{closing} are not balanced")
    if sum(line.startswith("subgraph ") for line in lines) != lines.count("end"):
        found.append("a subgraph has no end")
    return found


def test_the_pages_that_a_reader_expects_are_there() -> None:
    expected = ("README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/requirements.md")
    assert [name for name in expected if not (ROOT / name).is_file()] == []


def test_the_architecture_page_says_what_every_folder_holds() -> None:
    listing = ["git", "ls-tree", "-d", "--name-only", "HEAD"]
    tracked = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    page = (ROOT / "docs/architecture.md").read_text().partition("\n## Folders\n")[2]
    cells = re.findall(r"^\| (`.+?`) \|", page, re.MULTILINE)
    told = {name for cell in cells for name in re.findall(r"`(.+?)/`", cell)}
    assert told == {name for name in tracked.split() if not name.startswith(".")}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file_and_heading_that_exist(page: Path) -> None:
    found = [problem_of_link(page, link) for link in links(page.read_text())]
    assert [problem for problem in found if problem] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_ours_exists(page: Path) -> None:
    found = [problem_of_command(words) for words in commands(page.read_text())]
    assert [problem for problem in found if problem] == []


@pytest.mark.parametrize("page", PAGES)
def test_no_page_names_a_place_of_one_machine(page: Path) -> None:
    assert THIS_MACHINE.findall(page.read_text()) == []


@pytest.mark.parametrize("page", PAGES)
def test_no_page_has_a_gap_that_was_to_be_filled(page: Path) -> None:
    assert TO_BE_FILLED.findall(page.read_text()) == []


@pytest.mark.parametrize("page", PAGES)
def test_every_diagram_is_closed(page: Path) -> None:
    found = [problems_of_diagram(body) for body in blocks(page.read_text(), "mermaid")]
    assert [problems for problems in found if problems] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_code_ends(page: Path) -> None:
    fences = re.findall(r"^[ >]*```", page.read_text(), re.MULTILINE)
    assert len(fences) % 2 == 0


@pytest.mark.parametrize(
    "page", sorted((ROOT / "docs/adr").glob("[0-9]*.md")), ids=lambda page: page.name
)
def test_a_decision_names_its_alternatives_and_its_price(page: Path) -> None:
    text = page.read_text()
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings == ["Context", "Decision", "Alternatives", "Consequences"]
    alternatives = text.partition("## Alternatives")[2].partition("## Consequences")[0]
    assert alternatives.count("\n- **") >= 2
    assert f"]({page.name})" in (page.parent / "README.md").read_text()


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("## Where does my change go?", "where-does-my-change-go"),
        ("# 006. The gate: a test", "006-the-gate-a-test"),
        ("### The ladder: [`rollouts/`](rollouts/)", "the-ladder-rollouts"),
        ("## A\n## A", "a-1"),
    ],
)
def test_anchors_are_those_of_github(heading: str, anchor: str) -> None:
    assert anchor in anchors(heading)
