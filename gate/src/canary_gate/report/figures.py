"""Figures as a person reads them: shares with intervals, seconds, requests."""

from canary_gate.simulation.cells import Cell, Spread
from canary_gate.simulation.expectations import Judgement, interval


def percent(share: float) -> str:
    """A share in percent, to three digits of what is nearer, none or all."""
    if share > 0.99:
        return f"{100 - float(f'{100 * (1 - share):.2g}'):.10g} %"
    return f"{100 * share:.3g} %"


def share(count: int, releases: int) -> str:
    """A share with its exact 95 % interval; of none and all, how many that is known from."""
    low, high = interval(count, releases)
    if count == 0:
        return f"0 of {releases:,} (below {percent(high)})"
    if count == releases:
        return f"all {releases:,} (above {percent(low)})"
    return f"{percent(count / releases)} ({percent(low)} to {percent(high)})"


def seconds(value: float | None) -> str:
    """Whole seconds; a dash where nothing was measured."""
    return "–" if value is None else f"{value:,.0f} s"


def requests(value: float | None) -> str:
    """Whole requests; a dash where nothing was measured."""
    return "–" if value is None else f"{value:,.0f}"


def mean(spread: Spread, unit: str = "") -> str:
    """A mean with its 95 % interval; a dash where nothing was measured."""
    if spread.mean is None or spread.margin is None:
        return "–"
    digits = 0 if spread.margin >= 1 else 2
    return f"{spread.mean:,.0f} ± {spread.margin:,.{digits}f}{unit}"


def rate(requests_per_second: float) -> str:
    """Requests a second without needless digits."""
    return f"{requests_per_second:,.10g}"


def limit(judgement: Judgement) -> str:
    """What was asked of a quantity, and whether it was kept: `aborted <= 0.5 %: proven`."""
    asked = judgement.limit
    if asked.bound is None:
        return ""
    is_time = asked.quantity in ("slowest", "p99.9")
    bound = seconds(asked.bound) if is_time else percent(asked.bound)
    return f"{asked.quantity} {'>=' if asked.least else '<='} {bound}: {judgement.status}"


def reasons(cell: Cell, most: int = 3) -> str:
    """What decided most often about the releases that were not promoted."""
    often = sorted(cell.why.items(), key=lambda item: -item[1])[:most]
    return ", ".join(
        f"`{template}` {percent(count / cell.releases)} ({reason})"
        for (template, reason), count in often
    )
