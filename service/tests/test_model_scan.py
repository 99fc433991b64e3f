"""Whatever lies in the repository, a scan finds the models in it and nothing else."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_server.models.naming import NAME, VERSION
from inference_server.models.repository import scan

WORDS = st.sampled_from(
    ["m", "flowers", "1", "2", "10", "01", "0", "-1", ".git", "lost+found", "a b", "ü", "v1", "x.y"]
) | st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12)
TREES = st.dictionaries(
    WORDS,
    st.dictionaries(
        WORDS, st.sampled_from(["folder", "file", "model", "config", "wrong config"]), max_size=4
    ),
    max_size=5,
)


def plant(root: Path, tree: dict[str, dict[str, str]]) -> None:
    for name, children in tree.items():
        (root / name).mkdir(exist_ok=True)
        for child, kind in children.items():
            path = root / name / child
            if kind == "file":
                path.write_bytes(b"")
                continue
            path.mkdir(exist_ok=True)
            if kind == "model":
                (path / "model.onnx").write_bytes(b"")
            if "config" in kind:
                (path / "config.yaml").write_text(
                    "x: 1" if kind.startswith("wrong") else "cache: 1"
                )


@settings(deadline=None)
@given(TREES)
def test_every_version_folder_is_found_and_everything_else_is_a_problem(
    tree: dict[str, dict[str, str]],
) -> None:
    tree = {name: children for name, children in tree.items() if name not in (".", "..")}
    for children in tree.values():
        for reserved in (".", "..", "config.yaml"):
            children.pop(reserved, None)
    with tempfile.TemporaryDirectory() as folder:
        plant(Path(folder), tree)
        found = scan(Path(folder))
    seen = {name for name in tree if not name.startswith(".") and name != "lost+found"}
    expected = {
        (name, int(child))
        for name in seen
        if NAME.fullmatch(name)
        for child, kind in tree[name].items()
        if kind != "file" and VERSION.fullmatch(child)
    }
    assert {(file.name, file.version) for file in found.files} == expected == found.present
    wrong = {(file.name, file.version) for file in found.files if file.problem is not None}
    assert wrong == {key for key in expected if tree[key[0]][str(key[1])] == "wrong config"}
    assert bool(found.files or found.problems)
    for name in seen:
        if not NAME.fullmatch(name):
            assert any(problem.startswith(name[:128]) for problem in found.problems)


def test_a_wrong_config_of_the_model_is_said_of_each_version(tmp_path: Path) -> None:
    plant(tmp_path, {"m": {"1": "model", "2": "model"}})
    (tmp_path / "m" / "config.yaml").write_text("cache: much")
    assert [str(file.problem)[:21] for file in scan(tmp_path).files] == [
        "m/config.yaml: cache:"
    ] * 2


def test_an_ensemble_has_no_versions_of_its_own(tmp_path: Path) -> None:
    plant(tmp_path, {"m": {"1": "model"}})
    text = "ensemble: {steps: [{model: a, inputs: {x: x}, outputs: {y: y}}]}"
    (tmp_path / "m" / "config.yaml").write_text(text)
    assert "m: an ensemble has no version folders" in scan(tmp_path).problems


def test_one_model_is_looked_at_alone(tmp_path: Path) -> None:
    plant(tmp_path, {"a": {"1": "model"}, "b": {"1": "model"}, "a b": {}})
    found = scan(tmp_path, "b")
    assert [file.name for file in found.files] == ["b"]
    assert not found.problems


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="away"):
        scan(tmp_path / "away")
