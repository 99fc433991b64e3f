"""The service's part of docs/benchmarks.md: the figures of one run, and what made them."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from service.bench import plots
from service.bench.figures import Limit, Spread, least_goodput, ratios, spread
from service.bench.places import PLOTS
from service.bench.scenarios import features, images, open_loop, overload, peers, rows, soak
from service.bench.servers import PEERS
from service.bench.verdicts import ALL, json_over_floor, strongest

MARK, SOAK_MARK = "<!-- written by make bench-service -->", "<!-- written by make soak -->"
Row = Sequence[object]


def table(head: Row, content: Iterable[Row]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *content]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def put(path: Path, mark: str, part: str) -> None:
    """Replace what stands between a mark and the next, and leave what others wrote."""
    page = path.read_text() if path.exists() else ""
    before, _, after = page.partition(mark)
    following = [after.index(other) for other in (MARK, SOAK_MARK) if other in after]
    rest = after[min(following) :] if following else ""
    parts = (before.strip(), f"{mark}\n\n{part.strip()}", rest.strip())
    path.write_text("\n\n".join(filter(None, parts)) + "\n")


def introduction(versions: str, machine: str, *, quick: bool) -> str:
    """Say what was run where."""
    effort = ", quickly or in part: a look, no result" if quick else ""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return (
        "# Benchmarks of the service\n\n"
        f"Written by `make bench-service`{effort}; nothing is typed by hand. It fails when a ratio"
        " is worse than the committed one (`service/bench/baseline.json`) by more than its"
        " tolerance; limits that are missed are shown as missed.\n\n"
        f"{datetime.now(UTC):%Y-%m-%d}; {cores} cores, {memory:.0f} GiB, {system};"
        f" {machine}; {versions}.\n\n"
        "Servers and load generator share the cores, so ratios count, not rates. Rounds take"
        " turns: A B C, A B C; a figure is the median (smallest to largest) of its rounds. The"
        " generator is `tools/http-load`: one thread, and in an open loop latencies from the"
        " moment a request was due. Every server gets the same model file and ONNX Runtime, and"
        " has to answer right before it is measured."
    )


def limits(found: Iterable[Limit]) -> str:
    """Return the table of limits."""
    return "## Limits\n\n" + table(("what", "measured", "limit", ""), (one.row for one in found))


def peer_part(found: peers.Found) -> str:
    """Rates of every server and variant, the best of each peer plotted."""
    names = dict.fromkeys((server, variant) for server, variant, _ in found.rates)
    content = []
    for server, variant in names:
        cells = [f"{spread(found.rates[server, variant, at]):,.0f}" for at in peers.CONCURRENCY]
        p99 = 1000 * spread(found.latency[server, variant, 64]).middle
        failed = sum(found.failures[server, variant, at] for at in peers.CONCURRENCY)
        memory = f"{found.memory.get((server, variant), math.nan):.0f} MiB"
        content.append((server, variant, *cells, f"{p99:.1f} ms", memory, failed))
    head = ("server", "variant", *(f"at {at}" for at in peers.CONCURRENCY),
            "P99 at 64", "memory", "not 200, or lost")  # fmt: skip
    _plot_peers(found)
    absent = [f"- {title}, {variant}: `{_line(why)}`" for (title, variant), why in
              found.absent.items()]  # fmt: skip
    missing = "\n\nNot measured:\n\n" + "\n".join(absent) if absent else ""
    sources = table(
        ("peer", "package", "script and where its settings come from"),
        ((peer.title, peer.package, f"`service/bench/peers/{peer.script}`") for peer in PEERS),
    )
    return (
        "## One row of JSON, beside its peers\n\n"
        "MLP 30 -> 256 -> 256 -> 2, requests a second at concurrency 1, 16 and 64. Ours with"
        " request id, API key, metrics, JSON log of 1 % and deadlines on; the peers without.\n\n"
        "![Requests a second of each server's best variant](benchmarks/peers.svg)\n\n"
        f"{table(head, content)}{missing}\n\n{sources}"
    )


def _line(text: str) -> str:
    return " ".join(text.split())[-300:].replace("|", "/").replace("`", "'")


def _plot_peers(found: peers.Found) -> None:
    groups: dict[str, dict[str, Spread]] = {}
    for workers in ("1 worker", "2 workers"):
        groups[f"{peers.OURS}, {workers}"] = {
            f"concurrency {at}": spread(found.rates[peers.OURS, workers, at])
            for at in peers.CONCURRENCY
        }
    for title in ALL:
        bars = {}
        for at in peers.CONCURRENCY:
            if rival := strongest(found, at, [title]):
                bars[f"concurrency {at}"] = spread(found.rates[*rival, at])
        if bars:
            groups[f"{title}, best"] = bars
    ordered = sorted(groups.items(), key=lambda item: -item[1]["concurrency 64"].middle)
    plots.bars(PLOTS / "peers.svg", dict(ordered), "requests a second")


def image_part(found: images.Found) -> str:
    """Images a second beside ONNX Runtime alone, and what JSON costs."""
    content: list[Row] = [("ONNX Runtime alone", way, "", f"{spread(rates):.1f}") for way, rates in
               found.raw.items()]  # fmt: skip
    content += [("v2 binary", way, at, f"{spread(rates):.1f}") for (way, at), rates in
                found.binary.items()]  # fmt: skip
    way = next(iter(images.WAYS))
    spent = {kind: 1000 * spread(found.latency[kind, way]).middle for kind in ("binary", "JSON")}
    floor = 1000 * spread(found.floor).middle
    return (
        "## Images\n\n"
        "ResNet-18's layers with random weights, 3 x 224 x 224. Images a second:\n\n"
        f"{table(('', 'threads', 'concurrency', 'images a second'), content)}\n\n"
        f"One image of JSON is {found.body / 2**20:.1f} MiB; `orjson.loads` and `np.array` alone"
        f" take {floor:.1f} ms of it. At concurrency 1 an answer takes {spent['binary']:.1f} ms"
        f" by binary and {spent['JSON']:.1f} ms by JSON; the processor time that JSON adds is"
        f" {json_over_floor(found):.2f} times the floor. Requests lost or failed:"
        f" {found.failures}."
    )


def row_part(found: rows.Found) -> str:
    """Rows a second by binary bodies of 64."""
    content = []
    for (workers, at), rates in found.served.items():
        share = ratios(rates, found.raw[workers])
        content.append(
            (workers, at, f"{spread(rates):,.0f}", f"{spread(found.raw[workers]):,.0f}",
             f"{share:.2f}")
        )  # fmt: skip
    head = ("workers, or threads", "concurrency", "rows/s", "ONNX Runtime alone", "share")
    return (
        "## 64 rows a request, binary\n\nOn two cores the generator takes a part of them.\n\n"
        f"{table(head, content)}\n\nRequests lost or failed: {found.failures}."
    )


def open_part(found: open_loop.Found) -> str:
    """Latencies below capacity."""
    content, curves = [], {}
    places = range(len(open_loop.PERCENTILES))
    for (name, arrival), measured in found.latency.items():
        at = {p: spread(one[p] for one in measured).middle for p in open_loop.PERCENTILES}
        share = spread(one["99"] / one["50"] for one in measured)
        capacity = spread(found.capacity[name])
        answered = f"{spread(found.answered[name, arrival]).middle:.0%}"
        shown = (f"{1000 * at[p]:.2f} ms" for p in ("50", "90", "99", "99.9"))
        content.append((name, arrival, f"{capacity:,.0f}", answered, *shown, f"{share:.1f}"))
        curves[f"{name}, {arrival}"] = (list(places), [1000 * at[p] for p in at])
    plots.lines(
        PLOTS / "open-loop.svg", curves, ("percentile", "ms from when a request was due"),
        ticks=list(zip(map(float, places), open_loop.PERCENTILES, strict=True)), logarithmic=True,
    )  # fmt: skip
    head = ("model", "arrivals", "capacity", "answered", "P50", "P90", "P99", "P99.9", "P99 / P50")
    return (
        "## Open loop at 80 % of capacity\n\nOne worker on a core of its own, the generator on the"
        " other. Random arrivals are a Poisson process, as independent clients make it.\n\n"
        "![Latency by percentile](benchmarks/open-loop.svg)\n\n"
        f"{table(head, content)}\n\nRequests lost or failed: {found.failures}. Windows around which"
        f" the capacity changed by more than {open_loop.STEADY:.0%}: {found.unsteady}; each was"
        f" measured again, the {open_loop.ATTEMPTS}th time it counts as it is. A loop that only"
        " reads memory, alone on the server's core, ran in the slowest of ten windows of"
        f" {open_loop.WINDOW:.1f} s at {spread(found.slowest):.0%} of the fastest's speed."
    )


def overload_part(slow: overload.Found, fast: overload.Found) -> str:
    """What is answered and refused beyond capacity."""
    content = []
    for name, found in (("images, 200 %", slow), ("MLP, 150 %", fast)):
        content.append(
            (name, f"{spread(found.capacity):,.0f}", f"{spread(found.goodput):,.0f}",
             f"{ratios(found.goodput, found.capacity):.2f}", f"{spread(found.refusals):,.0f}",
             f"{1000 * spread(found.refusal_p99).middle:.1f} ms",
             f"{1000 * spread(found.health_p99).middle:.1f} ms",
             f"{spread(found.growth):.1%}", found.lost, found.unexpected,
             f"{spread(found.generator).middle:.0%}")
        )  # fmt: skip
    head = ("", "capacity", "right answers/s", "of capacity", "refusals/s", "P99 of refusals",
            "P99 of health", "memory", "lost or wrong", "other status", "generator")  # fmt: skip
    refusal = spread(fast.refusal)
    most = least_goodput(1.5, refusal.middle)
    return (
        "## Overload\n\n"
        f"Open loop, random arrivals, {overload.CONNECTIONS:,} connections; one worker on a core of"
        f" its own; the convolutional model with `max_queue: {overload.QUEUE}`. Memory: the last"
        " third's peak over the middle third's. Generator: of one core; near 100 % it holds the"
        " server back.\n\n"
        f"{table(head, content)}\n\n"
        f"A refusal of the MLP costs {refusal:.2f} of an answer (processor time of the event loop"
        f" with a queue of one), so at 150 % a server with that cost can answer {most:.2f}"
        f" of its capacity{'; refusing is dearer than answering' if refusal.middle >= 1 else ''}."
    )


def feature_part(found: features.Found) -> str:
    """What each feature costs, in rate and processor time."""
    base, content = features.BASE, []
    for name in dict.fromkeys(name for name, _ in found.rates if name not in found.absent):
        cells = []
        for at in features.CONNECTIONS:
            rate, cost = found.rates[name, at], found.costs[name, at]
            share = ratios(found.rates[base, at], rate)
            saved = (
                1e6 * spread(a - b for a, b in zip(found.costs[base, at], cost, strict=True)).middle
            )
            cells += [f"{spread(rate).middle:,.0f}", f"{share:.2f}", f"{saved:+.1f} µs"]
        content.append((name, *cells))
    columns = [f"{what} at {at}" for at in features.CONNECTIONS
               for what in ("rate", "base / this", "base - this")]  # fmt: skip
    absent = "".join(f"\n- {name}: not measured, {why}" for name, why in found.absent.items())
    return (
        "## Cost of each feature\n\n"
        "One worker, MLP, JSON. The base has request id, API key, metrics, log of 1 % and deadlines"
        " on; each further line changes one thing: it leaves out what the base has, and adds log of"
        " 100 %, rate limit, traces or cache, which the base lacks. The time is processor time of"
        " the whole server per request: positive is what leaving it out saves.\n\n"
        f"{table(('changed', *columns), content)}\n{absent}"
    )


def soak_part(found: soak.Found) -> str:
    """A million requests."""
    parts = range(1, len(found.memory) + 1)
    plots.lines(
        PLOTS / "soak.svg",
        {"memory": ([100 * part / len(found.memory) for part in parts], found.memory)},
        ("% of the requests", "MiB, shared pages once"),
    )
    return (
        "## Soak\n\n"
        f"`make soak`: {found.requests:,} requests over {found.seconds / 60:.1f} minutes with"
        f" {found.reloads} reloads in between, two versions taking turns:"
        f" **{found.lost} lost, {found.wrong} wrong**, other statuses"
        f" {found.others or 'none'}, memory {found.growth:+.1%} after the first tenth.\n\n"
        "![Memory over the soak](benchmarks/soak.svg)"
    )
