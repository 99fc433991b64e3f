"""What a release must have looked like, judged from its timeline and its traffic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any

from e2e.scenarios.environment import Environment
from e2e.scenarios.timeline import Change, Timeline, spans
from e2e.scenarios.traffic import Answer, Traffic

# A request under way when the weight changes may go either way; the weight is polled.
SETTLE_SECONDS = 1.0
BACK_SECONDS = 5.0
VERDICT_SECONDS = 10
# One of 10,000 sound steps would be further off.
BY_CHANCE = 1e-4
STANDARD_DEVIATIONS = 3.9
FAILED = 500
# A client that stood still for three seconds owes more than it may have under way at once.
POSTPONED_OF = 4
DECIDED = ("Failed", "Error", "Inconclusive", "Successful")


@dataclass(frozen=True)
class Step:
    """A time in which the canary had one share of the traffic, without its edges."""

    weight: int
    begin: float
    end: float


def weights(environment: Environment, since: float) -> list[int]:
    """The canary's weights in their order, as the traffic-router plugin wrote them."""
    timeline = environment.timeline
    before = timeline.at("route.canary", since)
    return [before, *(change.value for change in timeline.history("route.canary", since))]


def weighted_steps(environment: Environment, since: float, until: float) -> list[Step]:
    """Times of one weight between 0 and 100 that lasted longer than their edges."""
    history = environment.timeline.history(environment.weight_subject, since)
    steps = [
        Step(weight, begin + SETTLE_SECONDS, end - SETTLE_SECONDS)
        for begin, end, weight in spans(history, until)
        if 0 < weight < 100
    ]
    return [step for step in steps if step.end > step.begin]


def share_errors(
    traffic: Traffic, steps: Sequence[Step], canary: str
) -> Iterator[tuple[Step, int, int, float]]:
    """Of each step: canary's answers, all answers, and how many standard deviations off."""
    for step in steps:
        counts = traffic.by_version(step.begin, step.end)
        total, share = sum(counts.values()), step.weight / 100
        deviation = sqrt(total * share * (1 - share)) or 1.0
        yield step, counts[canary], total, (counts[canary] - total * share) / deviation


def assert_shares(traffic: Traffic, steps: Sequence[Step], canary: str) -> None:
    """Each step gave the canary its share of the traffic, within binomial bounds."""
    for step, got, total, off in share_errors(traffic, steps, canary):
        assert abs(off) <= STANDARD_DEVIATIONS, (
            f"at {step.weight} % the canary answered {got} of {total} requests, "
            f"{off:+.1f} standard deviations from its share"
        )


def silent_seconds(traffic: Traffic, step: Step, version: str) -> list[float]:
    """Beginnings of the whole seconds of a step in which this version answered nothing.

    A second counts where chance would give it no answer less than once in 10,000 times: one in
    which a busy machine sent ten requests says nothing of a canary at 10 %.
    """
    whole = int(step.end - step.begin)
    counts = [0] * whole
    totals = [0] * whole
    for answer in traffic.answers(step.begin, step.begin + whole):
        second = min(int(answer.at - step.begin), whole - 1)
        totals[second] += 1
        counts[second] += answer.version == version
    others = 1 - step.weight / 100
    return [
        step.begin + second
        for second, count in enumerate(counts)
        if not count and others ** totals[second] < BY_CHANCE
    ]


def assert_canary_served_throughout(traffic: Traffic, steps: Sequence[Step], canary: str) -> None:
    """Real canary traffic flowed in every second of every weighted step."""
    for step in steps:
        silent = silent_seconds(traffic, step, canary)
        assert not silent, (
            f"no canary traffic in {len(silent)} of {step.end - step.begin:.0f} seconds "
            f"at {step.weight} %"
        )


def assert_nothing_lost(traffic: Traffic, but_of: str | None = None) -> None:
    """Every request was answered, and none with a 5xx or 4xx but of the faulty version."""
    lost = [a for a in traffic.lost() if but_of is None or not _came_from(a, but_of)]
    assert not lost, f"{len(lost)} of {len(traffic.answers())} requests were lost: {_some(lost)}"
    assert not traffic.refused(), f"requests were refused: {dict(traffic.refused())}"
    sent = len(traffic.answers())
    assert traffic.postponed <= sent / POSTPONED_OF, (
        f"{traffic.postponed} requests could not be sent beside {sent}: too slow to say anything"
    )


def _came_from(answer: Answer, faulty: str) -> bool:
    """Whether the faulty version gave this answer: its 500 names no version.

    The server that sends it keeps the request's id; the gateway's own answers have none.
    """
    failed = answer.status == FAILED and answer.request_id == answer.sent_id
    return answer.version == faulty or (failed and answer.version is None)


def step_runs(environment: Environment) -> list[dict[str, Any]]:
    """The AnalysisRuns of steps, not the one beside them, nor that of an Experiment."""
    runs = [run.raw for run in environment.find_all("analysisruns.argoproj.io")]
    return [run for run in runs if "step-index" in run["metadata"].get("labels", {})]


def verdict(timeline: Timeline, since: float) -> Change | None:
    """The first AnalysisRun since then that did not pass, when it said so; None before."""
    runs = timeline.runs(since)
    for change in timeline.changes(since):
        run = change.subject.removeprefix("analysis/")
        if run in runs and change.value in DECIDED and change.value != "Successful":
            return change
    return None


def wait_verdict(environment: Environment, since: float) -> Change:
    """The verdict of a release that was aborted: the Rollout may be seen before its AnalysisRun."""
    found: Change = environment.wait(
        "the AnalysisRun that decided", lambda seen: verdict(seen, since), VERDICT_SECONDS
    )
    return found


def back_after(traffic: Traffic, decided: float, canary: str) -> float:
    """Seconds from the verdict to the last request that the canary answered, 0 where none."""
    answered = [a.at for a in traffic.answers(decided) if a.version == canary]
    return max(answered, default=decided) - decided


def assert_back_in_time(
    environment: Environment, traffic: Traffic, decided: float, canary: str
) -> float:
    """All traffic was with stable again less than 5 s after the verdict; how long it took."""
    assert environment.timeline.now(environment.weight_subject) == 0
    assert traffic.answers(decided + BACK_SECONDS), "no traffic that could have come back"
    took = back_after(traffic, decided, canary)
    assert took < BACK_SECONDS, f"traffic was back {took:.1f} s after the verdict"
    return took


def assert_enough_canary_pods(environment: Environment, since: float, until: float) -> None:
    """At every moment the canary had ready pods for its share: ceil(replicas x weight)."""
    timeline = environment.timeline
    for step in weighted_steps(environment, since, until):
        for moment in _moments(timeline, step):
            canary = timeline.at("rollout.current", moment)
            replicas = timeline.at("rollout.replicas", moment)
            wanted = ceil(replicas * step.weight / 100)
            ready = timeline.at(f"pods/{canary}", moment) or 0
            assert ready >= wanted, (
                f"{ready} ready canary pods at {step.weight} % of {replicas}, {wanted} are needed"
            )


def flips(timeline: Timeline, subject: str, since: float, until: float) -> list[Change]:
    """Changes of a subject back to the value it had just before: two writers that fight."""
    history = [c for c in timeline.history(subject) if c.at < until]
    found = []
    for first, second, third in zip(history, history[1:], history[2:], strict=False):
        if third.at >= since and third.value == first.value != second.value:
            found.append(third)
    return found


def _moments(timeline: Timeline, step: Step) -> list[float]:
    inside = [c.at for c in timeline.changes(step.begin) if c.at < step.end]
    return [step.begin, *(at for at in inside)]


def _some(lost: Sequence[Answer]) -> str:
    shown = [f"{a.status or 'no answer'} of version {a.version}" for a in lost[:5]]
    return ", ".join(shown)
