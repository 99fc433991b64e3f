"""An alert leads to a section that exists, and a runbook says when to stop and how to go back."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
RUNBOOKS = ROOT / "docs/runbooks"
PARTS = (
    "**Precondition.**",
    "**Command.**",
    "**Expected.**",
    "**Stop condition.**",
    "**Way back.**",
)


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a Markdown file."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in headings}


def runbook_urls() -> list[tuple[str, str]]:
    rules = [
        rule
        for file in sorted((ROOT / "base").glob("*/prometheusrule-*.yaml"))
        for group in yaml.safe_load(file.read_text())["spec"]["groups"]
        for rule in group["rules"]
    ]
    return [(r["alert"], r["annotations"]["runbook_url"]) for r in rules if "alert" in r]


@pytest.mark.parametrize(("alert", "url"), runbook_urls())
def test_an_alert_leads_to_a_section_that_names_it(alert: str, url: str) -> None:
    page, _, anchor = url.rpartition("/docs/runbooks/")[2].partition("#")
    text = (RUNBOOKS / page).read_text()
    assert anchor in anchors(text)
    sections = re.split(r"^## ", text, flags=re.MULTILINE)
    (section,) = (s for s in sections if anchor in anchors(f"# {s.splitlines()[0]}"))
    assert f"`{alert}`" in section


@pytest.mark.parametrize("file", sorted(RUNBOOKS.glob("*.md")), ids=lambda f: f.name)
def test_a_link_between_runbooks_resolves(file: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", file.read_text()):
        if "://" not in target:
            page, _, anchor = target.partition("#")
            text = (file.parent / page).read_text() if page else file.read_text()
            assert not anchor or anchor in anchors(text), target


@pytest.mark.parametrize("name", ["inference.md", "release-stuck.md"])
def test_every_section_says_when_to_stop_and_how_to_go_back(name: str) -> None:
    _, *sections = re.split(r"^## ", (RUNBOOKS / name).read_text(), flags=re.MULTILINE)
    assert sections
    for section in sections:
        missing = [part for part in PARTS if part not in section]
        assert not missing, f"{section.splitlines()[0]}: {missing}"


def test_a_runbook_calls_only_make_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for file in RUNBOOKS.glob("*.md"):
        for called in re.findall(r"(?:^\$ |`)make ([a-z -]+)", file.read_text(), re.MULTILINE):
            assert set(called.split()) <= targets, f"{file.name}: make {called}"
