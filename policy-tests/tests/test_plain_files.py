"""Plain manifests of any repository: files named together, folders of alternatives."""

import json
from pathlib import Path

import pytest
from gitops_policy import cli
from gitops_policy.config import Config
from gitops_policy.engine import lint
from gitops_policy.findings import Severity
from gitops_policy.reading.build import build_files
from gitops_policy.reading.manifests import ManifestError
from gitops_policy.runs import check

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: web, image: "a/b:1"}]}
"""
DATABASE = """\
apiVersion: postgresql.cnpg.io/v1
kind: Cluster
metadata: {name: db, namespace: shop}
spec: {instances: 3}
"""
SCALER = """\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web, namespace: shop}
spec: {scaleTargetRef: {apiVersion: apps/v1beta1, kind: Deployment, name: web}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
"""


@pytest.fixture
def files(tmp_path: Path):
    def write(**contents: str) -> list[str]:
        paths = [tmp_path / f"{name.replace('__', '/')}.yaml" for name in contents]
        for path, content in zip(paths, contents.values(), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return [str(path) for path in paths]

    return write


def found(paths: list[str], rule: str) -> list[tuple[str, str]]:
    reports, failures = check(paths, Config(only=(rule,)))
    assert not failures
    return [
        (finding.severity.name, finding.message)
        for report in reports.values()
        for finding in report.findings
    ]


@pytest.mark.parametrize("names", [("a", "b"), ("one__a", "two__b")])
@pytest.mark.parametrize("inside", [True, False])
def test_files_named_together_are_one_build(files, tmp_path, names, inside) -> None:
    if inside:
        (tmp_path / ".git").mkdir()
    service, pod = files(**dict(zip(names, (SERVICE, POD), strict=True)))
    assert found([service], "service-selects-workload")
    assert found([service, pod], "service-selects-workload") == []


def test_a_file_named_twice_is_read_once(files, tmp_path) -> None:
    (service,) = files(a=SERVICE)
    again = str(tmp_path / "." / ".." / tmp_path.name / "a.yaml")
    assert found([service, again], "duplicate-object") == []


def test_files_named_together_hold_an_object_once(files) -> None:
    ((severity, message),) = found(files(a=SERVICE, b=SERVICE), "duplicate-object")
    assert severity == "error"
    assert "also stands at" in message


def test_an_unreadable_file_leaves_the_others_checked(files, tmp_path, capsys) -> None:
    paths = files(a=SERVICE, b="a: [\n", c=SERVICE)
    assert cli.main(["lint", *paths, "--only", "duplicate-object", "--format", "json"]) == 2
    report = json.loads(capsys.readouterr().out)
    assert [finding["rule"] for finding in report["findings"]] == ["duplicate-object"]
    assert "b.yaml" in report["errors"][0]["origin"]["file"]


def test_what_other_files_may_hold_is_a_warning_that_says_so(files) -> None:
    (path,) = files(a=SERVICE)
    ((severity, message),) = found([path], "service-selects-workload")
    assert severity == "warning"
    assert message.endswith("(in the linted files)")


def test_in_a_render_the_same_is_an_error(files) -> None:
    contents = [d.content for d in build_files([Path(path) for path in files(a=SERVICE)])]
    (finding,) = lint(contents, Config(only=("service-selects-workload",))).findings
    assert finding.severity is Severity.error
    assert "linted files" not in finding.message


def test_a_severity_of_the_configuration_stands(files) -> None:
    settings = {"service-selects-workload": "error"}
    reports, _ = check(files(a=SERVICE), Config(severity=settings))
    severities = {
        finding.severity
        for report in reports.values()
        for finding in report.findings
        if finding.rule == "service-selects-workload"
    }
    assert severities == {Severity.error}


def test_what_no_other_file_can_heal_stays_an_error(files) -> None:
    ((severity, message),) = found(files(a=SCALER), "hpa-target-exists")
    assert severity == "error"
    assert message == "apiVersion is apps/v1beta1, the workload's is apps/v1"


def test_alternatives_in_a_folder_are_one_warning_and_not_compared(files, tmp_path) -> None:
    files(a=SERVICE + "---\n" + DATABASE, b=SERVICE + "---\n" + DATABASE)
    ((severity, message),) = found([str(tmp_path)], "duplicate-object")
    assert severity == "warning"
    assert message.endswith("and 1 more of this file in that one")
    assert found([str(tmp_path)], "secret-has-one-maker") == []
    assert found([str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")], "secret-has-one-maker")


def test_a_template_is_called_one(files) -> None:
    (path,) = files(a="apiVersion: v1\nkind: Pod\nmetadata:\n  {{ name }}: a\n")
    with pytest.raises(ManifestError, match="lint what it renders"):
        build_files([Path(path)])


@pytest.mark.parametrize(
    "content",
    [
        "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes: []\n",
        "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n",
        "apiVersion: v1\npolicies: []\n",
    ],
)
def test_a_tools_own_file_beside_manifests_is_named_and_not_refused(
    files, tmp_path, content
) -> None:
    files(a=SERVICE, b=content)
    ((severity, message),) = found([str(tmp_path)], "file-holds-objects")
    assert (severity, message) == ("info", "holds no Kubernetes object: not checked")


def test_a_manifest_without_head_is_refused_in_a_folder_too(files, tmp_path) -> None:
    files(a=SERVICE, b="apiVersion: apps/v1\nkind: Deployment\nspec: {}\n", c="metadata: {name: a}")
    _, failures = check([str(tmp_path)], Config())
    assert sorted(failure.reason for failure in failures) == [
        "the object has no apiVersion",
        "the object has no metadata",
    ]
