"""What the scenarios call a sound release, on timelines and answers made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from e2e.scenarios import expectations
from e2e.scenarios.timeline import Timeline
from e2e.scenarios.traffic import Answer, Target, Traffic

LADDER = [(0, 0), (10, 10), (40, 50), (70, 0)]


def environment(weights: Sequence[tuple[float, int]], **values: Any) -> Any:
    timeline = Timeline()
    timeline.note({"rollout.current": "new", "rollout.replicas": 3, **values}, at=0)
    for at, weight in weights:
        timeline.note({"route.canary": weight, "envoy.canary": weight}, at=at)
    return SimpleNamespace(timeline=timeline, weight_subject="envoy.canary")


def traffic(*answers: tuple[float, str | None, int]) -> Traffic:
    made = Traffic(Target("127.0.0.1:1", "example.com", ["key"]))
    made._answers = [
        Answer(at, 0.01, status, version, "id", "id") for at, version, status in answers
    ]
    return made


def steady(share: float, begin: float, end: float, rate: int = 100) -> list[Any]:
    """Answers in which the canary, version 2, gets its share evenly."""
    every = round(1 / share) if share else 0
    count = int((end - begin) * rate)
    return [(begin + n / rate, "2" if every and n % every == 0 else "1", 200) for n in range(count)]


def test_the_weights_of_a_release_begin_with_the_one_before_it():
    assert expectations.weights(environment(LADDER), since=5) == [0, 10, 50, 0]


def test_a_step_is_judged_without_its_edges():
    steps = expectations.weighted_steps(environment(LADDER), since=5, until=100)
    assert steps == [expectations.Step(10, 11, 39), expectations.Step(50, 41, 69)]


def test_a_share_as_announced_passes():
    steps = [expectations.Step(10, 11, 39)]
    expectations.assert_shares(traffic(*steady(0.1, 11, 39)), steps, "2")


def test_half_the_share_does_not_pass():
    steps = [expectations.Step(10, 11, 39)]
    with pytest.raises(AssertionError, match="standard deviations from its share"):
        expectations.assert_shares(traffic(*steady(0.05, 11, 39)), steps, "2")


def test_a_second_without_canary_traffic_is_seen():
    steps = [expectations.Step(10, 11, 39)]
    answers = [a for a in steady(0.1, 11, 39) if not (20 < a[0] < 22.5 and a[1] == "2")]
    with pytest.raises(AssertionError, match=r"no canary traffic in \d of 28 seconds at 10 %"):
        expectations.assert_canary_served_throughout(traffic(*answers), steps, "2")


@pytest.mark.parametrize("status", [0, 500, 503])
def test_an_answer_that_stable_owes_is_lost(status):
    with pytest.raises(AssertionError, match="1 of 2 requests were lost"):
        expectations.assert_nothing_lost(traffic((1, "1", 200), (2, "1", status)))


def test_the_faulty_version_may_lose_its_own():
    expectations.assert_nothing_lost(traffic((1, "1", 200), (2, "3", 500)), but_of="3")


def test_a_model_that_fails_names_no_version_and_the_gateway_no_request():
    expectations.assert_nothing_lost(traffic((1, None, 500)), but_of="3")
    of_the_gateway = traffic()
    of_the_gateway._answers = [Answer(1, 0.01, 500, None, "id", None)]
    with pytest.raises(AssertionError, match="500 of version None"):
        expectations.assert_nothing_lost(of_the_gateway, but_of="3")


def test_an_answer_of_nobody_is_lost_to_stable():
    with pytest.raises(AssertionError, match="503 of version None"):
        expectations.assert_nothing_lost(traffic((1, None, 503)), but_of="3")


def test_a_refusal_is_no_answer_to_a_sound_client():
    with pytest.raises(AssertionError, match="429"):
        expectations.assert_nothing_lost(traffic((1, None, 429)))


def test_traffic_is_back_when_the_canary_answers_no_more():
    seen = environment([(0, 50), (61, 0)])
    answers = traffic((59, "2", 200), (60.5, "2", 200), (62.0, "2", 200), (66, "1", 200))
    assert expectations.assert_back_in_time(seen, answers, 60, "2") == pytest.approx(2.0)


def test_traffic_that_stays_with_the_canary_is_seen():
    seen = environment([(0, 50), (61, 0)])
    with pytest.raises(AssertionError, match=r"back 6\.0 s after the verdict"):
        expectations.assert_back_in_time(seen, traffic((66, "2", 200)), 60, "2")


def test_traffic_that_ended_with_the_verdict_says_nothing_of_the_way_back():
    seen = environment([(0, 50), (61, 0)])
    with pytest.raises(AssertionError, match="no traffic that could have come back"):
        expectations.assert_back_in_time(seen, traffic((62, "2", 200)), 60, "2")


def test_too_few_canary_pods_are_seen():
    seen = environment(LADDER, **{"pods/new": 1})
    with pytest.raises(AssertionError, match="1 ready canary pods at 50 % of 3, 2 are needed"):
        expectations.assert_enough_canary_pods(seen, 5, 100)


def test_a_field_that_returns_to_its_value_flips():
    timeline = Timeline()
    for at, value in ((0, "a"), (10, "b"), (11, "a"), (30, "c")):
        timeline.note({"service.stable": value}, at=at)
    assert [c.at for c in expectations.flips(timeline, "service.stable", 5, 60)] == [11]
    assert not expectations.flips(timeline, "service.stable", 12, 60)


def test_the_verdict_is_the_first_run_that_does_not_pass():
    timeline = Timeline()
    timeline.note({"analysis/old": "Failed"}, at=1)
    timeline.note({"analysis/first": "Running"}, at=10)
    timeline.note({"analysis/first": "Successful"}, at=20)
    timeline.note({"analysis/second": "Failed"}, at=30)
    assert expectations.verdict(timeline, since=5).at == 30


def test_before_a_verdict_there_is_none():
    timeline = Timeline()
    timeline.note({"analysis/first": "Successful"}, at=20)
    timeline.note({"analysis/second": "Running"}, at=25)
    assert expectations.verdict(timeline, since=5) is None


def test_a_client_that_sent_too_few_requests_says_nothing_of_lost_ones():
    sent = traffic(*((second, "1", 200) for second in range(4)))
    sent.postponed = 1
    expectations.assert_nothing_lost(sent)
    sent.postponed = 2
    with pytest.raises(AssertionError, match="too slow to say anything"):
        expectations.assert_nothing_lost(sent)
