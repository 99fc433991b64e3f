"""The files of a volume are those that a kubelet would write, and change all at once."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from node_runner.environment import MissingReferenceError, PodFacts, UnsupportedError
from node_runner.volumes import Files, read_volume, volume_files, write_volume

FACTS = PodFacts(
    {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {"containers": []}},
    address="127.40.1.2",
    host_address="127.40.0.1",
)
DATA: dict[tuple[str, str], Mapping[str, bytes]] = {
    ("ConfigMap", "settings"): {"a": b"1", "b": b"2"},
    ("Secret", "keys"): {"k": b"\xff"},
}
SEGMENT = st.from_regex(r"[a-z]{1,3}", fullmatch=True)
FILES = st.dictionaries(SEGMENT, st.binary(max_size=8), max_size=4)


def files(**volume: Any) -> Files | None:
    return volume_files(
        {"name": "v", **volume},
        FACTS,
        lambda kind, name: DATA.get((kind, name)),
        lambda chosen: f"token for {chosen.get('audience', 'the API server')}",
    )


def test_an_empty_dir_is_left_to_the_containers() -> None:
    assert files(emptyDir={}) is None


def test_all_keys_are_files_unless_items_choose() -> None:
    assert files(configMap={"name": "settings"}) == {"a": b"1", "b": b"2"}
    items = [{"key": "b", "path": "x/y"}]
    assert files(configMap={"name": "settings", "items": items}) == {"x/y": b"2"}
    assert files(secret={"secretName": "keys"}) == {"k": b"\xff"}


def test_a_projected_volume_joins_its_sources() -> None:
    field = {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}
    sources = [
        {"serviceAccountToken": {"path": "token"}},
        {"configMap": {"name": "settings", "items": [{"key": "a", "path": "ca.crt"}]}},
        {"secret": {"name": "keys"}},
        {"downwardAPI": {"items": [field]}},
    ]
    assert files(projected={"sources": sources}) == {
        "token": b"token for the API server",
        "ca.crt": b"1",
        "k": b"\xff",
        "namespace": b"n",
    }


@pytest.mark.parametrize(
    "volume",
    [
        {"configMap": {"name": "absent"}},
        {"secret": {"secretName": "absent"}},
        {"configMap": {"name": "settings", "items": [{"key": "no", "path": "x"}]}},
    ],
)
def test_a_pod_waits_for_what_is_missing_unless_it_is_optional(volume: dict[str, Any]) -> None:
    with pytest.raises(MissingReferenceError):
        files(**volume)
    ((kind, reference),) = volume.items()
    assert files(**{kind: {**reference, "optional": True}}) == {}


def test_a_volume_that_nobody_mounts_here_is_named() -> None:
    with pytest.raises(UnsupportedError, match=r'"v": persistentVolumeClaim'):
        files(persistentVolumeClaim={"claimName": "c"})


@settings(max_examples=40)
@given(st.lists(FILES, min_size=1, max_size=4))
def test_a_folder_shows_what_was_written_last(versions: list[Files]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "volume"
        for version in versions:
            write_volume(folder, version)
            shown = {
                entry.name: entry.read_bytes()
                for entry in folder.iterdir()
                if not entry.name.startswith("..")
            }
            assert shown == read_volume(folder) == version
        # The link `..data` and the one version that it names.
        assert len([entry for entry in folder.iterdir() if entry.name.startswith("..")]) == 2


def test_a_file_in_a_folder_of_the_volume_is_shown(tmp_path: Path) -> None:
    write_volume(tmp_path, {"x/y": b"1"})
    write_volume(tmp_path, {"x/y": b"2", "z": b"3"})
    assert (tmp_path / "x" / "y").read_bytes() == b"2"


def test_nothing_is_written_where_nothing_changed(tmp_path: Path) -> None:
    write_volume(tmp_path, {"a": b"1"})
    before = (tmp_path / "..data").readlink()
    write_volume(tmp_path, {"a": b"1"})
    assert (tmp_path / "..data").readlink() == before
