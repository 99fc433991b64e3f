"""Conditions and runs over arrays, held to the evaluator and to the run of one release."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from canary_gate import (
    Analysis,
    EvaluationError,
    Phase,
    ProviderError,
    RefusedError,
    load_templates,
    run_analysis,
)
from canary_gate.expression import parse
from canary_gate.run import judge
from canary_gate.simulation.conditions import PHASES, Results, holds, phases
from canary_gate.simulation.default_ladder import ladder_steps
from canary_gate.simulation.verdicts import metric_ends, run_ends
from hypothesis import given
from hypothesis import strategies as st

ROLLOUTS = Path(__file__).resolve().parents[2] / "rollouts"
ANALYSIS = ladder_steps(ROLLOUTS)[0][1]
ODD = [float("nan"), float("inf"), float("-inf"), 0.0, -1.0, 0.5, 3.0, 6.907]

numbers = st.one_of(st.sampled_from(ODD), st.floats(-20, 20), st.integers(0, 100_000).map(float))
answers = st.lists(st.lists(numbers, max_size=5), min_size=1, max_size=8)


def together(looks: Sequence[Sequence[float]]) -> Results:
    """Results of looks, with rubbish past the end of each."""
    values = np.full((5, len(looks)), 77.0)
    for number, look in enumerate(looks):
        values[: len(look), number] = look
    return Results(values, np.array([len(look) for look in looks]))


def one_by_one(metric: Any, looks: Sequence[Sequence[float]]) -> list[Phase]:
    found = []
    for look in looks:
        try:
            found.append(judge(metric, list(look)))
        except EvaluationError:
            found.append(Phase.ERROR)
    return found


@pytest.mark.parametrize("metric", ANALYSIS.metrics, ids=lambda metric: metric.name)
@given(looks=answers)
def test_a_condition_over_arrays_says_what_it_says_of_each_look(
    metric: Any, looks: list[list[float]]
) -> None:
    together_found = [PHASES[number] for number in phases(metric, together(looks))]
    assert together_found == one_by_one(metric, looks)


@pytest.mark.parametrize(
    "text",
    [
        "result[0] < 1",
        "result[1] > 2 || result[0] > 1",
        "len(result) > 1 && result[1] / result[0] >= 0.5",
        "any(result, # > 3) ? result[0] > 1 : len(result) == 0",
        "all(result, !isNaN(#)) && none(result, isInf(#))",
        "count([1, 2, 3], # < result[0]) == 2",
        "-result[0] ** 2 <= -4 and not (result[0] != 3)",
    ],
)
@given(looks=answers)
def test_each_part_of_the_language_over_arrays_says_the_same(
    text: str, looks: list[list[float]]
) -> None:
    metric = ANALYSIS.metrics[0]
    changed = type(metric)(**{**vars(metric), "success": parse(text), "failure": None})
    found = [PHASES[number] for number in phases(changed, together(looks))]
    assert found == one_by_one(changed, looks)


@pytest.mark.parametrize("text", ["result[len(result) - 1] > 0", "result[0] % 2 == 1"])
def test_what_has_no_form_over_arrays_is_refused_and_not_guessed(text: str) -> None:
    with pytest.raises(RefusedError, match="form over arrays"):
        holds(parse(text), together([[1.0, 2.0]]))


class Script:
    """A virtual clock and a provider whose answers give phases, one list for each metric."""

    def __init__(self, looks: dict[str, list[Phase]]) -> None:
        self.now = 0.0
        self._looks = {query: iter(phases) for query, phases in looks.items()}

    def query(self, query: str) -> float:
        phase = next(self._looks[query])
        if phase is Phase.ERROR:
            raise ProviderError("away")
        return {Phase.SUCCESSFUL: 0.0, Phase.FAILED: 2.0, Phase.INCONCLUSIVE: 1.0}[phase]

    def sleep(self, seconds: float) -> None:
        self.now += seconds


LOOKS = 24
tables = st.lists(
    st.lists(st.sampled_from(range(len(PHASES))), min_size=LOOKS, max_size=LOOKS),
    min_size=3,
    max_size=3,
)
limits = st.fixed_dictionaries(
    {
        "interval": st.sampled_from(["10s", "15s"]),
        "initialDelay": st.sampled_from(["5s", "30s"]),
        "count": st.integers(4, 10),
        "failureLimit": st.integers(0, 2),
        "inconclusiveLimit": st.integers(0, 4),
        "consecutiveErrorLimit": st.integers(0, 3),
        "consecutiveSuccessLimit": st.integers(0, 2),
    }
)


@given(tables=tables, settings=st.lists(limits, min_size=3, max_size=3), dry=st.integers(0, 3))
def test_a_run_over_arrays_comes_to_what_the_run_of_the_release_comes_to(
    tables: list[list[int]], settings: list[dict[str, Any]], dry: int
) -> None:
    metrics = [
        {
            "name": name,
            "successCondition": "result < 1",
            "failureCondition": "result > 1",
            "provider": {"prometheus": {"query": name}},
            **given,
        }
        for name, given in zip("abc", settings, strict=True)
    ]
    spec: dict[str, Any] = {"metrics": metrics}
    if dry < 3:
        spec["dryRun"] = [{"metricName": "abc"[dry]}]
    document = {"kind": "AnalysisTemplate", "metadata": {"name": "run"}, "spec": spec}
    analysis = Analysis(load_templates([document]).values())

    script = Script(
        {
            name: [PHASES[number] for number in table] + [Phase.SUCCESSFUL] * 200
            for name, table in zip("abc", tables, strict=True)
        }
    )
    result = run_analysis(analysis, script, clock=lambda: script.now, sleep=script.sleep)

    padded = [np.array([table + [0] * 200], np.int8) for table in tables]
    ends = [metric_ends(m, table) for m, table in zip(analysis.metrics, padded, strict=True)]
    run = run_ends(analysis.metrics, ends)
    assert (PHASES[run.phase[0]], run.at[0]) == (result.phase, result.finished)
