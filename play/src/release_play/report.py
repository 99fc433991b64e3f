"""Writes `report.json` and the self-contained `report.html`."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from pathlib import Path

import jinja2
import matplotlib as mpl
from matplotlib.figure import Figure

from release_play.outcome import ReleaseOutcome, RunOutcome

COLOURS = {
    "stable": "#4477aa",
    "canary": "#ee7733",
    "pass": "#228833",
    "fail": "#cc3311",
    "undecided": "#bbaa00",
}


def write_reports(run: RunOutcome, arguments: Mapping[str, str], output: Path) -> Path:
    """Write both reports into `output`, each renamed into place; the path of the HTML.

    `arguments` are the analysis arguments that the play shortened, shown beside the results.
    """
    output.mkdir(parents=True, exist_ok=True)
    _replace(output / "report.json", json.dumps(run.as_json(), indent=2) + "\n")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("release_play"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    page = environment.get_template("report.html.j2").render(
        run=run,
        arguments=arguments,
        plots={release.name: plot(release) for release in run.releases if release.curves},
    )
    _replace(output / "report.html", page)
    return output / "report.html"


def plot(release: ReleaseOutcome) -> str:
    """An SVG of one release: traffic, error ratio, log-likelihood, verdicts over seconds."""
    curves = release.curves
    if curves is None:
        raise ValueError(f"release {release.name} has no curves")
    times = [at for at, _ in curves.stable + curves.canary + curves.errors + curves.llr]
    begin = min(times, default=0.0)

    with mpl.rc_context({"svg.hashsalt": release.name, "font.size": 9}):
        figure = Figure(figsize=(9, 10), layout="constrained")
        traffic, errors, llr, verdicts = figure.subplots(
            4, 1, sharex=True, height_ratios=[2, 2, 3, 6]
        )
        for side, points in (("stable", curves.stable), ("canary", curves.canary)):
            traffic.plot(*_line(points, begin), color=COLOURS[side], label=side)
        traffic.set_ylabel("requests/s")
        traffic.legend(loc="upper left", ncols=2, frameon=False)
        errors.plot(*_line(curves.errors, begin), color=COLOURS["canary"], clip_on=False)
        errors.set_ylabel("canary errors, %")
        errors.set_ylim(bottom=0)
        llr.plot(*_line(curves.llr, begin), color=COLOURS["canary"], marker=".")
        if curves.boundaries:
            low, high = curves.boundaries
            llr.axhline(high, color=COLOURS["fail"], linestyle="--", label=f"bad at {high:+.3f}")
            llr.axhline(low, color=COLOURS["pass"], linestyle="--", label=f"good at {low:+.3f}")
            llr.legend(loc="best", frameon=False)
        for at, value, phase in _looks(release, "error-sprt"):
            llr.plot(at - begin, value, marker="o", color=_phase_colour(phase))
        llr.set_ylabel("log-likelihood ratio")
        metrics = [metric for step in release.steps for metric in step.metrics] + release.beside
        names = list(dict.fromkeys(metric.name for metric in metrics))
        for metric in metrics:
            for measurement in metric.measurements:
                verdicts.plot(
                    measurement.at - begin,
                    names.index(metric.name),
                    marker="o",
                    markersize=4,
                    color=_phase_colour(measurement.phase),
                )
        verdicts.set_yticks(range(len(names)), names)
        verdicts.set_ylim(max(len(names), 1) - 0.5, -0.5)
        verdicts.set_xlabel("seconds")
        svg = io.StringIO()
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    text = svg.getvalue()
    return text[text.index("<svg") :]


def _looks(release: ReleaseOutcome, name: str) -> list[tuple[float, float, str]]:
    """The measurements of a metric that gave one number: Unix seconds, value, phase."""
    looks = []
    for step in release.steps:
        for metric in step.metrics:
            for measurement in metric.measurements if metric.name == name else []:
                with contextlib.suppress(ValueError):
                    looks.append((measurement.at, float(measurement.value), measurement.phase))
    return looks


def _line(points: list[tuple[float, float]], begin: float) -> tuple[list[float], list[float]]:
    return [at - begin for at, _ in points], [value for _, value in points]


def _phase_colour(phase: str) -> str:
    return {"Successful": COLOURS["pass"], "Failed": COLOURS["fail"]}.get(
        phase, COLOURS["undecided"]
    )


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
