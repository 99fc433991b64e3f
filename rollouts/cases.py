"""Cases of the templates: the value of a query by promtool, the verdict by the evaluator."""

import json
import math
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import yaml
from canary_gate import (
    Analysis,
    AnalysisResult,
    ProviderError,
    Verdict,
    load_templates,
    run_analysis,
)

ROOT = Path(__file__).resolve().parents[1]
TEMPLATES = ROOT / "rollouts" / "templates"
PROMTOOL = ROOT / ".tools" / "bin" / "promtool"
#: What the Rollout gives; any other argument without a default gets its own name as value.
TARGET = {"namespace": "test", "canary-hash": "canary", "stable-hash": "stable"}
#: What a query meets in operation; every template has a case of each.
SITUATIONS = (
    "good",
    "bad",
    "empty",
    "nan",
    "low-traffic",
    "counter-reset",
    "pod-restart",
    "late-first-scrape",
    "lost-scrape",
    "shared-outage",
    "retry",
    "stable-restart",
    "scaling",
    "clock-skew",
)
_ACTIONS = {"pass": "advance", "fail": "abort", "undecided": "pause"}
_FIELDS = {"name", "situation", "at", "interval", "arguments", "series", "value", "verdict"}

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """Series in promtool's notation, the query's value by its labels, and the verdict."""

    template: str
    name: str
    series: Mapping[str, Any]
    value: Mapping[str, float]
    verdict: str
    situation: str = ""
    at: str = "10m"
    interval: str = "15s"
    arguments: Mapping[str, str] | None = None

    @property
    def id(self) -> str:
        """Template and name: what promtool and pytest call the case."""
        return f"{self.template}: {self.name}"


def read_document(template: str) -> Document:
    """Read a template as it stands in Git."""
    document: Document = yaml.load(
        (TEMPLATES / template / "template.yaml").read_text(), Loader=yaml.CSafeLoader
    )
    return document


def prometheus_templates() -> list[str]:
    """Names of the templates that ask Prometheus; jobs have no series to show."""
    names = sorted(path.parent.name for path in TEMPLATES.glob("*/template.yaml"))
    return [name for name in names if _asks_prometheus(read_document(name))]


def _asks_prometheus(document: Document) -> bool:
    return any("prometheus" in metric["provider"] for metric in document["spec"]["metrics"])


def read_cases(template: str) -> list[Case]:
    """Read the cases of a template; raises ValueError for a field or situation unknown here."""
    path = TEMPLATES / template / "tests" / "cases.yaml"
    cases = []
    for content in yaml.load(path.read_text(), yaml.CSafeLoader) if path.exists() else []:
        unknown = set(content) - _FIELDS or {content.get("situation", "good")} - set(SITUATIONS)
        if unknown:
            raise ValueError(f"{path}: {content['name']}: unknown {', '.join(sorted(unknown))}")
        cases.append(Case(template=template, **content))
    return cases


def analysis(document: Document, arguments: Mapping[str, str] | None = None) -> Analysis:
    """Resolve a template as a step would; raises RefusedError as the controller refuses."""
    names = [argument["name"] for argument in document["spec"].get("args", ())]
    missing = {a["name"]: a["name"] for a in document["spec"].get("args", ()) if "value" not in a}
    given = missing | {n: v for n, v in TARGET.items() if n in names} | dict(arguments or {})
    return Analysis(load_templates([document]).values(), given)


def series(text: str) -> str:
    """Write a case's series with the labels that the scrape adds; `label=""` leaves one out.

    `hash` is short for `rollouts_pod_template_hash`. kube-state-metrics' series (`kube_...`)
    and recorded ones (`a:b`) get the namespace only.
    """
    name, labels = re.fullmatch(r"([\w:]+)(?:\{(.*)\})?", text).groups()  # type: ignore[union-attr]
    found = {"namespace": "test"}
    if not name.startswith("kube_") and ":" not in name:
        found |= {"pod": "a", "container": "inference-server", "hash": "canary"}
    found |= dict(re.findall(r'(\w+)="([^"]*)"', labels or ""))
    if "hash" in found:
        found["rollouts_pod_template_hash"] = found.pop("hash")
    return name + "{" + ",".join(f'{k}="{v}"' for k, v in found.items() if v) + "}"


def _every_nan(values: str) -> str:
    """Spell out `NaNx40`, which promtool's notation has for numbers only."""
    return re.sub(r"NaNx(\d+)", lambda times: " ".join(["NaN"] * (int(times[1]) + 1)), values)


def _expectations(query: str, value: Mapping[str, float]) -> Iterator[tuple[str, dict[str, float]]]:
    """Compare to six decimals; two NaN are never equal, so ask which samples are one."""
    if any(map(math.isnan, value.values())):
        yield f"({query}) != bool ({query})", {k: float(math.isnan(v)) for k, v in value.items()}
    numbers = {k: v for k, v in value.items() if not math.isnan(v)}
    yield (
        f"round(({query}) == ({query}), 0.000001)",
        {k: math.floor(v * 1e6 + 0.5) / 1e6 if math.isfinite(v) else v for k, v in numbers.items()},
    )


def _labels(short: str) -> str:
    """Write a sample's labels: `errors` is short for `{count="errors"}`, nothing for none."""
    if short.startswith("{"):
        return short
    return f'{{count="{short}"}}' if short else "{}"


def unit_test(case: Case, queries: Sequence[str]) -> dict[str, Any]:
    """Write a case as a group of promtool's unit tests, in which each query has its value."""
    return {
        "name": case.id,
        "interval": case.interval,
        "input_series": [
            {"series": series(name), "values": _every_nan(str(values))}
            for name, values in case.series.items()
        ],
        "promql_expr_test": [
            {
                "expr": f"# {number}\n{expression}",
                "eval_time": case.at,
                "exp_samples": [
                    {"labels": _labels(label), "value": value} for label, value in expected.items()
                ],
            }
            for number, query in enumerate(queries)
            for expression, expected in _expectations(query, case.value)
        ],
    }


def promtool(tests: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, str]]:
    """Run groups in one process; by name and number of the query, what promtool says is wrong.

    Raises RuntimeError where it says nothing of any group, as it does of a file it cannot read.
    """
    # Samples are loaded up to the last multiple of this interval.
    unit = {"evaluation_interval": "1s", "fuzzy_compare": True, "tests": list(tests)}
    with tempfile.TemporaryDirectory() as folder:
        path, report = Path(folder) / "unit.yaml", Path(folder) / "report.xml"
        path.write_text(json.dumps(unit))
        command = [str(PROMTOOL), "test", "rules", f"--junit={report}", str(path)]
        run = subprocess.run(command, capture_output=True, text=True, timeout=600)  # noqa: S603
        groups = ElementTree.parse(report).iter("testcase") if report.exists() else ()  # noqa: S314
        failed = {group.get("name", ""): _failures(group) for group in groups}
    if any(failed.values()) != bool(run.returncode):
        raise RuntimeError(run.stdout + run.stderr)
    return failed


def _failures(group: ElementTree.Element) -> dict[int, str]:
    """Read what failed; the query itself would bury what was expected and found."""
    found = {}
    for failure in group.iter("failure"):
        match = re.fullmatch(
            r'\s*expr: "# (\d+)\\n(?:[^"\\]|\\.)*", (.*)', failure.text or "", re.DOTALL
        )
        if match is None:
            raise RuntimeError(failure.text)
        found[int(match[1])] = match[2]
    return found


class Answering:
    """A virtual clock, and a provider that fails some times and then answers every look alike."""

    def __init__(self, value: list[float], failures: int = 0) -> None:
        self._value, self._failures, self.now = value, failures, 0.0

    def query(self, _: str) -> list[float]:
        """Answer, or fail while failures are left."""
        self._failures -= 1
        if self._failures >= 0:
            raise ProviderError("connection refused")
        return self._value

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    def judge(self, run: Analysis) -> AnalysisResult:
        """Run the analysis to its end; a background one ends with the release, after an answer."""
        background = run.metrics[0].effective_count is None
        return run_analysis(
            run,
            self,
            clock=lambda: self.now,
            sleep=self.sleep,
            stop=lambda: background and self._failures < 0,
        )


def answers(case: Case, query: str) -> list[list[float]]:
    """Return orders in which Prometheus may give the value; only a sorted one has a single one."""
    numbers = sorted(case.value.values(), reverse=True)
    if query.lstrip().startswith("sort_desc"):
        return [numbers]
    return [numbers[i:] + numbers[:i] for i in range(max(1, len(numbers)))]


def verdict_of(result: AnalysisResult) -> Verdict:
    """Verdict of a run; of a background one, which the release ends, that of its last look."""
    return result.metrics[0].measurements[-1].verdict if result.terminated else result.verdict


def verdict_fault(case: Case, run: Analysis) -> str:
    """Say what the evaluator decides otherwise than the case; nothing where they agree."""
    for value in answers(case, run.metrics[0].query):
        result = Answering(value).judge(run)
        # The release waits for no background analysis that did not abort it.
        action = "advance" if result.terminated else _ACTIONS[case.verdict]
        if (verdict_of(result), result.action) != (case.verdict, action):
            return f"{value} is {verdict_of(result)}, {result.action}: {result.message}"
        if case.verdict == "fail" and len(result.metrics[0].measurements) > 1:
            return f"{value} fails after more than one look"
    return ""


def faults(document: Document, cases: Iterable[Case]) -> dict[str, str]:
    """Return what is wrong with a template, by the id of the case that shows it."""
    cases = list(cases)
    runs = {case.id: analysis(document, case.arguments) for case in cases}
    failed = promtool([unit_test(case, [runs[case.id].metrics[0].query]) for case in cases])
    found = {case.id: "; ".join(failed[case.id].values()) for case in cases}
    return {c.id: found[c.id] or verdict_fault(c, runs[c.id]) for c in cases}
