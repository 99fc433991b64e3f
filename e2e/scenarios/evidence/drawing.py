"""The timeline of one environment as lanes of an SVG: weights, verdicts, sync, requests, pods."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

WIDTH = 1000.0
LEFT = 170.0
LANE = 18.0
PLOT = 70.0
GAP = 8.0

Row = tuple[float, str, Any]

PHASES = {
    "good": ("Healthy", "Synced", "Successful", "Succeeded"),
    "bad": ("Degraded", "Failed", "Error", "Missing"),
    "unsure": ("Paused", "Inconclusive", "OutOfSync", "Suspended"),
}


@dataclass(frozen=True)
class Bar:
    """A stretch of a lane with one value."""

    x: float
    width: float
    text: str
    tone: str


@dataclass(frozen=True)
class Lane:
    """A named row of stretches."""

    name: str
    y: float
    bars: list[Bar]


@dataclass(frozen=True)
class Plot:
    """A row with lines and stacked columns of numbers; `top` is its highest value."""

    name: str
    y: float
    top: float
    lines: list[tuple[str, str]] = field(default_factory=list)
    """Class and path."""
    legend: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Drawing:
    """All that the template needs of one environment."""

    namespace: str
    width: float
    height: float
    left: float
    plots: list[Plot]
    lanes: list[Lane]
    marks: list[tuple[float, str]]
    ticks: list[tuple[float, str]]
    lane_height: float = LANE
    plot_height: float = PLOT


def draw(
    environment: Mapping[str, Any], marks: Sequence[tuple[float, str]], begin: float, end: float
) -> Drawing:
    """Lay out the recorded changes and requests of one environment."""
    changes: list[Row] = [(at, subject, value) for at, subject, value in environment["changes"]]
    scale = _Scale(begin, end)
    plots = [
        _weights(changes, scale, 24.0),
        _requests(environment["requests"], scale, 24.0 + PLOT + 2 * GAP + 14),
    ]
    y = plots[-1].y + PLOT + 2 * GAP
    lanes = []
    for name, subject in (
        ("Application: sync", "application.sync"),
        ("Application: health", "application.health"),
        ("Rollout", "rollout.phase"),
        ("step of the ladder", "rollout.step"),
        *((f"analysis {number}", run) for number, run in enumerate(_runs(changes), start=1)),
    ):
        lanes.append(_lane(name, subject, changes, scale, y))
        y += LANE + GAP / 2
    return Drawing(
        namespace=environment["namespace"],
        width=WIDTH,
        height=y + 24,
        left=LEFT,
        plots=plots,
        lanes=lanes,
        marks=[(scale.x(at), text) for at, text in marks],
        ticks=scale.ticks(),
    )


@dataclass(frozen=True)
class _Scale:
    begin: float
    end: float

    def x(self, at: float) -> float:
        inside = min(max(at, self.begin), self.end)
        share = (inside - self.begin) / max(self.end - self.begin, 1e-9)
        return round(LEFT + share * (WIDTH - LEFT), 1)

    def ticks(self) -> list[tuple[float, str]]:
        seconds = self.end - self.begin
        step = next((s for s in (10, 20, 30, 60, 120, 300) if seconds / s <= 12), 600)
        return [
            (self.x(self.begin + second), f"{second} s")
            for second in range(0, int(seconds) + 1, step)
        ]


def _weights(changes: Sequence[Row], scale: _Scale, y: float) -> Plot:
    plot = Plot("canary's weight, %", y, 100.0)
    for subject, kind in (("route.canary", "route"), ("envoy.canary", "envoy")):
        points = [(at, float(value)) for at, name, value in changes if name == subject]
        if points:
            plot.lines.append((kind, _stairs(points, scale, y, 100.0)))
            plot.legend.append((kind, {"route": "HTTPRoute", "envoy": "Envoy"}[kind]))
    return plot


def _requests(rows: Iterable[Mapping[str, Any]], scale: _Scale, y: float) -> Plot:
    """Requests of each second by version, and those that failed by version and status."""
    series: dict[tuple[int, str, str], dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for row in rows:
        failed = row["status"] == 0 or row["status"] >= 400
        status = str(row["status"] or "no answer") if failed else "2xx"
        series[failed, row["version"], status][row["at"]] += row["requests"]
    top = float(max((n for counts in series.values() for n in counts.values()), default=1))
    plot = Plot("requests each second", y, top)
    versions = sorted({version for _, version, _ in series}, key=lambda v: (len(v), v))
    for failed, version, status in sorted(series):
        counts = series[failed, version, status]
        points = [(float(at), float(counts[at])) for at in range(min(counts), max(counts) + 1)]
        kind = f"failed f{len(plot.lines) % 3}" if failed else f"version v{versions.index(version)}"
        path = _stairs([*points, (points[-1][0] + 1, 0.0)], scale, y, top)
        plot.lines.append((kind, path))
        plot.legend.append((kind, f"version {version}: {status} ({sum(counts.values())})"))
    return plot


def _stairs(points: Sequence[tuple[float, float]], scale: _Scale, y: float, top: float) -> str:
    """A path that keeps each value until the next."""

    def height(value: float) -> float:
        return round(y + PLOT * (1 - value / top), 1)

    words = [f"M{scale.x(points[0][0])} {height(points[0][1])}"]
    for at, value in points[1:]:
        words.append(f"H{scale.x(at)}V{height(value)}")
    last = max(points[-1][0], scale.end) if top == 100.0 else points[-1][0]
    words.append(f"H{scale.x(last)}")
    return "".join(words)


def _runs(changes: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for _, name, _ in changes if name.startswith("analysis/")))


def _lane(name: str, subject: str, changes: Sequence[Row], scale: _Scale, y: float) -> Lane:
    points = [(at, value) for at, each, value in changes if each == subject]
    bars = []
    for number, (at, value) in enumerate(points):
        until = points[number + 1][0] if number + 1 < len(points) else scale.end
        if value is not None and value != "":
            x = scale.x(at)
            bars.append(Bar(x, max(scale.x(until) - x, 1.5), str(value), _tone(str(value))))
    return Lane(name, y, bars)


def _tone(value: str) -> str:
    return next((tone for tone, values in PHASES.items() if value in values), "busy")
