"""The status of a pod, as a kubelet writes it, from the states of its containers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from node_runner.manifest import Manifest, metadata


def now() -> str:
    """Return the time as the API server writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Waiting:
    """Not started: why."""

    reason: str
    message: str = ""


@dataclass(frozen=True)
class Running:
    """Started, and when."""

    started_at: str


@dataclass(frozen=True)
class Terminated:
    """Ended, and how."""

    exit_code: int
    reason: str
    started_at: str | None
    finished_at: str
    message: str = ""


State = Waiting | Running | Terminated


@dataclass
class ContainerState:
    """What is known about one container.

    `serves` is the answer of its readiness probe, `begun` whether it was ever started.
    """

    name: str
    image: str
    state: State = field(default_factory=lambda: Waiting("PodInitializing"))
    last: Terminated | None = None
    restarts: int = 0
    started: bool = False
    serves: bool = False
    sidecar: bool = False
    begun: bool = False

    @property
    def ready(self) -> bool:
        """Whether the container counts as ready."""
        return isinstance(self.state, Running) and self.started and self.serves


@dataclass(frozen=True)
class PodView:
    """Everything that a status is built from."""

    pod: Manifest
    init: Sequence[ContainerState]
    main: Sequence[ContainerState]
    mounted: bool
    ended: bool
    stopping: bool
    ip: str
    host_ip: str
    started_at: str
    reason: str = ""
    message: str = ""

    @property
    def initialized(self) -> bool:
        """Whether every init container is done (a sidecar: started)."""
        return all(initialized(state) for state in self.init)

    @property
    def containers_ready(self) -> bool:
        """Whether the pod's containers are ready, and nothing ends them."""
        sidecars = [state for state in self.init if state.sidecar]
        return not self.stopping and all(state.ready for state in [*sidecars, *self.main])

    @property
    def ready(self) -> bool:
        """Whether the pod serves: its containers and its readiness gates say so."""
        conditions = (self.pod.get("status") or {}).get("conditions") or []
        true = {entry["type"] for entry in conditions if entry["status"] == "True"}
        gates = self.pod["spec"].get("readinessGates") or []
        return self.containers_ready and all(gate["conditionType"] in true for gate in gates)


def initialized(state: ContainerState) -> bool:
    """Whether this init container lets the next one start."""
    if state.sidecar:
        return state.begun
    return isinstance(state.state, Terminated) and state.state.exit_code == 0


def phase(view: PodView) -> str:
    """Return the phase of the pod."""
    if view.reason:
        return "Failed"
    policy = view.pod["spec"].get("restartPolicy", "Always")
    if view.ended:
        ends = [_end(state) for state in view.main]
        good = view.initialized and all(end is not None and end.exit_code == 0 for end in ends)
        return "Succeeded" if good else "Failed"
    if not view.initialized:
        return "Pending"
    if any(isinstance(state.state, Waiting) and state.last is None for state in view.main):
        return "Pending"
    if policy != "Always" and all(_completed(state) for state in view.main):
        # Between the last end and the moment that the pod itself ends.
        return "Running"
    return "Running"


def _end(state: ContainerState) -> Terminated | None:
    return state.state if isinstance(state.state, Terminated) else state.last


def _completed(state: ContainerState) -> bool:
    return isinstance(state.state, Terminated) and state.state.exit_code == 0


def pod_status(view: PodView, at: str) -> Manifest:
    """Return the status of the pod; `at` is the time of the conditions that change."""
    before = (view.pod.get("status") or {}).get("conditions") or []
    status: Manifest = {
        "observedGeneration": metadata(view.pod).get("generation", 1),
        "phase": phase(view),
        "conditions": [_dated(new, before, at) for new in conditions(view)],
        "hostIP": view.host_ip,
        "hostIPs": [{"ip": view.host_ip}],
        "startTime": view.started_at,
        "containerStatuses": [container_status(state, view) for state in view.main],
    }
    if view.mounted:
        # Merged by address otherwise: a pod that comes back with another one would have two.
        status |= {"podIP": view.ip, "podIPs": [{"$patch": "replace"}, {"ip": view.ip}]}
    if view.init:
        status["initContainerStatuses"] = [container_status(state, view) for state in view.init]
    if view.reason:
        status |= {"reason": view.reason, "message": view.message}
    return status


def conditions(view: PodView) -> list[Manifest]:
    """Return the conditions that a kubelet owns, without their times."""
    done = view.ended and phase(view) == "Succeeded"
    unready = [state.name for state in view.main if view.stopping or not state.ready]
    waiting = [state.name for state in view.init if not initialized(state)]
    not_ready = (
        {"reason": "PodCompleted"}
        if done
        else {
            "reason": "ContainersNotReady",
            "message": f"containers with unready status: [{' '.join(unready)}]",
        }
    )
    gates = {"reason": "ReadinessGatesNotReady", "message": "a readiness gate is not True"}
    not_initialized = {
        "reason": "ContainersNotInitialized",
        "message": f"containers with incomplete status: [{' '.join(waiting)}]",
    }
    return [
        _condition("PodReadyToStartContainers", view.mounted and not view.ended, {}),
        _condition(
            "Initialized",
            view.initialized,
            not_initialized,
            {"reason": "PodCompleted"} if done else {},
        ),
        _condition("Ready", view.ready, gates if view.containers_ready else not_ready),
        _condition("ContainersReady", view.containers_ready, not_ready),
        _condition("PodScheduled", True, {}),
    ]


def _condition(
    kind: str, true: bool, otherwise: Manifest, with_true: Manifest | None = None
) -> Manifest:
    # An empty reason removes the one of before: the patch merges conditions by type.
    chosen = {"reason": "", "message": ""} | ((with_true or {}) if true else otherwise)
    return {"type": kind, "status": "True" if true else "False", **chosen}


def _dated(new: Manifest, before: Sequence[Manifest], at: str) -> Manifest:
    old = next((entry for entry in before if entry["type"] == new["type"]), None)
    same = old is not None and old["status"] == new["status"]
    time = old.get("lastTransitionTime") if old is not None and same else at
    return {**new, "lastProbeTime": None, "lastTransitionTime": time}


def container_status(state: ContainerState, view: PodView) -> Manifest:
    """Return the status of one container."""
    uid = metadata(view.pod)["uid"]
    init_done = state in view.init and not state.sidecar and initialized(state)
    begun = not isinstance(state.state, Waiting) or state.last is not None
    return {
        "name": state.name,
        "image": state.image,
        "imageID": f"process://{state.image}" if begun else "",
        "ready": (state.ready and not view.stopping) or init_done,
        "started": state.started and isinstance(state.state, Running),
        "restartCount": state.restarts,
        "state": _state(state.state),
        "lastState": {} if state.last is None else _state(state.last),
        **({"containerID": f"process://{uid}/{state.name}/{state.restarts}"} if begun else {}),
    }


def _state(state: State) -> Manifest:
    match state:
        case Waiting(reason, message):
            return {"waiting": {"reason": reason, **({"message": message} if message else {})}}
        case Running(started_at):
            return {"running": {"startedAt": started_at}}
        case Terminated():
            return {"terminated": _terminated(state)}


def _terminated(state: Terminated) -> Manifest:
    return {
        "exitCode": state.exit_code,
        "reason": state.reason,
        "finishedAt": state.finished_at,
        **({"startedAt": state.started_at} if state.started_at else {}),
        **({"message": state.message} if state.message else {}),
    }


def restored(status: Manifest) -> Terminated | None:
    """Return how a container ended, from the `terminated` part of a status."""
    found = status.get("terminated")
    if not found:
        return None
    return Terminated(
        exit_code=found["exitCode"],
        reason=found.get("reason", ""),
        started_at=found.get("startedAt"),
        finished_at=found.get("finishedAt") or now(),
        message=found.get("message", ""),
    )
