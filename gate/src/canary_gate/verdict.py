"""Words for what a measurement, a metric and an analysis come to."""

from enum import StrEnum


class Phase(StrEnum):
    """Phases of measurements, metrics and runs, in the controller's words."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCESSFUL = "Successful"
    FAILED = "Failed"
    ERROR = "Error"
    INCONCLUSIVE = "Inconclusive"

    @property
    def completed(self) -> bool:
        """Whether this phase is an end."""
        return self not in (Phase.PENDING, Phase.RUNNING)


class Verdict(StrEnum):
    """What a metric or a step says of the canary. An Error measured nothing: undecided."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    UNDECIDED = "undecided"

    @classmethod
    def of(cls, phase: Phase) -> "Verdict":
        """Verdict of a phase; whatever is neither a success nor a failure is undecided."""
        return {Phase.SUCCESSFUL: cls.PASS, Phase.FAILED: cls.FAIL}.get(phase, cls.UNDECIDED)


class Action(StrEnum):
    """What the Rollout does after the analysis of a step."""

    ADVANCE = "advance"
    ABORT = "abort"
    PAUSE = "pause"

    @classmethod
    def of(cls, phase: Phase) -> "Action":
        """Failed and Error abort, Successful advances, anything else waits for a person."""
        if phase is Phase.SUCCESSFUL:
            return cls.ADVANCE
        return cls.ABORT if phase in (Phase.FAILED, Phase.ERROR) else cls.PAUSE


def rollout_action(step: Phase, background: Phase | None = None) -> Action | None:
    """What the Rollout does while a step's analysis runs beside one in the background.

    None: nothing yet. In the background Failed and Error abort, Inconclusive pauses, and
    anything else changes nothing: it never advances a release.
    """
    actions = {Action.of(phase) for phase in (step, background) if phase and phase.completed}
    if Action.ABORT in actions:
        return Action.ABORT
    if Action.PAUSE in actions:
        return Action.PAUSE
    return Action.of(step) if step.completed else None
