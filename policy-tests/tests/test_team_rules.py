"""A team adds a rule in one file: from a folder, or from an installed package."""

import shutil
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from gitops_policy import Config, RuleLoadError, cli, lint, registry, rules, team_rules
from gitops_policy.config_file import NAME

EXAMPLE = Path(__file__).parents[1] / "examples/team-rules"
README = EXAMPLE.parents[1] / "README.md"
DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}}
RULE = """from gitops_policy import rule
@rule(id="{id}", title="T", severity="error", rationale="R", references=["x"], kinds=["Pod"])
def check(pod):
    yield pod.problem(("metadata",), "said by a team")
"""


@pytest.fixture
def folder(tmp_path: Path):
    """A folder of rules, forgotten when the test ends."""
    known = dict(registry._RULES)

    def write(content: str, name: str = "own.py") -> Path:
        path = tmp_path / "team" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        return path.parent

    yield write
    registry._RULES.clear()
    registry._RULES.update(known)


def test_the_example_keeps_its_own_cases(capsys) -> None:
    assert cli.main(["test", str(EXAMPLE)]) == 0
    assert "1 rule, 2 cases: as expected" in capsys.readouterr().out


def test_the_rules_of_a_folder_run_where_the_configuration_names_it() -> None:
    report = lint([DEPLOYMENT], Config(rules=(EXAMPLE,), only=("team-label-known",)))
    assert [finding.message for finding in report.findings] == ["there is no label team"]
    assert "team-label-known" not in {rule.id for rule in rules()}
    assert "team-label-known" not in lint([DEPLOYMENT]).evaluated


def test_the_command_takes_a_folder_of_rules(tmp_path: Path, capsys) -> None:
    path = tmp_path / "web.yaml"
    path.write_text("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n")
    only = ["--rules", str(EXAMPLE), "--only", "team-label-known"]
    assert cli.main(["lint", str(path), *only, "--fail-on", "warning"]) == 1
    assert "team-label-known  there is no label team" in capsys.readouterr().out
    assert cli.main(["explain", "team-label-known", "--rules", str(EXAMPLE)]) == 0
    assert "Refused, " in capsys.readouterr().out


BROKEN = {
    "a syntax error": ("def x(:\n", "own.py:1: SyntaxError"),
    "a failing import": ("import os\nimport no_such_module_xyz\n", "own.py:2: ModuleNotFoundError"),
    "a taken id": (RULE.format(id="image-tag"), "own.py:2: ValueError: rule id 'image-tag' is"),
    "a bad id": (RULE.format(id="Not_Kebab"), "own.py:2: ValueError: rule id"),
    "a bad severity": (
        RULE.format(id="own-rule").replace('"error"', '"high"'), "own.py:2: KeyError",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN, ids=str)
def test_a_rule_that_cannot_be_imported_is_misuse_with_file_and_line(
    case: str, folder, capsys
) -> None:
    content, reason = BROKEN[case]
    assert cli.main(["lint", str(EXAMPLE), "--rules", str(folder(content))]) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert "Traceback" not in error


def test_a_rule_can_be_mended_and_loaded_again(folder) -> None:
    home = folder(RULE.format(id="own-rule") + "import no_such_module_xyz\n")
    with pytest.raises(RuleLoadError, match="no_such_module_xyz"):
        rules(home)
    folder(RULE.format(id="own-rule"))
    assert "own-rule" in {rule.id for rule in rules(home)}


def test_no_folder_and_an_empty_folder_are_misuse(tmp_path: Path, folder, capsys) -> None:
    assert cli.main(["lint", str(EXAMPLE), "--rules", str(tmp_path / "none")]) == 2
    assert cli.main(["lint", str(EXAMPLE), "--rules", str(folder("", "_private.py"))]) == 2
    error = capsys.readouterr().err
    assert "none: no such folder of rules" in error
    assert "team: no rules in this folder" in error


def test_a_configuration_that_nobody_named_must_not_run_code(folder, capsys) -> None:
    home = folder("raise SystemExit('ran')\n")
    manifest = home.parent / "pod.yaml"
    manifest.write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n")
    (home.parent / NAME).write_text("rules: [team]\n")
    assert cli.main(["lint", str(manifest)]) == 2
    assert "rules: runs code of what is linted: allow it with --config" in capsys.readouterr().err
    folder(RULE.format(id="own-rule"))
    named = ["--config", str(home.parent / NAME), "--only", "own-rule"]
    assert cli.main(["lint", str(manifest), *named]) == 1


def test_cases_that_fail_are_named(folder, tmp_path: Path, capsys) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "copy", ignore=shutil.ignore_patterns("__pycache__"))
    own = tmp_path / "copy/labels.py"
    own.write_text(own.read_text().replace('"team-label-known"', '"copied-rule"'))
    (tmp_path / "copy/cases/team-label-known").rename(tmp_path / "copy/cases/copied-rule")
    cases = tmp_path / "copy/cases/copied-rule"
    passing, failing = cases / "pass-known.yaml", cases / "fail-unknown-and-missing.yaml"
    passing.write_text(passing.read_text().replace("payments", "search"))
    failing.write_text(failing.read_text().replace("# expect: Rollout/api", "# expect: Rollout/b"))
    assert cli.main(["test", str(tmp_path / "copy")]) == 1
    out = capsys.readouterr().out
    assert "pass-known.yaml: not expected: Rollout/api /metadata/labels/team" in out
    assert "fail-unknown-and-missing.yaml: not found: Rollout/b /metadata/labels/team" in out
    passing.unlink()
    assert cli.main(["test", str(tmp_path / "copy")]) == 1
    assert "copied-rule: needs cases/copied-rule/pass-<why>.yaml" in capsys.readouterr().out
    (tmp_path / "copy/cases/other").mkdir()
    (tmp_path / "copy/cases/other/pass-a.yaml").write_text("")
    assert cli.main(["test", str(tmp_path / "copy")]) == 2
    assert "cases of no rule there: other" in capsys.readouterr().err


def test_a_case_that_crashes_its_rule_exits_3(folder, capsys) -> None:
    home = folder(RULE.format(id="own-rule") + "    raise KeyError('inside')\n")
    case = home / "cases/own-rule/pass-a.yaml"
    case.parent.mkdir(parents=True)
    case.write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n")
    assert cli.main(["test", str(home)]) == 3
    assert "pass-a.yaml: crashed: KeyError: 'inside'" in capsys.readouterr().out


def entry_points(monkeypatch, value: str) -> None:
    found = [EntryPoint("payments", value, team_rules.GROUP)]
    monkeypatch.setattr(team_rules, "entry_points", lambda group: found)


def test_an_installed_package_brings_rules_by_entry_point(folder, monkeypatch) -> None:
    home = folder(RULE.format(id="packaged-rule"), "packaged_rules.py")
    monkeypatch.syspath_prepend(str(home))
    entry_points(monkeypatch, "packaged_rules")
    team_rules.load_entry_points()
    assert "packaged-rule" in {rule.id for rule in rules()}
    del sys.modules["packaged_rules"]


def test_an_entry_point_that_fails_is_named(monkeypatch) -> None:
    entry_points(monkeypatch, "no_such_package_xyz")
    with pytest.raises(RuleLoadError, match="payments = no_such_package_xyz: ModuleNotFoundError"):
        team_rules.load_entry_points()


def test_the_readme_shows_the_example_as_it_is() -> None:
    assert (EXAMPLE / "labels.py").read_text() in README.read_text()
