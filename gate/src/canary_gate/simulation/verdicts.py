"""Runs over arrays: where each metric ends, and what the run of many releases comes to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from canary_gate.analysis import Metric
from canary_gate.run import ERROR_RETRY_SECONDS
from canary_gate.simulation.conditions import ERROR, FAILED, INCONCLUSIVE, SUCCESSFUL
from canary_gate.simulation.counters import Array, Mask, Numbers


@dataclass(frozen=True)
class Ends:
    """Where one metric ends by itself in each release.

    `look` is the deciding look (-1: not within the looks given), `at` its time in seconds
    after the run's start (infinite without one), `phase` the metric's phase.
    """

    look: Numbers
    at: Array
    phase: Numbers

    def of(self, releases: Numbers) -> "Ends":
        """The ends of some of the releases."""
        return Ends(self.look[releases], self.at[releases], self.phase[releases])


@dataclass(frozen=True)
class RunEnds:
    """What the run comes to: its end in seconds, its phase, and who decided.

    `decided[metric, release]`: the metric has the run's phase at the run's end. A run that
    goes on past the looks given has an infinite `at`.
    """

    at: Array
    phase: Numbers
    decided: Mask

    def of(self, releases: Numbers) -> "RunEnds":
        """The ends of some of the releases."""
        return RunEnds(self.at[releases], self.phase[releases], self.decided[:, releases])


def look_times(metric: Metric, phases: Numbers) -> Array:
    """Seconds after the run's start of every look, [release, look]: errors are retried sooner."""
    interval = ERROR_RETRY_SECONDS if metric.interval is None else metric.interval
    gaps = np.where(phases == ERROR, ERROR_RETRY_SECONDS, interval)
    first = metric.initial_delay or 0.0
    return np.concatenate(
        [np.full((len(phases), 1), first), first + np.cumsum(gaps[:, :-1], axis=1)], axis=1
    )


def metric_ends(metric: Metric, phases: Numbers) -> Ends:
    """End of a metric from its looks' phases, [release, look], as `canary_gate.run` assesses it.

    The last limit that is passed wins (failure, inconclusive, errors), then come consecutive
    successes and the count.
    """
    failed = np.cumsum(phases == FAILED, axis=1)
    inconclusive = np.cumsum(phases == INCONCLUSIVE, axis=1)
    measured = np.cumsum(phases != ERROR, axis=1)
    end = np.full(phases.shape, -1, np.int8)
    if metric.effective_count is not None:
        end[measured >= metric.effective_count] = _outcome_of_count(metric)
    wanted = metric.consecutive_success_limit
    if wanted > 0:
        end[_in_a_row(phases == SUCCESSFUL) >= wanted] = SUCCESSFUL
    if metric.failure_limit >= 0:
        end[failed > metric.failure_limit] = FAILED
    end[inconclusive > metric.inconclusive_limit] = INCONCLUSIVE
    end[_in_a_row(phases == ERROR) > metric.consecutive_error_limit] = ERROR

    ended = end >= 0
    releases = np.arange(len(phases))
    look = np.where(ended.any(axis=1), ended.argmax(axis=1), -1)
    at = np.where(look >= 0, look_times(metric, phases)[releases, look], np.inf)
    return Ends(look, at, np.where(look >= 0, end[releases, look], SUCCESSFUL).astype(np.int8))


def run_ends(metrics: Sequence[Metric], ends: Sequence[Ends]) -> RunEnds:
    """The first metric that ends badly ends the run, the worst of that moment names it.

    Without a bad one the run ends with its last metric. Dry runs do not decide.
    """
    at = np.stack([end.at for end in ends])
    phase = np.stack([end.phase for end in ends])
    dry = np.array([metric.dry_run for metric in metrics])
    bad = np.where((phase == SUCCESSFUL) | dry[:, None], np.inf, at).min(axis=0)
    finished = np.where(np.isfinite(bad), bad, at.max(axis=0))
    counted = (at <= finished) & ~dry[:, None] & np.isfinite(finished)
    worst = np.where(counted, phase, SUCCESSFUL).max(axis=0).astype(np.int8)
    return RunEnds(finished, worst, counted & (phase == worst))


def _outcome_of_count(metric: Metric) -> int:
    if metric.consecutive_success_limit == 0:
        return SUCCESSFUL
    return INCONCLUSIVE if metric.failure_limit >= 0 else FAILED


def _in_a_row(is_so: Mask) -> Numbers:
    """Length of the row of true values that ends at each look; errors end a row of successes."""
    position = np.arange(1, is_so.shape[1] + 1)
    return position - np.maximum.accumulate(np.where(is_so, 0, position), axis=1)
