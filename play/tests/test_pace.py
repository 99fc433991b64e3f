"""The play is short by arguments alone, and by none that a verdict depends on."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from canary_gate import AnalysisTemplate, load_templates
from release_play.pace import Pace

TEMPLATES = Path(__file__).resolve().parents[2] / "rollouts" / "templates"
WEIGHTS = (0, 10, 50)


@pytest.fixture(scope="module")
def templates() -> list[AnalysisTemplate]:
    files = sorted(TEMPLATES.glob("*/template.yaml"))
    return list(load_templates(yaml.safe_load(file.read_text()) for file in files).values())


@pytest.mark.parametrize("weight", WEIGHTS)
def test_each_argument_is_one_that_a_template_declares(
    templates: list[AnalysisTemplate], weight: int
) -> None:
    declared = {argument.name for template in templates for argument in template.arguments}
    assert set(Pace().arguments(weight)) <= declared


@pytest.mark.parametrize("weight", WEIGHTS)
def test_no_condition_is_another_but_for_its_minimum_sample(
    templates: list[AnalysisTemplate], weight: int
) -> None:
    conditions = " ".join(
        metric.success_condition + metric.failure_condition
        for template in templates
        for metric in template.metrics
    )
    used = {name for name in Pace().arguments(weight) if f"{{{{args.{name}}}}}" in conditions}
    assert used
    assert all(name.startswith("minimum-") for name in used)


def test_a_step_gives_the_canary_its_minimum_sample() -> None:
    pace = Pace(rate=300, minimum_requests=600)
    for weight in (10, 50):
        counted = pace.step_seconds(weight) - pace.first_look - pace.cold_start
        assert counted * pace.rate * weight / 100 >= 1.5 * pace.minimum_requests


def test_a_metric_that_watches_has_its_last_look_at_the_end_of_the_step() -> None:
    pace = Pace()
    arguments = pace.arguments(10)
    seconds = pace.first_look + (int(arguments["watch-looks"]) - 1)
    assert 0 <= pace.step_seconds(10) - seconds <= 1
    assert int(arguments["watch-undecided-looks"]) == int(arguments["watch-looks"]) - 1
