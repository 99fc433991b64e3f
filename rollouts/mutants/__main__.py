"""`python -m rollouts.mutants`: make every mistake once, and show which no test would see."""

import argparse
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterable

from rollouts.mutants.survey import Verdict, all_mutants, survey
from rollouts.mutants.survivors import faults, read

LEAST_KILLED = 0.95


def main() -> int:
    """Run the mutants; 1 where too many survive, or other ones than the list says."""
    parser = argparse.ArgumentParser(prog="rollouts.mutants", description=__doc__)
    parser.add_argument("--only", metavar="TEXT", help="mutants whose id holds this text")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    found = [m for m in all_mutants() if not options.only or options.only in m.id]
    if not found:
        parser.error(f"no mutant holds {options.only!r}")
    started = time.monotonic()
    verdicts = list(survey(found, options.jobs))
    print(table(verdicts))
    killed = sum(verdict.killed for verdict in verdicts)
    seconds = time.monotonic() - started
    share = killed / len(verdicts)
    print(f"{killed} of {len(verdicts)} mutants killed ({share:.1%}), {seconds:.0f} s")
    problems = list(faults(verdicts, read(), whole=not options.only))
    if share < LEAST_KILLED:
        problems.append(f"fewer than {LEAST_KILLED:.0%} are killed")
    for problem in problems:
        print(f"mutants: {problem}", file=sys.stderr)
    return 1 if problems else 0


def table(verdicts: Iterable[Verdict]) -> str:
    """Return one line for each operator and template: how many mutants, how many killed."""
    lines = []
    for title in ("operator", "template"):
        groups: dict[str, list[Verdict]] = defaultdict(list)
        for verdict in verdicts:
            template = verdict.mutant.partition(":")[0]
            groups[verdict.operator if title == "operator" else template].append(verdict)
        lines.append(f"{title:<24}  killed")
        for name, group in groups.items():
            lines.append(f"{name:<24} {sum(v.killed for v in group):>4} / {len(group)}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
