"""The command says what is wrong, where, and with which exit status."""

import json
import os
import re
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest
from gitops_policy import Config, cli
from gitops_policy.commands import streams
from gitops_policy.findings import Report, RuleError
from gitops_policy.model import Problem
from gitops_policy.registry import _RULES, BUILD, rule
from gitops_policy.reports import Outcome, write
from gitops_policy.runs import check

GOOD = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n"
BAD = (
    "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n  containers:\n"
    "    - name: a\n      image: nginx\n      securityContext:\n        privileged: true\n"
)
ONLY = ["--only", "privileged-container"]


def run(*arguments: str | Path, code: int) -> None:
    assert cli.main(["lint", *map(str, arguments)]) == code


@pytest.fixture
def manifest(tmp_path: Path):
    def write(content: str | bytes, name: str = "manifest.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def test_clean_manifests_exit_0(manifest, capsys) -> None:
    run(manifest(GOOD), *ONLY, code=0)
    assert "1 build, 1 rule: 0 errors, 0 warnings" in capsys.readouterr().out


def test_a_finding_exits_1_and_shows_fix_and_line(manifest, capsys) -> None:
    path = manifest(BAD)
    run(path, *ONLY, code=1)
    out = capsys.readouterr().out
    assert "error    privileged-container" in out
    assert "Pod default/a container a" in out
    assert "fix: remove `privileged: true`" in out
    assert "manifest.yaml:10" in out
    assert "\x1b[" not in out


def test_json_has_the_versioned_shape(manifest, capsys) -> None:
    run(manifest(BAD), *ONLY, "--format", "json", code=1)
    report = json.loads(capsys.readouterr().out)
    assert report.keys() == {"version", "findings", "exempted", "evaluated", "errors"}
    assert report["version"] == 1
    assert report["evaluated"] == {"privileged-container": 1}
    (finding,) = report["findings"]
    assert finding["resource"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": "default",
        "name": "a",
    }
    assert finding["pointer"] == "/spec/containers/0/securityContext/privileged"
    assert finding["origin"]["line"] == 10


def test_fail_on_decides_which_findings_count(manifest) -> None:
    path = manifest(BAD)
    run(path, "--only", "liveness-probe", code=0)
    run(path, "--only", "liveness-probe", "--fail-on", "warning", code=1)
    run(path, *ONLY, "--fail-on", "never", code=0)


def test_a_rule_answers_to_its_name_in_another_tool(manifest, capsys) -> None:
    run(manifest(BAD), "--only", "checkov:CKV_K8S_16", code=1)
    assert "privileged-container" in capsys.readouterr().out


def test_an_unknown_rule_is_misuse(manifest, capsys) -> None:
    run(manifest(GOOD), "--only", "no-such-rule", code=2)
    assert "no rule is called 'no-such-rule'" in capsys.readouterr().err


def test_an_unknown_option_is_misuse() -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["lint", "--no-such-option"])
    assert caught.value.code == 2


UNREADABLE = {
    "a syntax error": (GOOD + "spec: [1, 2\n", "no valid YAML", 6),
    "a duplicate key": (GOOD + "kind: Secret\n", "duplicate key 'kind'", 5),
    "a tab": ("a:\n\tb: 1\n", "no valid YAML", 2),
    "a list": ("- 1\n- 2\n", "is a list, not an object", 1),
    "text": ("# note\njust text\n", "plain text or a number", 2),
    "no kind": ("apiVersion: v1\nmetadata: {name: a}\n", "has no kind", 1),
    "no apiVersion": ("kind: Pod\nmetadata: {name: a}\n", "has no apiVersion", 1),
    "no metadata": ("apiVersion: v1\nkind: Pod\n", "has no metadata", 1),
    "a second bad document": (GOOD + "---\n[1]\n", "is a list", 6),
    "a binary file": (b"\x7fELF\x02\x01\x01\x00\xff\xfe", "binary file", 1),
    "control characters": (GOOD + "a: \x01\n", "control characters", 5),
    "a mapping as key": ("{a: 1}: 2\n", "mapping key must be plain text", 1),
    "an unknown alias": ("a: *b\n", "no valid YAML", 1),
    "a recursive alias": ("a: &b\n  c: *b\n", "contains it", 1),
    "deep nesting": ("a: " + "[" * 300 + "]" * 300 + "\n", "nested deeper", 1),
    "deeper nesting": ("a: " + "[" * 50_000 + "]" * 50_000 + "\n", "nested deeper", 1),
    "deep dashes": ("- " * 5000 + "a\n", "nested deeper", 1),
}


@pytest.mark.parametrize("case", UNREADABLE, ids=str)
def test_unreadable_input_names_file_line_and_reason(case: str, manifest, capsys) -> None:
    content, reason, line = UNREADABLE[case]
    run(manifest(content), code=2)
    error = capsys.readouterr().err
    assert "manifest.yaml" in error
    assert reason in error
    assert line is None or f"manifest.yaml:{line}:" in error
    assert "Traceback" not in error


def test_an_alias_bomb_is_refused_quickly(manifest, capsys) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    run(manifest("\n".join(lines)), code=2)
    assert "aliases expand to more than" in capsys.readouterr().err


def test_a_missing_path_names_it(tmp_path: Path, capsys) -> None:
    run(tmp_path / "nowhere.yaml", code=2)
    assert "nowhere.yaml: no such file" in capsys.readouterr().err


def test_an_empty_folder_is_no_silent_pass(tmp_path: Path, capsys) -> None:
    run(tmp_path, code=2)
    assert "no manifests in this folder" in capsys.readouterr().err


def test_a_folder_is_linted_with_its_kustomizations_and_loose_files(manifest, capsys) -> None:
    root = manifest(BAD, "loose.yaml").parent
    manifest(BAD, "app/pod.yaml")
    manifest("resources: [pod.yaml]\n", "app/kustomization.yaml")
    manifest("kind: Component\nresources: [pod.yaml]\n", "part/kustomization.yaml")
    manifest("resources: [../app]\n", "top/kustomization.yaml")
    run(root, *ONLY, "--format", "json", code=1)
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert sorted(Path(f["origin"]["file"]).name for f in findings) == ["loose.yaml", "pod.yaml"]


def test_standard_input_is_linted(capsys, monkeypatch) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gitops_policy.cli", "lint", "-", *ONLY],
        input=BAD,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "(standard input):10" in done.stdout


def test_bad_standard_input_exits_2() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gitops_policy.cli", "lint", "-"],
        input="a: [",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "(standard input):" in done.stderr


def test_what_can_be_read_is_linted_beside_what_cannot(manifest, capsys) -> None:
    bad = manifest("a: [", "broken.yaml")
    run(manifest(BAD), bad, *ONLY, code=2)
    captured = capsys.readouterr()
    assert "privileged-container" in captured.out
    assert "broken.yaml" in captured.err


def test_a_crashed_rule_exits_3_and_the_others_run(manifest, capsys) -> None:
    @rule(
        id="crashes",
        title="Crashes",
        severity="error",
        rationale="To see it.",
        references=[],
        kinds=BUILD,
    )
    def crashes(world):
        yield Problem(None, (), "first")
        raise KeyError("inside")

    try:
        run(manifest(BAD), *ONLY, "--only", "crashes", code=3)
    finally:
        del _RULES["crashes"]
    out = capsys.readouterr().out
    assert "crashed  crashes: KeyError: 'inside'" in out
    assert "privileged-container" in out


def test_colours_only_on_a_terminal_that_wants_them(manifest, capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    path = manifest(BAD)
    run(path, *ONLY, code=1)
    assert "\x1b[31merror" in capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    run(path, *ONLY, code=1)
    assert "\x1b[" not in capsys.readouterr().out


def test_a_closed_pipe_is_no_traceback(manifest) -> None:
    command = f"{sys.executable} -m gitops_policy.cli lint {manifest(BAD)} | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


def test_a_report_of_errors_has_their_rule(capsys) -> None:
    assert Report(errors=(RuleError("x", "boom"),)).as_json()["errors"] == [
        {"rule": "x", "resource": None, "message": "boom", "origin": None}
    ]


def test_the_rules_can_be_listed_as_often_as_one_likes() -> None:
    import gitops_policy

    assert [r.id for r in gitops_policy.rules()] == [r.id for r in gitops_policy.rules()]
    assert all(r.title and r.rationale and r.references for r in gitops_policy.rules())


def test_an_unknown_kubernetes_version_is_misuse(manifest, capsys) -> None:
    run(manifest(GOOD), "--kubernetes-version", "9.9", code=2)
    error = capsys.readouterr().err
    assert "no schemas of Kubernetes '9.9'; known: " in error
    assert "1.35, 1.36" in error


def test_two_builds_of_the_same_name_are_both_shown(manifest, capsys) -> None:
    for copy in ("one", "two"):
        manifest(BAD, f"{copy}/overlays/dev/web/pod.yaml")
        path = manifest("resources: [pod.yaml]\n", f"{copy}/overlays/dev/web/kustomization.yaml")
    root = path.parents[4]
    run(root / "one/overlays", root / "two/overlays", *ONLY, code=1)
    assert "2 builds, 1 rule: 2 errors" in capsys.readouterr().out


def test_an_empty_render_is_a_finding(manifest, capsys) -> None:
    path = manifest("resources: []\n", "kustomization.yaml")
    run(path.parent, "--only", "empty-render", code=1)
    assert "the render is empty" in capsys.readouterr().out


def test_exempted_findings_are_shown_with_their_owner(manifest, capsys) -> None:
    note = "  annotations:\n    policy.gitops/ignore.privileged-container: "
    note += "owner=platform; until=2026-12-01; reason=driver\n"
    path = manifest(BAD.replace("spec:", note + "spec:"))
    config = Config(only=("privileged-container",), today=date(2026, 11, 21))
    reports, failures = check([str(path)], config)
    text = write(Outcome(reports), "text")
    assert not failures
    assert (
        "exempted  privileged-container  Pod default/a: driver (platform, until 2026-12-01)" in text
    )
    assert text.endswith("1 build, 1 rule: 0 errors, 0 warnings, 1 exempted")


@pytest.mark.parametrize(("skip", "code"), [([], 1), (["--skip", "release-env"], 2)])
def test_a_release_file_that_breaks_the_render_is_a_finding(
    skip: list[str], code: int, manifest, capsys
) -> None:
    folder = manifest(
        "configMapGenerator:\n  - name: r\n    envs: [release/model-release.env]\n",
        "kustomization.yaml",
    ).parent
    manifest("MODEL_NAME=a\nMODEL_NAME=b\n", "release/model-release.env")
    run(folder, *skip, code=code)
    captured = capsys.readouterr()
    assert "MODEL_NAME stands twice" in captured.out + captured.err
    assert "model-release.env:2" in captured.out + captured.err


def test_output_is_written_whole_and_the_terminal_gets_the_summary(manifest, capsys) -> None:
    path = manifest(BAD)
    target = path.parent / "report.json"
    target.write_text("before")
    target.chmod(0o640)
    run(path, *ONLY, "--format", "json", "--output", target, code=1)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"gitops-policy: 1 build, 1 rule: 1 error, 0 warnings ({target})\n"
    assert json.loads(target.read_text())["findings"]
    assert target.stat().st_mode & 0o777 == 0o640
    assert sorted(p.name for p in path.parent.iterdir()) == ["manifest.yaml", "report.json"]


def test_a_text_report_in_a_file_has_no_colours_and_names_unreadable_input(
    manifest, monkeypatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    target = manifest(BAD).parent / "report.txt"
    run(manifest(BAD), manifest("a: [", "broken.yaml"), *ONLY, "--output", target, code=2)
    assert "cannot be read  " in target.read_text()
    assert "\x1b[" not in target.read_text()


def test_a_failure_while_writing_leaves_what_was_there(manifest, capsys, monkeypatch) -> None:
    path = manifest(BAD)
    target = path.parent / "report.txt"
    target.write_text("before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    run(path, *ONLY, "--output", target, code=2)
    assert "No space left on device" in capsys.readouterr().err
    assert target.read_text() == "before"
    assert sorted(p.name for p in path.parent.iterdir()) == ["manifest.yaml", "report.txt"]


def test_output_that_cannot_be_written_is_said_before_the_work(manifest, capsys) -> None:
    path = manifest(BAD)
    run(path, "--output", path.parent, code=2)
    run(path, "--output", path.parent / "no/such/report.txt", code=2)
    error = capsys.readouterr().err
    assert "is a folder" in error
    assert "there is no folder" in error


def test_output_to_a_device_is_written_through(manifest) -> None:
    run(manifest(BAD), *ONLY, "--output", "/dev/null", code=1)
    assert Path("/dev/null").is_char_device()


def test_an_interrupt_is_130_and_no_traceback(manifest, capsys, monkeypatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gitops_policy.commands.lint.check", interrupted)
    run(manifest(GOOD), code=130)
    assert capsys.readouterr().err == "gitops-policy: interrupted\n"


def test_a_mistake_of_its_own_is_one_line_unless_asked(manifest, capsys, monkeypatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise TypeError("inside")

    monkeypatch.setattr("gitops_policy.commands.lint.check", broken)
    run(manifest(GOOD), code=3)
    assert "TypeError: inside" in capsys.readouterr().err
    monkeypatch.setenv("GITOPS_POLICY_DEBUG", "1")
    run(manifest(GOOD), code=3)
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_leaves_takes_nothing_from_the_verdict(manifest) -> None:
    lint = f"{sys.executable} -m gitops_policy.cli lint {manifest(BAD)} --format sarif"
    command = f"set -o pipefail; {lint} {' '.join(ONLY)} | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")


def test_several_names_can_stand_in_one_option(manifest, capsys) -> None:
    run(manifest(BAD), "--only", "privileged-container,CKV_K8S_14", code=1)
    assert "1 build, 2 rules: 2 errors" in capsys.readouterr().out


def test_a_severity_turns_a_rule_on_another_off_and_decides_the_verdict(manifest, capsys) -> None:
    levels = "{privileged-container: warning, cpu-limit: error, KSV-0014: off}"
    config = manifest(f"severity: {levels}\n", "policy.yaml")
    run(manifest(BAD), "--config", config, "--format", "json", code=1)
    report = json.loads(capsys.readouterr().out)
    severities = {finding["rule"]: finding["severity"] for finding in report["findings"]}
    assert severities["privileged-container"] == "warning"
    assert severities["cpu-limit"] == "error"
    assert "read-only-root-filesystem" not in report["evaluated"]


def test_an_option_wins_over_the_configuration_file(manifest) -> None:
    config = manifest("only: [privileged-container]\nfail_on: never\n", "policy.yaml")
    run(manifest(BAD), "--config", config, code=0)
    run(manifest(BAD), "--config", config, "--fail-on", "error", code=1)


def test_the_configuration_says_what_to_lint_where_no_path_is_given(
    manifest, capsys, monkeypatch
) -> None:
    manifest("paths: [deploy]\nonly: [privileged-container]\n", ".gitops-policy.yaml")
    monkeypatch.chdir(manifest(BAD, "deploy/pod.yaml").parents[1])
    run(code=1)
    assert "deploy/pod.yaml:10" in capsys.readouterr().out


def test_no_path_and_no_configuration_is_misuse(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(code=2)
    assert "name a PATH, or set `paths`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "reason"),
    [("--exemptions", "exemptions: no such file"), ("--schemas", "schemas: no such folder"),
     ("--config", "no such file"), ("--rules", "no such folder of rules")],
)  # fmt: skip
def test_a_file_that_an_option_names_must_exist(option: str, reason: str, manifest, capsys) -> None:
    path = manifest(GOOD)
    run(path, option, path.parent / "gone", code=2)
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_jobs_is_a_number_of_processes(value: str, manifest, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["lint", str(manifest(GOOD)), "--jobs", value])
    assert caught.value.code == 2
    assert "is not a number of processes" in capsys.readouterr().err


def test_a_broken_ledger_stands_in_the_report_too(manifest, capsys) -> None:
    ledger = manifest("rule: x\n", "ledger.yaml")
    run(manifest(BAD), "--exemptions", ledger, "--format", "sarif", code=2)
    captured = capsys.readouterr()
    (run_,) = json.loads(captured.out)["runs"]
    (notification,) = run_["invocations"][0]["toolConfigurationNotifications"]
    assert "is not a list of exemptions" in notification["message"]["text"]
    assert "ledger.yaml:1: is not a list of exemptions" in captured.err


def test_long_work_is_shown_on_a_terminal_and_erased(monkeypatch, capsys) -> None:
    monkeypatch.setattr(streams, "_FIRST", 0.01)
    monkeypatch.setattr(streams, "_EVERY", 0.01)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with streams.progress("linting"):
        time.sleep(0.05)
    error = capsys.readouterr().err
    assert "gitops-policy: linting ... 0 s" in error
    assert error.endswith("\r\x1b[K")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    with streams.progress("linting"):
        time.sleep(0.05)
    assert capsys.readouterr().err == ""


def test_a_folder_is_linted_beside_its_broken_file_and_foreign_ones(manifest, capsys) -> None:
    root = manifest(BAD, "pod.yaml").parent
    manifest("{{ if .Values.x }}\n", "template.yaml")
    manifest("replicas: 2\n", "values.yaml")
    manifest("[]\n", "policy-tests/exemptions.yaml")
    manifest("- {rule: a, resource: Pod/a}\n", "policy/ledger.yaml")
    run(root, *ONLY, "--only", "file-holds-objects", code=2)
    captured = capsys.readouterr()
    assert "privileged-container" in captured.out
    assert "values.yaml" in captured.out
    assert "template.yaml:1" in captured.err
    assert captured.err.count("\n") == 1


def test_a_helm_chart_is_one_error_that_says_what_to_do(manifest, capsys) -> None:
    root = manifest(GOOD, "pod.yaml").parent
    manifest("apiVersion: v2\nname: web\n", "charts/web/Chart.yaml")
    manifest("apiVersion: v2\nname: part\n", "charts/web/charts/part/Chart.yaml")
    manifest("{{ .Values.x }}\n", "charts/web/templates/a.yaml")
    manifest("x: 1\n", "charts/web/values.yaml")
    run(root, *ONLY, code=2)
    error = capsys.readouterr().err
    assert "web/Chart.yaml: is a Helm chart, which is not rendered" in error
    assert error.count("\n") == 1


def test_the_version_is_shown(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert re.fullmatch(r"gitops-policy \d+\.\d+\.\d+\n", capsys.readouterr().out)


@pytest.mark.parametrize("form", ["text", "json", "github"])
def test_a_terminal_that_knows_ascii_only_gets_the_report_too(form: str, manifest) -> None:
    path = manifest(BAD.replace("name: a\n      image", "name: \u00fc\n      image"))
    done = subprocess.run(
        [sys.executable, "-m", "gitops_policy.cli", "lint", path, *ONLY, "--format", form],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "privileged-container" in done.stdout
