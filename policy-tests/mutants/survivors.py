"""The mutants that are known to survive, each with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from gitops_policy.fields import entries, text
from gitops_policy.reading.manifests import read_file

from mutants.survey import Verdict

FILE = Path(__file__).with_name("survivors.yaml")


def read(file: Path = FILE) -> dict[str, str]:
    """Return the reason of each listed survivor, by mutant id."""
    documents = read_file(file, file.name)
    items = entries(documents[0].content) if documents else []
    return {text(item, "mutant"): text(item, "reason") for _, item in items}


def faults(verdicts: Iterable[Verdict], listed: dict[str, str], *, whole: bool) -> Iterator[str]:
    """Yield what the list says wrongly; with `whole`, also the entries of no mutant."""
    seen = set()
    for verdict in verdicts:
        seen.add(verdict.mutant)
        if verdict.crashed:
            yield f"{verdict.mutant}: crashed {', '.join(verdict.crashed)}"
        if not verdict.caught and verdict.mutant not in listed:
            yield f"{verdict.mutant}: survives, and survivors.yaml gives no reason"
        if verdict.caught and verdict.mutant in listed:
            yield f"{verdict.mutant}: is caught by {', '.join(verdict.rules)}; strike it off"
    for mutant, reason in listed.items():
        if whole and mutant not in seen:
            yield f"{mutant}: stands in survivors.yaml, and is no mutant any more"
        if len(reason.split()) < 4:
            yield f"{mutant}: needs a reason in survivors.yaml"
