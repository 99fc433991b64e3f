"""A model names the commit that it was trained from."""

import subprocess
from pathlib import Path

import pytest
from model_pipeline import PipelineError
from model_pipeline.lineage import training_git_sha


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "train.py").write_text("print()\n")
    git(tmp_path, "add", "pipeline")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    return tmp_path


def test_it_is_head_of_the_repository_the_folder_is_in(repository):
    told: list[str] = []
    sha = training_git_sha(None, told.append, repository / "pipeline")
    assert sha == git(repository, "rev-parse", "HEAD")
    assert told == []


def test_uncommitted_training_code_is_told(repository):
    (repository / "pipeline" / "train.py").write_text("print(1)\n")
    told: list[str] = []
    sha = training_git_sha(None, told.append, repository)
    assert told == [f"warning: pipeline/ has uncommitted changes; commit {sha} does not hold them"]


def test_changes_elsewhere_are_no_matter(repository):
    (repository / "README.md").write_text("new\n")
    told: list[str] = []
    training_git_sha(None, told.append, repository)
    assert told == []


def test_a_given_commit_needs_no_repository(tmp_path):
    assert training_git_sha("ab" * 20, print, tmp_path) == "ab" * 20


@pytest.mark.parametrize("given", ["ab" * 19, "HEAD", "AB" * 20, "", "main"])
def test_a_given_commit_must_be_complete(given):
    with pytest.raises(PipelineError, match="40 hex digits"):
        training_git_sha(given, print)


def test_no_repository_and_no_given_commit_is_refused(tmp_path):
    with pytest.raises(PipelineError, match=f"{tmp_path}: not in a Git repository.*--git-sha"):
        training_git_sha(None, print, tmp_path)


def test_a_repository_without_commit_is_refused(tmp_path):
    git(tmp_path, "init", "--quiet")
    with pytest.raises(PipelineError, match="with a commit"):
        training_git_sha(None, print, tmp_path)


def test_a_machine_without_git_is_told_what_to_give(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PipelineError, match="--git-sha"):
        training_git_sha(None, print, tmp_path)
