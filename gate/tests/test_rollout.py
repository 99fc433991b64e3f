from collections.abc import Callable
from typing import Any

import pytest
from canary_gate import (
    AnalysisStep,
    Pause,
    RefusedError,
    SetCanaryScale,
    SetWeight,
    StepArgument,
    canary_steps,
    load_templates,
    resolve_arguments,
    step_analysis,
)


def rollout(*steps: Any, **canary: Any) -> dict[str, Any]:
    return {
        "kind": "Rollout",
        "metadata": {
            "name": "inference",
            "namespace": "production",
            "labels": {"app.kubernetes.io/name": "inference"},
        },
        "spec": {
            "replicas": 3,
            "paused": False,
            "template": {
                "metadata": {"annotations": {"model-sha256": "abc"}},
                "spec": {"containers": [{"image": "first"}, {"image": "second"}]},
            },
            "strategy": {"canary": {"steps": list(steps), **canary}},
        },
    }


def analysis(**fields: Any) -> dict[str, Any]:
    return {"analysis": {"templates": [{"templateName": "errors"}], **fields}}


def test_the_steps_of_a_ladder_are_read_in_order() -> None:
    steps = canary_steps(
        rollout(
            {"setCanaryScale": {"replicas": 1}},
            {"setCanaryScale": {"weight": 20}},
            {"setCanaryScale": {"matchTrafficWeight": True}},
            {"setWeight": 10},
            {"pause": {}},
            {"pause": {"duration": "10m"}},
            {"pause": {"duration": 30}},
            analysis(
                args=[
                    {"name": "a", "value": "1"},
                    {"name": "b", "valueFrom": {"podTemplateHashValue": "Latest"}},
                    {"name": "c", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                ],
                dryRun=[{"metricName": "err.*"}],
            ),
        )
    )
    assert steps == [
        SetCanaryScale(replicas=1),
        SetCanaryScale(weight=20),
        SetCanaryScale(match_traffic_weight=True),
        SetWeight(10),
        Pause(None),
        Pause(600.0),
        Pause(30.0),
        AnalysisStep(
            ("errors",),
            (
                StepArgument("a", "1"),
                StepArgument("b", pod_template_hash="Latest"),
                StepArgument("c", field_path="metadata.name"),
            ),
            ("err.*",),
        ),
    ]


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ({"setHeaderRoute": {}}, "setHeaderRoute is not modelled"),
        ({"experiment": {}}, "experiment is not modelled"),
        ({"setWeight": "10"}, "setWeight must be an integer"),
        ({"setWeight": 10, "pause": {}}, "a mapping with one key"),
        ("pause", "a mapping with one key"),
        ({"pause": None}, "pause is not a mapping"),
        ({"pause": {"until": "noon"}}, "pause.until is not modelled"),
        ({"pause": {"duration": "soon"}}, "pause.duration: 'soon' is not a duration"),
        ({"setCanaryScale": {}}, "setCanaryScale takes one of"),
        ({"setCanaryScale": {"percent": 1}}, "setCanaryScale.percent is not modelled"),
        ({"analysis": {}}, "analysis.templates is empty"),
        (analysis(analysisRunMetadata={}), "analysis.analysisRunMetadata is not modelled"),
        (analysis(args={}), None),
        (analysis(args={"a": 1}), "analysis.args is not a list"),
        (analysis(args=[{"value": "1"}]), "an argument has no name"),
        (analysis(args=[{"name": "a", "value": 1}]), "argument a must be a string, found 1"),
        (analysis(args=[{"name": "a", "value": "1", "valueFrom": {}}]), "a value or one valueFrom"),
        (
            analysis(args=[{"name": "a", "valueFrom": {"podTemplateHashValue": "Newest"}}]),
            "podTemplateHashValue 'Newest' is not modelled",
        ),
        (
            analysis(args=[{"name": "a", "valueFrom": {"secretKeyRef": {}}}]),
            "valueFrom secretKeyRef",
        ),
    ],
)
def test_a_step_that_is_not_modelled_is_refused_with_its_number(
    step: Any, reason: str | None
) -> None:
    if reason is None:
        assert canary_steps(rollout(step))
        return
    with pytest.raises(RefusedError, match=f"Rollout inference, canary step 1: .*{reason}"):
        canary_steps(rollout({"setWeight": 10}, step))


def test_a_rollout_without_canary_is_refused() -> None:
    with pytest.raises(RefusedError, match="Rollout without name has no canary strategy"):
        canary_steps({"spec": {"strategy": {"blueGreen": {}}}})


def test_a_background_analysis_is_refused() -> None:
    with pytest.raises(RefusedError, match="background analysis is not modelled"):
        canary_steps(rollout(analysis={"templates": []}))


def resolved(argument: dict[str, Any]) -> str:
    (step,) = canary_steps(rollout(analysis(args=[{"name": "a"} | argument])))
    assert isinstance(step, AnalysisStep)
    return resolve_arguments(step, rollout(), canary_hash="new", stable_hash="old")["a"]


def field(path: str) -> dict[str, Any]:
    return {"valueFrom": {"fieldRef": {"fieldPath": path}}}


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ({"value": "text"}, "text"),
        ({"valueFrom": {"podTemplateHashValue": "Latest"}}, "new"),
        ({"valueFrom": {"podTemplateHashValue": "Stable"}}, "old"),
        (field("metadata.namespace"), "production"),
        (field("metadata.labels['app.kubernetes.io/name']"), "inference"),
        (field("metadata.annotations['absent']"), ""),
        (field("metadata.uid"), ""),
        (field("spec.template.metadata.annotations.model-sha256"), "abc"),
        (field("spec.template.spec.containers[1].image"), "second"),
        (field("spec.replicas"), "3"),
        (field("spec.paused"), "false"),
    ],
)
def test_an_argument_takes_its_value_from_the_rollout(argument: dict[str, Any], value: str) -> None:
    assert resolved(argument) == value


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("metadata.generation", "is not modelled"),
        ("metadata.labels", "is not modelled"),
        ("spec.template", "no single value"),
        ("spec.absent", "no single value"),
        ("spec.replicas.count", "does not exist"),
        ("spec.template.spec.containers[7].image", "does not exist"),
        ("spec.template.spec.containers.first", "does not exist"),
    ],
)
def test_a_path_without_a_value_is_refused(path: str, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        resolved(field(path))


def test_the_analysis_of_a_step_has_its_templates_and_arguments(
    build: Callable[..., dict[str, Any]],
) -> None:
    document = build({}, name="errors", args=[{"name": "a"}])
    (step,) = canary_steps(rollout(analysis(dryRun=[{"metricName": "metric"}])))
    assert isinstance(step, AnalysisStep)
    found = step_analysis(step, load_templates([document]), {"a": "1"})
    assert found.arguments == {"a": "1"}
    assert found.metrics[0].dry_run


def test_a_template_that_does_not_exist_is_refused() -> None:
    with pytest.raises(RefusedError, match="template errors: no such template"):
        step_analysis(AnalysisStep(("errors",), ()), {}, {})
