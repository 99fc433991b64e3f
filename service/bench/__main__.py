"""Measures the service beside its peers, and against the limits that were asked for.

Exit status: 0 no ratio got worse; 1 one did, beyond its tolerance; 2 a program could not be run.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import traceback
from collections.abc import Callable
from importlib.metadata import version
from typing import TypeVar

from service.bench import baseline, models, page
from service.bench.effort import FULL, QUICK, Effort, Machine, say
from service.bench.figures import Limit
from service.bench.places import BASELINE, BUILD, MLP, PAGE, PLOTS, RESNET, BenchError
from service.bench.scenarios import features, images, open_loop, overload, peers, rows, soak
from service.bench.verdicts import (
    Verdicts,
    judge_features,
    judge_images,
    judge_open_loop,
    judge_overload,
    judge_peers,
    judge_rows,
    judge_soak,
)

Part = Callable[[Effort, Verdicts], str]
Found = TypeVar("Found")


def _part(
    measure: Callable[[Effort], Found],
    judge: Callable[[Found, Verdicts], None],
    write: Callable[[Found], str],
) -> Part:
    def part(effort: Effort, verdicts: Verdicts) -> str:
        found = measure(effort)
        judge(found, verdicts)
        return write(found)

    return part


def _overload(effort: Effort, verdicts: Verdicts) -> str:
    slow, fast = overload.images(effort), overload.perceptron(effort)
    judge_overload(slow, fast, verdicts)
    return page.overload_part(slow, fast)


PARTS: dict[str, Part] = {
    "peers": _part(peers.measure, judge_peers, page.peer_part),
    "images": _part(images.measure, judge_images, page.image_part),
    "rows": _part(rows.measure, judge_rows, page.row_part),
    "open-loop": _part(open_loop.measure, judge_open_loop, page.open_part),
    "overload": _overload,
    "features": _part(features.measure, judge_features, page.feature_part),
}
SOAK: dict[str, Part] = {"soak": _part(soak.measure, judge_soak, page.soak_part)}


def main() -> int:
    """Measure, write the page, and compare with the baseline."""
    options = _options()
    effort = QUICK if options.quick else FULL
    chosen = SOAK if options.soak else {n: p for n, p in PARTS.items() if n in options.parts}
    machine, verdicts = Machine(), Verdicts()
    texts: list[str] = []
    shutil.rmtree(PLOTS, ignore_errors=True)
    models.mlp(MLP)
    models.resnet(RESNET)
    failed = [
        name for name, part in chosen.items() if not _run(name, part, effort, verdicts, texts)
    ]
    whole = not options.quick and set(chosen) in (set(PARTS), set(SOAK))
    _publish(texts, verdicts, machine, soaked=options.soak, whole=whole)
    _say_missed(verdicts.limits)
    if options.accept:
        baseline.write(BASELINE, baseline.read(BASELINE) | verdicts.ratios)
        return 0
    return 2 if failed else _compare(verdicts, whole=whole and not options.soak)


def _run(name: str, part: Part, effort: Effort, verdicts: Verdicts, texts: list[str]) -> bool:
    """Run one part; where it cannot be measured, say so on the page and go on."""
    try:
        texts.append(part(effort, verdicts))
    except Exception as error:
        traceback.print_exc()
        reason = str(error).splitlines()[0] if isinstance(error, BenchError) else repr(error)
        texts.append(f"## {name}\n\nNot measured: `{reason}`.")
        return False
    return True


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-service", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a short round of each, not for docs/benchmarks.md"
    )
    parser.add_argument("--soak", action="store_true", help="a million requests with reloads")
    parser.add_argument("--accept", action="store_true", help="make the ratios the baseline")
    parser.add_argument("parts", nargs="*", metavar="PART", default=list(PARTS),
                        help=f"{', '.join(PARTS)}; all of them, unless some are named")  # fmt: skip
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    return options


def _publish(
    texts: list[str], verdicts: Verdicts, machine: Machine, *, soaked: bool, whole: bool
) -> None:
    path = PAGE if whole else BUILD / "benchmarks.md"
    mark = page.SOAK_MARK if soaked else page.MARK
    head = [] if soaked else [page.introduction(_versions(), machine.said(), quick=not whole)]
    page.put(path, mark, "\n\n".join([*head, *texts, page.limits(verdicts.limits)]))
    if whole:
        shutil.copytree(PLOTS, PAGE.with_suffix(""), dirs_exist_ok=True)
    print(path.read_text().partition(mark)[2])
    say(f"written to {path}")


def _versions() -> str:
    names = ("inference-server", "onnxruntime", "uvicorn", "uvloop", "httptools", "orjson")
    return ", ".join(f"{name} {version(name)}" for name in names)


def _say_missed(limits: list[Limit]) -> None:
    for limit in limits:
        if not limit.holds:
            print(f"bench: {' | '.join(limit.row)}", file=sys.stderr)


def _compare(verdicts: Verdicts, *, whole: bool) -> int:
    before = baseline.read(BASELINE)
    if not whole:  # what was not measured did not get worse
        before = {name: ratio for name, ratio in before.items() if name in verdicts.ratios}
    worse = baseline.regressions(before, verdicts.ratios)
    for line in worse:
        print(f"bench: worse than the baseline: {line}", file=sys.stderr)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
