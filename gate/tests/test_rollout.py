from collections.abc import Callable
from typing import Any

import pytest
from canary_gate import (
    Action,
    AnalysisStep,
    BackgroundAnalysis,
    ExperimentStep,
    Pause,
    Phase,
    RefusedError,
    SetCanaryScale,
    SetHeaderRoute,
    SetWeight,
    StepArgument,
    background_analysis,
    canary_steps,
    experiment_phase,
    load_templates,
    promotion_analyses,
    resolve_arguments,
    rollout_action,
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
            "revision": 1_000_000,
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
            {"pause": {"duration": "1500ms"}},
            {"setHeaderRoute": {"name": "b", "match": [{"headerName": "X-Bucket"}]}},
            {"setHeaderRoute": {"name": "b"}},
            analysis(
                args=[
                    {"name": "a", "value": "1"},
                    {"name": "b", "valueFrom": {"podTemplateHashValue": "Latest"}},
                    {"name": "c", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                ],
                dryRun=[{"metricName": "err.*"}],
                measurementRetention=[{"metricName": "errors", "limit": 50}],
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
        Pause(1.0),
        SetHeaderRoute("b", ({"headerName": "X-Bucket"},)),
        SetHeaderRoute("b"),
        AnalysisStep(
            ("errors",),
            (
                StepArgument("a", "1"),
                StepArgument("b", pod_template_hash="Latest"),
                StepArgument("c", field_path="metadata.name"),
            ),
            ("err.*",),
            ("errors",),
        ),
    ]


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ({"setMirrorRoute": {}}, "setMirrorRoute is not modelled"),
        ({"setHeaderRoute": {"matches": []}}, "setHeaderRoute.matches is not modelled"),
        ({"setWeight": "10"}, "setWeight must be an integer"),
        ({"setWeight": 101}, "setWeight must be between 0 and 100, found 101"),
        ({"setWeight": -1}, "setWeight must be between 0 and 100, found -1"),
        ({"pause": {"duration": "-5s"}}, "pause.duration is negative"),
        ({"setWeight": 10, "pause": {}}, "a mapping with one key"),
        ("pause", "a mapping with one key"),
        ({"pause": None}, "pause is not a mapping"),
        ({"pause": {"until": "noon"}}, "pause.until is not modelled"),
        ({"pause": {"duration": "soon"}}, "pause.duration: 'soon' is not a duration"),
        ({"setCanaryScale": {}}, "setCanaryScale takes one of"),
        ({"setCanaryScale": {"percent": 1}}, "setCanaryScale.percent is not modelled"),
        ({"analysis": {}}, "analysis.templates is empty"),
        (analysis(analysisRunMetadata={}), "analysis.analysisRunMetadata is not modelled"),
        (
            analysis(templates=[{"templateName": "errors", "clusterScope": True}]),
            "analysis.templates.clusterScope is not modelled",
        ),
        (analysis(args=[{"name": "a", "default": "1"}]), "args.default is not modelled"),
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


EXPERIMENT = {
    "templates": [
        {"name": "a", "specRef": "stable", "service": {}},
        {"name": "b", "specRef": "canary", "service": {}},
    ],
    "analyses": [
        {
            "name": "agreement",
            "templateName": "errors",
            "requiredForCompletion": True,
            "args": [{"name": "host", "value": "{{templates.b.replicaset.name}}:80"}],
        }
    ],
    "dryRun": [{"metricName": "metric"}],
}


def test_an_experiment_has_its_pods_and_its_analyses() -> None:
    (step,) = canary_steps(rollout({"experiment": EXPERIMENT}))
    assert isinstance(step, ExperimentStep)
    (asked,) = step.analyses
    assert step.pods == {"a": "stable", "b": "canary"}
    assert (asked.templates, asked.dry_run) == (("errors",), ("metric",))
    pods = {"templates.b.replicaset.name": "inference-x-b"}
    given = resolve_arguments(asked, rollout(), canary_hash="new", stable_hash="old", pods=pods)
    assert given == {"host": "inference-x-b:80"}
    with pytest.raises(RefusedError, match="failed to resolve"):
        resolve_arguments(asked, rollout(), canary_hash="new", stable_hash="old", pods={})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"duration": "1h"}, "experiment.duration is not modelled"),
        ({"analyses": []}, "an experiment without analyses"),
        ({"analyses": [{"templateName": "errors"}]}, "without requiredForCompletion"),
        ({"analyses": [{"clusterScope": True}]}, "experiment.analyses.clusterScope"),
        ({"templates": [{"name": "a", "specRef": "old"}]}, "specRef is canary or stable"),
        (
            {"templates": [{"name": "a", "specRef": "stable", "weight": 5}]},
            "experiment.templates.weight is not modelled",
        ),
    ],
)
def test_an_experiment_that_is_not_modelled_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(RefusedError, match=f"canary step 0: .*{reason}"):
        canary_steps(rollout({"experiment": EXPERIMENT | change}))


@pytest.mark.parametrize(
    ("analyses", "phase"),
    [
        (["Successful", "Successful"], "Successful"),
        (["Successful", "Running"], "Running"),
        (["Pending", "Inconclusive"], "Inconclusive"),
        (["Inconclusive", "Error", "Successful"], "Error"),
        (["Failed", "Error", "Running"], "Failed"),
    ],
)
def test_an_experiment_lasts_until_all_have_passed_or_one_has_not(
    analyses: list[str], phase: str
) -> None:
    assert experiment_phase(map(Phase, analyses)) == phase


def test_a_background_analysis_starts_with_its_step() -> None:
    background = {"templates": [{"templateName": "burn"}], "startingStep": 3}
    found = background_analysis(rollout(analysis=background))
    assert found == BackgroundAnalysis(AnalysisStep(("burn",), ()), 3)
    assert background_analysis(rollout(analysis={"templates": [{"templateName": "burn"}]})) == (
        BackgroundAnalysis(AnalysisStep(("burn",), ()), 0)
    )
    assert background_analysis(rollout()) is None


@pytest.mark.parametrize(
    ("analysis", "reason"),
    [
        ({"templates": []}, "analysis.templates is empty"),
        (["burn"], "it is not a mapping"),
        ({"templates": [{"templateName": "b"}], "startingStep": "3"}, "must be an integer"),
    ],
)
def test_a_background_analysis_of_another_shape_is_refused(analysis: Any, reason: str) -> None:
    with pytest.raises(RefusedError, match=f"Rollout inference, background analysis: .*{reason}"):
        background_analysis(rollout(analysis=analysis))


@pytest.mark.parametrize(
    ("step", "background", "action"),
    [
        ("Successful", None, "advance"),
        ("Successful", "Running", "advance"),
        ("Successful", "Pending", "advance"),
        ("Successful", "Successful", "advance"),
        ("Running", None, None),
        ("Running", "Successful", None),
        ("Running", "Running", None),
        ("Running", "Failed", "abort"),
        ("Running", "Error", "abort"),
        ("Running", "Inconclusive", "pause"),
        ("Successful", "Inconclusive", "pause"),
        ("Inconclusive", "Failed", "abort"),
        ("Failed", "Inconclusive", "abort"),
        ("Error", "Successful", "abort"),
        ("Inconclusive", "Running", "pause"),
    ],
)
def test_the_background_may_stop_a_release_and_never_advances_it(
    step: str, background: str | None, action: str | None
) -> None:
    found = rollout_action(Phase(step), Phase(background) if background else None)
    assert found == (Action(action) if action else None)


def blue_green(**strategy: Any) -> dict[str, Any]:
    return {"metadata": {"name": "inference"}, "spec": {"strategy": {"blueGreen": strategy}}}


def test_a_blue_green_rollout_asks_before_and_after_its_promotion() -> None:
    asked = {"templates": [{"templateName": "smoke"}]}
    smoke = AnalysisStep(("smoke",), ())
    assert promotion_analyses(blue_green(prePromotionAnalysis=asked)) == (smoke, None)
    assert promotion_analyses(blue_green(postPromotionAnalysis=asked)) == (None, smoke)


def test_a_promotion_that_asks_nothing_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"inference, postPromotionAnalysis: .* is empty"):
        promotion_analyses(blue_green(postPromotionAnalysis={}))


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
        ("spec.revision", "leads to 1000000, which is not modelled"),
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
