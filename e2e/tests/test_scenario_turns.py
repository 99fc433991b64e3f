"""Tests take an environment in turn: its branch and its timeline begin anew with each."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.scenarios.branch import Branch, open_branch, run_git
from e2e.scenarios.timeline import Timeline


@pytest.fixture
def branch(tmp_path: Path) -> Branch:
    """A branch of a served repository with one commit."""
    served = tmp_path / "served.git"
    run_git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(served))
    run_git(tmp_path, "clone", "--quiet", str(served), "first")
    first = tmp_path / "first"
    (first / "a").write_text("1\n", encoding="utf-8")
    run_git(first, "add", "--all")
    run_git(first, "commit", "--quiet", "--message", "Begin")
    run_git(first, "push", "--quiet", "origin", "HEAD:main")
    return open_branch(str(served), "scenario/try", tmp_path / "clone")


def change(folder: Path) -> None:
    """Edit one file, move it, and add another."""
    (folder / "a").write_text("2\n", encoding="utf-8")
    (folder / "inner").mkdir()
    (folder / "a").rename(folder / "inner/a")
    (folder / "b").write_text("3\n", encoding="utf-8")


def files(branch: Branch) -> list[str]:
    return branch.git("ls-files").split()


def test_a_restored_branch_has_the_files_of_then_in_a_commit_on_top(branch: Branch) -> None:
    begin = branch.head()
    changed = branch.commit("Change", change)
    assert files(branch) == ["b", "inner/a"]
    restored = branch.restore(begin)
    assert files(branch) == ["a"]
    assert (branch.folder / "a").read_text(encoding="utf-8") == "1\n"
    assert not (branch.folder / "b").exists()
    assert branch.git("rev-parse", "HEAD^").strip() == changed
    assert branch.git("ls-remote", branch.url, branch.name).split()[0] == restored


def test_a_branch_whose_files_are_those_of_then_gets_no_commit(branch: Branch) -> None:
    begin = branch.head()
    branch.commit("Change", change)
    reverted = branch.revert()
    assert branch.restore(begin) == reverted


def test_a_timeline_that_begins_anew_knows_what_is_and_not_what_was() -> None:
    timeline = Timeline()
    timeline.note({"route.canary": 0, "rollout.phase": "Healthy", "analysis/one": "Failed"}, 1)
    timeline.note({"route.canary": 10}, 2)
    timeline.begin_anew(["analysis/"])
    assert timeline.now("route.canary") == 10
    assert [change.value for change in timeline.history("route.canary")] == [10]
    assert timeline.runs() == {}
    timeline.note({"route.canary": 0})
    assert [change.value for change in timeline.history("route.canary")] == [10, 0]
