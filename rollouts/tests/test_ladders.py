"""Each ladder renders, keeps the policies, and asks what it says, where it says."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from canary_gate import (
    Analysis,
    AnalysisStep,
    ExperimentStep,
    background_analysis,
    canary_steps,
    durations,
    load_templates,
    promotion_analyses,
    resolve_arguments,
    step_analysis,
)
from gitops_policy import Severity, Workspace, lint
from gitops_policy.reading.build import Build, build_kustomization

from rollouts.tests.rendering import (
    LADDERS,
    REPOSITORY,
    Asked,
    Document,
    analyses_of,
    copy_with_ladder,
    render,
    rollout_of,
    steps_of,
)

DEFAULT = "canary-10-50-100"
#: Taken behind the default ladder, not instead of it.
ADDITIONS = ("load-at-weight-0", "shadow")
CLIMBS: dict[str, tuple[str, ...]] = {
    folder.name: (DEFAULT, folder.name) if folder.name in ADDITIONS else (folder.name,)
    for folder in sorted(LADDERS.iterdir())
    if folder.is_dir()
}
WORKSPACE = Workspace(REPOSITORY)
Overlay = Callable[[str], Path]
Rendered = Callable[[str], list[Document]]

#: Asked of a canary that no user meets yet.
BEFORE_TRAFFIC = {"golden-set", "execution-provider", "version-attestation"}
#: What only a comparison with a version that has traffic too can answer.
COMPARING = {
    "class-ratio",
    "confidence-shift",
    "errors-against-stable",
    "input-rejections",
    "latency-against-stable",
    "prediction-psi",
}
#: What the canary's own figures answer.
ABSOLUTE = {
    "error-cusum",
    "error-sprt",
    "error-window",
    "execution-provider",
    "latency-1s-sprt",
    "latency-1s-window",
    "latency-500ms-sprt",
    "latency-500ms-window",
    "minimum-traffic",
    "model-sanity",
    "pod-restarts",
    "version-attestation",
}
QUESTIONS = ABSOLUTE | COMPARING


@pytest.fixture(scope="session")
def overlay(tmp_path_factory: pytest.TempPathFactory) -> Overlay:
    """The folder of production's overlay, with the ladder of this name."""
    return cache(lambda name: copy_with_ladder(tmp_path_factory.mktemp(name), *CLIMBS[name]))


@pytest.fixture(scope="session")
def rendered(overlay: Overlay) -> Rendered:
    """What that overlay renders."""
    return cache(lambda name: render(overlay(name)))


every_ladder = pytest.mark.parametrize("ladder", CLIMBS)
every_canary = pytest.mark.parametrize(
    "ladder", [name for name in CLIMBS if name not in ("blue-green", "direct")]
)


def outline(rollout: Document) -> list[tuple[str, Any]]:
    """The steps in short: an analysis is the set of what it asks."""
    return [
        (kind, {t["templateName"] for t in value["templates"]} if kind == "analysis" else value)
        for kind, value in steps_of(rollout)
    ]


def analysis(asked: Asked, documents: list[Document]) -> Analysis:
    """What the controller would run; a value that only a Rollout has is a stand-in."""
    templates = load_templates(documents)
    given = {
        name: value if isinstance(value, str) else "from-the-rollout"
        for name, value in asked.arguments.items()
    }
    return Analysis([templates[name] for name in asked.templates], given, dry_run=asked.dry_run)


@every_ladder
def test_a_ladder_keeps_every_policy(overlay: Overlay, ladder: str) -> None:
    build: Build = build_kustomization(overlay(ladder))
    report = lint(build, workspace=WORKSPACE)
    assert report.evaluated["rollout-valid"] == 1
    assert not report.errors
    assert [(f.rule, f.pointer, f.message) for f in report.at_least(Severity.warning)] == []


@every_ladder
def test_a_ladder_says_how_long_it_waits_and_how_it_goes_back(
    rendered: Rendered, ladder: str
) -> None:
    spec = rollout_of(rendered(ladder))["spec"]
    (strategy,) = spec["strategy"].values()
    assert spec["progressDeadlineAbort"] is True
    assert spec["progressDeadlineSeconds"] == 900
    assert spec["rollbackWindow"] == {"revisions": 3}
    assert spec["revisionHistoryLimit"] == 5
    assert strategy["abortScaleDownDelaySeconds"] == 60


def read_by_the_gate(rollout: Document) -> Iterator[AnalysisStep]:
    """Every analysis that the gate finds, in the order of `analyses_of`."""
    if "blueGreen" in rollout["spec"]["strategy"]:
        yield from (each for each in promotion_analyses(rollout) if each)
        return
    for step in canary_steps(rollout):
        if isinstance(step, AnalysisStep):
            yield step
        if isinstance(step, ExperimentStep):
            yield from step.analyses
    if background := background_analysis(rollout):
        yield background.analysis


@every_ladder
def test_the_gate_reads_the_ladder_and_can_run_each_analysis(
    rendered: Rendered, ladder: str
) -> None:
    rollout, templates = rollout_of(rendered(ladder)), load_templates(rendered(ladder))
    pods = {f"templates.{arm}.replicaset.name": f"inference-{arm}" for arm in ("a", "b")}
    found = list(read_by_the_gate(rollout))
    assert [each.templates for each in found] == [each.templates for each in analyses_of(rollout)]
    for step in found:
        given = resolve_arguments(step, rollout, canary_hash="new", stable_hash="old", pods=pods)
        assert len(step_analysis(step, templates, given).metrics) == len(step.templates)


@every_ladder
def test_a_ladder_brings_the_templates_that_it_asks_and_no_other(
    rendered: Rendered, ladder: str
) -> None:
    documents = rendered(ladder)
    brought = [d["metadata"]["name"] for d in documents if d["kind"] == "AnalysisTemplate"]
    asked = {name for each in analyses_of(rollout_of(documents)) for name in each.templates}
    assert sorted(brought) == sorted(asked)


@every_ladder
def test_the_readme_has_a_paragraph_for_the_ladder(ladder: str) -> None:
    assert f"\n## {ladder}\n" in (LADDERS / "README.md").read_text()


def test_the_default_asks_before_there_is_traffic_and_at_ten_and_fifty_percent(
    rendered: Rendered,
) -> None:
    assert outline(rollout_of(rendered(DEFAULT))) == [
        ("setCanaryScale", {"weight": 10}),
        ("analysis", BEFORE_TRAFFIC),
        ("setWeight", 10),
        ("setCanaryScale", {"matchTrafficWeight": True}),
        ("analysis", QUESTIONS),
        ("setWeight", 50),
        ("analysis", QUESTIONS),
    ]


def test_four_steps_ask_the_same_in_half_the_time(rendered: Rendered) -> None:
    rollout = rollout_of(rendered("canary-10-25-50-100"))
    assert outline(rollout) == [
        ("setCanaryScale", {"weight": 10}),
        ("analysis", BEFORE_TRAFFIC),
        ("setWeight", 10),
        ("setCanaryScale", {"matchTrafficWeight": True}),
        ("analysis", QUESTIONS),
        ("setWeight", 25),
        ("analysis", QUESTIONS),
        ("setWeight", 50),
        ("analysis", QUESTIONS),
    ]
    at_weights = [each for each in analyses_of(rollout) if re.match("[1-9]", each.where)]
    assert [each.arguments["step-duration"] for each in at_weights] == ["5m"] * 3


@every_canary
def test_every_canary_is_asked_before_a_user_meets_it(rendered: Rendered, ladder: str) -> None:
    asked = [
        each for each in analyses_of(rollout_of(rendered(ladder))) if each.where != "experiment"
    ]
    assert asked[0].where == "0 %"
    assert set(asked[0].templates) >= BEFORE_TRAFFIC
    with_users = [each for each in asked if each.where not in ("0 %", "background")]
    assert with_users
    assert all(set(each.templates) == QUESTIONS for each in with_users)


@every_canary
def test_the_budget_is_watched_from_the_first_user_on(rendered: Rendered, ladder: str) -> None:
    rollout = rollout_of(rendered(ladder))
    background = rollout["spec"]["strategy"]["canary"]["analysis"]
    kinds = [kind for kind, _ in steps_of(rollout)]
    first = min(kinds.index(kind) for kind in ("setWeight", "setHeaderRoute") if kind in kinds)
    assert [each["templateName"] for each in background["templates"]] == ["slo-burn"]
    assert background["startingStep"] == first + 1


def durations_of(rollout: Document, documents: list[Document]) -> Iterator[tuple[Asked, Analysis]]:
    for asked in analyses_of(rollout):
        if asked.where != "background":
            yield asked, analysis(asked, documents)


@every_ladder
def test_what_is_watched_is_looked_at_for_the_last_time_at_the_end_of_the_step(
    rendered: Rendered, ladder: str
) -> None:
    for _, run in durations_of(rollout_of(rendered(ladder)), rendered(ladder)):
        metrics = [metric for metric in run.metrics if not metric.job]
        length = durations.seconds(run.arguments.get("step-duration", "10m"))
        for metric in metrics:
            if metric.consecutive_success_limit == 0 and metric.count > 1:
                assert metric.interval is not None
                last = (metric.initial_delay or 0) + (metric.count - 1) * metric.interval
                assert (metric.name, last) == (metric.name, length)
                assert metric.inconclusive_limit == metric.count - 1
            if metric.count == 1:
                assert (metric.name, metric.initial_delay) == (metric.name, length)


def test_blue_green_switches_the_two_services_that_there_are(
    rendered: Rendered,
) -> None:
    documents = rendered("blue-green")
    spec = rollout_of(documents)["spec"]
    strategy = spec["strategy"]["blueGreen"]
    before, after = analyses_of(rollout_of(documents))
    assert list(spec["strategy"]) == ["blueGreen"]
    assert (strategy["activeService"], strategy["previewService"]) == (
        "inference-stable",
        "inference-canary",
    )
    assert strategy["autoPromotionEnabled"] is True
    assert set(before.templates) == BEFORE_TRAFFIC | {"smoke"}
    assert set(after.templates) == ABSOLUTE
    length = durations.seconds(analysis(after, documents).arguments["step-duration"])
    assert strategy["scaleDownDelaySeconds"] > length


def test_blue_green_leaves_the_route_at_the_active_service(
    rendered: Rendered,
) -> None:
    (route,) = (
        document
        for document in rendered("blue-green")
        if document["kind"] == "HTTPRoute" and document["metadata"]["name"] == "inference"
    )
    (rule,) = route["spec"]["rules"]
    assert [(each["name"], each["weight"]) for each in rule["backendRefs"]] == [
        ("inference-stable", 100),
        ("inference-canary", 0),
    ]


def test_shadow_records_the_agreement_and_lets_it_decide_nothing(
    rendered: Rendered,
) -> None:
    (first, *rest), (default, *others) = (
        list(analyses_of(rollout_of(rendered(name)))) for name in ("shadow", DEFAULT)
    )
    assert set(first.templates) == {*default.templates, "shadow-agreement"}
    assert first.dry_run == ("shadow-agreement",)
    assert rest == others


def test_the_load_is_carried_before_the_first_user(rendered: Rendered) -> None:
    steps = outline(rollout_of(rendered("load-at-weight-0")))
    assert steps[:4] == [
        ("setCanaryScale", {"weight": 10}),
        ("analysis", BEFORE_TRAFFIC),
        ("analysis", {"load"}),
        ("setWeight", 10),
    ]
    assert steps[3:] == outline(rollout_of(rendered(DEFAULT)))[2:]


AB = {"ab-90-10-weight": 10, "ab-80-20-weight": 20, "ab-90-10-header": 10, "ab-80-20-header": 20}
every_ab = pytest.mark.parametrize("ladder", AB)


@every_ab
def test_a_and_b_are_compared_on_equal_terms_before_users_are(
    rendered: Rendered, ladder: str
) -> None:
    kind, experiment = steps_of(rollout_of(rendered(ladder)))[0]
    arms = {arm["name"]: arm["specRef"] for arm in experiment["templates"]}
    assert (kind, arms) == ("experiment", {"a": "stable", "b": "canary"})
    assert not any("weight" in arm for arm in experiment["templates"])
    (asked,) = (e for e in analyses_of(rollout_of(rendered(ladder))) if e.where == "experiment")
    assert asked.templates == asked.dry_run == ("shadow-agreement",)
    assert asked.arguments == {
        "canary-service": "{{templates.b.replicaset.name}}:8080",
        "stable-service": "{{templates.a.replicaset.name}}:8080",
    }


@every_ab
def test_an_experiment_ends_with_its_analyses_and_a_dry_run_names_a_metric_of_each(
    rendered: Rendered, ladder: str
) -> None:
    experiment = steps_of(rollout_of(rendered(ladder)))[0][1]
    assert all(each["requiredForCompletion"] for each in experiment["analyses"])
    # The controller gives every analysis every rule, and refuses a rule that matches nothing.
    for rule in experiment["dryRun"]:
        assert {each["templateName"] for each in experiment["analyses"]} == {rule["metricName"]}


@every_ab
def test_b_has_the_pods_for_its_share(rendered: Rendered, ladder: str) -> None:
    scales = [v for kind, v in steps_of(rollout_of(rendered(ladder))) if kind == "setCanaryScale"]
    assert scales[0] == {"weight": AB[ladder]}
    by_weight = ladder.endswith("weight")
    assert scales[1:] == ([{"matchTrafficWeight": True}] if by_weight else [])


@every_ab
def test_users_are_compared_for_an_hour(rendered: Rendered, ladder: str) -> None:
    documents = rendered(ladder)
    (asked,) = (e for e in analyses_of(rollout_of(documents)) if set(e.templates) == QUESTIONS)
    assert asked.arguments["step-duration"] == "1h"
    assert durations.seconds(analysis(asked, documents).arguments["history"]) > 3600


@pytest.mark.parametrize("ladder", ["ab-90-10-weight", "ab-80-20-weight"])
def test_a_weight_gives_b_its_share(rendered: Rendered, ladder: str) -> None:
    weights = [v for kind, v in steps_of(rollout_of(rendered(ladder))) if kind == "setWeight"]
    assert weights == [AB[ladder]]


@pytest.mark.parametrize("ladder", ["ab-90-10-header", "ab-80-20-header"])
def test_a_bucket_gives_b_its_share(rendered: Rendered, ladder: str) -> None:
    rollout = rollout_of(rendered(ladder))
    (route,) = (value for kind, value in steps_of(rollout) if kind == "setHeaderRoute")
    (match,) = route["match"]
    bucket = re.compile(match["headerValue"]["regex"])
    assert match["headerName"] == "X-Bucket"
    # Envoy matches the whole value.
    assert sum(bucket.fullmatch(f"{number:02}") is not None for number in range(100)) == AB[ladder]
    assert bucket.fullmatch("") is None
    managed = rollout["spec"]["strategy"]["canary"]["trafficRouting"]["managedRoutes"]
    assert managed == [{"name": route["name"]}]
    assert "setWeight" not in dict(steps_of(rollout))
