"""What the gate says instead of a verdict."""


class RefusedError(Exception):
    """Input that the gate does not model or that the controller would not run.

    Names the object, the metric where there is one, and the reason.
    """

    def __init__(self, reason: str, *, template: str = "", metric: str = "") -> None:
        self.reason = reason
        self.template = template
        self.metric = metric
        super().__init__(reason)

    def __str__(self) -> str:
        place = [f"template {self.template}"] if self.template else []
        place += [f"metric {self.metric}"] if self.metric else []
        return f"{', '.join(place)}: {self.reason}" if place else self.reason


class ProviderError(Exception):
    """A measurement that could not be taken; the controller counts it as an Error."""


class EvaluationError(Exception):
    """A condition that fails on this result; the controller counts it as an Error."""
