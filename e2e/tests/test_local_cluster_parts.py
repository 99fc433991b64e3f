"""Which parts are started for a name, in which order, and what a crash is told as."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest
from local_cluster import lifecycle, process
from local_cluster.cluster import Cluster, ClusterError
from local_cluster.part import Command, Part, chosen, levels
from local_cluster.parts import all_parts

BASE = Part("base", None)
MIDDLE = Part("middle", None, needs=("base",))
TOP = Part("top", None, needs=("middle",))
BESIDE = Part("beside", None)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(Path(__file__).parents[2], tmp_path / "cluster", "127.99")


def sleeper(name: str, seconds: float = 60, **more: object) -> Part:
    """A program that says a word and sleeps."""
    script = f"import time; print('hello of {name}', flush=True); time.sleep({seconds})"
    return Part(name, lambda _: Command([sys.executable, "-c", script]), **more)  # type: ignore[arg-type]


def up(cluster: Cluster, *parts: Part) -> list[str]:
    """Start parts; the lines that were said."""
    said: list[str] = []
    lifecycle.claim(cluster)
    lifecycle.up(cluster, {part.name: part for part in parts}, said.append)
    return said


def test_a_named_part_brings_what_it_needs_and_no_more() -> None:
    assert list(chosen([BASE, MIDDLE, TOP, BESIDE], ["middle"])) == ["base", "middle"]


def test_without_a_name_every_part_is_chosen() -> None:
    assert list(chosen([BASE, BESIDE], [])) == ["base", "beside"]


def test_an_unknown_part_is_refused_with_those_there_are() -> None:
    with pytest.raises(ClusterError, match="no such part: tpo; there are base, beside"):
        chosen([BASE, BESIDE], ["tpo"])


def test_a_need_that_no_part_has_is_named_with_its_part() -> None:
    with pytest.raises(ClusterError, match="middle: it needs base"):
        chosen([MIDDLE], [])


def test_parts_that_need_each_other_are_named() -> None:
    circle = {"a": Part("a", None, needs=("b",)), "b": Part("b", None, needs=("a",))}
    with pytest.raises(ClusterError, match=r"parts need each other: (a -> b -> a|b -> a -> b)"):
        levels(circle)


def test_what_does_not_need_each_other_stands_in_one_level() -> None:
    found = [sorted(level) for level in levels(chosen([BASE, MIDDLE, TOP, BESIDE], []))]
    assert found == [["base", "beside"], ["middle"], ["top"]]


def test_every_part_of_the_cluster_has_what_it_needs() -> None:
    parts = chosen(all_parts(), [])
    assert len(parts) == len(all_parts()), "two parts have one name"
    assert levels(parts)


def test_a_part_starts_only_when_what_it_needs_is_ready(cluster: Cluster) -> None:
    order: list[str] = []
    late = threading.Event()

    def ready(_: Cluster) -> str | None:
        if not late.is_set():
            late.set()
            return "a moment"
        order.append("base is ready")
        return None

    base = Part("base", None, ready)
    middle = Part("middle", None, needs=("base",), prepare=lambda _: order.append("middle starts"))
    up(cluster, base, middle)
    assert order == ["base is ready", "middle starts"]


def test_up_again_leaves_what_runs(cluster: Cluster) -> None:
    part = sleeper("lasting")
    try:
        up(cluster, part)
        first = process.alive(cluster.part_folder("lasting"))
        up(cluster, part)
        assert first is not None
        assert process.alive(cluster.part_folder("lasting")) == first
    finally:
        lifecycle.down(cluster, {"lasting": part})


def test_a_crash_is_told_by_name_with_the_end_of_the_log(cluster: Cluster) -> None:
    part = sleeper("brittle", 0.3, ready=lambda _: "it never is")
    with pytest.raises(ClusterError, match=r"brittle: it ended by itself(.|\n)*hello of brittle"):
        up(cluster, part)


def test_what_crashes_after_it_was_ready_is_told_too(cluster: Cluster) -> None:
    brittle = sleeper("brittle", 0.2)
    slow = Part("slow", None, lambda _: "it waits", needs=("brittle",), ready_seconds=60)
    with pytest.raises(ClusterError, match="brittle: it ended by itself"):
        up(cluster, brittle, slow)


def test_a_part_that_is_never_ready_ends_the_wait_with_what_is_missing(cluster: Cluster) -> None:
    def closed(cluster: Cluster) -> str:
        """What is missing for ever; asked only once the program has said its word."""
        log = process.log_path(cluster.part_folder("stuck"))
        while not log.stat().st_size:
            time.sleep(0.02)
        return "a door is closed"

    part = sleeper("stuck", ready=closed, ready_seconds=0.3)
    try:
        with pytest.raises(
            ClusterError, match=r"stuck: not ready after 0 s: a door is closed(.|\n)*hello of stuck"
        ):
            up(cluster, part)
    finally:
        lifecycle.down(cluster, {"stuck": part})


def test_the_failure_of_one_part_ends_the_wait_for_the_others(cluster: Cluster) -> None:
    patient = Part("patient", None, lambda _: "for ever", ready_seconds=600)
    broken = Part("broken", None, lambda _: "no", ready_seconds=0.3)
    with pytest.raises(ClusterError, match="broken: not ready"):
        up(cluster, patient, broken)


def test_a_mistake_in_a_part_becomes_a_message_with_its_name(cluster: Cluster) -> None:
    def careless(_: Cluster) -> None:
        raise KeyError("listens")

    with pytest.raises(ClusterError, match="careless: KeyError: 'listens'"):
        up(cluster, Part("careless", None, prepare=careless))


def test_the_states_tell_ready_starting_ended_and_stopped_apart(cluster: Cluster) -> None:
    parts = [sleeper(name) for name in ("well", "crashed", "halted")]
    try:
        up(cluster, *parts)
        record = process.alive(cluster.part_folder("crashed"))
        assert record is not None
        process.kill([record.pid])
        process.stop(cluster.part_folder("halted"))
        asked = [*parts[1:], sleeper("well", ready=lambda _: "a moment"), sleeper("never-begun")]
        words = {state.name: state.word for state in lifecycle.states(cluster, asked)}
        assert words == {"crashed": "ended", "halted": "stopped", "well": "starting"}
        [well] = lifecycle.states(cluster, parts[:1])
        assert (well.word, well.memory > 0) == ("ready", True)
    finally:
        lifecycle.down(cluster, {part.name: part for part in parts})


def test_down_leaves_no_process_and_no_folder(cluster: Cluster) -> None:
    child = "import subprocess, sys; subprocess.Popen(['sleep', '60'], start_new_session=True)"
    part = Part("parent", lambda _: Command([sys.executable, "-c", child]), ready_seconds=5)
    folder = cluster.part_folder("parent")
    lifecycle.claim(cluster)
    process.start("parent", folder, part.command(cluster).argv, {})  # type: ignore[misc]
    for _ in range(200):
        if process.alive(folder) is None and process.left_of(cluster.folder):
            break
        threading.Event().wait(0.05)
    assert process.left_of(cluster.folder), "the child in a session of its own is not found"
    assert lifecycle.down(cluster, {"parent": part}) == []
    assert process.left_of(cluster.folder) == []
    assert not cluster.folder.exists()
