"""What this repository delivers keeps every rule: one test per overlay and rule.

What is applied beside the overlays has one test per folder, which names the rules that it breaks.
"""

from functools import cache
from pathlib import Path

import pytest
from gitops_policy import Config, Finding, Report, Rule, Severity, Workspace, lint, rules
from gitops_policy.config_file import read_config
from gitops_policy.reading.build import Build, build_files, build_kustomization
from gitops_policy.reading.discovery import contents
from gitops_policy.reading.kustomization import RenderError, kustomization_file, read_tree

ROOT = Path(__file__).resolve().parents[2]
WORKSPACE = Workspace(ROOT)
CONFIG = Config(**read_config(ROOT / ".gitops-policy.yaml"))


def _folders() -> list[Path]:
    overlays = [p for p in sorted((ROOT / "overlays").glob("*/*/")) if kustomization_file(p)]
    delivered = [ROOT / name for name in ("argocd", "apps")]
    return overlays + [
        found
        for folder in delivered
        for found in ([folder] if kustomization_file(folder) else [])
        + contents(folder).kustomizations
        if found.is_dir()
    ]


def _needs_network(folder: Path) -> bool:
    try:
        read_tree(folder)
    except RenderError as error:
        return "remote base" in error.reason
    return False


REMOTE = [folder for folder in dict.fromkeys(_folders()) if _needs_network(folder)]
LOCAL = [folder for folder in dict.fromkeys(_folders()) if folder not in REMOTE]
OVERLAYS = [folder for folder in LOCAL if folder.parts[-3] == "overlays"]
OTHERS = [folder for folder in LOCAL if folder not in OVERLAYS]
LOOSE = [f for name in ("argocd", "apps") for f in contents(ROOT / name).files]


def _name(folder: Path) -> str:
    return str(folder.relative_to(ROOT))


@cache
def _report(folder: Path) -> Report:
    build: Build = build_files(LOOSE, "loose") if folder == ROOT else build_kustomization(folder)
    return lint(build, CONFIG, workspace=WORKSPACE)


def test_there_are_overlays_for_every_environment() -> None:
    environments = {folder.parent.name for folder in OVERLAYS}
    assert environments == {"dev", "staging", "production"}, (
        f"overlays/<env>/<component>/ has kustomizations for {sorted(environments)} only"
    )


def test_only_the_installation_of_argo_cd_needs_the_network() -> None:
    assert all(_name(folder).startswith("argocd/install") for folder in REMOTE), REMOTE


def _shown(findings: list[Finding]) -> str:
    return "\n".join(
        f"{f.rule}: {f.resource} {f.pointer}: {f.message} ({f.origin})" for f in findings
    )


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.id)
@pytest.mark.parametrize("folder", OVERLAYS, ids=_name)
def test_overlay_keeps_the_rule(folder: Path, rule: Rule) -> None:
    report = _report(folder)
    broken = [f for f in report.at_least(Severity.error) if f.rule == rule.id]
    crashed = [error for error in report.errors if error.rule == rule.id]
    assert not crashed
    assert not broken, _shown(broken)


@pytest.mark.parametrize("folder", OTHERS + [ROOT] * bool(LOOSE), ids=_name)
def test_what_argo_cd_is_given_keeps_every_rule(folder: Path) -> None:
    report = _report(folder)
    assert not report.errors
    broken = list(report.at_least(Severity.error))
    assert not broken, _shown(broken)
