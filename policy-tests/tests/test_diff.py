"""`gitops-policy diff`: two Git refs or folders in, what a reviewer needs out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from gitops_policy import cli
from gitops_policy.registry import _RULES, BUILD, rule

ROOT = Path(__file__).resolve().parents[2]
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: web
          image: registry.example/web:1.0
          envFrom: [{configMapRef: {name: settings}}]
"""
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: hunter2}\n"
ONLY = ["--only", "privileged-container"]


class Repository:
    """A Git repository in a temporary folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str) -> str:
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *arguments]
        return subprocess.run(
            command, cwd=self.root, check=True, capture_output=True, text=True
        ).stdout

    def write(self, **files: str) -> None:
        for name, content in files.items():
            path = self.root / f"{name.replace('__', '/')}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    def replace(self, path: str, old: str, new: str) -> None:
        file = self.root / path
        content = file.read_text()
        assert old in content
        file.write_text(content.replace(old, new))

    def commit(self, name: str) -> None:
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty", "-m", name)
        self.git("tag", name)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch) -> Repository:
    made = Repository(tmp_path / "repository")
    (made.root / ".git/info").mkdir(exist_ok=True)
    (made.root / ".git/info/exclude").write_text(".tools\n")
    (made.root / ".tools").symlink_to(ROOT / ".tools")
    monkeypatch.chdir(made.root)
    made.write(
        overlays__dev__web__kustomization=(
            "resources: [deployment.yaml]\n"
            "configMapGenerator:\n  - name: settings\n    literals: [LEVEL=info]\n"
        ),
        overlays__dev__web__deployment=DEPLOYMENT,
    )
    made.commit("one")
    return made


def run(*arguments: str, code: int) -> None:
    assert cli.main(["diff", *arguments]) == code


def report(capsys) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def as_json(*arguments: str, code: int, capsys) -> dict[str, Any]:
    run(*arguments, *ONLY, "--format", "json", code=code)
    return report(capsys)


def test_identical_trees_have_no_difference(repository: Repository, capsys) -> None:
    repository.commit("two")
    run("one", "two", *ONLY, code=0)
    out = capsys.readouterr().out
    assert "no difference in 1 overlay" in out
    assert "0 new findings" in out


def test_an_image_is_said_old_and_new_with_the_pods_that_restart(
    repository: Repository, capsys
) -> None:
    repository.replace("overlays/dev/web/deployment.yaml", "web:1.0", "web:1.1")
    repository.commit("two")
    run("one", "two", *ONLY, code=0)
    out = capsys.readouterr().out
    assert "image     registry.example/web 1.0 -> 1.1  in dev/web (1 container)" in out
    assert "reaches dev: 1 object (1 changed); Deployment default/web: pods are replaced" in out


def test_a_generated_config_map_is_one_changed_object(repository: Repository, capsys) -> None:
    repository.replace("overlays/dev/web/kustomization.yaml", "info", "debug")
    repository.commit("two")
    found = as_json("one", "two", code=0, capsys=capsys)
    (overlay,) = found["overlays"]
    assert [(o["resource"]["kind"], o["status"]) for o in overlay["objects"]] == [
        ("ConfigMap", "changed"),
        ("Deployment", "changed"),
    ]
    (change,) = overlay["objects"][0]["changes"]
    assert (change["path"], change["before"], change["after"]) == ("data.LEVEL", "info", "debug")
    assert overlay["objects"][1]["changes"] == []
    assert overlay["objects"][1]["restarts"] == "pods are replaced"
    (reach,) = found["blastRadius"]
    assert (reach["environment"], reach["objects"], len(reach["restarts"])) == ("dev", 2, 1)


def test_json_has_the_versioned_shape(repository: Repository, capsys) -> None:
    repository.write(overlays__dev__web__more=SECRET)
    repository.replace(
        "overlays/dev/web/kustomization.yaml", "[deployment.yaml]", "[deployment.yaml, more.yaml]"
    )
    repository.commit("two")
    found = as_json("one", "two", code=0, capsys=capsys)
    assert found.keys() == {
        *("version", "base", "head", "compared", "overlays", "blastRadius", "findings", "errors"),
    }
    assert found["version"] == 1
    assert found["base"] == {"name": "one", "commit": repository.git("rev-parse", "one").strip()}
    (secret,) = found["overlays"][0]["objects"]
    assert (secret["status"], secret["changes"]) == ("added", [])
    assert "hunter2" not in json.dumps(found)


def test_only_new_findings_are_shown_and_fail(repository: Repository, capsys) -> None:
    path = "overlays/dev/web/deployment.yaml"
    image = "image: registry.example/web:1.0"
    bad = f"{image}\n          securityContext: {{privileged: true}}"
    repository.replace(path, image, bad)
    repository.commit("two")
    found = as_json("one", "two", code=1, capsys=capsys)
    (finding,) = found["findings"]["new"]
    assert finding["rule"] == "privileged-container"
    assert finding["origin"]["file"] == path
    assert finding["origin"]["line"] == 13
    assert found["findings"]["fixed"] == []

    run("one", "two", *ONLY, "--fail-on", "never", code=0)
    repository.replace(path, "web:1.0", "web:1.1")
    repository.commit("three")
    capsys.readouterr()
    found = as_json("two", "three", code=0, capsys=capsys)
    assert found["findings"] == {"new": [], "fixed": [], "unchanged": 1}
    found = as_json("three", "one", code=0, capsys=capsys)
    assert [f["rule"] for f in found["findings"]["fixed"]] == ["privileged-container"]


def test_a_finding_that_moves_in_its_list_is_not_new(repository: Repository, capsys) -> None:
    path = "overlays/dev/web/deployment.yaml"
    bad = "        - {name: agent, image: a:1, securityContext: {privileged: true}}\n"
    content = (repository.root / path).read_text()
    (repository.root / path).write_text(content + bad)
    repository.commit("two")
    (repository.root / path).write_text(content.replace("containers:\n", "containers:\n" + bad))
    repository.commit("three")
    found = as_json("two", "three", code=0, capsys=capsys)
    assert found["findings"] == {"new": [], "fixed": [], "unchanged": 1}
    assert found["overlays"] == []


def test_a_finding_that_is_exempted_from_now_on_is_neither_new_nor_fixed(
    repository: Repository, capsys
) -> None:
    path = "overlays/dev/web/deployment.yaml"
    repository.replace(path, "web:1.0", "web:1.0\n          securityContext: {privileged: true}")
    repository.commit("two")
    until = date.today() + timedelta(days=60)
    note = f"owner=platform; until={until}; reason=driver"
    repository.replace(
        path,
        "metadata: {name: web}",
        "metadata:\n  name: web\n  annotations:\n"
        f'    policy.gitops/ignore.privileged-container: "{note}"',
    )
    repository.commit("three")
    found = as_json("two", "three", code=0, capsys=capsys)
    assert found["findings"] == {"new": [], "fixed": [], "unchanged": 0}


def test_a_file_that_cannot_be_read_hides_no_other(repository: Repository, capsys) -> None:
    repository.write(loose__web=DEPLOYMENT, loose__broken="a: [")
    repository.commit("two")
    repository.write(loose__web=DEPLOYMENT.replace("replicas: 2", "replicas: 3"))
    repository.commit("three")
    run("two", "three", "loose", *ONLY, "--format", "json", code=2)
    captured = capsys.readouterr()
    (overlay,) = json.loads(captured.out)["overlays"]
    assert [c["category"] for c in overlay["objects"][0]["changes"]] == ["replicas"]
    assert "head: loose/broken.yaml:2: is no valid YAML" in captured.err


def test_fail_on_warning_counts_new_warnings(repository: Repository) -> None:
    path = "overlays/dev/web/deployment.yaml"
    repository.replace(path, "replicas: 2", "replicas: 2\n  revisionHistoryLimit: 1")
    content = (repository.root / path).read_text()
    (repository.root / path).write_text(content + "        - {name: more, image: more:1}\n")
    repository.commit("two")
    liveness = ("--only", "liveness-probe")
    run("one", "two", *liveness, code=0)
    run("one", "two", *liveness, "--fail-on", "warning", code=1)


def test_an_overlay_on_one_side_only_is_added_or_removed(repository: Repository, capsys) -> None:
    bad = DEPLOYMENT.replace("web:1.0", "web:1.0\n          securityContext: {privileged: true}")
    repository.write(
        overlays__staging__web__kustomization="resources: [deployment.yaml]\n",
        overlays__staging__web__deployment=bad,
    )
    repository.commit("two")
    found = as_json("one", "two", code=1, capsys=capsys)
    (overlay,) = found["overlays"]
    assert (overlay["name"], overlay["status"]) == ("staging/web", "added")
    assert [o["status"] for o in overlay["objects"]] == ["added"]
    found = as_json("two", "one", code=0, capsys=capsys)
    assert found["overlays"][0]["status"] == "removed"
    assert len(found["findings"]["fixed"]) == 1
    run("two", "one", *ONLY, code=0)
    assert "only in the base" in capsys.readouterr().out


def test_a_base_that_does_not_render_is_said_and_the_head_is_judged(
    repository: Repository, capsys
) -> None:
    path = "overlays/dev/web/kustomization.yaml"
    repository.replace(path, "deployment.yaml", "gone.yaml")
    repository.commit("broken")
    repository.replace(path, "gone.yaml", "deployment.yaml")
    deployment = "overlays/dev/web/deployment.yaml"
    repository.replace(
        deployment, "web:1.0", "web:1.0\n          securityContext: {privileged: true}"
    )
    repository.commit("mended")
    run("broken", "mended", *ONLY, "--format", "json", code=2)
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["overlays"][0]["environment"] == "dev"
    assert found["overlays"][0]["reason"].startswith("base: overlays/dev/web/kustomization.yaml:1:")
    assert len(found["findings"]["new"]) == 1
    assert "'gone.yaml' does not exist" in captured.err
    assert tempfile.gettempdir() not in captured.err


def test_a_head_that_does_not_render_exits_2(repository: Repository, capsys) -> None:
    repository.replace("overlays/dev/web/kustomization.yaml", "deployment.yaml", "gone.yaml")
    repository.commit("broken")
    run("one", "broken", *ONLY, code=2)
    captured = capsys.readouterr()
    assert "unreadable" in captured.out
    assert "head: overlays/dev/web/kustomization.yaml:1: 'gone.yaml' does not exist" in captured.err


def test_the_folders_of_two_checkouts_are_compared(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    for name, image in (("base", "web:1.0"), ("head", "web:2.0")):
        folder = tmp_path / name / "app"
        folder.mkdir(parents=True)
        (folder / "deployment.yaml").write_text(DEPLOYMENT.replace("web:1.0", image))
    found = as_json(str(tmp_path / "base"), str(tmp_path / "head"), code=0, capsys=capsys)
    (overlay,) = found["overlays"]
    (change,) = overlay["objects"][0]["changes"]
    assert (change["category"], change["after"]) == ("image", "registry.example/web:2.0")


def test_a_commit_is_compared_with_the_working_tree(repository: Repository, capsys) -> None:
    repository.replace("overlays/dev/web/deployment.yaml", "replicas: 2", "replicas: 5")
    run("one", ".", "overlays", *ONLY, code=0)
    assert "replicas  spec.replicas 2 -> 5  of Deployment default/web" in capsys.readouterr().out


def test_paths_are_those_of_the_current_folder(repository: Repository, capsys, monkeypatch) -> None:
    repository.replace("overlays/dev/web/deployment.yaml", "replicas: 2", "replicas: 5")
    repository.commit("two")
    monkeypatch.chdir(repository.root / "overlays")
    found = as_json("one", "two", "dev", code=0, capsys=capsys)
    assert found["overlays"][0]["path"] == "dev/web"


def test_the_paths_of_the_configuration_are_compared_unless_others_are_named(
    repository: Repository, capsys
) -> None:
    (repository.root / ".gitops-policy.yaml").write_text("paths: [overlays, apps]\n")
    repository.write(loose__web=DEPLOYMENT)
    repository.commit("two")
    assert as_json("one", "two", code=0, capsys=capsys)["overlays"] == []
    (overlay,) = as_json("one", "two", "loose", code=0, capsys=capsys)["overlays"]
    assert overlay["path"] == "loose"


def test_two_and_three_dots_as_git_has_them(repository: Repository, capsys) -> None:
    path = "overlays/dev/web/deployment.yaml"
    repository.git("switch", "-q", "-c", "topic")
    repository.replace(path, "replicas: 2", "replicas: 5")
    repository.commit("two")
    repository.git("switch", "-q", "main")
    repository.replace(path, "web:1.0", "web:1.1")
    repository.commit("moved")
    both = as_json("main..topic", code=0, capsys=capsys)["overlays"][0]["objects"][0]["changes"]
    mine = as_json("main...topic", code=0, capsys=capsys)["overlays"][0]["objects"][0]["changes"]
    assert {c["category"] for c in both} == {"replicas", "image"}
    assert {c["category"] for c in mine} == {"replicas"}
    assert as_json("topic..", code=0, capsys=capsys)["head"]["name"] == "HEAD"


@pytest.mark.parametrize(
    ("sides", "reason"),
    [
        (["one", "nowhere"], "'nowhere' is neither a folder nor a commit here"),
        (["one"], "'one' alone: name a base and a head"),
        (["one", "HEAD", "no/such/path"], "no/such/path: neither in one nor HEAD"),
        (["one...nowhere"], "have no common commit"),
        (["one", "--only-this"], None),
        (["one", "overlays/dev/web/deployment.yaml"], "neither a folder nor a commit"),
    ],
)
def test_misuse_exits_2_with_the_reason(
    sides: list[str], reason: str | None, repository: Repository, capsys
) -> None:
    if reason is None:
        with pytest.raises(SystemExit) as caught:
            cli.main(["diff", *sides])
        assert caught.value.code == 2
        return
    run(*sides, code=2)
    error = capsys.readouterr().err
    assert reason in error
    assert "Traceback" not in error


def test_a_name_of_both_a_folder_and_a_branch_is_refused(repository: Repository, capsys) -> None:
    repository.git("branch", "overlays")
    run("one", "overlays", code=2)
    assert "write ./overlays or refs/heads/overlays" in capsys.readouterr().err
    run("one", "refs/heads/overlays", *ONLY, code=0)


def test_no_repository_is_said(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    run("main", "HEAD", code=2)
    assert "not a git repository" in capsys.readouterr().err


def test_a_missing_git_is_said(repository: Repository, monkeypatch, capsys) -> None:
    monkeypatch.setenv("PATH", str(repository.root))
    run("one", "HEAD", code=2)
    assert "git is not installed" in capsys.readouterr().err


def test_a_shallow_clone_says_what_to_fetch(repository: Repository, tmp_path, monkeypatch, capsys):
    repository.commit("two")
    clone = tmp_path / "clone"
    repository.git("clone", "-q", "--depth=1", f"file://{repository.root}", str(clone))
    monkeypatch.chdir(clone)
    run("one", "HEAD", code=2)
    assert "the clone is shallow; `git fetch origin one`" in capsys.readouterr().err


def test_nothing_is_left_behind_and_the_checkout_is_not_touched(
    repository: Repository, tmp_path, monkeypatch, capsys
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    repository.replace("overlays/dev/web/deployment.yaml", "replicas: 2", "replicas: 5")
    before = repository.git("status", "--porcelain")
    run("one", "HEAD", *ONLY, code=0)
    assert list(temporary.iterdir()) == []
    assert repository.git("status", "--porcelain") == before

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gitops_policy.diff.comparison.render_side", interrupted)
    run("one", "HEAD", code=130)
    assert list(temporary.iterdir()) == []


def test_a_comparison_that_is_terminated_leaves_nothing_behind(
    repository: Repository, tmp_path: Path
) -> None:
    temporary, started, tools = (tmp_path / name for name in ("tmp", "started", "tools/bin"))
    temporary.mkdir()
    tools.mkdir(parents=True)
    shim = tools / "kustomize"
    shim.write_text(f"#!/bin/sh\ntouch {started}\nsleep 1\nexit 1\n")
    shim.chmod(0o755)
    (repository.root / ".tools").unlink()
    environment = os.environ | {"TMPDIR": str(temporary), "PATH": f"{tools}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "gitops_policy.cli", "diff", "one", "HEAD"]
    with subprocess.Popen(command, env=environment) as running:
        deadline = time.monotonic() + 60
        while not started.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(list(temporary.iterdir())) == 2
        running.terminate()
        assert running.wait(timeout=60) == 143
    assert list(temporary.iterdir()) == []


def test_attributes_hide_no_file_from_the_comparison(repository: Repository, capsys) -> None:
    (repository.root / ".gitattributes").write_text("* export-ignore\n")
    repository.replace("overlays/dev/web/deployment.yaml", "replicas: 2", "replicas: 5")
    repository.commit("two")
    assert as_json("one", "two", code=0, capsys=capsys)["overlays"][0]["objects"]


def test_links_are_followed_inside_the_repository_only(
    repository: Repository, tmp_path: Path, capsys
) -> None:
    (tmp_path / "outside.yaml").write_text(DEPLOYMENT)
    web = repository.root / "overlays/dev/web"
    (web / "inside.yaml").symlink_to("deployment.yaml")
    (web / "outside.yaml").symlink_to(os.path.relpath(tmp_path / "outside.yaml", web))
    repository.replace("overlays/dev/web/kustomization.yaml", "[deployment.yaml]", "[inside.yaml]")
    repository.commit("two")
    assert as_json("one", "two", code=0, capsys=capsys)["overlays"] == []
    repository.replace("overlays/dev/web/kustomization.yaml", "[inside.yaml]", "[outside.yaml]")
    repository.commit("three")
    run("one", "three", *ONLY, code=2)
    assert "'outside.yaml' does not exist" in capsys.readouterr().err


def test_a_broken_release_file_is_a_finding(repository: Repository, capsys) -> None:
    folder = repository.root / "overlays/dev/web/release"
    folder.mkdir()
    release = folder / "model-release.env"
    release.write_text((ROOT / "overlays/dev/inference/release/model-release.env").read_text())
    repository.replace(
        "overlays/dev/web/kustomization.yaml",
        "configMapGenerator:",
        "configMapGenerator:\n  - name: r\n    envs: [release/model-release.env]",
    )
    repository.commit("two")
    release.write_text(release.read_text() + "MODEL_NAME=again\n")
    repository.commit("three")
    run("two", "three", "--only", "release-env", "--format", "json", code=1)
    (finding,) = report(capsys)["findings"]["new"]
    assert "MODEL_NAME stands twice" in finding["message"]


def test_a_crashed_rule_exits_3(repository: Repository, capsys) -> None:
    @rule(id="crashes", title="t", severity="error", rationale="r", references=[], kinds=BUILD)
    def crashes(world: object) -> None:
        raise KeyError("inside")

    try:
        run("one", "HEAD", "--only", "crashes", code=3)
    finally:
        del _RULES["crashes"]
    assert "crashed  crashes: KeyError: 'inside'" in capsys.readouterr().out


def test_the_report_is_written_to_a_file(repository: Repository, tmp_path: Path, capsys) -> None:
    file = tmp_path / "diff.md"
    run("one", "HEAD", *ONLY, "--format", "markdown", "--output", str(file), code=0)
    assert file.read_text().startswith("### Rendered changes: `one (")
    assert capsys.readouterr().out == ""
    run("one", "HEAD", *ONLY, "--output", str(tmp_path), code=2)
    assert "is a folder" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["text", "markdown"])
@pytest.mark.parametrize("terminal", [True, False])
def test_manifests_send_nothing_to_the_terminal(
    form: str, terminal: bool, repository: Repository, capsys, monkeypatch
) -> None:
    config = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: "x\\e[2Jy\\a"}\n'
    repository.write(loose__map=config)
    repository.commit("two")
    repository.write(loose__map=config.replace("2J", "3J"))
    repository.commit("three")
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    run("two", "three", "loose", *ONLY, "--format", form, code=0)
    out = capsys.readouterr().out
    assert "x\\x1b[2Jy\\x07" in out
    assert "\x1b[2J" not in out
    assert "\a" not in out


def test_markdown_is_safe_for_a_comment(repository: Repository, capsys) -> None:
    repository.write(
        overlays__dev__web__kustomization=(
            "resources: [deployment.yaml]\n"
            "configMapGenerator:\n  - name: settings\n    files: [a.yaml]\n"
        ),
        overlays__dev__web__a="x: 1\n```\n</details>\n@team | `code`\n",
    )
    repository.commit("two")
    repository.write(overlays__dev__web__a="x: 2\n````\n</details>\n@team | `code`\n")
    repository.commit("three")
    run("two", "three", *ONLY, "--format", "markdown", code=0)
    out = capsys.readouterr().out
    assert "    `````diff\n    -x: 1\n    -```\n    +x: 2\n    +````\n    `````" in out
    assert "| dev | 2 objects (2 changed) | Deployment default/web: pods are replaced |" in out


def test_a_long_comment_says_that_it_was_cut(repository: Repository, capsys) -> None:
    maps = "".join(
        "---\napiVersion: v1\nkind: ConfigMap\n"
        f"metadata: {{name: m{i}}}\ndata: {{a: '{'x' * 150}'}}\n"
        for i in range(400)
    )
    repository.write(loose__maps=maps)
    repository.commit("two")
    repository.write(loose__maps=maps.replace("x", "y"))
    repository.commit("three")
    run("two", "three", "loose", *ONLY, "--format", "markdown", code=0)
    out = capsys.readouterr().out
    assert len(out) < 65_536
    assert "too long for a comment" in out


def test_colours_only_on_a_terminal(repository: Repository, capsys, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    run("one", "HEAD", *ONLY, code=0)
    assert "\x1b[1m" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    run("one", "HEAD", *ONLY, code=0)
    assert "\x1b[" not in capsys.readouterr().out


# Our own overlays.


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    made = Repository(tmp_path_factory.mktemp("delivered") / "repository")
    for folder in ("overlays", "base", "rollouts"):
        shutil.copytree(ROOT / folder, made.root / folder)
    (made.root / ".git/info/exclude").write_text(".tools\n")
    (made.root / ".tools").symlink_to(ROOT / ".tools")
    made.commit("delivered")
    return made


RELEASE = "overlays/production/inference/release"


def test_a_model_release_of_ours_reaches_one_environment(
    delivered: Repository, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(delivered.root)
    delivered.git("switch", "-q", "-C", "release", "delivered")
    settings = delivered.root / RELEASE / "model-release.env"
    delivered.replace(f"{RELEASE}/model-release.env", "MODEL_VERSION=1", "MODEL_VERSION=2")
    delivered.replace(f"{RELEASE}/model-release.env", "breast-cancer/1", "breast-cancer/2")
    old = next(line for line in settings.read_text().splitlines() if "SHA256=" in line)
    delivered.replace(f"{RELEASE}/model-release.env", old, old[:-4] + "0000")
    delivered.commit("released")
    run("delivered", "released", "overlays", "--format", "json", code=0)
    found = report(capsys)
    (overlay,) = found["overlays"]
    (model,) = overlay["models"]
    assert (model["before"]["version"], model["after"]["version"]) == ("1", "2")
    assert {c["category"] for o in overlay["objects"] for c in o["changes"]} == {"model"}
    assert [(r["environment"], r["objects"], len(r["restarts"])) for r in found["blastRadius"]] == [
        ("production", 2, 1)
    ]
    assert found["findings"]["new"] == []


def test_an_image_of_ours_in_two_environments(delivered: Repository, monkeypatch, capsys) -> None:
    monkeypatch.chdir(delivered.root)
    delivered.git("switch", "-q", "-C", "image", "delivered")
    for environment in ("staging", "production"):
        file = f"overlays/{environment}/inference/release/kustomization.yaml"
        content = (delivered.root / file).read_text()
        digest = next(
            line.split(":")[-1].strip() for line in content.splitlines() if "digest" in line
        )
        delivered.replace(file, digest, digest[::-1])
    delivered.commit("image-changed")
    run("delivered", "image-changed", "overlays", code=0)
    out = capsys.readouterr().out
    assert f"sha256:{digest[:12]} -> sha256:{digest[::-1][:12]}" in out
    assert "in production/inference (5 containers), staging/inference (7 containers)" in out
    assert out.index("reaches production") < out.index("reaches staging")
    assert "reaches dev" not in out


def test_replicas_beyond_the_quota_of_ours_are_a_new_finding(
    delivered: Repository, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(delivered.root)
    delivered.git("switch", "-q", "-C", "replicas", "delivered")
    delivered.replace(
        "overlays/production/inference/patches/horizontalpodautoscaler-patch.yaml",
        "minReplicas: 5",
        "minReplicas: 5\n  maxReplicas: 200",
    )
    delivered.commit("scaled")
    run("delivered", "scaled", "overlays", code=1)
    out = capsys.readouterr().out
    assert "replicas  spec.maxReplicas 20 -> 200  of HorizontalPodAutoscaler" in out
    assert "no pod restarts" in out
    assert "new error  quota-fits-release" in out


def test_a_shared_base_reaches_every_environment(
    delivered: Repository, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(delivered.root)
    delivered.git("switch", "-q", "-C", "base", "delivered")
    delivered.replace("base/inference/rollout.yaml", "periodSeconds: 5\n", "periodSeconds: 6\n")
    delivered.commit("probed")
    run("delivered", "probed", "overlays", "--format", "json", "--only", "readiness-probe", code=0)
    found = report(capsys)
    assert [r["environment"] for r in found["blastRadius"]] == ["production", "staging", "dev"]
    assert all(len(r["restarts"]) == 1 for r in found["blastRadius"])
