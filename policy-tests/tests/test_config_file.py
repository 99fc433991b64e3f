"""The configuration file is typed: what does not fit is refused with file, line and field."""

import json
import re
from pathlib import Path

import pytest
from gitops_policy import Config, ConfigError, ManifestError, cli
from gitops_policy.config_file import NAME, find_config, json_schema, read_config
from jsonschema import Draft202012Validator

PACKAGE = Path(__file__).parents[1]


@pytest.fixture
def written(tmp_path: Path):
    def write(content: str, name: str = NAME) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    return write


def test_every_kind_of_setting_is_read(written) -> None:
    path = written(
        "# comment\nprofile: strict\nskip: [image-digest]\n"
        "severity: {cpu-limit: warning, image-tag: off}\n"
        "minimum_replicas: 3\nexemptions: ledger.yaml\npaths: [overlays]\n"
        "histogram_edges: {x_seconds: [0.5, 1]}\nenvironment: null\n"
    )
    assert read_config(path) == {
        "profile": "strict",
        "skip": ("image-digest",),
        "severity": {"cpu-limit": "warning", "image-tag": "off"},
        "minimum_replicas": 3,
        "exemptions": path.parent / "ledger.yaml",
        "paths": (path.parent / "overlays",),
        "histogram_edges": {"x_seconds": (0.5, 1)},
        "environment": None,
    }
    assert Config(**read_config(path)).profile == "strict"


UNFIT = {
    "no mapping": ("- a\n", 1, "is not a mapping"),
    "unknown setting": ("profile: strict\nregistry: [a]\n", 2, "did you mean registries?"),
    "far from any setting": ("zzz: 1\n", 1, "one of profile"),
    "a value that is not allowed": ("profile: lenient\n", 1, "profile: must be one of recommended"),
    "a version that YAML reads as number": ("kubernetes_version: 1.30\n", 1, "(in quotes)"),
    "no whole number": ("zones: true\n", 1, "zones: must be a whole number, not True"),
    "no number": ("histogram_edges:\n  a: [1, x]\n", 2, "histogram_edges.a.1: must be a number"),
    "no list": ("only: image-tag\n", 1, "only: must be a list"),
    "no mapping inside": ("severity: [a]\n", 1, "severity: must be a mapping"),
    "a rule that does not exist": ("only:\n  - image-tag\n  - image-tagg\n", 3, "did you mean"),
    "a severity for no rule": ("severity:\n  nothing-like-it: error\n", 2, "no rule is called"),
    "a severity that does not exist": (
        "severity:\n  image-tag: high\n",
        2,
        "one of error, warning",
    ),
    "a setting of tests": ("today: 2026-01-01\n", 1, "no such setting"),
    "two documents": ("profile: strict\n---\nzones: 1\n", 3, "one document"),
    "a key twice": ("zones: 1\nzones: 2\n", 2, "duplicate key"),
    "no YAML": ("a: [\n", 2, "no valid YAML"),
}


@pytest.mark.parametrize("case", UNFIT, ids=str)
def test_what_does_not_fit_is_refused_with_line_and_field(case: str, written) -> None:
    content, line, reason = UNFIT[case]
    with pytest.raises(ManifestError) as caught:
        read_config(written(content))
    assert caught.value.line == line
    assert reason in str(caught.value)


def test_the_command_says_what_does_not_fit_and_exits_2(written, capsys) -> None:
    path = written("profile: lenient\n")
    assert cli.main(["lint", str(path), "--config", str(path)]) == 2
    assert f"{NAME}:1: profile: must be one of" in capsys.readouterr().err


def test_an_empty_file_sets_nothing(written) -> None:
    assert read_config(written("# nothing yet\n")) == {}


def test_the_nearest_file_up_to_the_root_of_the_repository_applies(written, tmp_path) -> None:
    written("", "repository/.git/HEAD")
    inner = written("", f"repository/{NAME}")
    written("", NAME)
    manifest = written("", "repository/overlays/dev/web/pod.yaml")
    assert find_config([str(manifest)]) == inner.resolve()
    assert find_config([str(manifest.parent), str(tmp_path / "repository")]) == inner.resolve()


def test_a_file_above_the_root_of_the_repository_does_not_apply(written) -> None:
    written("", "repository/.git/HEAD")
    written("", NAME)
    assert find_config([str(written("", "repository/overlays/pod.yaml"))]) is None


def test_outside_a_repository_only_the_folder_itself_counts(written, tmp_path) -> None:
    written("")
    manifest = written("", "a/pod.yaml")
    assert find_config([str(manifest)]) is None
    assert find_config([str(tmp_path)]) == (tmp_path / NAME).resolve()


def test_two_files_that_apply_are_refused(written, tmp_path) -> None:
    written("", f"a/{NAME}")
    written("", f"b/{NAME}")
    with pytest.raises(ConfigError, match="choose one with --config"):
        find_config([str(tmp_path / "a"), str(tmp_path / "b")])


def test_the_schema_for_editors_is_the_one_of_the_settings() -> None:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    committed = json.loads((PACKAGE / "gitops-policy.schema.json").read_text())
    assert committed == schema, "run: make docs"


def test_the_schema_accepts_what_is_read_and_refuses_what_is_not() -> None:
    validator = Draft202012Validator(json_schema())
    assert validator.is_valid({"profile": "strict", "exemptions": None, "zones": 2})
    assert not validator.is_valid({"profile": "lenient"})
    assert not validator.is_valid({"registry": []})
    assert all(entry["description"] for entry in json_schema()["properties"].values())


def test_the_configuration_that_the_readme_shows_is_read(written) -> None:
    (shown,) = re.findall(
        r"```yaml\n(# yaml-language-server.*?)```", (PACKAGE / "README.md").read_text(), re.DOTALL
    )
    settings = read_config(written(shown))
    assert settings["severity"]["high-user-id"] == "off"
    assert settings["minimum_replicas"] == 3


def test_this_repository_is_linted_without_a_path(monkeypatch, capsys) -> None:
    monkeypatch.chdir(PACKAGE.parent)
    assert cli.main(["lint", "--only", "image-digest", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["evaluated"]["image-digest"] > 0
