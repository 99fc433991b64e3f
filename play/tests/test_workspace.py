"""Releases are committed to a copy of the manifests that nobody else uses."""

from __future__ import annotations

from pathlib import Path

import pytest
from release_play.workspace import COPIED, WorkspaceError, open_workspace


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in COPIED:
        (tmp_path / name).mkdir(parents=True)
    overlay = tmp_path / "overlays" / "staging" / "inference"
    overlay.mkdir(parents=True)
    (overlay / "kustomization.yaml").write_text("kind: Kustomization\n")
    (overlay / "model-release.env").write_text("MODEL_VERSION=1\n")
    return tmp_path


def test_a_release_is_a_commit_and_a_revert_brings_the_bytes_back(root: Path) -> None:
    with open_workspace(root, root / "build") as workspace:
        assert workspace.overlays() == ["staging/inference"]
        file = workspace.overlay("staging/inference") / "model-release.env"
        before = file.read_bytes()
        file.write_text("MODEL_VERSION=2\n")
        released = workspace.commit("Release 2")
        reverted = workspace.revert()
        assert released != reverted
        assert file.read_bytes() == before
    assert (root / "overlays/staging/inference/model-release.env").read_bytes() == before


def test_nothing_to_commit_is_an_error_with_the_command(root: Path) -> None:
    with (
        open_workspace(root, root / "build") as workspace,
        pytest.raises(WorkspaceError, match="git commit failed"),
    ):
        workspace.commit("Release nothing")


def test_two_runs_beside_each_other_have_their_own_copies(root: Path) -> None:
    with (
        open_workspace(root, root / "build") as first,
        open_workspace(root, root / "build") as second,
    ):
        assert first.folder != second.folder
        assert first.repository.is_dir()


def test_the_next_run_removes_what_an_ended_one_left(root: Path) -> None:
    with open_workspace(root, root / "build") as ended:
        pass
    assert ended.folder.is_dir()
    with open_workspace(root, root / "build") as current:
        assert not ended.folder.exists()
        assert current.folder.is_dir()


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(WorkspaceError, match="run from the repository's root"),
        open_workspace(tmp_path, tmp_path / "build"),
    ):
        pass
