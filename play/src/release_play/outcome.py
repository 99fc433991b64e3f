"""What a run found: the shape of `report.json`, and what the plots need beside it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

Points = list[tuple[float, float]]
"""(Unix seconds, value) pairs of one series."""


@dataclass(frozen=True)
class OverlayOutcome:
    """A rendered overlay: how many manifests, and findings by severity."""

    name: str
    manifests: int
    findings: dict[str, int]


@dataclass(frozen=True)
class MeasurementOutcome:
    """One measurement: Unix seconds, the value as the provider gave it, the phase."""

    at: float
    value: str
    phase: str


@dataclass
class MetricOutcome:
    """One metric of an analysis and its verdict: pass, fail or undecided."""

    name: str
    verdict: str
    measurements: list[MeasurementOutcome] = field(default_factory=list)


@dataclass(frozen=True)
class StepOutcome:
    """An analysis step at a traffic weight in percent."""

    weight: int
    verdict: str
    metrics: list[MetricOutcome]


@dataclass(frozen=True)
class Curves:
    """What a release looked like to Prometheus: requests/s by side, error ratio, LLR."""

    stable: Points
    canary: Points
    errors: Points
    llr: Points
    boundaries: tuple[float, float] | None


@dataclass(frozen=True)
class ReleaseOutcome:
    """One release: what was expected of it, and its verdict: promoted, aborted, undecided.

    `beside` is what the analysis in the background measured while the steps were taken.
    """

    name: str
    expected: str
    verdict: str
    reason: str
    seconds: float
    requests: dict[str, int]
    lost: int
    steps: list[StepOutcome]
    beside: list[MetricOutcome] = field(default_factory=list)
    curves: Curves | None = None

    @property
    def as_expected(self) -> bool:
        """Whether the gate judged as it had to."""
        return self.verdict == self.expected


@dataclass(frozen=True)
class RunOutcome:
    """Everything one `make run` shows."""

    overlays: list[OverlayOutcome]
    releases: list[ReleaseOutcome]
    expected_releases: int

    @property
    def clean(self) -> bool:
        """Whether no overlay has an error finding and every release was judged as expected."""
        return (
            not any(overlay.findings["error"] for overlay in self.overlays)
            and len(self.releases) == self.expected_releases
            and all(release.as_expected for release in self.releases)
        )

    def as_json(self) -> dict[str, Any]:
        """The document of `report.json`."""
        releases = [asdict(release) for release in self.releases]
        for release in releases:
            del release["curves"]
        return {"overlays": [asdict(overlay) for overlay in self.overlays], "releases": releases}
