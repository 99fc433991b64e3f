"""The ladder that each environment climbs, as rendered, with the values of its release."""

from functools import cache

import pytest
from canary_gate import (
    Analysis,
    AnalysisStep,
    canary_steps,
    load_templates,
    resolve_arguments,
    step_analysis,
)

from rollouts.tests.rendering import REPOSITORY, Document, analyses_of, render, rollout_of

every_gated = pytest.mark.parametrize("environment", ["staging", "production"])


@cache
def rendered(environment: str) -> list[Document]:
    return render(REPOSITORY / "overlays" / environment / "inference")


def analyses(environment: str) -> list[Analysis]:
    """The analyses of the steps, with what the controller would give them."""
    documents = rendered(environment)
    rollout, templates = rollout_of(documents), load_templates(documents)
    return [
        step_analysis(
            step,
            templates,
            resolve_arguments(step, rollout, canary_hash="new", stable_hash="old"),
        )
        for step in canary_steps(rollout)
        if isinstance(step, AnalysisStep)
    ]


@pytest.mark.parametrize(
    ("environment", "shares"),
    [
        ("dev", ["0 %"]),
        ("staging", ["0 %", "0 %", "10 %", "50 %", "background"]),
        ("production", ["0 %", "10 %", "50 %", "background"]),
    ],
)
def test_an_environment_asks_at_each_share_of_its_traffic(
    environment: str, shares: list[str]
) -> None:
    assert [asked.where for asked in analyses_of(rollout_of(rendered(environment)))] == shares


def test_only_staging_puts_a_load_on_the_canary() -> None:
    asking = [
        environment
        for environment in ("dev", "staging", "production")
        for asked in analyses_of(rollout_of(rendered(environment)))
        if "load" in asked.templates
    ]
    assert asking == ["staging"] * 3


@every_gated
def test_the_analyses_get_the_values_of_the_release(environment: str) -> None:
    annotations = rollout_of(rendered(environment))["spec"]["template"]["metadata"]["annotations"]
    *_, last = analyses(environment)
    assert annotations["model-sha256"]
    assert {name: last.arguments[name] for name in ("namespace", "canary-hash", "stable-hash")} == {
        "namespace": f"inference-{environment}",
        "canary-hash": "new",
        "stable-hash": "old",
    }
    assert last.arguments["model-sha256"] == annotations["model-sha256"]
    assert last.arguments["expected-shift"] == annotations["expected-shift"]


@every_gated
def test_every_question_of_a_step_comes_to_an_end(environment: str) -> None:
    for analysis in analyses(environment):
        assert all(metric.effective_count for metric in analysis.metrics)


@every_gated
def test_a_step_with_users_lasts_ten_minutes(environment: str) -> None:
    for analysis in analyses(environment)[-2:]:
        at_the_end = [each for each in analysis.metrics if each.count == 1 and each.job is None]
        assert {metric.initial_delay for metric in at_the_end} == {600.0}
