"""Does the service answer the golden inputs as the model did when it was made?"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference_server.probe.client import Address, Answer, named_tensors, wait_until_served
from inference_server.probe.golden import Case, Deviation, GoldenSet, compare
from inference_server.probe.outcome import FAIL, PASS, UNDECIDED, ProbeError, Report

NAMED_CASES = 10


@dataclass(frozen=True)
class Target:
    """The model version that has to be behind an address within `patience` seconds.

    `host` and `ca_file` are those of `Address`.
    """

    url: str
    name: str
    version: int
    api_key: str | None
    patience: float
    host: str | None = None
    ca_file: Path | None = None

    def address(self, *, keep: bool = False) -> Address:
        """Where to ask; raises ProbeError where `ca_file` holds no certificates."""
        return Address(self.url, self.api_key, keep=keep, host=self.host, ca_file=self.ca_file)


async def ask_golden_set(target: Target, golden: GoldenSet, tolerance: float) -> Report:
    """Ask every case by itself, each on a connection of its own; raises ProbeError."""
    async with target.address() as address:
        await wait_until_served(address, target.name, target.version, target.patience)
        answers = [await address.infer(target.name, request(case)) for case in golden.cases]
    if all(answer.status is None for answer in answers):
        raise ProbeError(UNDECIDED, f"{address.url}: {answers[0].problem}")
    return judge(
        [
            judge_answer(case, answer, target.version, tolerance)
            for case, answer in zip(golden.cases, answers, strict=True)
        ]
    )


def request(case: Case) -> dict[str, Any]:
    """The v2 request of one case."""
    return {"inputs": [tensor.as_json() for tensor in case.inputs]}


def judge_answer(case: Case, answer: Answer, version: int, tolerance: float) -> Deviation:
    """How far one answer is from its case; another version is a problem like a wrong output."""
    if problem := answer.problem_as(version):
        return Deviation(0.0, problem)
    return compare(case, named_tensors(answer.content), tolerance)


def judge(deviations: list[Deviation]) -> Report:
    """Pass where every case is within the tolerance; the first cases that are not are named."""
    problems = [
        f"case {number}: {deviation.problem}"
        for number, deviation in enumerate(deviations)
        if deviation.problem is not None
    ]
    more = len(problems) - NAMED_CASES
    details = (*problems[:NAMED_CASES], *([f"and {more} more"] if more > 0 else []))
    largest = max(deviation.size for deviation in deviations)
    counted = f"{len(problems)} of {len(deviations)} cases differ, largest deviation {largest:.3g}"
    return Report(FAIL if problems else PASS, counted, details)
