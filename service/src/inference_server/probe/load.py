"""Does the service carry a rate of requests within its limits of errors and of latency?

Requests leave at their time whatever the answers do (an open loop), and the wait counts from
that time: a server that stalls cannot slow its own examiner down.
"""

import asyncio
import contextlib
import math
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import orjson

from inference_server.probe.client import Address, wait_until_served
from inference_server.probe.golden import GoldenSet
from inference_server.probe.golden_set import Target, request
from inference_server.probe.outcome import FAIL, PASS, UNDECIDED, Report

REQUEST_SECONDS = 5.0
LATE_SECONDS = 0.1


@dataclass(frozen=True)
class Plan:
    """`rate` requests/s for `seconds` over `connections`, each carrying one at a time."""

    rate: float
    seconds: float
    connections: int
    any_version: bool = False
    """Right is what any version answers: on a route that two of them share."""

    @property
    def requests(self) -> int:
        """How many requests that makes."""
        return round(self.rate * self.seconds)


@dataclass(frozen=True)
class Limits:
    """Shares that may be errors, above 500 ms and above 1 s, and what makes them decidable."""

    error: float
    slow_500ms: float
    slow_1s: float
    z: float
    minimum_requests: int
    minimum_share: float


@dataclass
class Tally:
    """What came of a load: `seconds` from a request's time to its answer or its loss."""

    asked: int
    seconds: list[float] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)
    late: int = 0
    versions: Counter[str] = field(default_factory=Counter)
    """Right answers by the model version that gave them."""

    @property
    def sent(self) -> int:
        """Requests that left, answered or not."""
        return len(self.seconds)

    @property
    def errors(self) -> int:
        """Requests without a right answer: the inputs are valid, so a 4xx is one too."""
        return self.problems.total()

    def above(self, seconds: float) -> int:
        """Requests that took longer."""
        return sum(each > seconds for each in self.seconds)

    def quantile(self, share: float) -> float:
        """Seconds that `share` of the requests stayed within (nearest rank); 0 without any."""
        ordered = sorted(self.seconds)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


async def ask_load(target: Target, golden: GoldenSet, plan: Plan) -> Tally:
    """Send the plan's requests, then wait for the last answers; raises ProbeError."""
    bodies = [orjson.dumps(request(case)) for case in golden.cases]
    tally, queue = Tally(plan.requests), asyncio.Queue[tuple[float, bytes]]()
    path = f"/v2/models/{target.name}/infer"
    version = None if plan.any_version else target.version
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(target.address())
        await wait_until_served(first, target.name, version, target.patience)
        # Who waits longest is served first, so the requests go round all connections and pods.
        workers = [
            asyncio.create_task(_carry(address, path, queue, tally, version))
            for address in [
                await stack.enter_async_context(target.address(keep=True))
                for _ in range(plan.connections)
            ]
        ]
        await _send(plan, bodies, queue, tally)
        await _end(queue)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return tally


async def _send(
    plan: Plan, bodies: list[bytes], queue: asyncio.Queue[tuple[float, bytes]], tally: Tally
) -> None:
    start = time.perf_counter()
    for number in range(plan.requests):
        due = start + number / plan.rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tally.late += time.perf_counter() - due > LATE_SECONDS
        queue.put_nowait((due, bodies[number % len(bodies)]))


async def _end(queue: asyncio.Queue[tuple[float, bytes]]) -> None:
    """Give what waits as long as one request may take; what is under way ends by itself."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(REQUEST_SECONDS):
            await queue.join()
    while not queue.empty():
        queue.get_nowait()
        queue.task_done()
    await queue.join()


async def _carry(
    address: Address,
    path: str,
    queue: asyncio.Queue[tuple[float, bytes]],
    tally: Tally,
    version: int | None,
) -> None:
    while True:
        due, body = await queue.get()
        answer = await address.post(path, body, REQUEST_SECONDS)
        tally.seconds.append(time.perf_counter() - due)
        if problem := answer.problem_as(version):
            tally.problems[problem] += 1
        else:
            tally.versions[str(answer.content.get("model_version"))] += 1
        queue.task_done()


def bound(share: float, requests: int, z: float) -> float:
    """The largest count out of `requests` that does not refute `share` at the quantile `z`.

    Normal quantile of the binomial with the skewness term of Cornish and Fisher and the
    continuity correction: never below the exact critical value for 3,000 requests or more.
    """
    spread = math.sqrt(share * (1 - share) * requests)
    return share * requests + z * spread + (z * z - 1) / 6 * (1 - 2 * share) + 0.5


def judge(tally: Tally, limits: Limits) -> Report:
    """Fail where a limit is refuted; undecided where too little was sent, or too late by us."""
    details = (
        f"sent {tally.sent} of {tally.asked} requests, 50 % within {tally.quantile(0.5):.3f} s, "
        f"95 % {tally.quantile(0.95):.3f} s, 99 % {tally.quantile(0.99):.3f} s",
        *(f"{times} x version {version}" for version, times in sorted(tally.versions.items())),
        *(f"{times} x {problem}" for problem, times in tally.problems.most_common(5)),
    )
    status, reason = _verdict(tally, limits)
    return Report(status, reason, details)


def _verdict(tally: Tally, limits: Limits) -> tuple[int, str]:
    counts = {
        "errors": (tally.errors, limits.error),
        "above 500 ms": (tally.above(0.5), limits.slow_500ms),
        "above 1 s": (tally.above(1.0), limits.slow_1s),
    }
    exceeded = {
        name: f"{count} {name}, up to {int(largest)} agree with {share:.2%}"
        for name, (count, share) in counts.items()
        if count > (largest := bound(share, tally.sent, limits.z))
    }
    on_time = tally.late <= (1 - limits.minimum_share) * tally.asked
    if exceeded and (on_time or "errors" in exceeded):
        return FAIL, f"of {tally.sent} requests " + "; ".join(exceeded.values())
    if not on_time:
        return UNDECIDED, f"this machine sent {tally.late} of {tally.asked} requests too late"
    if tally.sent < limits.minimum_share * tally.asked or tally.sent < limits.minimum_requests:
        return UNDECIDED, f"{tally.sent} of {tally.asked} requests sent are too few"
    told = ", ".join(f"{count} {name}" for name, (count, _) in counts.items())
    return PASS, f"of {tally.sent} requests {told}"
