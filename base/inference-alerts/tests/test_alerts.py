"""The alerts of production, as rendered, in promtool."""

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]
TOOLS = REPOSITORY / ".tools" / "bin"
CASES = sorted(HERE.glob("*.yaml"))


@cache
def rule_groups() -> list[dict[str, Any]]:
    rendered = subprocess.run(
        [TOOLS / "kustomize", "build", REPOSITORY / "overlays" / "production" / "inference"],
        capture_output=True,
        check=True,
        text=True,
    )
    return [
        group
        for manifest in yaml.safe_load_all(rendered.stdout)
        if manifest["kind"] == "PrometheusRule"
        for group in manifest["spec"]["groups"]
    ]


def alerts() -> list[dict[str, Any]]:
    return [rule for group in rule_groups() for rule in group["rules"] if "alert" in rule]


def promtool(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    rules = yaml.safe_dump({"groups": rule_groups()})
    (folder / "rules.yaml").write_text(rules)
    return subprocess.run(
        [TOOLS / "promtool", *arguments], cwd=folder, capture_output=True, text=True
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_the_alerts_fire_on_trouble_and_are_silent_otherwise(case: Path, tmp_path: Path) -> None:
    (tmp_path / case.name).write_text(case.read_text())

    result = promtool(tmp_path, "test", "rules", case.name)

    assert result.returncode == 0, result.stdout + result.stderr


def test_promtool_finds_nothing_to_complain_about(tmp_path: Path) -> None:
    result = promtool(tmp_path, "check", "rules", "--lint=all", "--lint-fatal", "rules.yaml")

    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_each_alert_fires_in_a_test(alert: dict[str, Any]) -> None:
    expected = "".join(case.read_text() for case in CASES)

    assert f'alertname="{alert["alert"]}"' in expected


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_each_alert_says_how_bad_it_is_who_acts_and_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert alert["labels"]["team"] == "ml-platform"
    assert alert["annotations"]["summary"]
    assert "for" in alert
    assert "\n" not in alert["annotations"]["summary"]


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_each_alert_leads_to_a_section_that_exists(alert: dict[str, Any]) -> None:
    link = alert["annotations"]["runbook_url"]
    path, anchor = link[link.index("docs/runbooks/") :].split("#")

    headings = [
        line.lstrip("# ").lower().replace(" ", "-")
        for line in (REPOSITORY / path).read_text().splitlines()
        if line.startswith("#")
    ]

    assert anchor in headings
