"""Oracle: what our evaluator makes of an analysis, the real controller makes of it too."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from e2e.exclusion import held
from e2e.oracles.api_server import NoClusterError
from e2e.oracles.figures import Figures
from e2e.oracles.gate import measurement_runs, real_templates, releases
from e2e.oracles.gate.agreement import Agreement, compare
from e2e.oracles.gate.case import Case, Object
from e2e.oracles.gate.controller import controller
from e2e.oracles.gate.scripted_prometheus import ScriptedPrometheus
from e2e.oracles.kubeconfig import find_kubeconfig

NAMESPACE = "oracle-gate"
SEED = int(os.environ.get("GATE_ORACLE_SEED", "7"))
#: Where the controller reaches this machine; a cluster elsewhere needs a name or address of it.
HOST = os.environ.get("GATE_ORACLE_HOST", "127.0.0.1")
_RUN_SECONDS = 300


@pytest.fixture(scope="module")
def kubeconfig() -> str:
    try:
        return str(find_kubeconfig("argo-rollouts"))
    except NoClusterError as error:
        pytest.exit(f"oracle of the gate: {error}", returncode=2)


@pytest.fixture(scope="module", autouse=True)
def nobody_restarts_the_controller() -> Iterator[None]:
    with held("argo-rollouts", alone=False):
        yield


@pytest.fixture(scope="module")
def prometheus() -> Iterator[ScriptedPrometheus]:
    with ScriptedPrometheus(HOST) as server:
        yield server


def play(kubeconfig: str, prometheus: ScriptedPrometheus, cases: Sequence[Case]) -> Agreement:
    async def in_namespace() -> Agreement:
        async with controller(kubeconfig, NAMESPACE) as side:
            return await compare(cases, side, prometheus, within=_RUN_SECONDS)

    return asyncio.run(in_namespace())


def test_generated_runs_and_the_templates_come_to_the_same_end_on_both_sides(
    kubeconfig: str, prometheus: ScriptedPrometheus, figures: Figures
) -> None:
    draw = measurement_runs.Cases(SEED, prometheus).draw
    kinds: Sequence[tuple[str, int, Callable[..., Case]]] = (
        ("unusual", 1, measurement_runs.unusual),
        ("hanging", 1, measurement_runs.hanging),
        ("expressions", 60, measurement_runs.expressions),
        ("single", 150, measurement_runs.single),
        ("several", 80, measurement_runs.several),
        ("with-arguments", 70, measurement_runs.with_arguments),
    )
    generated = [case for kind, number, make in kinds for case in draw(kind, number, make)]
    cases = [*real_templates.cases(), *generated]
    agreement = play(kubeconfig, prometheus, cases)
    figures.add("gate", agreement.cases, agreement.agree, agreement.seconds)
    phases = ", ".join(f"{count} {phase}" for phase, count in sorted(agreement.phases.items()))
    figures.say(
        f"gate: {agreement.measurements} measurements; {phases}; "
        f"{agreement.repeated} played again, because the controller measured off beat"
    )
    assert agreement.cases >= 300
    assert not agreement.faults, "\n".join(
        f"{name}: {line}" for name, lines in agreement.faults.items() for line in lines[:6]
    )


def test_a_release_advances_aborts_or_waits_as_the_evaluator_says(
    kubeconfig: str, prometheus: ScriptedPrometheus, figures: Figures
) -> None:
    every = releases.releases()

    async def in_namespace() -> dict[str, Object]:
        async with controller(kubeconfig, f"{NAMESPACE}-releases") as side:
            return await releases.play(every, side, prometheus, within=_RUN_SECONDS)

    started = time.monotonic()
    rollouts = asyncio.run(in_namespace())
    ours = {one.name: releases.expected(one, rollouts[one.name], prometheus) for one in every}
    theirs = {one.name: releases.action(rollouts[one.name]) for one in every}
    agree = sum(ours[name] == theirs[name] for name in ours)
    figures.add("gate, releases", len(every), agree, time.monotonic() - started)
    assert ours == theirs
