"""The analyses of pods and state over a whole step: when each looks, what ends it, what cannot."""

import itertools
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml
from canary_gate import AnalysisResult, run_analysis
from canary_gate.durations import seconds

from rollouts.cases import analysis, read_document

ALERTS = Path(__file__).resolve().parents[2] / "base/inference-alerts/prometheusrule-slo.yaml"
NOTHING: list[float] = []
WATCHING = ("model-sanity", "pod-restarts")
SEQUENTIAL = ("execution-provider", "version-attestation")


class Step:
    """A virtual step in which the looks of one metric get these answers, the last one again."""

    def __init__(self, answers: Iterable[list[float]]) -> None:
        self._answers = iter(answers)
        self._last = NOTHING
        self.now = 0.0

    def query(self, _: str) -> list[float]:
        self._last = next(self._answers, self._last)
        return self._last

    def sleep(self, duration: float) -> None:
        self.now += duration

    def run(self, template: str, lasts: float = 86_400) -> AnalysisResult:
        """Play until the analysis ends, or the release that it accompanies after `lasts` s."""
        return run_analysis(
            analysis(read_document(template)),
            self,
            clock=lambda: self.now,
            sleep=self.sleep,
            stop=lambda: self.now > lasts,
        )


def play(template: str, *answers: list[float]) -> tuple[str, str, float]:
    """Verdict, action and duration in seconds of an analysis whose looks get these answers."""
    step = Step(answers)
    result = step.run(template)
    return result.verdict, result.action, step.now


@pytest.mark.parametrize("template", WATCHING)
def test_a_watch_passes_at_the_end_of_the_step_and_not_before(template: str) -> None:
    assert play(template, [0.0]) == ("pass", "advance", 600)


@pytest.mark.parametrize("template", WATCHING)
def test_a_watch_fails_at_its_last_look_too(template: str) -> None:
    assert play(template, *itertools.repeat([0.0], 38), [1.0]) == ("fail", "abort", 600)


@pytest.mark.parametrize("template", WATCHING)
def test_a_watch_that_decides_at_one_look_passes_and_at_none_is_undecided(template: str) -> None:
    undecided = list(itertools.repeat(NOTHING, 38))
    assert play(template, *undecided, [0.0]) == ("pass", "advance", 600)
    assert play(template, *undecided, NOTHING) == ("undecided", "pause", 600)


@pytest.mark.parametrize("template", SEQUENTIAL)
def test_a_fact_about_pods_is_settled_at_the_first_look_that_knows_it(template: str) -> None:
    assert play(template, [0.0]) == ("pass", "advance", 30)
    assert play(template, NOTHING, NOTHING, [0.0]) == ("pass", "advance", 60)
    assert play(template, NOTHING, [1.0]) == ("fail", "abort", 45)


@pytest.mark.parametrize("template", SEQUENTIAL)
def test_a_fact_about_pods_that_stays_unknown_for_half_an_hour_is_undecided(template: str) -> None:
    assert play(template, NOTHING) == ("undecided", "pause", 30 + 119 * 15)


def test_traffic_is_counted_once_at_the_end_of_the_step() -> None:
    assert play("minimum-traffic", [3000.0]) == ("pass", "advance", 600)
    assert play("minimum-traffic", [2999.0]) == ("undecided", "pause", 600)
    assert play("minimum-traffic", [0.0]) == ("fail", "abort", 600)


def test_the_background_aborts_at_the_first_look_that_burns() -> None:
    assert play("slo-burn", [0.0, 0.0], NOTHING, [14.4, 14.4]) == ("fail", "abort", 60)


@pytest.mark.parametrize(
    "answer", [NOTHING, [0.0, 0.0], [50.0, 14.3], [50.0] * 3, [float("nan")] * 2]
)
def test_the_background_neither_pauses_nor_promotes(answer: list[float]) -> None:
    step = Step([answer])
    result = step.run("slo-burn", lasts=86_400)
    assert step.now > 86_400, "it ends with the release, never before"
    assert result.terminated
    assert (result.verdict, result.action) == ("undecided", "advance")


def test_the_background_looks_on_after_a_night_without_data() -> None:
    night = itertools.repeat(NOTHING, 2_880)
    assert play("slo-burn", *night, [50.0, 50.0])[:2] == ("fail", "abort")


def slo_alert(number: int) -> tuple[float, float, set[str]]:
    """How many times too fast an alert burns, the budget, and the windows it looks at."""
    (group,) = yaml.safe_load(ALERTS.read_text())["spec"]["groups"]
    expression = group["rules"][number]["expr"]
    ((times, budget),) = set(re.findall(r"> \(([\d.]+) \* ([\d.]+)\)", expression))
    return float(times), float(budget), set(re.findall(r"ratio_rate(\w+)", expression))


def test_the_burn_is_that_of_the_fastest_alert_and_stables_that_of_the_next() -> None:
    arguments = analysis(read_document("slo-burn")).arguments
    short, long = arguments["burn-short-window"], arguments["burn-long-window"]
    times, budget, windows = slo_alert(0)
    assert (float(arguments["burn-fail-at"]), float(arguments["burn-budget"])) == (times, budget)
    assert {short, long} == windows
    assert seconds(short) < seconds(long)
    assert float(arguments["burn-stable-at"]) == slo_alert(1)[0]
