"""The command line: exit codes, and messages that name the part and what to do."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from local_cluster import cli, lifecycle, process, programs
from local_cluster.cluster import Cluster, ClusterError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOCAL_CLUSTER_FOLDER", str(tmp_path / "cluster"))
    monkeypatch.setenv("LOCAL_CLUSTER_NETWORK", "127.99")
    monkeypatch.setattr(programs, "build", lambda _: None)
    return tmp_path / "cluster"


def test_the_environment_moves_folder_and_network(folder: Path) -> None:
    cluster = Cluster.from_environment()
    assert (cluster.folder, cluster.host) == (folder, "127.99.0.1")
    assert cluster.url("prometheus") == "http://127.99.0.1:9090"


def test_two_networks_have_two_ports_at_the_gateway(tmp_path: Path) -> None:
    first, second = (Cluster(tmp_path, tmp_path, f"127.{n}") for n in (40, 41))
    assert (first.gateway_http, second.gateway_http) == (10080, 10081)


@pytest.mark.parametrize("network", ["10.0", "127", "127.0.0", "127.256", "127.1x"])
def test_what_is_no_loopback_network_is_refused(network: str) -> None:
    with pytest.raises(ClusterError, match="is no loopback network"):
        Cluster.from_environment({"LOCAL_CLUSTER_NETWORK": network})


def test_status_without_a_cluster_says_how_to_make_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["status"]) == 1
    assert f"there is no cluster in {folder}; `local-cluster up`" in capsys.readouterr().err


def test_down_without_a_cluster_is_done_already(folder: Path) -> None:
    assert cli.main(["down"]) == 0


def test_down_leaves_a_foreign_folder_alone(folder: Path) -> None:
    folder.mkdir()
    (folder / "letters").write_text("mine")
    assert cli.main(["down"]) == 0
    assert (folder / "letters").read_text() == "mine"


def test_up_does_not_move_into_a_foreign_folder(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.mkdir()
    (folder / "letters").write_text("mine")
    assert cli.main(["up"]) == 1
    assert "holds no cluster of ours: move it away, or set LOCAL_CLUSTER_FOLDER" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("key", ["format", "root", "network"])
def test_a_stale_state_folder_is_refused_with_what_differs(folder: Path, key: str) -> None:
    cluster = Cluster.from_environment()
    lifecycle.claim(cluster)
    marker = json.loads((folder / "cluster.json").read_text())
    (folder / "cluster.json").write_text(json.dumps({**marker, key: "another"}))
    with pytest.raises(ClusterError, match=rf"another {key} \(another\): `local-cluster down`"):
        lifecycle.claim(cluster)


def test_a_state_folder_whose_marker_was_cut_off_is_refused(folder: Path) -> None:
    cluster = Cluster.from_environment()
    lifecycle.claim(cluster)
    (folder / "cluster.json").write_text('{"for')
    with pytest.raises(ClusterError, match="`local-cluster down` removes it"):
        lifecycle.claim(cluster)


def test_an_unknown_part_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["up", "--only", "promteheus"]) == 1
    assert "no such part: promteheus" in capsys.readouterr().err
    assert not folder.exists(), "a mistake must leave no state"


def test_logs_of_a_part_that_was_never_started_say_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["logs", "etcd"]) == 1
    assert "etcd: it wrote no log; was it started?" in capsys.readouterr().err


def test_a_port_in_use_names_the_part_and_the_way_out() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(
            ClusterError,
            match=rf"prometheus: 127.0.0.1:{port} cannot be had .*LOCAL_CLUSTER_NETWORK",
        ):
            process.require_free("prometheus", "127.0.0.1", port)


def test_programs_that_cannot_be_built_end_up_before_anything_starts(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    installer = tmp_path / "tools" / "install.py"
    installer.parent.mkdir()
    installer.write_text("import sys; sys.exit('tools: no network')")
    with pytest.raises(ClusterError, match="a program is missing, see above"):
        programs.build(Cluster(tmp_path, tmp_path / "cluster", "127.99"))
    assert "tools: no network" in capfd.readouterr().err


def test_ctrl_c_says_how_to_end_what_was_started(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(lifecycle, "up", interrupted)
    assert cli.main(["up"]) == 130
    assert "`local-cluster down` ends it" in capsys.readouterr().err
