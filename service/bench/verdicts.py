"""The limits of the issue and the ratios of the baseline, from what was measured."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

from service.bench.baseline import Ratio
from service.bench.figures import Limit, Spread, best, least_goodput, ratios, spread
from service.bench.scenarios import features, images, open_loop, overload, peers, rows, soak
from service.bench.servers import PEERS

KEPT_UP = 0.95
PYTHON = {peer.title for peer in PEERS if peer.python}
ALL = {peer.title for peer in PEERS}


@dataclass
class Verdicts:
    """Limits in the order of the issue, and ratios by name."""

    limits: list[Limit] = field(default_factory=list)
    ratios: dict[str, Ratio] = field(default_factory=dict)

    def add(
        self,
        what: str,
        measured: float,
        limit: float | None,
        *,
        at_least: bool = True,
        unit: str = "",
        beside: str = "",
        tolerance: float | None = 0.25,
    ) -> None:
        """Note a figure with its limit; with a tolerance it is a ratio of the baseline too."""
        if limit is not None:
            self.limits.append(Limit(what, measured, limit, at_least, unit, beside))
        if tolerance is not None:
            self.ratios[what] = Ratio(measured, at_least, tolerance)


def strongest(
    found: peers.Found, connections: int, titles: Iterable[str], workers: str = ""
) -> tuple[str, str] | None:
    """Return the server and variant with the most answers a second; None where none ran."""
    chosen = set(titles)
    rates = {
        f"{title}\n{variant}": measured
        for (title, variant, at), measured in found.rates.items()
        if at == connections and title in chosen and variant.startswith(workers)
    }
    if not rates:
        return None
    title, _, variant = best(rates).partition("\n")
    return title, variant


def against(
    found: peers.Found, ours: str, rival: tuple[str, str] | None, connections: int
) -> Spread:
    """Return our rate over a rival's, round by round."""
    if rival is None:
        return spread([])
    mine = found.rates[peers.OURS, ours, connections]
    return ratios(mine, found.rates[*rival, connections][: len(mine)])


def judge_peers(found: peers.Found, verdicts: Verdicts) -> None:
    """One worker against one of each Python peer; two against the best that each peer can."""
    for at in peers.CONCURRENCY:
        rival = strongest(found, at, PYTHON, "1 worker")
        measured = against(found, "1 worker", rival, at).middle
        what = f"1 worker, concurrency {at}: of the best Python peer"
        verdicts.add(what, measured, 1, beside=rival[0] if rival else "")
    for at in (16, 64):
        rival = strongest(found, at, ALL)
        measured = against(found, "2 workers", rival, at).middle
        what = f"2 workers, concurrency {at}: of the best peer"
        verdicts.add(what, measured, 1, beside=rival[0] if rival else "")
    measured = against(found, "2 workers", strongest(found, 1, ["Triton"]), 1).middle
    verdicts.add("2 workers, concurrency 1: of Triton's best", measured, 0.9)


def judge_images(found: images.Found, verdicts: Verdicts) -> None:
    """Compare with raw ONNX Runtime in its best way, and with the parsing floor."""
    top = {f"{way}\n{at}": rates for (way, at), rates in found.binary.items()}
    share = ratios(top[best(top)], found.raw[best(found.raw)])
    verdicts.add("images, v2 binary: of raw ONNX Runtime", share.middle, 0.95, tolerance=0.1)
    verdicts.add("images, JSON: times the parsing floor", json_over_floor(found).middle, 1.3,
                 at_least=False)  # fmt: skip


def json_over_floor(found: images.Found) -> Spread:
    """Return what JSON adds to the processor time of an answer, over what parsing alone takes."""
    way = next(iter(images.WAYS))
    pairs = zip(found.cost["JSON", way], found.cost["binary", way], strict=True)
    floor = median(found.floor)
    return spread((json - binary) / floor for json, binary in pairs)


def judge_rows(found: rows.Found, verdicts: Verdicts) -> None:
    """Compare rows a second, one worker with one thread, two with two."""
    for workers in (1, 2):
        served = {
            str(at): measured for (count, at), measured in found.served.items() if count == workers
        }
        share = ratios(served[best(served)], found.raw[workers]).middle
        what = f"64 rows a request, {workers} of 2 cores: of raw ONNX Runtime's rows/s"
        verdicts.add(what, share, 0.5)


def judge_open_loop(found: open_loop.Found, verdicts: Verdicts) -> None:
    """P99 over P50 at 80 % of capacity."""
    for (name, arrival), measured in found.latency.items():
        share = spread(at["99"] / at["50"] for at in measured).middle
        if spread(found.answered[name, arrival]).middle < KEPT_UP:
            share = math.nan  # a queue that only grows has a fine P99 over P50
        limit = 5.0 if arrival == "random" else None
        verdicts.add(f"{name}, 80 % of capacity, {arrival} arrivals: P99 over P50", share, limit,
                     at_least=False, tolerance=0.6)  # fmt: skip


def judge_overload(slow: overload.Found, fast: overload.Found, verdicts: Verdicts) -> None:
    """Goodput, refusals, health and memory at 200 % and at 150 %."""
    share = ratios(slow.goodput, slow.capacity).middle
    verdicts.add("images at 200 %: goodput of capacity", share, 0.9, tolerance=0.1)
    for what, measured, limit in (
        ("images at 200 %: P99 of refusals", slow.refusal_p99, 20),
        ("images at 200 %: P99 of health", slow.health_p99, 10),
    ):
        verdicts.add(what, 1000 * spread(measured).middle, limit, at_least=False, unit=" ms",
                     tolerance=None)  # fmt: skip
    verdicts.add("images at 200 %: growth of memory", 100 * spread(slow.growth).middle, 5,
                 at_least=False, unit=" %", tolerance=None)  # fmt: skip
    refusal = spread(fast.refusal).middle
    share = ratios(fast.goodput, fast.capacity).middle
    least = math.nan if math.isnan(refusal) else 0.9 * least_goodput(1.5, refusal)
    verdicts.add("MLP at 150 %: goodput of capacity", share, least, tolerance=0.3)
    lost = slow.lost + fast.lost + slow.unexpected + fast.unexpected
    verdicts.add("overload: requests lost, wrong or with another status", lost, 0,
                 at_least=False, tolerance=None)  # fmt: skip


def judge_features(found: features.Found, verdicts: Verdicts) -> None:
    """Rate with everything on, of that without or with one more thing, at concurrency 64."""
    base = found.rates[features.BASE, 64]
    for (name, at), measured in found.rates.items():
        if at == 64 and name != features.BASE and name not in found.absent:
            share = ratios(base, measured).middle
            verdicts.add(f"everything on, of the same changed in: {name}", share, None)


def judge_soak(found: soak.Found, verdicts: Verdicts) -> None:
    """None lost, none wrong, memory flat."""
    others = sum(found.others.values())
    for what, measured, limit, unit in (
        ("soak: requests lost", found.lost, 0, ""),
        ("soak: wrong answers", found.wrong, 0, ""),
        ("soak: answers with another status than 200", others, 0, ""),
        ("soak: reloads that failed", len(found.refused_reloads), 0, ""),
        ("soak: growth of memory", 100 * found.growth, 5, " %"),
    ):
        verdicts.add(what, measured, limit, at_least=False, unit=unit, tolerance=None)
