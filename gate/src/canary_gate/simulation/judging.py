"""Judges a step of many releases: every look of every metric, and what the run comes to."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from canary_gate.analysis import Analysis, Metric
from canary_gate.expression import Binary, Call, Constant, Node, Result
from canary_gate.run import ERROR_RETRY_SECONDS
from canary_gate.simulation.conditions import ERROR, Results, phases
from canary_gate.simulation.counters import SCRAPE_SECONDS, Numbers
from canary_gate.simulation.queries import QUERIES
from canary_gate.simulation.step import Step
from canary_gate.simulation.verdicts import Ends, RunEnds, metric_ends, run_ends

#: Why a look decides nothing: see `lacks`.
LACKS = ("sample", "no data", "outage", "provider")
SAMPLE, NO_DATA, OUTAGE, PROVIDER = range(4)

Away = tuple[float, float] | None


@dataclass(frozen=True)
class Judged:
    """What a step came to, per release; seconds count from the step's beginning.

    `ends` holds, by metric, where it would end by itself; `lacks`, by metric, what its last
    look lacked if that look decided nothing.
    """

    run: RunEnds
    ends: Mapping[str, Ends]
    lacks: Mapping[str, Numbers]

    def of(self, releases: Numbers) -> "Judged":
        """What some of the releases came to."""
        return Judged(
            self.run.of(releases),
            {name: end.of(releases) for name, end in self.ends.items()},
            {name: lack[releases] for name, lack in self.lacks.items()},
        )


def judged(analysis: Analysis, step: Step, away: Away) -> Judged:
    """Judge as far as the step is known; runs that go on longer have an infinite end.

    Between `away`'s two times, in seconds after the step's beginning, nobody answers.
    """
    until = (step.canary.scrapes - step.canary.before - 1) * SCRAPE_SECONDS
    ends, missing = {}, {}
    for metric in analysis.metrics:
        looks, why = [], []
        for at in scheduled(metric, until, away):
            answer = QUERIES[metric.template](step, analysis.arguments, at)
            gone = unanswered(at, away)
            looks.append(np.where(gone, np.int8(ERROR), phases(metric, answer)))
            why.append(np.where(gone, np.int8(PROVIDER), lacks(metric, answer)))
        end = ends[metric.name] = metric_ends(metric, np.stack(looks, axis=1))
        missing[metric.name] = np.stack(why)[end.look, np.arange(len(end.look))]
    return Judged(run_ends(analysis.metrics, list(ends.values())), ends, missing)


def scheduled(metric: Metric, until: float, away: Away) -> list[float]:
    """Seconds of a metric's looks up to `until`, retried sooner while nobody answers."""
    interval = ERROR_RETRY_SECONDS if metric.interval is None else metric.interval
    times = [metric.initial_delay or 0.0]
    looks = metric.effective_count or np.inf
    while True:
        gone = unanswered(times[-1], away)
        looks -= not gone
        following = times[-1] + (ERROR_RETRY_SECONDS if gone else interval)
        if looks == 0 or following > until:
            return times
        times.append(following)


def unanswered(at: float, away: Away) -> bool:
    """Whether Prometheus gives no answer at this time."""
    return away is not None and away[0] <= at < away[1]


def lacks(metric: Metric, answer: Results) -> Numbers:
    """What a look that decides nothing lacked.

    NO_DATA: samples, or numbers. OUTAGE: a stable within its limits, since there is a sample
    more than the condition asks for. SAMPLE: the figure lies between the two sides.
    """
    place = np.arange(len(answer.values))[:, None]
    blank = (np.isnan(answer.values) & (place < answer.length)).any(axis=0)
    wanted = samples_wanted(metric.success)
    more = answer.length > (wanted or len(answer.values))
    none = blank | (answer.length < (wanted or 1))
    return np.where(none, NO_DATA, np.where(more, OUTAGE, SAMPLE)).astype(np.int8)


def samples_wanted(condition: Node | None) -> int | None:
    """The number in the condition's `len(result) == number`; None where it asks for no number."""
    if not isinstance(condition, Binary):
        return None
    if condition.operator == "&&":
        return samples_wanted(condition.left) or samples_wanted(condition.right)
    number = condition.right.value if isinstance(condition.right, Constant) else None
    if condition.operator == "==" and condition.left == Call("len", (Result(),)):
        return number if isinstance(number, int) else None
    return None
