"""Judges mutants as the tests judge templates: conventions, static check, cases."""

import os
import random
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context

from canary_gate import RefusedError, load_templates
from canary_gate.check import check_template

from rollouts import cases as shown
from rollouts.cases import Case, Document
from rollouts.conventions import breaches
from rollouts.mutants import decisions, queries  # noqa: F401  they register the operators
from rollouts.mutants.mutation import Mutant, mutants, query, with_query

SEED = 20261121
#: Mutants of a template whose queries one promtool evaluates over the same series.
BATCH = 60
FEW = 6


@dataclass(frozen=True)
class Verdict:
    """What saw a mutant; nothing where it survives."""

    mutant: str
    operator: str
    seen_by: str

    @property
    def killed(self) -> bool:
        """Whether a test would fail."""
        return bool(self.seen_by)


@cache
def all_mutants() -> tuple[Mutant, ...]:
    """Return the mutants of every template that asks Prometheus."""
    documents = map(shown.read_document, shown.prometheus_templates())
    return tuple(mutant for document in documents for mutant in mutants(document))


def sample(share: float) -> list[Mutant]:
    """Return a share of the mutants, the same ones each time."""
    found = all_mutants()
    chosen = random.Random(SEED).sample(range(len(found)), round(len(found) * share))  # noqa: S311
    return [found[i] for i in sorted(chosen)]


def survey(found: Iterable[Mutant], jobs: int = os.cpu_count() or 1) -> Iterator[Verdict]:
    """Yield a verdict for each mutant."""
    groups: dict[str, list[Mutant]] = {}
    for mutant in found:
        groups.setdefault(mutant.template, []).append(mutant)
    batches = [
        group[i : i + BATCH] for group in groups.values() for i in range(0, len(group), BATCH)
    ]
    with ProcessPoolExecutor(jobs, get_context("fork")) as pool:
        for verdicts in pool.map(judge, batches):
            yield from verdicts


def judge(batch: list[Mutant]) -> list[Verdict]:
    """Say what sees each mutant of one template; what costs least is asked first."""
    cases = shown.read_cases(batch[0].template)
    original = shown.read_document(batch[0].template)
    seen = {mutant.id: _static(mutant.document) for mutant in batch}
    for mutant in batch:
        if not seen[mutant.id] and _decides_otherwise(original, mutant.document):
            seen[mutant.id] = _decided(mutant.document, cases)
    left = [m for m in batch if not seen[m.id] and _asks_otherwise(original, m.document)]
    seen |= _measured(left, cases)
    return [Verdict(mutant.id, mutant.operator, seen[mutant.id]) for mutant in batch]


def _decides_otherwise(original: Document, mutant: Document) -> bool:
    # The same numbers get the same verdict where only the query differs, and sorts as before.
    same = with_query(mutant, query(original)) == original
    return not same or query(mutant).split("(")[0] != query(original).split("(")[0]


def _asks_otherwise(original: Document, mutant: Document) -> bool:
    asked = (shown.analysis(document).metrics[0].query for document in (original, mutant))
    return next(asked) != next(asked)


def _static(document: Document) -> str:
    try:
        (template,) = load_templates([document]).values()
        problems = [*breaches(document), *check_template(template)]
        shown.analysis(document)
    except RefusedError as error:
        problems = [error]
    return f"static check: {problems[0]}" if problems else ""


def _decided(document: Document, cases: list[Case]) -> str:
    for case in cases:
        try:
            fault = shown.verdict_fault(case, shown.analysis(document, case.arguments))
        except RefusedError as error:
            fault = str(error)
        if fault:
            return case.id
    return ""


def _measured(batch: list[Mutant], cases: list[Case]) -> dict[str, str]:
    """Say which case sees each query; most are seen by the first few."""
    seen: dict[str, str] = {}
    for part in (cases[:FEW], cases[FEW:]):
        left = [mutant for mutant in batch if not seen.get(mutant.id)]
        if left and part:
            seen |= _seen(left, part)
    return seen


def _seen(batch: list[Mutant], cases: list[Case]) -> dict[str, str]:
    """Load the series of each case once, and evaluate every mutant's query over them."""
    tests = []
    for case in cases:
        runs = [shown.analysis(mutant.document, case.arguments) for mutant in batch]
        tests.append(shown.unit_test(case, [run.metrics[0].query for run in runs]))
    failed = shown.promtool(tests)
    return {
        mutant.id: next((case.id for case in cases if number in failed[case.id]), "")
        for number, mutant in enumerate(batch)
    }
