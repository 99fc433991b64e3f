"""What the report says: the simulation's cells as sections, in the order of the requirements."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from canary_gate.report import figures
from canary_gate.report.document import Document, Plot, Section, Table
from canary_gate.report.plots import Panel, Point, curves
from canary_gate.simulation.agreement import Compared
from canary_gate.simulation.campaign import Cells, Key, Sequential
from canary_gate.simulation.cells import Cell
from canary_gate.simulation.expectations import Expectation, Judgement, interval, product_bound
from canary_gate.simulation.rivals import RIVALS
from canary_gate.simulation.scenario import GOOD, Scenario

#: Requests a second below which most releases end undecided, and means say little.
LEAST_TRAFFIC = 10.0


@dataclass(frozen=True)
class Findings:
    """Everything that the report is made from.

    `alone` holds, by name, a bad canary's cells at the first step alone and at the second
    alone. `compared` are releases that a real Prometheus judged as well. `templates` is the
    fingerprint of what was simulated.
    """

    expectations: Sequence[Expectation]
    cells: Cells
    judgements: Sequence[Judgement]
    alone: Mapping[Key, tuple[Cell, Cell]]
    sequential: Sequence[Sequential]
    compared: Sequence[Compared]
    templates: str
    seed: int


def document(findings: Findings) -> Document:
    """The whole report."""
    return Document(
        "How often the gate is right",
        _summary(findings),
        [
            _beside_others(findings),
            *_expected(findings),
            _product(findings),
            _requests(findings),
            _made(findings),
        ],
    )


def _summary(findings: Findings) -> list[str]:
    held = [judgement for judgement in findings.judgements if judgement.limit.bound is not None]
    by_status = {
        status: sum(judgement.status == status for judgement in held)
        for status in ("proven", "met", "missed")
    }
    cells = [found[0] for found in findings.cells.values()]
    least = min(cell.releases for cell in cells)
    return [
        f"{len(cells)} kinds of release, {least:,} simulated releases of each, went through the "
        "ladder `canary-10-50-100`, all its questions and both its steps. This page says what "
        "became of them. It is written by `make gate-report`, as are `build/gate/report.html` "
        "and `build/gate/report.json`.",
        f"Of {len(held)} limits {by_status['proven']} are proven (the whole 95 % interval keeps "
        f"the limit), {by_status['met']} are met (what was measured does; an interval of "
        f"{least:,} releases is wider) and {by_status['missed']} are missed.",
        "Good means at most 0.05 % errors, 3 % above 500 ms and 0.5 % above 1 s; where nothing "
        "else is said, the canary and stable are good and the errors are independent. "
        "Requests/s are the canary's at 10 % weight. Undecided pauses the release for a person.",
    ]


def _expected(findings: Findings) -> Iterator[Section]:
    for expectation in findings.expectations:
        text = expectation.text
        rows = [
            _row(findings.cells[scenario.name, scenario.canary_rps][0], findings.judgements, text)
            for scenario in expectation.scenarios
        ]
        head = (
            *("scenario", "requests/s", "aborted", "undecided", "promoted"),
            *("mean requests", "mean time", "slowest", "most often decided by", "limits"),
        )
        yield Section(text[0].upper() + text[1:], table=Table(head, rows))


def _row(cell: Cell, judgements: Sequence[Judgement], text: str) -> tuple[str, ...]:
    limits = (
        figures.limit(judgement)
        for judgement in judgements
        if judgement.text == text and judgement.cell is cell
    )
    return (
        cell.scenario,
        figures.rate(cell.canary_rps),
        *(figures.share(count, cell.releases) for count in _counts(cell)),
        figures.mean(cell.requests),
        figures.mean(cell.seconds, " s"),
        figures.seconds(cell.seconds.largest),
        figures.reasons(cell),
        "; ".join(filter(None, limits)),
    )


def _counts(cell: Cell) -> tuple[int, int, int]:
    return cell.aborted, cell.undecided, cell.promoted


def _product(findings: Findings) -> Section:
    rows = [
        (
            name,
            figures.rate(rps),
            figures.share(first.promoted, first.releases),
            figures.share(second.promoted, second.releases),
            f"{product_bound(first, second):.2g}",
        )
        for (name, rps), (first, second) in findings.alone.items()
    ]
    return Section(
        "The chance of a bad release to pass both steps",
        [
            "A bad canary at the first step alone, and one that turns bad at the second step. The "
            "last column multiplies the upper 95 % bounds of both."
        ],
        Table(("scenario", "requests/s", "passes 10 %", "passes 50 %", "passes both"), rows),
    )


def _requests(findings: Findings) -> Section:
    rows = [
        (
            figures.percent(found.rate),
            figures.rate(found.cell.canary_rps),
            figures.mean(found.cell.requests),
            figures.requests(found.optimum),
            figures.requests(found.limit),
            _kept(found),
        )
        for found in sorted(findings.sequential, key=lambda each: (each.cell.canary_rps, each.rate))
        if found.cell.canary_rps >= LEAST_TRAFFIC
    ]
    return Section(
        "Requests until the sequential error test decides",
        [
            "Wald's optimum is the mean of a test that can stop at every request, with the "
            "boundaries in use. Looks are 15 s apart and see scrapes that are up to 15 s old: "
            "allowed are 1.25 times the optimum and the requests of 30 s. Between the two "
            "hypotheses, 0.1 % and 0.5 %, nothing is asked."
        ],
        Table(("errors", "requests/s", "mean requests", "Wald", "allowed", ""), rows),
    )


def _kept(found: Sequential) -> str:
    mean = found.cell.requests.mean
    if mean is None or found.limit is None:
        return ""
    return "kept" if mean <= found.limit else "missed"


def _beside_others(findings: Findings) -> Section:
    rows, panels = [], []
    for rps in (10.0, 100.0):
        lines: dict[str, list[Point]] = {}
        for scenario in _of_errors(findings):
            if scenario.canary_rps != rps:
                continue
            found = findings.cells[scenario.name, rps]
            aborts = {"this gate": found[0].aborted_at.get(10, 0)}
            aborts |= {cell.template: cell.aborted for cell in found if cell.template in RIVALS}
            releases = found[0].releases
            shown = (figures.share(count, releases) for count in aborts.values())
            rates = scenario.canary.errors, scenario.stable.errors
            rows.append((*map(figures.percent, rates), figures.rate(rps), *shown))
            for name, count in aborts.items():
                point = Point(
                    100 * scenario.canary.errors, count / releases, *interval(count, releases)
                )
                lines.setdefault(name, []).append(point)
        panels.append(Panel(f"{rps:g} canary requests/s", "errors, %", 0.1, 0.5, lines))
    return Section(
        "Beside other gates",
        [
            "The same releases at 10 % weight for ten minutes: what each gate aborts there. The "
            "usual gate reads the error rate of each minute and asks for less than 0.1 %, with "
            "no failure allowed or three. Flagger's defaults ask each minute for a success rate "
            "of 99 % and a 99th percentile of at most 500 ms, and roll back at five failed "
            "checks: with 3 % above 500 ms, which is good here, it stops every release, so its "
            "success rate stands alone, too.",
        ],
        Table(("errors", "stable's", "requests/s", "this gate", *RIVALS), rows),
        Plot(
            "aborted-by-error-rate",
            curves(panels, "aborted at 10 %"),
            "Share of releases aborted at 10 % weight by error rate, for this gate and others",
        ),
    )


def _of_errors(findings: Findings) -> list[Scenario]:
    """Plain scenarios that differ from good by the canary's error rate alone, by that rate."""
    found = {}
    for expectation in findings.expectations:
        for scenario in expectation.scenarios:
            plain = Scenario(scenario.name, scenario.canary_rps, scenario.canary, scenario.stable)
            same = scenario.canary.slow_500ms == GOOD.slow_500ms
            same = same and scenario.canary.slow_1s == GOOD.slow_1s
            if scenario == plain and same and scenario.canary_rps >= LEAST_TRAFFIC:
                found[scenario.canary.errors, scenario.canary_rps] = scenario
    return [found[key] for key in sorted(found, key=lambda key: (key[1], key[0]))]


def _made(findings: Findings) -> Section:
    return Section(
        "How it was made",
        [
            "Each release is drawn as the counters that Prometheus would have scraped: per pod, "
            "every 15 s, at a phase of the pod's own; 1 canary pod at 10 %, 3 at 50 %, 3 of "
            "stable. The values of the queries are computed over arrays; conditions, limits and "
            "looks are those of the YAML files, evaluated by `canary_gate`.",
            _agreement(findings.compared),
            "Not in the simulation: pods that the autoscaler adds within a step, traffic that "
            "varies within a release, requests that never finish, latency that depends on load, "
            "and a stable that is bad without an outage. Restarts, providers, hashes and invalid "
            "outputs are good in every release: their questions are not statistical.",
            f"Seed {findings.seed}, templates `{findings.templates}`. The same seed gives the "
            "same page; a test holds the templates to that fingerprint.",
        ],
    )


def _agreement(compared: Sequence[Compared]) -> str:
    looks = sum(step.looks for step in compared)
    differ = sum(bool(step.differences) for step in compared)
    return (
        f"A real Prometheus was given the counters of {len(compared)} steps, at least one of "
        f"every kind of release up to 100 requests/s, and asked the queries as they stand at "
        f"each of {looks:,} looks: in {differ} steps a value, the verdict or its time differed."
    )
