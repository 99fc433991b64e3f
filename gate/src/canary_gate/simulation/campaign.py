"""All scenarios on all processors, with a seed of their own each, held to the expectations."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from canary_gate import Analysis, durations
from canary_gate.simulation.cells import Cell, simulate
from canary_gate.simulation.counters import SCRAPE_SECONDS
from canary_gate.simulation.default_ladder import ladder_steps
from canary_gate.simulation.expectations import EXPECTATIONS, Expectation, Judgement, judge
from canary_gate.simulation.rivals import wald_requests
from canary_gate.simulation.scenario import GOOD, Onset, Rates, Scenario

Key = tuple[str, float]
Cells = Mapping[Key, tuple[Cell, ...]]

#: Bad canaries whose chance to pass is the product of the steps'.
BAD = {"0.5 % errors": Rates(errors=0.005), "7.5 % slow": Rates(slow_500ms=0.075)}


def key(scenario: Scenario) -> Key:
    """What a scenario is found by."""
    return scenario.name, scenario.canary_rps


def campaign(
    rollouts: Path,
    expectations: Iterable[Expectation] = EXPECTATIONS,
    *,
    releases: int,
    seed: int,
    processes: int,
) -> Cells:
    """Simulate every scenario of the expectations once; the same seed gives the same cells."""
    scenarios = {key(s): s for expectation in expectations for s in expectation.scenarios}
    seeds = np.random.SeedSequence(seed).generate_state(len(scenarios))
    tasks = [
        (rollouts, scenario, (10, 50), releases, int(number))
        for scenario, number in zip(scenarios.values(), seeds, strict=True)
    ]
    return dict(zip(scenarios, _all(tasks, processes), strict=True))


def passing_alone(
    rollouts: Path, canary_rps: float, *, releases: int, seed: int, processes: int
) -> dict[str, tuple[Cell, Cell]]:
    """Bad canaries at the first step alone, and at a second step after a good first one."""
    tasks: list[_Task] = []
    for number, (name, rates) in enumerate(BAD.items()):
        first = Scenario(name, canary_rps, rates)
        second = Scenario(f"{name} only at 50 %", canary_rps, rates, onset=Onset(50, 0.0))
        tasks.append((rollouts, first, (10,), releases, seed + 2 * number))
        tasks.append((rollouts, second, (10, 50), releases, seed + 2 * number + 1))
    cells = [found[0] for found in _all(tasks, processes)]
    return dict(zip(BAD, zip(cells[::2], cells[1::2], strict=True), strict=True))


def judgements(cells: Cells, expectations: Iterable[Expectation] = EXPECTATIONS) -> list[Judgement]:
    """Every limit of every expectation beside what the ladder came to."""
    return [
        judge(expectation, cells[key(scenario)][0], limit)
        for expectation in expectations
        for scenario in expectation.scenarios
        for limit in expectation.limits
    ]


@dataclass(frozen=True)
class Sequential:
    """Mean requests to the error SPRT's verdict beside Wald's optimum for its boundaries.

    `limit` is 1.25 times the optimum and what arrives between two looks and two scrapes;
    None where the true rate lies between the two that the test decides between.
    """

    cell: Cell
    rate: float
    optimum: float
    limit: float | None


def sequential(
    rollouts: Path, cells: Cells, expectations: Iterable[Expectation] = EXPECTATIONS
) -> list[Sequential]:
    """The error SPRT in every cell of independent errors that have one rate from the start."""
    found = []
    for scenario in (s for e in expectations for s in e.scenarios):
        plain = replace(scenario, name="", canary=GOOD, stable=GOOD)
        only_errors = replace(scenario.canary, errors=GOOD.errors) == GOOD
        if plain != Scenario("", scenario.canary_rps) or not only_errors:
            continue
        analysis = ladder_steps(rollouts, scenario.arguments)[0][1]
        (cell,) = (c for c in cells[key(scenario)] if c.template == "error-sprt")
        found.append(_beside_wald(cell, scenario.canary.errors, analysis))
    return found


def _beside_wald(cell: Cell, rate: float, analysis: Analysis) -> Sequential:
    given = analysis.arguments
    p0, p1 = float(given["error-p0"]), float(given["error-p1"])
    effect = float(given["design-effect"])
    bounds = [effect * float(given[f"error-{side}-at"]) for side in ("accept", "reject")]
    optimum = wald_requests(rate, p0, p1, *bounds)
    wait = durations.seconds(given["interval"]) + SCRAPE_SECONDS
    between = p0 < rate < p1
    return Sequential(
        cell, rate, optimum, None if between else 1.25 * optimum + cell.canary_rps * wait
    )


_Task = tuple[Path, Scenario, tuple[int, ...], int, int]


def _all(tasks: Sequence[_Task], processes: int) -> list[tuple[Cell, ...]]:
    if processes == 1:
        return [_one(task) for task in tasks]
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(_one, tasks))


def _one(task: _Task) -> tuple[Cell, ...]:
    rollouts, scenario, weights, releases, seed = task
    steps = ladder_steps(rollouts, scenario.arguments)
    return simulate(scenario, [step for step in steps if step[0] in weights], releases, seed)
