"""Each template's cases: the query through promtool, the verdict through the evaluator."""

import json
import math
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from canary_gate import Analysis, load_templates, run_analysis

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "rollouts" / "templates"
PROMTOOL = ROOT / ".tools" / "bin" / "promtool"
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
    """A provider that gives every look the same answer."""

    def __init__(self, value: list[float]) -> None:
        self._value = value

    def query(self, _: str) -> list[float]:
        return self._value


@pytest.mark.parametrize(("name", "case"), CASES)
def test_the_query_gives_the_value_and_the_conditions_the_verdict(
    name: str, case: dict[str, Any], tmp_path: Path
) -> None:
    run = analysis(name, case.get("arguments", {}))
    tested = promtool(tmp_path, run.metrics[0].query, case)
    assert tested.returncode == 0, tested.stdout + tested.stderr

    now = [0.0]
    result = run_analysis(
        run,
        Answering(sorted(case["value"].values(), reverse=True)),
        clock=lambda: now[0],
        sleep=lambda seconds: now.__setitem__(0, now[0] + seconds),
    )
    assert result.verdict == case["verdict"], json.dumps(result.message)


@pytest.mark.parametrize(
    "name", sorted(path.parent.name for path in TEMPLATES.glob("*/template.yaml"))
)
def test_every_template_has_cases_of_each_verdict_and_of_no_data(name: str) -> None:
    cases = [case.values[1] for case in CASES if case.values[0] == name]
    assert {case["verdict"] for case in cases} == {"pass", "fail", "undecided"}
    assert any(not case["series"] for case in cases)
    assert all(case["verdict"] == "undecided" for case in cases if not case["value"])
