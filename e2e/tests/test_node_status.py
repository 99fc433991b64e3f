"""The status of a pod says what a kubelet would say of the same containers."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from node_runner.status import (
    ContainerState,
    PodView,
    Running,
    State,
    Terminated,
    Waiting,
    phase,
    pod_status,
    restored,
)

AT = "2026-11-22T10:00:00Z"
EARLIER = "2026-11-22T09:00:00Z"
GOOD = Terminated(0, "Completed", EARLIER, AT)
BAD = Terminated(3, "Error", EARLIER, AT, "boom")
STATES = st.sampled_from([Waiting("ContainerCreating"), Running(EARLIER), GOOD, BAD])


def container(
    state: State, name: str = "server", last: Terminated | None = None, **more: Any
) -> ContainerState:
    return ContainerState(name, "image", state=state, last=last, **more)


def serving(name: str = "server") -> ContainerState:
    return container(Running(EARLIER), name, started=True, serves=True)


def view(*main: ContainerState, init: tuple[ContainerState, ...] = (), **more: Any) -> PodView:
    pod: dict[str, Any] = {
        "metadata": {"name": "p", "uid": "u", "generation": 2},
        "spec": {"restartPolicy": more.pop("policy", "Always")}
        | ({"readinessGates": more.pop("gates")} if "gates" in more else {}),
        "status": {"conditions": more.pop("before", [])},
    }
    fields = {"mounted": True, "ended": False, "stopping": False, **more}
    return PodView(pod, init, main, ip="10.1.1.1", host_ip="127.1.0.1", started_at=AT, **fields)


def conditions(of: PodView) -> dict[str, str]:
    return {entry["type"]: entry["status"] for entry in pod_status(of, AT)["conditions"]}


def test_a_pod_serves_when_all_its_containers_do() -> None:
    assert conditions(view(serving(), serving("other"))) == {
        "PodReadyToStartContainers": "True",
        "Initialized": "True",
        "Ready": "True",
        "ContainersReady": "True",
        "PodScheduled": "True",
    }
    unready = container(Running(EARLIER), "slow", started=True)
    status = pod_status(view(serving(), unready), AT)
    ready = next(entry for entry in status["conditions"] if entry["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ContainersNotReady")
    assert ready["message"] == "containers with unready status: [slow]"


def test_a_pod_does_not_serve_once_its_deletion_started() -> None:
    stopping = view(serving(), stopping=True)
    assert not stopping.ready
    assert pod_status(stopping, AT)["containerStatuses"][0]["ready"] is False


def test_a_readiness_gate_has_to_be_true_too() -> None:
    gates = [{"conditionType": "gate"}]
    assert not view(serving(), gates=gates).ready
    assert view(serving(), gates=gates, before=[{"type": "gate", "status": "True"}]).ready


@pytest.mark.parametrize(
    ("state", "last", "policy", "ended", "expected"),
    [
        (Waiting("ContainerCreating"), None, "Always", False, "Pending"),
        (Running(EARLIER), None, "Always", False, "Running"),
        (Waiting("CrashLoopBackOff"), BAD, "Always", False, "Running"),
        (BAD, None, "OnFailure", False, "Running"),
        (GOOD, None, "Never", True, "Succeeded"),
        (BAD, None, "Never", True, "Failed"),
        (Waiting("CrashLoopBackOff"), BAD, "Always", True, "Failed"),
        (Waiting("ContainerCreating"), None, "Always", True, "Failed"),
    ],
)
def test_the_phase_follows_the_containers(
    state: State, last: Terminated | None, policy: str, ended: bool, expected: str
) -> None:
    assert phase(view(container(state, last=last), policy=policy, ended=ended)) == expected


def test_a_pod_is_pending_until_its_init_containers_are_done() -> None:
    waiting = container(Waiting("PodInitializing"))
    assert phase(view(waiting, init=(container(Running(EARLIER), "fetch"),))) == "Pending"
    status = pod_status(view(waiting, init=(container(BAD, "fetch"),), ended=True), AT)
    assert status["phase"] == "Failed"
    initialized = next(e for e in status["conditions"] if e["type"] == "Initialized")
    assert initialized["message"] == "containers with incomplete status: [fetch]"


def test_a_sidecar_that_ended_after_the_pods_work_is_no_failure() -> None:
    sidecar = container(BAD, "proxy", sidecar=True, begun=True)
    assert phase(view(container(GOOD), init=(sidecar,), policy="Never", ended=True)) == "Succeeded"
    silent = container(Waiting("PodInitializing"), "proxy", sidecar=True)
    assert phase(view(container(Waiting("PodInitializing")), init=(silent,))) == "Pending"


def test_a_verdict_of_the_node_is_a_failure_with_its_reason() -> None:
    status = pod_status(view(container(GOOD), reason="DeadlineExceeded", message="long"), AT)
    found = (status["phase"], status["reason"], status["message"])
    assert found == ("Failed", "DeadlineExceeded", "long")


@given(st.lists(STATES, min_size=1, max_size=3), st.sampled_from(["Always", "OnFailure", "Never"]))
def test_a_pod_that_ended_is_succeeded_or_failed_and_another_is_neither(
    states: list[State], policy: str
) -> None:
    main = [container(state, f"c{number}") for number, state in enumerate(states)]
    assert phase(view(*main, policy=policy)) in {"Pending", "Running"}
    good = all(state == GOOD for state in states)
    assert phase(view(*main, policy=policy, ended=True)) == ("Succeeded" if good else "Failed")


@given(st.lists(st.tuples(st.booleans(), st.booleans(), STATES), min_size=1, max_size=3))
def test_ready_is_never_true_without_every_container_ready(
    containers: list[tuple[bool, bool, State]],
) -> None:
    main = [
        container(state, f"c{number}", started=started, serves=serves)
        for number, (started, serves, state) in enumerate(containers)
    ]
    status = pod_status(view(*main), AT)
    ready = conditions(view(*main))["Ready"] == "True"
    assert ready == all(entry["ready"] for entry in status["containerStatuses"])
    assert ready == all(
        started and serves and isinstance(state, Running) for started, serves, state in containers
    )


def test_a_condition_keeps_its_time_until_it_changes() -> None:
    before = [
        {"type": "Ready", "status": "True", "lastTransitionTime": EARLIER},
        {"type": "ContainersReady", "status": "False", "lastTransitionTime": EARLIER},
    ]
    found = {
        entry["type"]: entry["lastTransitionTime"]
        for entry in pod_status(view(serving(), before=before), AT)["conditions"]
    }
    assert (found["Ready"], found["ContainersReady"]) == (EARLIER, AT)


def test_a_restarted_container_shows_how_it_ended_before() -> None:
    state = container(Waiting("CrashLoopBackOff", "back-off 10s"), last=BAD, restarts=2)
    (found,) = pod_status(view(state), AT)["containerStatuses"]
    assert found["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    assert found["lastState"]["terminated"]["exitCode"] == 3
    assert (found["restartCount"], found["ready"], found["started"]) == (2, False, False)
    assert restored(found["lastState"]) == BAD
    assert restored(found["state"]) is None
