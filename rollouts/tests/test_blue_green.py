"""Blue/green: the new version is asked before it has all users and after; the old one waits."""

from canary_gate import durations

from rollouts.tests.rendering import DEFAULT, Rendered, analyses_of, analysis, rollout_of

#: What only a comparison with a version that has traffic too can answer.
COMPARING = {
    "class-ratio",
    "confidence-shift",
    "errors-against-stable",
    "input-rejections",
    "latency-against-stable",
    "prediction-psi",
}


def test_blue_green_switches_the_two_services_that_there_are(
    rendered: Rendered,
) -> None:
    documents = rendered("blue-green")
    spec = rollout_of(documents)["spec"]
    strategy = spec["strategy"]["blueGreen"]
    before, after = analyses_of(rollout_of(documents))
    without_users, with_users, *_ = analyses_of(rollout_of(rendered(DEFAULT)))
    assert list(spec["strategy"]) == ["blueGreen"]
    assert (strategy["activeService"], strategy["previewService"]) == (
        "inference-stable",
        "inference-canary",
    )
    assert strategy["autoPromotionEnabled"] is True
    assert set(before.templates) == {*without_users.templates, "smoke"}
    assert set(after.templates) == set(with_users.templates) - COMPARING
    length = durations.seconds(analysis(after, documents).arguments["step-duration"])
    assert strategy["scaleDownDelaySeconds"] > length


def test_blue_green_is_undecided_before_its_deadline_aborts(rendered: Rendered) -> None:
    documents = rendered("blue-green")
    rollout = rollout_of(documents)
    before, _ = (analysis(each, documents) for each in analyses_of(rollout))
    looked_at = [metric for metric in before.metrics if metric.interval is not None]
    assert looked_at
    for metric in looked_at:
        last = (metric.initial_delay or 0.0) + (metric.count - 1) * (metric.interval or 0.0)
        assert last < rollout["spec"]["progressDeadlineSeconds"]


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
