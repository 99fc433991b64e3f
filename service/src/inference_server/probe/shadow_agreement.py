"""How often do stable and canary give the same inputs the same class?"""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from inference_server.models.contract import ModelContract
from inference_server.probe.client import Answer, named_tensors, wait_until_served
from inference_server.probe.golden import Case, GoldenSet, Tensor
from inference_server.probe.golden_set import NAMED_CASES, Target, request
from inference_server.probe.outcome import FAIL, PASS, UNDECIDED, ProbeError, Report


@dataclass(frozen=True)
class Shadow:
    """`inputs` golden inputs, each float of them times 1 + `jitter` x a normal number."""

    stable_url: str
    inputs: int
    jitter: float
    seed: int
    minimum: float


async def ask_shadow_agreement(target: Target, golden: GoldenSet, shadow: Shadow) -> Report:
    """Ask both sides the same, one input after the other; raises ProbeError."""
    contract = golden.contract
    if contract.class_output is None:
        raise ProbeError(FAIL, f"{target.name} names no class_output in its metadata")
    tally = Tally()
    async with (
        target.address() as canary,
        replace(target, url=shadow.stable_url).address() as stable,
    ):
        await wait_until_served(canary, target.name, target.version, target.patience)
        for case in jittered(golden, shadow):
            asked = request(case)
            answers = await asyncio.gather(
                stable.infer(target.name, asked), canary.infer(target.name, asked)
            )
            tally.add(*answers, contract, target.version)
    return judge(tally, shadow)


def jittered(golden: GoldenSet, shadow: Shadow) -> Iterator[Case]:
    """The golden inputs over and over, the first round as they are; the seed fixes the rest."""
    draw = random.Random(shadow.seed)  # noqa: S311 - inputs to repeat, nothing to guess
    for number in range(shadow.inputs):
        case = golden.cases[number % len(golden.cases)]
        if number < len(golden.cases):
            yield case
        else:
            yield replace(case, inputs=tuple(_jitter(t, shadow.jitter, draw) for t in case.inputs))


def _jitter(tensor: Tensor, size: float, draw: random.Random) -> Tensor:
    if not tensor.is_float:
        return tensor
    data = tuple(value * (1 + size * draw.gauss(0, 1)) for value in tensor.data)
    return replace(tensor, data=data)


class Tally:
    """What came of the pairs of answers so far."""

    def __init__(self) -> None:
        self.asked = self.compared = self.agreed = 0
        self.deviation = 0.0
        self.problems: list[str] = []

    def add(self, stable: Answer, canary: Answer, contract: ModelContract, version: int) -> None:
        """Count one pair; an input that stable does not answer says nothing about the canary."""
        number = self.asked
        self.asked += 1
        if stable.problem is not None:
            self.problems.append(f"input {number}: stable: {stable.problem}")
            return
        self.compared += 1
        if problem := canary.problem_as(version):
            self.problems.append(f"input {number}: canary: {problem}")
            return
        before, after = named_tensors(stable.content), named_tensors(canary.content)
        classes = _data(before, contract.class_output), _data(after, contract.class_output)
        self.agreed += classes[0] is not None and classes[0] == classes[1]
        scores = _data(before, contract.score_output), _data(after, contract.score_output)
        self.deviation = max(self.deviation, _largest_difference(*scores))


def _data(outputs: dict[str, dict[str, Any]], name: str | None) -> Any:
    return outputs.get(name or "", {}).get("data")


def _largest_difference(before: Any, after: Any) -> float:
    if not isinstance(before, list) or not isinstance(after, list):
        return 0.0
    pairs = [
        (a, b)
        for a, b in zip(before, after, strict=False)
        if isinstance(a, int | float) and isinstance(b, int | float)
    ]
    return max((abs(a - b) for a, b in pairs), default=0.0)


def judge(tally: Tally, shadow: Shadow) -> Report:
    """Pass at `minimum` agreement; undecided where stable answered less than that share."""
    details = tuple(tally.problems[:NAMED_CASES])
    if tally.compared < shadow.minimum * tally.asked:
        counted = f"stable answered {tally.compared} of {tally.asked} inputs"
        return Report(UNDECIDED, counted, details)
    share = tally.agreed / tally.compared
    return Report(
        PASS if share >= shadow.minimum else FAIL,
        f"{tally.agreed} of {tally.compared} classes agree ({share:.2%}, at least "
        f"{shadow.minimum:.2%} is asked for), scores differ by up to {tally.deviation:.3g}",
        details,
    )
