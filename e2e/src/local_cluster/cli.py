"""`local-cluster`: the whole platform as processes on this machine."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Sequence

from local_cluster import lifecycle, process, programs, welcome
from local_cluster.cluster import Cluster, ClusterError
from local_cluster.part import Part, chosen
from local_cluster.parts import all_parts


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it did what it says, 1 when not, 2 on misuse."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(Cluster.from_environment(), arguments))
    except ClusterError as error:
        print(f"local-cluster: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "local-cluster: interrupted; what was started runs on, `local-cluster down` ends it",
            file=sys.stderr,
        )
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="local-cluster", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, about in (
        ("up", _up, "start every part, or the named ones with what they need"),
        ("down", _down, "stop everything and remove the state"),
        ("status", _status, "state, pid, memory and what is missing of each part"),
        ("start", _start, "start one part"),
        ("stop", _stop, "stop one part"),
        ("restart", _restart, "stop and start one part"),
        ("logs", _logs, "print the log of one part"),
    ):
        command = commands.add_parser(name, help=about, description=about)
        command.set_defaults(run=run)
        if name == "up":
            command.add_argument("--only", nargs="+", metavar="PART", default=[])
        if name in ("start", "stop", "restart", "logs"):
            command.add_argument("part")
        if name == "logs":
            command.add_argument("--follow", "-f", action="store_true")
    return parser


def _up(cluster: Cluster, arguments: argparse.Namespace) -> int:
    parts = chosen(all_parts(), arguments.only)
    lifecycle.claim(cluster)
    programs.build(cluster)
    started = time.monotonic()
    lifecycle.up(cluster, parts, _say)
    _say(f"{len(parts)} parts are ready after {time.monotonic() - started:.0f} s")
    print("\n".join(welcome.lines(cluster, parts)))
    return 0


def _down(cluster: Cluster, _: argparse.Namespace) -> int:
    if not lifecycle.exists(cluster):
        _say(f"there is no cluster in {cluster.folder}")
        return 0
    left = lifecycle.down(cluster, chosen(all_parts(), []))
    if left:
        raise ClusterError(f"these processes do not end: {', '.join(map(str, left))}")
    _say(f"stopped; {cluster.folder} is removed")
    return 0


def _status(cluster: Cluster, _: argparse.Namespace) -> int:
    if not lifecycle.exists(cluster):
        raise ClusterError(f"there is no cluster in {cluster.folder}; `local-cluster up` makes one")
    states = lifecycle.states(cluster, all_parts())
    for state in states:
        print(
            f"{state.name:<34} {state.word:<9} {state.pid or '':>8} "
            f"{state.memory / 2**20:7.0f} MiB  {state.note}"
        )
    print(f"{'all':<34} {'':<9} {'':>8} {sum(s.memory for s in states) / 2**20:7.0f} MiB")
    ended = [state.name for state in states if state.word == "ended"]
    for name in ended:
        print(f"\n{process.ended(name, cluster.part_folder(name))}", file=sys.stderr)
    return 0 if all(state.word in ("ready", "stopped") for state in states) else 1


def _part(name: str) -> Part:
    return chosen(all_parts(), [name])[name]


def _start(cluster: Cluster, arguments: argparse.Namespace) -> int:
    part = _part(arguments.part)
    lifecycle.claim(cluster)
    _say(f"{part.name:<28} {lifecycle.bring_up(cluster, part):6.1f} s")
    return 0


def _stop(cluster: Cluster, arguments: argparse.Namespace) -> int:
    part = _part(arguments.part)
    process.stop(cluster.part_folder(part.name), part.stop_seconds)
    return 0


def _restart(cluster: Cluster, arguments: argparse.Namespace) -> int:
    return _stop(cluster, arguments) or _start(cluster, arguments)


def _logs(cluster: Cluster, arguments: argparse.Namespace) -> int:
    path = process.log_path(cluster.part_folder(_part(arguments.part).name))
    if not path.exists():
        raise ClusterError(f"{arguments.part}: it wrote no log; was it started?")
    if arguments.follow:
        tail = shutil.which("tail")
        if tail is None:
            raise ClusterError(f"{arguments.part}: tail is not on PATH; the log is {path}")
        os.execv(tail, [tail, "-n", "+1", "-f", str(path)])  # noqa: S606
    sys.stdout.write(path.read_text(errors="replace"))
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
