"""Revisions are asked of Git, and only of a clone that can know them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from gitops_policy import Config, Workspace, lint
from gitops_policy.argo.revisions import commit_of, knows_branches

IDENTITY = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")


def git(root: Path, *arguments: str) -> None:
    command = ["git", "-C", str(root), *IDENTITY, *arguments]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    (tmp_path / "web").mkdir()
    (tmp_path / "web/service.yaml").write_text("kind: Service\n")
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "a")
    git(tmp_path, "tag", "v1.2.0")
    git(tmp_path, "update-ref", "refs/remotes/origin/release", "HEAD")
    return tmp_path


def findings(root: Path, revision: str) -> list[str]:
    source = {"repoURL": "https://example.com/a.git", "path": "web", "targetRevision": revision}
    application = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "web", "namespace": "argocd"},
        "spec": {"source": source},
    }
    config = Config(only=("application-revision-exists",))
    report = lint([application], config, workspace=Workspace(root))
    assert not report.errors
    return [finding.pointer for finding in report.findings]


@pytest.mark.parametrize("revision", ["main", "v1.2.0", "release", "HEAD", "1.x"])
def test_a_branch_a_tag_and_a_range_are_fine(clone: Path, revision: str) -> None:
    assert findings(clone, revision) == []


@pytest.mark.parametrize("revision", ["mian", "v1.2.1", "-v", "a..b", "deadbeefdeadbeef"])
def test_what_git_does_not_know_is_found(clone: Path, revision: str) -> None:
    assert findings(clone, revision) == ["/spec/source/targetRevision"]


def test_a_repository_without_a_remote_cannot_tell(clone: Path) -> None:
    git(clone, "update-ref", "-d", "refs/remotes/origin/release")
    assert not knows_branches(clone)
    assert findings(clone, "mian") == []


def test_an_option_is_no_revision(clone: Path) -> None:
    assert commit_of(clone, "--all") is None
    assert commit_of(clone, "main") is not None
