"""Whatever is handed in: a finding, or file, line and reason; no traceback, no silent pass."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from gitops_policy import Config, cli, lint
from gitops_policy.registry import _RULES, EVERY, PODS, rule

GOOD = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n"
POD = (
    "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n  containers:\n"
    "    - name: a\n      image: nginx\n      securityContext:\n        privileged: true\n"
)
ONLY = ["--only", "privileged-container"]


@pytest.fixture
def folder(tmp_path: Path):
    def write(**files: str | bytes) -> Path:
        for name, content in files.items():
            path = tmp_path / name.replace("__", "/").replace("_yaml", ".yaml")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return tmp_path

    return write


def run(capsys, *arguments: str | Path, code: int) -> str:
    """Run the command; returns what it wrote, standard error last."""
    status = cli.main(["lint", *map(str, arguments)])
    captured = capsys.readouterr()
    said = captured.out + captured.err
    assert "Traceback" not in said
    assert "mistake of its own" not in said
    assert status == code, said
    return said


# Content of one file -> what is said, and the line.
UNREADABLE: dict[str, tuple[str | bytes, str, int | None]] = {
    "an unknown tag": ("a: !!python/object/apply:os.system [id]\n", "has no apiVersion", 1),
    "UTF-16 with a mark": (GOOD.encode("utf-16"), "not UTF-8 text", 1),
    "UTF-16 without a mark": (GOOD.encode("utf-16-be"), "", None),
    "UTF-32": (GOOD.encode("utf-32"), "", None),
    "Latin-1": (GOOD.encode() + b"  labels: {a: \xe9}\n", "not UTF-8 text", 5),
    "a NUL byte": (GOOD + "data: {a: \0}\n", "control characters", 5),
    "a NUL byte in quotes": (GOOD + 'data: {a: "\0"}\n', "control characters", 5),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "not UTF-8 text", 1),
    "an archive": (b"PK\x03\x04" + bytes(range(256)), "", None),
    "a tab as indentation": (GOOD + "data:\n\ta: 1\n", "no valid YAML", 6),
    "a bad document in the middle": (f"{GOOD}---\na: [\n---\n{GOOD}", "no valid YAML", None),
    "a list in the middle": (f"{GOOD}---\n- a\n---\n{GOOD}", "is a list", 6),
    "a number": ("42\n", "plain text or a number", 1),
    "a boolean": ("true\n", "plain text or a number", 1),
    "an unclosed quote": (GOOD + 'data: {a: "b}\n', "no valid YAML", None),
    "an unclosed bracket": ("{", "no valid YAML", None),
    "a merge conflict": (f"<<<<<<< HEAD\n{GOOD}=======\n{GOOD}>>>>>>> a\n", "no valid YAML", None),
    "a template": ("apiVersion: v1\nkind: {{ .Values.kind }}\n", "", 2),
    "a JSON syntax error": ('{"apiVersion": "v1",\n "kind": }}\n', "no valid YAML", 2),
    "a kind that is a number": ("apiVersion: v1\nkind: 1\nmetadata: {name: a}\n", "no kind", 1),
    "a kind that is a list": ("apiVersion: v1\nkind: [Pod]\nmetadata: {name: a}\n", "no kind", 1),
    "metadata that is text": ("apiVersion: v1\nkind: Pod\nmetadata: a\n", "no metadata", 1),
    "metadata that is nothing": ("apiVersion: v1\nkind: Pod\nmetadata:\n", "no metadata", 1),
    "a duplicate key deep inside": (POD + "        privileged: false\n", "duplicate key", 11),
    "a duplicate key in JSON": ('{"apiVersion": "v1",\n"apiVersion": "v2"}\n', "duplicate key", 2),
    "an anchor twice": ("a: &a 1\nb: &a 2\n", "", None),
    "a directive": ("%YAML 9.9\n---\n" + GOOD, "", None),
    "deep nesting by indentation": (
        "".join("  " * i + "a:\n" for i in range(400)), "nested deeper", None),
    "deep nesting in JSON": ('{"a":' * 5000 + "1" + "}" * 5000, "nested deeper", 1),
    "a quadratic bomb": ("a: &a " + "x" * 100 + "\nb: [" + "*a, " * 2_100_000 + "]\n", "", None),
}  # fmt: skip


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_cannot_be_read_names_file_line_and_reason(case: str, folder, capsys) -> None:
    content, reason, line = UNREADABLE[case]
    said = run(capsys, folder(broken_yaml=content) / "broken.yaml", code=2)
    assert reason in said
    assert f"broken.yaml:{line}:" in said if line else "broken.yaml:" in said


READABLE: dict[str, str | bytes] = {
    "a byte order mark": b"\xef\xbb\xbf" + POD.encode(),
    "carriage returns": POD.replace("\n", "\r\n").encode(),
    "a comment before a document": "# note\n---\n# more\n" + POD,
    "empty documents around": f"---\n---\n{POD}---\n---\n# end\n",
    "JSON": '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers":'
    ' [{"name": "a", "securityContext": {"privileged": true}}]}}',
    "keys that are no text": POD + "  1: a\n  2.5: b\n  true: c\n  null: d\n",
    "a key of a thousand characters": POD + f"  {'k' * 1000}: a\n",
    "a name of a thousand characters": POD.replace("name: a", f"name: {'n' * 1000}"),
    "a scalar of a million characters": POD + f"  x: {'y' * 1_000_000}\n",
    "a number of a thousand digits": POD + f"  x: {'9' * 1000}\n",
    "a number of ten thousand digits": POD + f"  x: {'9' * 10_000}\n",
    "a float beyond all floats": POD + "  x: 1e999999\n  y: -.inf\n  z: .nan\n",
    "other scripts": POD.replace("name: a", "name: 名前\u202e").encode(),
    "a list of objects": "apiVersion: v1\nkind: List\nitems:\n- "
    + POD.rstrip().replace("\n", "\n  ")
    + "\n",
}


@pytest.mark.parametrize("case", READABLE)
def test_what_can_be_read_is_judged(case: str, folder, capsys) -> None:
    path = folder(manifest_yaml=READABLE[case]) / "manifest.yaml"
    assert "privileged-container" in run(capsys, path, *ONLY, code=1)


@pytest.mark.parametrize("case", READABLE)
def test_no_rule_stumbles_over_what_can_be_read(case: str, folder, capsys) -> None:
    path = folder(manifest_yaml=READABLE[case]) / "manifest.yaml"
    assert "crashed" not in run(capsys, path, "--profile", "strict", code=1)


@pytest.mark.parametrize(
    "content", ["", "\n", "# only a note\n", "---\n", "---\n---\n", "null\n", "~\n"]
)
def test_a_file_without_objects_is_no_silent_pass(content: str, folder, capsys) -> None:
    assert "the render is empty" in run(
        capsys, folder(empty_yaml=content) / "empty.yaml", "--only", "empty-render", code=1
    )


def test_a_file_of_fifty_mebibytes_is_read_or_refused_in_bounded_time(folder, capsys) -> None:
    path = folder(large_yaml=GOOD + "data: {a: " + "x" * (50 * 2**20) + "}\n") / "large.yaml"
    run(capsys, path, *ONLY, code=0)
    path.write_bytes(GOOD.encode() + b"#" * (64 * 2**20))
    assert "large.yaml: larger than 64 MiB" in run(capsys, path, code=2)


def test_what_is_no_file_is_refused_and_in_a_folder_left_out(
    folder, tmp_path: Path, capsys
) -> None:
    root = folder(good_yaml=GOOD)
    os.mkfifo(root / "pipe.yaml")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(root / "socket.yaml"))
    assert "socket.yaml: cannot be read" in run(capsys, root / "socket.yaml", code=2)
    run(capsys, root, *ONLY, code=0)


def test_links_in_a_circle_are_followed_once(folder, capsys) -> None:
    root = folder(app__pod_yaml=POD)
    (root / "app/again").symlink_to(root / "app", target_is_directory=True)
    (root / "one.yaml").symlink_to(root / "two.yaml")
    (root / "two.yaml").symlink_to(root / "one.yaml")
    assert "1 error" in run(capsys, root / "app", *ONLY, code=1)
    assert "one.yaml: cannot be read" in run(capsys, root, *ONLY, code=2)
    assert "one.yaml: cannot be read" in run(capsys, root / "one.yaml", code=2)


def test_a_link_to_nothing_is_said(folder, capsys) -> None:
    root = folder(good_yaml=GOOD)
    (root / "gone.yaml").symlink_to(root / "nowhere.yaml")
    assert "gone.yaml: no such file" in run(capsys, root / "gone.yaml", code=2)
    assert "gone.yaml: no such file" in run(capsys, root, *ONLY, code=2)


def test_a_file_without_permission_is_said(folder, capsys, monkeypatch) -> None:
    root = folder(secret_yaml=GOOD)

    def refused(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refused)
    said = run(capsys, root / "secret.yaml", code=2)
    assert "secret.yaml: cannot be read: Permission denied" in said


@pytest.mark.parametrize("path", ["", "a\nb", "x" * 5000, "/dev/null/x"])
def test_a_path_that_can_be_no_path_is_misuse(path: str, capsys, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(capsys, path, code=2)


@pytest.mark.parametrize("path", ["a\0b.yaml"])
def test_a_path_with_a_nul_is_misuse(path: str, capsys) -> None:
    assert "a\\x00b.yaml" in run(capsys, path, code=2)


@pytest.mark.parametrize("form", ["text", "json", "sarif", "junit", "github", "markdown"])
def test_a_file_name_in_no_encoding_is_shown(form: str, folder, capsys) -> None:
    root = folder(good_yaml=GOOD)
    Path(os.fsdecode(os.fsencode(root) + b"/\xff.yaml")).write_text(POD)
    said = run(capsys, root, *ONLY, "--format", form, code=1)
    assert "privileged-container" in said
    assert said.encode()


# Kustomizations.

BROKEN: dict[str, tuple[dict[str, str], str]] = {
    "a missing file": ({"k": "resources: [gone.yaml]\n"}, "kustomization.yaml:1: 'gone.yaml'"),
    "a missing folder": ({"k": "resources: [../gone]\n"}, "kustomization.yaml:1: '../gone'"),
    "a missing component": ({"k": "components:\n- gone\n"}, "kustomization.yaml:2: 'gone'"),
    "a missing patch": ({"k": "patches:\n- path: gone.yaml\n"}, "kustomization.yaml:2: 'gone"),
    "a remote base": ({"k": "resources:\n- https://example.com/x\n"}, "remote base"),
    "a remote component": ({"k": "components:\n- github.com/a/b?ref=v1\n"}, "remote base"),
    "a list": ({"k": "- a\n"}, "kustomization"),
    "text": ({"k": "just text\n"}, "kustomization"),
    "nothing": ({"k": ""}, "kustomization"),
    "two documents": ({"k": "resources: []\n---\nresources: []\n"}, ":3: a second document"),
    "resources that are text": ({"k": "resources: a.yaml\n"}, "kustomization"),
    "resources that are numbers": ({"k": "resources: [1, 2]\n"}, "kustomization"),
    "an unknown field": ({"k": "resources: []\nresourses: [a.yaml]\n"}, "resourses"),
    "itself": ({"k": "resources: [.]\n"}, "kustomization"),
    "a broken resource": ({"k": "resources: [a.yaml]\n", "a": "a: [\n"}, "a.yaml:2:"),
    "a resource that is a list": ({"k": "resources: [a.yaml]\n", "a": "- 1\n"}, "a.yaml"),
    "a resource without a name": (
        {"k": "resources: [a.yaml]\n", "a": "apiVersion: v1\nkind: Pod\n"}, "a.yaml"),
    "a generator without files": (
        {"k": "configMapGenerator:\n- name: a\n  files: [gone.txt]\n"}, "gone.txt"),
    "an executable plugin": ({"k": "transformers: [a.yaml]\n", "a":
        "apiVersion: x/v1\nkind: X\nmetadata:\n  name: a\n  annotations:\n"
        "    config.kubernetes.io/function: |\n      exec: {path: ./evil}\n"}, "kustomiz"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_kustomization_that_does_not_render_says_why(case: str, folder, capsys) -> None:
    files, reason = BROKEN[case]
    names = {"k": "kustomization_yaml", "a": "a_yaml"}
    said = run(capsys, folder(**{names[n]: content for n, content in files.items()}), code=2)
    assert reason in said
    assert "kustomization.yaml" in said or "a.yaml" in said


def test_bases_in_a_circle_end(folder, capsys) -> None:
    root = folder(
        one__kustomization_yaml="resources: [../two]\n",
        two__kustomization_yaml="resources: [../one]\n",
    )
    assert "cycle" in run(capsys, root / "one", code=2)
    run(capsys, root, code=2)


# Kinds that nobody models.

UNKNOWN = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: a}\nspec: {a: 1}\n"


def test_an_unknown_kind_is_a_finding_and_an_error_under_strict(folder, capsys) -> None:
    path = folder(widget_yaml=UNKNOWN) / "widget.yaml"
    assert "is a kind without a schema" in run(capsys, path, "--only", "known-kind", code=0)
    run(capsys, path, "--only", "known-kind", "--fail-on", "warning", code=1)
    run(capsys, path, "--only", "known-kind", "--profile", "strict", code=1)


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("/", "Pod"),
        ("/v1", "Pod"),
        ("v1", "../../../etc/passwd"),
        ("../../x/v1", "Widget"),
        ("example.com/v1", "*"),
        ("argoproj.io/v1alpha1", "**"),
        ("argoproj.io/v1alpha1", "roll*"),
        ("argoproj.io/../argoproj.io/v1alpha1", "Rollout"),
        ("a" * 300 + "/v1", "b" * 300),
        ("v1", "Pod\0"),
    ],
)
def test_what_a_manifest_calls_itself_is_no_path_and_no_pattern(version: str, kind: str) -> None:
    document = {"apiVersion": version, "kind": kind, "metadata": {"name": "a"}}
    report = lint([document], Config(only=("known-kind", "schema-valid", "removed-api")))
    assert report.errors == ()
    assert report.findings


# Rules that crash.


def test_a_rule_that_crashes_is_named_and_the_others_run(folder, capsys) -> None:
    path = folder(pod_yaml=POD) / "pod.yaml"
    about = {"title": "t", "severity": "error", "rationale": "r", "references": []}

    @rule(id="crashes-on-each", kinds=EVERY, **about)
    def crashes_on_each(resource: object) -> None:
        raise RecursionError("too deep")

    @rule(id="crashes-on-pods", kinds=PODS, **about)
    def crashes_on_pods(pod: object) -> int:
        return 1 // 0

    try:
        said = run(capsys, path, *ONLY, "--only", "crashes-on-each,crashes-on-pods", code=3)
    finally:
        del _RULES["crashes-on-each"], _RULES["crashes-on-pods"]
    assert "crashed  crashes-on-each on Pod default/a: RecursionError: too deep" in said
    assert "crashed  crashes-on-pods on Pod default/a: ZeroDivisionError" in said
    assert "privileged-container" in said


# The library.


@pytest.mark.parametrize(
    "document",
    [None, 1, 1.5, "a", b"a", [], [[]], {}, {1: 2}, {None: None}, {"kind": 1}, object, {1, 2}],
    ids=repr,
)
def test_the_library_says_of_any_document_that_it_is_no_object(document: object) -> None:
    report = lint([document], Config(profile="strict"))  # type: ignore[list-item]
    assert report.errors == ()
    assert any(f.rule in ("object-identity", "empty-render") for f in report.findings)
