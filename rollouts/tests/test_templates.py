"""Each template's cases: the query through promtool, the verdict through the evaluator."""

import math
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from canary_gate import (
    Analysis,
    AnalysisResult,
    ProviderError,
    load_templates,
    run_analysis,
)

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "rollouts" / "templates"
PROMTOOL = ROOT / ".tools" / "bin" / "promtool"
ACTIONS = {"pass": "advance", "fail": "abort", "undecided": "pause"}
TARGET = {"namespace": "test", "canary-hash": "canary", "stable-hash": "stable"}
CASES = [
    pytest.param(path.parents[1].name, case, id=f"{path.parents[1].name}: {case['name']}")
    for path in sorted(TEMPLATES.glob("*/tests/cases.yaml"))
    for case in yaml.safe_load(path.read_text())
]


def analysis(name: str, arguments: dict[str, str]) -> Analysis:
    document = yaml.safe_load((TEMPLATES / name / "template.yaml").read_text())
    return Analysis(load_templates([document]).values(), TARGET | arguments)


def series(text: str) -> str:
    """Write a case's series with the labels that a scraped pod has."""
    metric, labels = re.fullmatch(r"(\w+)\{(.*)\}", text).groups()
    given = dict(re.findall(r'(\w+)="([^"]*)"', labels))
    found = {"namespace": "test", "pod": "a", "container": "inference-server"} | given
    found["rollouts_pod_template_hash"] = found.pop("hash", "canary")
    return metric + "{" + ",".join(f'{k}="{v}"' for k, v in found.items()) + "}"


def every_nan(values: str) -> str:
    """Spell out `NaNx40`, which promtool's notation has for numbers only."""
    return re.sub(r"NaNx(\d+)", lambda times: " ".join(["NaN"] * (int(times[1]) + 1)), values)


def promtool(tmp_path: Path, query: str, case: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Compare to six decimals; promtool calls two NaN different, so ask whether it is one."""
    nan = any(map(math.isnan, case["value"].values()))
    query = f"({query}) != bool ({query})" if nan else f"round(({query}), 0.000001)"
    expected = [
        {
            "labels": f'{{count="{label}"}}' if label else "{}",
            "value": 1 if nan else math.floor(value * 1e6 + 0.5) / 1e6,
        }
        for label, value in case["value"].items()
    ]
    unit = {
        "evaluation_interval": "15s",
        "fuzzy_compare": True,
        "tests": [
            {
                "interval": "15s",
                "input_series": [
                    {"series": series(name), "values": every_nan(str(values))}
                    for name, values in case["series"].items()
                ],
                "promql_expr_test": [
                    {"expr": query, "eval_time": case.get("at", "10m"), "exp_samples": expected}
                ],
            }
        ],
    }
    path = tmp_path / "unit.yaml"
    path.write_text(yaml.safe_dump(unit))
    return subprocess.run(
        [PROMTOOL, "test", "rules", path], capture_output=True, text=True, timeout=60
    )


class Answering:
    """A virtual clock, and a provider that fails some times and then answers every look alike."""

    def __init__(self, value: list[float], failures: int = 0) -> None:
        self._value, self._failures, self.now = value, failures, 0.0

    def query(self, _: str) -> list[float]:
        self._failures -= 1
        if self._failures >= 0:
            raise ProviderError("connection refused")
        return self._value

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def judge(self, analysis: Analysis) -> AnalysisResult:
        return run_analysis(analysis, self, clock=lambda: self.now, sleep=self.sleep)


def values(case: dict[str, Any]) -> list[float]:
    return sorted(case["value"].values(), reverse=True)


@pytest.mark.parametrize(("name", "case"), CASES)
def test_the_query_gives_the_value_and_the_conditions_the_verdict(
    name: str, case: dict[str, Any], tmp_path: Path
) -> None:
    run = analysis(name, case.get("arguments", {}))
    tested = promtool(tmp_path, run.metrics[0].query, case)
    assert tested.returncode == 0, tested.stdout + tested.stderr

    result = Answering(values(case)).judge(run)
    assert result.verdict == case["verdict"], result.message
    assert result.action == ACTIONS[case["verdict"]], result.message
    if case["verdict"] == "fail":
        assert len(result.metrics[0].measurements) == 1, "one look is enough to fail"


PASSING = [case for case in CASES if case.values[1]["verdict"] == "pass"]


@pytest.mark.parametrize(("name", "case"), PASSING)
def test_two_minutes_without_prometheus_abort_no_good_release(
    name: str, case: dict[str, Any]
) -> None:
    run = analysis(name, case.get("arguments", {}))
    assert Answering(values(case), failures=13).judge(run).verdict == "pass"


@pytest.mark.parametrize("name", sorted({case.values[0] for case in CASES}))
def test_a_prometheus_that_stays_away_aborts(name: str) -> None:
    result = Answering([], failures=1_000).judge(analysis(name, {}))
    assert (result.phase, result.action) == ("Error", "abort")


@pytest.mark.parametrize(
    "name", sorted(path.parent.name for path in TEMPLATES.glob("*/template.yaml"))
)
def test_every_template_has_cases_of_each_verdict_and_of_no_data(name: str) -> None:
    cases = [case.values[1] for case in CASES if case.values[0] == name]
    assert {case["verdict"] for case in cases} == {"pass", "fail", "undecided"}
    assert any(not case["series"] for case in cases)
    assert all(case["verdict"] == "undecided" for case in cases if not case["value"])
