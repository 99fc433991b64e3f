"""Plots of the gate's report, as SVG text that is the same for the same figures."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_COLOURS = ("#4477aa", "#ee7733", "#cc3311", "#888888", "#228833", "#aa3377")


@dataclass(frozen=True)
class Point:
    """A rate with its 95 % interval, at a place on the horizontal axis."""

    at: float
    rate: float
    low: float
    high: float


@dataclass(frozen=True)
class Panel:
    """Curves over one axis; `unit` names it, `good_until` and `bad_from` are marked on it."""

    title: str
    unit: str
    good_until: float
    bad_from: float
    curves: Mapping[str, Sequence[Point]]


def curves(panels: Sequence[Panel], what: str) -> str:
    """Rates of `what` with intervals, one panel beside the other."""
    with mpl.rc_context({"svg.hashsalt": what, "font.size": 9}):
        figure = Figure(figsize=(4.6 * len(panels), 3.6), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for axis, panel in zip(axes, panels, strict=True):
            _draw(axis, panel)
        axes[0].set_ylabel(f"releases {what}")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
        return _svg(figure)


def _draw(axis: Axes, panel: Panel) -> None:
    axis.axvspan(0, panel.good_until, color="#228833", alpha=0.10, linewidth=0)
    axis.axvspan(panel.bad_from, 1e3, color="#cc3311", alpha=0.10, linewidth=0)
    for colour, (name, points) in zip(_COLOURS, panel.curves.items(), strict=False):
        places, rates = [point.at for point in points], [point.rate for point in points]
        below = [max(0.0, point.rate - point.low) for point in points]
        above = [max(0.0, point.high - point.rate) for point in points]
        axis.errorbar(
            places, rates, yerr=(below, above), color=colour, marker="o", markersize=3, label=name
        )
    places = [point.at for points in panel.curves.values() for point in points]
    axis.set_xscale("log")
    axis.set_xlim(min(places) / 1.3, max(places) * 1.3)
    axis.set_xticks(sorted(set(places)), [f"{place:g}" for place in sorted(set(places))])
    axis.minorticks_off()
    axis.set_ylim(-0.02, 1.02)
    axis.set_title(panel.title)
    axis.set_xlabel(panel.unit)


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]
