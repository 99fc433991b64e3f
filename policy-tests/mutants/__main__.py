"""`python -m mutants`: break every promise once, and show which the suite did not miss."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterable

from mutants.survey import Verdict, all_mutants, survey
from mutants.survivors import faults, read

LEAST_CAUGHT = 0.95


def main() -> int:
    """Run the mutants; 1 where too many survive, or other ones than the list says."""
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("--only", metavar="TEXT", help="mutants whose id holds this text")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    ids = [m.id for _, m in all_mutants() if not options.only or options.only in m.id]
    started = time.monotonic()
    verdicts = list(_shown(survey(ids, options.jobs), len(ids)))
    print(table(verdicts))
    caught = sum(verdict.caught for verdict in verdicts)
    seconds = time.monotonic() - started
    print(
        f"{caught} of {len(verdicts)} mutants caught ({caught / len(verdicts):.1%}), "
        f"{seconds:.0f} s"
    )
    problems = list(faults(verdicts, read(), whole=not options.only))
    if caught < LEAST_CAUGHT * len(verdicts):
        problems.append(f"fewer than {LEAST_CAUGHT:.0%} are caught")
    for problem in problems:
        print(f"mutants: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _shown(verdicts: Iterable[Verdict], total: int) -> Iterable[Verdict]:
    for number, verdict in enumerate(verdicts, start=1):
        if sys.stderr.isatty():
            print(f"\r{number}/{total}", end="\r", file=sys.stderr, flush=True)
        yield verdict


def table(verdicts: Iterable[Verdict]) -> str:
    """Return one line for each operator: how many mutants, how many caught, by which rules."""
    groups: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        groups[verdict.operator].append(verdict)
    lines = [f"{'operator':<36} caught  by"]
    for name, group in groups.items():
        caught = sum(verdict.caught for verdict in group)
        rules = sorted({rule for verdict in group for rule in verdict.rules})
        lines.append(f"{name:<36} {caught:>2} / {len(group):<2}  {_cut(', '.join(rules))}")
        lines += [f"    survives: {v.mutant}" for v in group if not v.caught]
    return "\n".join(lines)


def _cut(text: str, width: int = 90) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


if __name__ == "__main__":
    sys.exit(main())
