"""A probe holds what enough answers in a row say, and a container waits longer each time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from node_runner.backoff import FORGIVEN_AFTER_SECONDS, LONGEST_SECONDS, Backoff
from node_runner.probes import Answers, Probe, port_number

THRESHOLD = st.integers(1, 4)
ANSWERS = st.lists(st.booleans(), max_size=30)


def probe(success: int = 1, failure: int = 3) -> Probe:
    return Probe.of({"successThreshold": success, "failureThreshold": failure})


def after(answers: list[bool], of: Probe, *, passing: bool = False) -> Answers:
    state = Answers(passing)
    for answer in answers:
        state = state.after(answer, of)
    return state


def test_a_probe_has_the_defaults_of_kubernetes() -> None:
    found = Probe.of({})
    assert (found.initial_delay, found.period, found.timeout) == (0, 10, 1)
    assert (found.success_threshold, found.failure_threshold) == (1, 3)


def test_two_failures_of_three_change_nothing_and_the_third_does() -> None:
    assert after([True, False, False], probe()).passing
    assert not after([True, False, False, False], probe()).passing


def test_a_success_between_starts_the_count_again() -> None:
    assert after([True, False, False, True, False, False], probe()).passing


@given(ANSWERS, THRESHOLD, THRESHOLD)
def test_the_last_answers_in_a_row_decide_when_they_are_enough(
    answers: list[bool], success: int, failure: int
) -> None:
    of = probe(success, failure)
    run = success if answers and answers[-1] else failure
    if len(answers) >= run and len(set(answers[-run:])) == 1:
        assert after(answers, of).passing == answers[-1]
    else:
        assert after(answers, of).passing == after(answers[:-1], of).passing


@given(ANSWERS, THRESHOLD)
def test_a_probe_has_failed_after_that_many_failures_in_a_row(
    answers: list[bool], failure: int
) -> None:
    expected = len(answers) >= failure and not any(answers[-failure:])
    assert after(answers, probe(failure=failure)).failed(probe(failure=failure)) == expected


def test_a_port_is_a_number_or_a_name_of_the_container() -> None:
    container = {"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}
    assert [port_number(port, container) for port in (1, "2", "http")] == [1, 2, 8080]
    with pytest.raises(ValueError, match="no port named grpc"):
        port_number("grpc", container)


def test_a_container_waits_as_a_kubelet_lets_it_wait() -> None:
    waits, backoff = [], Backoff()
    for _ in range(8):
        backoff = backoff.after_end(1)
        waits.append(backoff.seconds)
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300]


def test_ten_good_minutes_are_forgiving() -> None:
    tired = Backoff(failures=6)
    assert tired.after_end(FORGIVEN_AFTER_SECONDS + 1).seconds == 0
    assert tired.after_end(FORGIVEN_AFTER_SECONDS - 1).seconds == LONGEST_SECONDS


@given(st.floats(0.01, 60), st.integers(0, 10**6))
def test_no_wait_is_longer_than_five_minutes_or_shorter_than_the_one_before(
    base: float, failures: int
) -> None:
    now, later = Backoff(base, failures), Backoff(base, failures + 1)
    assert 0 <= now.seconds <= later.seconds <= LONGEST_SECONDS
