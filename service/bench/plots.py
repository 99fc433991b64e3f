"""The plots of the page, as SVG text that is the same for the same figures."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from service.bench.figures import Spread

_COLOURS = ("#4477aa", "#ee7733", "#228833", "#cc3311", "#aa3377", "#888888")


def bars(path: Path, groups: Mapping[str, Mapping[str, Spread]], unit: str) -> None:
    """Draw horizontal bars, one group a server, one colour a concurrency, spread as whiskers."""
    names = list(groups)
    series = list(next(iter(groups.values())))
    with _style(path.stem):
        figure = Figure(figsize=(7.5, 0.42 * len(names) + 1.2), layout="constrained")
        axis = figure.subplots()
        height = 0.8 / len(series)
        for number, (one, colour) in enumerate(zip(series, _COLOURS, strict=False)):
            found = [groups[name][one] for name in names]
            places = [place - 0.4 + height * (number + 0.5) for place in range(len(names))]
            middles = [spread.middle for spread in found]
            below = [max(0.0, spread.middle - spread.low) for spread in found]
            above = [max(0.0, spread.high - spread.middle) for spread in found]
            axis.barh(places, middles, height, color=colour, label=one, xerr=(below, above),
                      error_kw={"elinewidth": 0.8})  # fmt: skip
        axis.set_yticks(range(len(names)), names)
        axis.invert_yaxis()
        axis.set_xscale("log")
        axis.set_xlabel(unit)
        axis.grid(axis="x", alpha=0.3)
        figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center",
                      ncols=len(series), frameon=False)  # fmt: skip
        _write(figure, path)


def lines(
    path: Path,
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    labels: tuple[str, str],
    *,
    ticks: Sequence[tuple[float, str]] = (),
    logarithmic: bool = False,
) -> None:
    """Draw curves of (x, y); `ticks` names places of the horizontal axis."""
    with _style(path.stem):
        figure = Figure(figsize=(7, 3.6), layout="constrained")
        axis = figure.subplots()
        for (name, (x, y)), colour in zip(curves.items(), _COLOURS, strict=False):
            axis.plot(x, y, color=colour, marker="o", markersize=3, label=name)
        if ticks:
            axis.set_xticks([place for place, _ in ticks], [name for _, name in ticks])
        if logarithmic:
            axis.set_yscale("log")
        else:
            axis.set_ylim(bottom=0)
        axis.set_xlabel(labels[0])
        axis.set_ylabel(labels[1])
        axis.grid(alpha=0.3)
        axis.legend(frameon=False)
        _write(figure, path)


def _style(salt: str) -> AbstractContextManager[None]:
    return mpl.rc_context({"svg.hashsalt": salt, "font.size": 9})


def _write(figure: Figure, path: Path) -> None:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    path.parent.mkdir(parents=True, exist_ok=True)
    stripped = "\n".join(line.rstrip() for line in svg[svg.index("<svg") :].splitlines())
    path.write_text(stripped + "\n")
