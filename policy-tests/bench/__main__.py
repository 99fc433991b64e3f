"""Measures the policy suite beside other linters; `make bench` runs it.

Exit status: 0 every limit holds; 1 one is broken; 2 a program could not be run.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from breakages import BREAKAGES, broken
from corpus import dump, load, multiply, render
from linters import BIN, LINTERS, OURS, ROOT, Said
from measure import BenchError, Command, Cost, middle, on_two_cores, run, side_by_side
from page import others, page, table

PAGE = ROOT / "docs" / "benchmarks.md"
RUNS, FEW = 5, 3
SMALL, LARGE, HUGE = 1_000, 10_000, 100_000
# What a linter says of the clean render and is wrong about, read and judged one by one.
FALSE = {
    (
        "gitops-policy",
        "hpa-minimum-replicas",
    ): "it is dev; a file does not say so, its overlay does",
    ("gitops-policy", "route-over-tls"): "it is dev; a file does not say so, its overlay does",
    ("kube-score", "networkpolicy-targets-pod"): "the pods are a Rollout's, or cert-manager's",
    ("kube-score", "service-targets-pod"): "the pods are a Rollout's",
    ("kube-score", "horizontalpodautoscaler-has-target"): "the target is a Rollout of the file",
    ("kube-score", "container-image-pull-policy"): "the image is named by digest",
}


class Limits:
    """The limits that were asked for, each with what was measured."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str, str]] = []

    def at_most(self, what: str, measured: float, limit: float, unit: str = "") -> None:
        """Note a figure that must not be larger than its limit."""
        self._add(what, measured, f"at most {limit:g}{unit}", unit, holds=measured <= limit)

    def at_least(self, what: str, measured: float, limit: float, unit: str = "") -> None:
        """Note a figure that must not be smaller than its limit."""
        self._add(what, measured, f"at least {limit:g}{unit}", unit, holds=measured >= limit)

    def _add(self, what: str, measured: float, limit: str, unit: str, *, holds: bool) -> None:
        shown = f"{measured:,.0f}" if measured >= 100 else f"{measured:.3g}"
        self.rows.append((what, f"{shown}{unit}", limit, "yes" if holds else "**no**"))

    @property
    def broken(self) -> list[str]:
        """What does not hold."""
        return [
            f"{what}: {found}, {limit}" for what, found, limit, holds in self.rows if holds != "yes"
        ]


def main() -> int:
    """Measure, print and write the page."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--huge", action="store_true", help=f"also {HUGE:,} manifests (minutes)")
    options = parser.parse_args()
    busy = os.getloadavg()[0]
    on_two_cores()
    limits = Limits()
    with TemporaryDirectory(prefix="gitops-policy-bench-") as name:
        folder = Path(name)  # apart from the repository: nothing but the files is to be read
        files = render(ROOT, folder / "clean")
        sections = {
            "Cold start: three overlays": cold(files, limits),
            "Throughput and memory": throughput(files, folder, limits, huge=options.huge),
            "Found and missed": detection(files[-1], folder, limits),
            "Said of the clean overlays": clean(files),
        }
    sections["Limits"] = table(("what", "measured", "limit", "holds"), limits.rows)
    versions = ", ".join(f"{linter.name} {linter.version()}" for linter in LINTERS)
    written = page(sections, versions, busy)
    print(written)
    PAGE.write_text(written + others(PAGE))
    for line in limits.broken:
        print(f"bench: limit broken: {line}", file=sys.stderr)
    return 1 if limits.broken else 0


def cold(files: list[Path], limits: Limits) -> str:
    """Compare whole processes on the rendered overlays; ours once more with rendering."""
    say("cold start, side by side")
    rendering: Command = [BIN / "gitops-policy", "lint", "overlays"]
    commands = {linter.name: linter.command(files) for linter in LINTERS}
    commands["gitops-policy, rendering included"] = rendering
    costs = dict(zip(commands, side_by_side(list(commands.values()), RUNS, ROOT), strict=True))
    ours, peer = costs[OURS.name], costs["checkov"]
    rendered = costs["gitops-policy, rendering included"]
    # Processor time: the same as the clock's on a quiet machine, and true on a busy one.
    pairs = [a.cpu / b.cpu for a, b in zip(ours, peer, strict=True)]
    limits.at_most("cold start, share of checkov's processor time", median(pairs), 1 / 8)
    limits.at_most("cold start, processor time", middle(ours, cpu), 0.5, " s")
    limits.at_most("the same with rendering", middle(rendered, cpu), 1.5, " s")
    objects = sum(len(load(file)) for file in files)
    note = (
        f"{objects} manifests in three files, medians of {RUNS} runs in turn after one uncounted."
    )
    rows = [
        (f"`{name}`", f"{middle(found, wall):.2f} s", f"{middle(found, cpu):.2f} s",
         f"{middle(found, memory):.0f} MiB", f"{middle(ours, cpu) / middle(found, cpu):.3f}")
        for name, found in costs.items()
    ]  # fmt: skip
    head = ("command", "time", "processor time", "memory", "ours / this, processor time")
    return f"{note}\n\n{table(head, rows)}"


def throughput(files: list[Path], place: Path, limits: Limits, *, huge: bool) -> str:
    """Measure ours on the multiplied overlays, and the others once on the small set."""
    rows: list[tuple[object, ...]] = []
    slopes: dict[int, float] = {}
    for number, runs in ((SMALL, RUNS), (LARGE, FEW), *(((HUGE, 1),) if huge else ())):
        folder = place / str(number)
        made = multiply(files, number, folder)
        for jobs in (1, 2) if number == LARGE else (2,):
            say(f"{made} manifests, {jobs} jobs")
            command = [*OURS.command([folder]), "--jobs", jobs]
            costs = [run(command, ROOT) for _ in range(runs)]
            rows.append(_row(OURS.name, made, jobs, costs))
            if jobs == 2:
                slopes[number] = middle(costs, cpu) / made
                if number == LARGE:
                    best = min(map(wall, costs))
                    limits.at_least("10,000 manifests, best run", made / best, 500, " per s")
                    limits.at_most("memory of all processes", middle(costs, memory), 1024, " MiB")
        for linter in LINTERS[1:] if number == SMALL else ():
            say(f"{made} manifests, {linter.name}")
            found = [run(linter.command(sorted(folder.glob("*.yaml"))), ROOT)]
            rows.append(_row(linter.name, made, "", found))
    for number in [n for n in slopes if n > SMALL]:
        share = slopes[number] / slopes[SMALL]
        # Beyond the caches of a processor each manifest costs more, without any rule doing more.
        most = 1.2 if number == LARGE else 1.5
        limits.at_most(f"processor time per manifest, {number:,} against 1,000", share, most)
    note = (
        f"The overlays again and again in other namespaces, reading included. {SMALL:,}: medians of"
        f" {RUNS}; {LARGE:,}: of {FEW}; more, and the other linters: one run."
        " Memory is that of all processes together."
    )
    head = ("linter", "manifests", "jobs", "time", "processor time", "manifests per s", "memory")
    return f"{note}\n\n{table(head, rows)}"


def _row(name: str, made: int, jobs: object, costs: list[Cost]) -> tuple[object, ...]:
    seconds = middle(costs, wall)
    return (
        f"`{name}`", made, jobs, f"{seconds:.2f} s", f"{middle(costs, cpu):.2f} s",
        f"{made / seconds:.0f}", f"{middle(costs, memory):.0f} MiB",
    )  # fmt: skip


def detection(file: Path, place: Path, limits: Limits) -> str:
    """Break the production overlay in known ways, and see who says something new."""
    documents = load(file)
    whole = dump(documents, place / "broken" / "0" / "production.yaml")
    before = {linter.name: linter.findings([whole]) for linter in LINTERS}
    rows, found = [], Counter[str]()
    for i, breakage in enumerate(BREAKAGES, 1):
        say(f"breakage {i} of {len(BREAKAGES)}: {breakage.title}")
        bad = dump(broken(documents, breakage), place / "broken" / str(i) / "production.yaml")
        cells = []
        for linter in LINTERS:
            new = linter.findings([bad]) - before[linter.name]
            found[linter.name] += bool(new)
            cells.append(_names(new))
        rows.append((breakage.title, *cells))
    total = len(BREAKAGES)
    rows.append(("**found**", *(f"**{found[linter.name]} of {total}**" for linter in LINTERS)))
    limits.at_least("known breakages found", found[OURS.name], total)
    note = (
        "One change each to the rendered production overlay. A linter has found it when it says"
        " something, as error or warning, that it does not say of the unchanged file."
    )
    return f"{note}\n\n{table(('breakage', *(linter.name for linter in LINTERS)), rows)}"


def _names(said: set[Said]) -> str:
    names = sorted({check for check, _ in said})
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return ", ".join(f"`{name}`" for name in names[:2]) + more if names else "missed"


def clean(files: list[Path]) -> str:
    """Say what each linter finds in the overlays as they are."""
    rows: list[tuple[object, ...]] = []
    for linter in LINTERS:
        counts = Counter(check for file in files for check, _ in linter.findings([file]))
        for check, number in sorted(counts.items()):
            rows.append((linter.name, f"`{check}`", number, FALSE.get((linter.name, check), "")))
        wrong = sum(n for check, n in counts.items() if (linter.name, check) in FALSE)
        rows.append(
            (f"**{linter.name}**", "**all**", f"**{sum(counts.values())}**", f"{wrong} false")
        )
    note = "Errors and warnings, file by file; the last column says why a finding is wrong."
    return f"{note}\n\n{table(('linter', 'check', 'findings', 'false because'), rows)}"


def wall(cost: Cost) -> float:
    """Seconds on the clock."""
    return cost.wall


def cpu(cost: Cost) -> float:
    """Seconds of processor time."""
    return cost.cpu


def memory(cost: Cost) -> float:
    """MiB at the peak."""
    return cost.memory


def say(what: str) -> None:
    """Show on stderr what is measured now."""
    print(f"bench: {what} ...", file=sys.stderr)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(2)
