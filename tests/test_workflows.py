"""A workflow decides nothing that make does not, and runs nothing of unrecorded origin."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
JOBS = [
    pytest.param(job, id=f"{file.stem}-{name}")
    for file in WORKFLOWS
    for name, job in yaml.safe_load(file.read_text())["jobs"].items()
]


def pins() -> str:
    return "".join(file.read_text() for file in sorted((ROOT / "docs").glob("pins*.md")))


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda f: f.name)
def test_an_action_is_pinned_by_a_commit_whose_source_is_recorded(file: Path) -> None:
    used = re.findall(r"uses: (.+)$", file.read_text(), re.MULTILINE)
    assert used
    for use in used:
        pinned = re.fullmatch(r"([\w/-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)", use)
        assert pinned, f"{use}: pin the full commit and say the version"
        action, commit, version = pinned.groups()
        assert f"| {action} | {version} | `{commit}` |" in pins(), f"{use}: not in docs/pins"


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda f: f.name)
def test_a_workflow_has_no_permission_that_a_job_did_not_ask_for(file: Path) -> None:
    assert yaml.safe_load(file.read_text())["permissions"] == {}


@pytest.mark.parametrize("job", JOBS)
def test_a_job_ends_and_says_what_it_may_do(job: dict[str, Any]) -> None:
    assert job["timeout-minutes"] <= 60
    assert "permissions" in job
    checkouts = [s for s in job["steps"] if s.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_ci_calls_the_make_targets_that_a_person_calls() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    called = {step["run"] for job in jobs.values() for step in job["steps"] if "run" in step}
    assert called == {"make lint", "make test", "make run", "make e2e"}
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {command.removeprefix("make ") for command in called} <= set(targets)
