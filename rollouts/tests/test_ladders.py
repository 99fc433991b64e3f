"""Each ladder renders, keeps the policies, and asks what it says, where it says."""

import hashlib
import math
import re
from collections.abc import Iterator
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
    CLIMBS,
    DEFAULT,
    LADDERS,
    REPOSITORY,
    Document,
    Overlay,
    Rendered,
    analyses_of,
    analysis,
    rollout_of,
    steps_of,
)

WORKSPACE = Workspace(REPOSITORY)

ANNOTATIONS = "spec.template.metadata.annotations"
#: What tells an analysis which release it judges, and where the controller finds it.
RELEASE: dict[str, Any] = {
    "namespace": {"fieldRef": {"fieldPath": "metadata.namespace"}},
    "canary-hash": {"podTemplateHashValue": "Latest"},
    "stable-hash": {"podTemplateHashValue": "Stable"},
    "expected-shift": {"fieldRef": {"fieldPath": f"{ANNOTATIONS}.expected-shift"}},
    "model-sha256": {"fieldRef": {"fieldPath": f"{ANNOTATIONS}.model-sha256"}},
}

#: Asked of a canary that no user meets yet.
BEFORE_TRAFFIC = {"golden-set", "execution-provider", "version-attestation"}
#: Asked at every share of the traffic.
QUESTIONS = {
    "class-ratio",
    "confidence-shift",
    "error-cusum",
    "error-sprt",
    "error-window",
    "errors-against-stable",
    "execution-provider",
    "input-rejections",
    "latency-1s-sprt",
    "latency-1s-window",
    "latency-500ms-sprt",
    "latency-500ms-window",
    "latency-against-stable",
    "minimum-traffic",
    "model-sanity",
    "pod-restarts",
    "prediction-psi",
    "version-attestation",
}


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
def test_an_analysis_is_told_which_release_it_judges(rendered: Rendered, ladder: str) -> None:
    for asked in analyses_of(rollout_of(rendered(ladder))):
        told = {name: value for name, value in asked.arguments.items() if name in RELEASE}
        assert told == {name: RELEASE[name] for name in told}
        assert all(isinstance(asked.arguments[name], str) for name in asked.arguments.keys() - told)


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


def test_the_default_wants_more_evidence_of_a_change_where_both_versions_have_equal_traffic(
    rendered: Rendered,
) -> None:
    _, at_ten, at_fifty, beside = analyses_of(rollout_of(rendered(DEFAULT)))
    height = {"error-alarm-at": at_fifty.arguments.get("error-alarm-at", "")}
    assert float(height["error-alarm-at"]) == pytest.approx(math.log(999_999), abs=5e-4)
    assert at_fifty.arguments == at_ten.arguments | height
    assert "error-alarm-at" not in at_ten.arguments | beside.arguments


def test_direct_asks_pods_for_all_users_before_it_moves_them(rendered: Rendered) -> None:
    rollout = rollout_of(rendered("direct"))
    assert outline(rollout) == [
        ("setCanaryScale", {"weight": 100}),
        ("analysis", {"golden-set"}),
        ("setWeight", 100),
    ]
    assert "analysis" not in rollout["spec"]["strategy"]["canary"]


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
    more = {"load"} if ladder == "load-during-analysis" else set()
    assert all(set(each.templates) == QUESTIONS | more for each in with_users)


@every_canary
def test_the_budget_is_watched_from_the_first_user_on(rendered: Rendered, ladder: str) -> None:
    rollout = rollout_of(rendered(ladder))
    background = rollout["spec"]["strategy"]["canary"]["analysis"]
    kinds = [kind for kind, _ in steps_of(rollout)]
    first = min(kinds.index(kind) for kind in ("setWeight", "setHeaderRoute") if kind in kinds)
    assert [each["templateName"] for each in background["templates"]] == ["slo-burn"]
    assert background["startingStep"] == first + 1


@pytest.mark.parametrize("ladder", [name for name in CLIMBS if name != "direct"])
def test_what_is_watched_is_looked_at_for_the_last_time_at_the_end_of_the_step(
    rendered: Rendered, ladder: str
) -> None:
    documents = rendered(ladder)
    steps = [each for each in analyses_of(rollout_of(documents)) if each.where != "background"]
    ends = [end for asked in steps for end in ends_of(analysis(asked, documents))]
    assert {name for name, _, _ in ends} >= {"error-cusum", "error-window"}
    assert [end for end in ends if end[1] != end[2]] == []


def ends_of(run: Analysis) -> Iterator[tuple[str, float, float]]:
    """Name, last look and length of the step, seconds, of each metric that lasts as long."""
    for metric in run.metrics:
        if metric.job is None and not metric.consecutive_success_limit:
            repeated = (metric.count - 1) * (metric.interval or 0.0)
            length = durations.seconds(run.arguments["step-duration"])
            yield metric.name, (metric.initial_delay or 0.0) + repeated, length


@pytest.mark.parametrize("ladder", [name for name in CLIMBS if name != "direct"])
def test_a_watch_without_a_decided_look_is_undecided(rendered: Rendered, ladder: str) -> None:
    documents = rendered(ladder)
    for asked in analyses_of(rollout_of(documents)):
        for metric in analysis(asked, documents).metrics:
            if metric.count > 1 and not metric.consecutive_success_limit:
                assert (metric.name, metric.inconclusive_limit) == (metric.name, metric.count - 1)


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


def test_a_load_asks_the_route_for_as_long_as_each_step_lasts(rendered: Rendered) -> None:
    documents = rendered("load-during-analysis")
    with_users = [each for each in analyses_of(rollout_of(documents)) if "%" in each.where][2:]
    assert [each.where for each in with_users] == ["10 %", "50 %"]
    (gateway,) = (each for each in documents if each["kind"] == "Gateway")
    hosts = {each["hostname"] for each in gateway["spec"]["listeners"]}
    namespace = gateway["metadata"]["namespace"]
    service = f"envoy-{namespace}-inference-{hashed(f'{namespace}/inference')}"
    for asked in with_users:
        given = analysis(asked, documents).arguments
        assert given["load-url"] == f"https://{service}.envoy-gateway-system.svc"
        assert {given["load-host"]} == hosts
        assert given["load-versions"] == "any"
        assert given["load-rate"] == "100"
        seconds = durations.seconds(given["step-duration"])
        assert float(given["load-seconds"]) == seconds
        share = float(asked.where.removesuffix(" %")) / 100
        sent = float(given["load-rate"]) * seconds
        assert sent * share >= 1.5 * float(given["minimum-requests"])


def hashed(name: str) -> str:
    """What Envoy Gateway appends to the name of a Gateway's Service (`GetHashedName`)."""
    return hashlib.sha256(name.encode()).hexdigest()[:8]


def test_the_key_of_the_load_may_send_it_and_no_other_may(rendered: Rendered) -> None:
    documents = rendered("load-during-analysis")
    (policy,) = (each for each in documents if each["kind"] == "BackendTrafficPolicy")
    everybody, total, own = policy["spec"]["rateLimit"]["local"]["rules"]
    client = {"name": "X-Client-Id", "type": "Exact", "value": "analysis"}
    assert own["clientSelectors"] == [{"headers": [client]}]
    (selector,) = everybody["clientSelectors"]
    assert client | {"invert": True} in selector["headers"]
    rates = {each.name: each.value for each in load_templates(documents)["load"].arguments}
    rate = float(rates["load-rate"])
    assert own["limit"]["unit"] == total["limit"]["unit"] == "Second"
    assert rate < own["limit"]["requests"] < total["limit"]["requests"]


def test_the_load_may_talk_to_the_gateway_of_its_own_environment(rendered: Rendered) -> None:
    policies = {
        each["metadata"]["name"]: each
        for each in rendered("load-during-analysis")
        if each["kind"] == "NetworkPolicy"
    }
    spec = policies["inference-probe-egress-gateway"]["spec"]
    (way_out,) = spec["egress"]
    (gateway,) = policies["inference-ingress-gateway"]["spec"]["ingress"]
    assert spec["podSelector"] == policies["inference-probe-egress"]["spec"]["podSelector"]
    assert way_out["to"] == gateway["from"]
    assert way_out["ports"] == [{"port": 443 + 10000, "protocol": "TCP"}]
