"""The mutants that are known to survive, each with its reason."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import yaml

from rollouts.mutants.survey import Verdict

FILE = Path(__file__).with_name("survivors.yaml")


def read(file: Path = FILE) -> dict[str, str]:
    """Return the reason of each listed survivor, by mutant id; several may share one."""
    found: dict[str, str] = {}
    for entry in yaml.safe_load(file.read_text()) or ():
        found |= dict.fromkeys(entry["mutants"], entry["reason"])
    return found


def faults(verdicts: Iterable[Verdict], listed: Mapping[str, str], *, whole: bool) -> Iterator[str]:
    """Yield what the list says wrongly; with `whole`, also the entries of no mutant."""
    seen = set()
    for verdict in verdicts:
        seen.add(verdict.mutant)
        if not verdict.killed and verdict.mutant not in listed:
            yield f"{verdict.mutant}: survives, and survivors.yaml gives no reason"
        if verdict.killed and verdict.mutant in listed:
            yield f"{verdict.mutant}: is seen by {verdict.seen_by}; strike it off"
    for mutant, reason in listed.items():
        if whole and mutant not in seen:
            yield f"{mutant}: stands in survivors.yaml, and is no mutant any more"
        if len(reason.split()) < 4:
            yield f"{mutant}: needs a reason in survivors.yaml"
