"""A kustomization that cannot be rendered says which file, which line and why."""

from pathlib import Path

import pytest
from gitops_policy import RenderError, lint, render
from gitops_policy.config import Config
from gitops_policy.reading.build import build_kustomization, build_many

CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  key: value\n"
POD = (
    "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n  containers:\n"
    "    - name: a\n      image: nginx\n"
)


@pytest.fixture
def tree(tmp_path: Path):
    def write(**files: str) -> Path:
        for name, content in files.items():
            path = tmp_path / f"{name.replace('__', '/')}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return tmp_path

    return write


def refused(folder: Path) -> RenderError:
    with pytest.raises(RenderError) as caught:
        render(folder)
    return caught.value


def test_render_returns_the_objects(tree) -> None:
    folder = tree(kustomization="namespace: demo\nresources: [a.yaml]\n", a=CONFIG_MAP)
    (document,) = render(folder)
    assert document["metadata"] == {"name": "a", "namespace": "demo"}


def test_a_missing_resource_names_the_line_that_asks_for_it(tree) -> None:
    error = refused(tree(kustomization="resources:\n  - a.yaml\n  - gone.yaml\n", a=CONFIG_MAP))
    assert error.file is not None
    assert error.file.endswith("kustomization.yaml")
    assert error.line == 3
    assert "'gone.yaml' does not exist" in error.reason


@pytest.mark.parametrize(
    "base",
    [
        "https://example.com/base.yaml",
        "github.com/example/base?ref=main",
        "git@example.com:base",
        "ssh://example.com/base",
    ],
)
def test_a_remote_base_is_refused(base: str, tree) -> None:
    error = refused(tree(kustomization=f"resources:\n  - {base}\n"))
    assert "remote base" in error.reason
    assert error.line == 2


def test_a_duplicate_key_in_any_file_of_the_tree_is_an_error(tree) -> None:
    folder = tree(
        top__kustomization="resources: [../base]\n",
        base__kustomization="resources: [a.yaml]\n",
        base__a=CONFIG_MAP + "  key: other\n",
    )
    error = refused(folder / "top")
    assert error.file is not None
    assert error.file.endswith("base/a.yaml")
    assert error.line == 7
    assert "duplicate key 'key'" in error.reason


def test_a_duplicate_key_in_a_patch_is_an_error(tree) -> None:
    patch = "- op: add\n  op: remove\n  path: /data\n"
    error = refused(
        tree(
            kustomization="resources: [a.yaml]\npatches:\n  - path: p.yaml\n"
            "    target: {kind: ConfigMap}\n",
            a=CONFIG_MAP,
            p=patch,
        )
    )
    assert (error.line, error.reason[:19]) == (2, "duplicate key 'op':")


def test_a_folder_without_kustomization_is_an_error(tmp_path: Path) -> None:
    assert "no kustomization.yaml" in refused(tmp_path).reason


def test_a_base_without_kustomization_is_an_error(tree) -> None:
    folder = tree(kustomization="resources: [base]\n", base__a=CONFIG_MAP)
    assert "holds no kustomization.yaml" in refused(folder).reason


def test_what_kustomize_refuses_is_passed_on(tree) -> None:
    error = refused(tree(kustomization="resources: [a.yaml]\nnoSuchField: 1\n", a=CONFIG_MAP))
    assert "noSuchField" in error.reason


def test_a_missing_kustomize_says_what_to_run(tree, monkeypatch) -> None:
    folder = tree(kustomization="resources: [a.yaml]\n", a=CONFIG_MAP)
    monkeypatch.setenv("PATH", "")
    monkeypatch.chdir(folder)
    assert "make tools" in refused(folder).reason


def test_a_kustomize_that_hangs_is_stopped(tree, monkeypatch) -> None:
    folder = tree(kustomization="resources: [a.yaml]\n", a=CONFIG_MAP)
    binary = folder / ".tools" / "bin" / "kustomize"
    binary.parent.mkdir(parents=True)
    binary.write_text("#!/bin/sh\nexec sleep 60\n")
    binary.chmod(0o755)
    monkeypatch.setattr("gitops_policy.reading.build.RENDER_SECONDS", 0.2)
    assert "did not finish" in refused(folder).reason


def test_several_overlays_render_in_parallel_and_fail_alone(tree) -> None:
    folder = tree(
        good__kustomization="resources: [a.yaml]\n", good__a=CONFIG_MAP, bad__kustomization="[\n"
    )
    good, bad = build_many([folder / "good", folder / "bad"])
    assert not isinstance(good, RenderError)
    assert isinstance(bad, RenderError)
    assert bad.line == 2


def test_an_overlay_knows_its_name_environment_and_namespace(tree) -> None:
    path = "overlays__production__web"
    folder = tree(
        **{f"{path}__kustomization": "namespace: web\nresources: [a.yaml]\n", f"{path}__a": POD}
    )
    build = build_kustomization(folder / "overlays/production/web")
    assert (build.name, build.environment) == ("production/web", "production")
    report = lint(build, Config(only=("image-digest",)))
    assert [f.severity.name for f in report.findings] == ["error"]
    assert report.findings[0].resource.namespace == "web"


def test_a_missing_namespace_is_that_of_the_application_that_deploys_the_overlay(tree) -> None:
    application = (
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: web}\n"
        "spec:\n  destination: {namespace: web-dev}\n  source: {path: overlays/dev/web}\n"
    )
    other = application.replace("overlays/dev/web", "overlays/dev/web-admin")
    folder = tree(
        apps__admin=other.replace("web-dev", "admin"),
        apps__web=application,
        overlays__dev__web__kustomization="resources: [a.yaml]\n",
        overlays__dev__web__a=POD,
    )
    build = build_kustomization(folder / "overlays/dev/web")
    (finding,) = lint(build, Config(only=("image-tag",))).findings
    assert finding.resource is not None
    assert finding.resource.namespace == "web-dev"


def origin(folder: Path, rule: str) -> str:
    (finding,) = lint(build_kustomization(folder), Config(only=(rule,))).findings
    return f"{Path(finding.origin.file).name}:{finding.origin.line}"


def test_a_finding_points_into_the_base_that_declares_the_field(tree) -> None:
    folder = tree(kustomization="resources: [a.yaml]\n", a=POD)
    assert origin(folder, "image-tag") == "a.yaml:8"


def test_a_finding_points_to_the_images_entry_that_sets_the_image(tree) -> None:
    folder = tree(
        kustomization="resources: [a.yaml]\nimages:\n  - name: nginx\n    newTag: latest\n", a=POD
    )
    assert origin(folder, "image-tag") == "kustomization.yaml:3"


def test_a_finding_points_to_the_json_patch_that_sets_the_field(tree) -> None:
    folder = tree(
        kustomization="resources: [a.yaml]\npatches:\n  - path: p.yaml\n    target: {kind: Pod}\n",
        a=POD,
        p="- op: add\n  path: /metadata/labels\n  value: {a: b}\n"
        "- op: add\n  path: /spec/hostPID\n  value: true\n",
    )
    assert origin(folder, "host-pid") == "p.yaml:4"


def test_a_finding_points_to_the_inline_patch_that_sets_the_field(tree) -> None:
    patch = "    patch: |-\n      - op: add\n        path: /spec/hostPID\n        value: true\n"
    folder = tree(
        kustomization=f"resources: [a.yaml]\npatches:\n  - target: {{kind: Pod}}\n{patch}", a=POD
    )
    assert origin(folder, "host-pid") == "kustomization.yaml:3"


def test_a_finding_in_a_generated_config_map_points_to_its_generator(tree) -> None:
    folder = tree(kustomization="configMapGenerator:\n  - name: a\n    literals: [x=1]\n")
    build = build_kustomization(folder)
    report = lint(build, Config(only=("schema-valid",)))
    assert not report.findings
    from gitops_policy.model import Index
    from gitops_policy.reading.origins import origin_of

    (resource,) = Index(build.documents).resources
    found = origin_of(build, resource, ("data", "x"))
    assert found is not None
    assert (Path(found.file or "").name, found.line) == ("kustomization.yaml", 2)
