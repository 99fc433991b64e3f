"""A/B ladders: A and B asked the same in pods of their own, then compared on users for an hour."""

import re

import pytest
from canary_gate import durations

from rollouts.tests.rendering import (
    DEFAULT,
    Rendered,
    analyses_of,
    analysis,
    rollout_of,
    steps_of,
)

#: B's share of the users, percent.
AB = {"ab-90-10-weight": 10, "ab-80-20-weight": 20, "ab-90-10-header": 10, "ab-80-20-header": 20}
every_ab = pytest.mark.parametrize("ladder", AB)


@every_ab
def test_a_and_b_are_compared_on_equal_terms_before_users_are(
    rendered: Rendered, ladder: str
) -> None:
    kind, experiment = steps_of(rollout_of(rendered(ladder)))[0]
    arms = {arm["name"]: arm["specRef"] for arm in experiment["templates"]}
    assert (kind, arms) == ("experiment", {"a": "stable", "b": "canary"})
    assert all("service" in arm and "weight" not in arm for arm in experiment["templates"])
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
    *_, default, _ = analyses_of(rollout_of(rendered(DEFAULT)))
    (asked,) = (e for e in analyses_of(rollout_of(documents)) if e.templates == default.templates)
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
