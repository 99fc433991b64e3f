"""The analyses of each environment's ladder, as rendered, can be run by the controller."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from canary_gate import (
    Analysis,
    AnalysisStep,
    SetWeight,
    canary_steps,
    load_templates,
    resolve_arguments,
    step_analysis,
)

ROOT = Path(__file__).resolve().parents[2]


def rendered(environment: str) -> list[dict[str, Any]]:
    built = subprocess.run(
        [ROOT / ".tools/bin/kustomize", "build", ROOT / "overlays" / environment / "inference"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return list(yaml.safe_load_all(built.stdout))


def analyses(documents: list[dict[str, Any]]) -> list[tuple[int, Analysis]]:
    """Each inline analysis with the weight at which it runs."""
    (rollout,) = (document for document in documents if document["kind"] == "Rollout")
    templates, weight, found = load_templates(documents), 0, []
    for step in canary_steps(rollout):
        if isinstance(step, SetWeight):
            weight = step.weight
        if isinstance(step, AnalysisStep):
            given = resolve_arguments(step, rollout, canary_hash="new", stable_hash="old")
            found.append((weight, step_analysis(step, templates, given)))
    return found


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_every_question_is_asked_at_ten_and_at_fifty_percent(environment: str) -> None:
    found = analyses(rendered(environment))
    assert [weight for weight, _ in found] == [10, 50]
    for _, analysis in found:
        assert {metric.name for metric in analysis.metrics} == {
            "minimum-traffic",
            "error-sprt",
            "error-window",
            "latency-500ms-window",
            "model-sanity",
        }
        assert analysis.arguments["namespace"] == f"inference-{environment}"
        assert all(metric.effective_count for metric in analysis.metrics)


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_a_step_lasts_ten_minutes(environment: str) -> None:
    for _, analysis in analyses(rendered(environment)):
        at_the_end = [m for m in analysis.metrics if m.effective_count == 1]
        assert {m.initial_delay for m in at_the_end} == {600.0}
        (watching,) = (m for m in analysis.metrics if m.name == "model-sanity")
        assert watching.initial_delay + (watching.count - 1) * watching.interval == 600.0
        assert watching.inconclusive_limit == watching.count - 1


def test_dev_asks_nothing_of_traffic() -> None:
    assert analyses(rendered("dev")) == []
