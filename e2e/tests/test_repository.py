"""The served repository is HEAD and one commit, which changes what it says and nothing else."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from local_cluster.repository import (
    BRANCH,
    REPLACED,
    RepositoryError,
    Setting,
    export,
    serve_repository,
    substitution,
    with_components,
)

ROOT = Path(__file__).resolve().parents[2]
KUSTOMIZE = ROOT / ".tools/bin/kustomize"
FOLDERS = (".gitops-policy.yaml", "apps", "argocd", "base", "e2e/component", "overlays", "rollouts")
OVERLAYS = ("dev", "production", "staging")
RELEASE = dict(
    line.split("=", 1)
    for line in (ROOT / "overlays/staging/inference/release/model-release.env")
    .read_text()
    .splitlines()
)
SETTING = Setting(
    "http://127.40.0.1:8082/inference-gitops.git", "http://127.40.0.1:8080", RELEASE["MODEL_SHA256"]
)
CHANGED = [
    "apps/kustomization.yaml",
    "apps/platform/cluster-issuers/kustomization.yaml",
    "apps/platform/secret-store/kustomization.yaml",
    "argocd/config/argocd-cm.yaml",
    "argocd/config/kustomization.yaml",
    "argocd/root.yaml",
    "e2e/component/secret-store/fake-provider-patch.yaml",
    "overlays/dev/inference/kustomization.yaml",
    "overlays/production/inference/kustomization.yaml",
    "overlays/production/inference/settings.env",
    "overlays/staging/inference/kustomization.yaml",
]


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    result = subprocess.run(
        ["git", *identity, "-C", str(folder), *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return result.stdout.strip()


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository as it lies here, in two commits."""
    folder = tmp_path_factory.mktemp("product")
    git(folder, "init", "--quiet")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "Begin")
    for path in git(ROOT, "ls-files", "-co", "--exclude-standard", "--", *FOLDERS).splitlines():
        if (ROOT / path).is_file():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, folder / path)
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "Everything")
    return folder


@pytest.fixture(scope="session")
def bare(product: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "inference-gitops.git"
    serve_repository(product, folder, SETTING)
    return folder


@pytest.fixture(scope="session")
def fitted(bare: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fitted") / "files"
    export(bare, folder, ["."])
    return folder


def render(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Objects by kind and name."""
    text = subprocess.run(
        [KUSTOMIZE, "build", folder], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    return {(found["kind"], found["metadata"]["name"]): found for found in yaml.safe_load_all(text)}


def leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Every scalar with its path; a named item of a list stands under its name."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            name = inner.get("name", number) if isinstance(inner, dict) else number
            yield from leaves(inner, f"{path}.{name}")
    else:
        yield path, value


def differing(before: object, after: object) -> set[str]:
    one, other = dict(leaves(before)), dict(leaves(after))
    return {path for path in one.keys() | other.keys() if one.get(path) != other.get(path)}


def pace() -> dict[str, str]:
    lines = (ROOT / "e2e/component/pace/pace.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_the_one_commit_stands_on_head_and_changes_the_named_files(
    product: Path, bare: Path
) -> None:
    assert git(bare, "rev-parse", f"{BRANCH}^") == git(product, "rev-parse", "HEAD")
    assert git(bare, "diff", "--name-only", f"{BRANCH}^", BRANCH).splitlines() == CHANGED


def test_a_model_that_trains_to_other_bytes_is_named_in_every_release(
    product: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "r.git"
    serve_repository(product, bare, Setting(SETTING.repository, SETTING.argocd, "ab" * 32))
    changed = git(bare, "diff", "--name-only", f"{BRANCH}^", BRANCH).splitlines()
    releases = [f"overlays/{name}/inference/release/model-release.env" for name in OVERLAYS]
    assert sorted(set(changed) - set(CHANGED)) == releases
    assert f"MODEL_SHA256={'ab' * 32}" in git(bare, "show", f"{BRANCH}:{releases[0]}")


def test_a_shallow_clone_is_served_with_the_same_files(
    product: Path, bare: Path, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "--quiet", "--depth=1", product.as_uri(), "shallow")
    served = serve_repository(tmp_path / "shallow", tmp_path / "r.git", SETTING)
    tree = git(bare, "rev-parse", f"{BRANCH}^{{tree}}")
    assert git(tmp_path / "r.git", "rev-parse", f"{served.commit}^{{tree}}") == tree
    git(tmp_path, "init", "--quiet", "client")
    git(tmp_path / "client", "fetch", "--quiet", (tmp_path / "r.git").as_uri(), BRANCH)
    assert git(tmp_path / "client", "rev-list", "--count", "FETCH_HEAD") == "2"


def test_what_was_pushed_stays_until_head_moves(product: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", str(product), "own")
    own, bare = tmp_path / "own", tmp_path / "r.git"
    serve_repository(own, bare, SETTING)
    git(tmp_path, "clone", "--quiet", str(bare), "person")
    git(tmp_path / "person", "commit", "--quiet", "--allow-empty", "-m", "Release")
    git(tmp_path / "person", "push", "--quiet", "origin", BRANCH)
    pushed = git(tmp_path / "person", "rev-parse", "HEAD")
    kept = serve_repository(own, bare, SETTING)
    assert (kept.commit, kept.made) == (pushed, False)

    git(own, "commit", "--quiet", "--allow-empty", "-m", "More")
    anew = serve_repository(own, bare, SETTING)
    assert anew.made
    assert git(bare, "rev-parse", f"{anew.commit}^") == anew.head == git(own, "rev-parse", "HEAD")
    assert git(bare, "rev-parse", "previous") == pushed


def test_uncommitted_changes_are_told_and_not_served(product: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", str(product), "own")
    assert not serve_repository(tmp_path / "own", tmp_path / "r.git", SETTING).uncommitted
    (tmp_path / "own/argocd/root.yaml").write_text("")
    served = serve_repository(tmp_path / "own", tmp_path / "r.git", SETTING)
    assert served.uncommitted
    assert git(tmp_path / "r.git", "show", f"{BRANCH}:argocd/root.yaml")


def test_a_file_that_cannot_be_fitted_is_named(product: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", str(product), "own")
    (tmp_path / "own/argocd/config/argocd-cm.yaml").write_text("data: {}\n")
    git(tmp_path / "own", "commit", "--quiet", "--all", "-m", "Lose the URL")
    with pytest.raises(RepositoryError, match=r"^argocd/config/argocd-cm.yaml cannot be fitted"):
        serve_repository(tmp_path / "own", tmp_path / "r.git", SETTING)


def test_a_folder_without_a_repository_is_told(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="not a git repository"):
        serve_repository(tmp_path, tmp_path / "r.git", SETTING)


def test_a_text_is_replaced_as_often_as_expected_or_not_at_all() -> None:
    assert substitution("a", "b", 2)("a a") == "b b"
    with pytest.raises(RepositoryError, match="'a' stands 1 times in it, not 2"):
        substitution("a", "b", 2)("a")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("resources:\n  - a\n", "resources:\n  - a\ncomponents:\n  - c\n"),
        ("components:\n  - a\n", "components:\n  - a\n  - c\n"),
        (
            "components:\n  # why\n  - a\npatches:\n  - p\n",
            "components:\n  # why\n  - a\n  - c\npatches:\n  - p\n",
        ),
    ],
)
def test_components_come_after_those_that_are_there(before: str, after: str) -> None:
    assert with_components(before, ["c"]) == after


def test_every_application_left_comes_from_this_repository(fitted: Path) -> None:
    before = {name for kind, name in render(ROOT / "apps") if kind == "Application"}
    left = {name: o for (kind, name), o in render(fitted / "apps").items() if kind == "Application"}
    assert before - set(left) == set(REPLACED)
    assert {o["spec"]["source"]["repoURL"] for o in left.values()} == {SETTING.repository}


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_differs_in_arguments_durations_and_the_gpu(name: str, fitted: Path) -> None:
    before = render(ROOT / f"overlays/{name}/inference")
    after = render(fitted / f"overlays/{name}/inference")
    assert before.keys() == after.keys()
    found = {
        f"{kind}{path}"
        for (kind, of) in before
        for path in differing(before[kind, of], after[kind, of])
    }
    server = "Rollout.spec.template.spec.containers.inference-server"
    canary = "Rollout.spec.strategy.canary"
    expected = {
        "HorizontalPodAutoscaler.spec.behavior.scaleDown.policies.0.periodSeconds",
        "HorizontalPodAutoscaler.spec.behavior.scaleDown.stabilizationWindowSeconds",
        "PodMonitor.spec.podMetricsEndpoints.0.interval",
        "PodMonitor.spec.podMetricsEndpoints.0.scrapeTimeout",
        "Rollout.spec.minReadySeconds",
        "Rollout.spec.progressDeadlineSeconds",
        f"{canary}.abortScaleDownDelaySeconds",
        f"{canary}.scaleDownDelaySeconds",
        f"{server}.env.DRAIN_SECONDS.value",
        f"{server}.lifecycle.preStop.sleep.seconds",
        f"{server}.readinessProbe.periodSeconds",
        f"{server}.startupProbe.failureThreshold",
    }
    if name == "production":
        expected.add(f"{server}.env.REQUIRE_GPU.value")
    if name == "staging":
        steps = [f"{canary}.steps.{step}.analysis.args.load-seconds.value" for step in (5, 7)]
        expected.update(steps)
    arguments = {path for path in found if path.startswith("AnalysisTemplate.spec.args.")}
    assert found - arguments == expected


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_template_that_declares_an_argument_of_the_pace_has_it(
    name: str, fitted: Path
) -> None:
    rendered = render(fitted / f"overlays/{name}/inference")
    given = {key.lower().replace("_", "-"): value for key, value in pace().items()}
    for (kind, template), found in rendered.items():
        if kind == "AnalysisTemplate":
            declared = {arg["name"]: arg.get("value") for arg in found["spec"]["args"]}
            shared = declared.keys() & given.keys()
            wanted = {key: given[key] for key in shared}
            assert {key: declared[key] for key in shared} == wanted, template


def test_every_value_of_the_pace_is_used() -> None:
    replacements = "".join(
        path.read_text() for path in (ROOT / "e2e/component").glob("*/*.yaml")
    ).split()
    assert [key for key in pace() if f"data.{key}" not in replacements] == []


def test_the_policy_suite_finds_only_that_nothing_delivers_what_was_replaced(fitted: Path) -> None:
    # The suite reads its settings at the root of a repository.
    git(fitted, "init", "--quiet")
    result = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("gitops-policy")), "lint"),
            *("--format", "json", "--schemas", str(ROOT / ".tools/schemas")),
        ],
        cwd=fitted,
        env=os.environ | {"PATH": f"{KUSTOMIZE.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    findings = [
        (found["rule"], found["origin"]["file"])
        for found in json.loads(result.stdout)["findings"]
        if found["severity"] != "info"
    ]
    replaced = {f"apps/platform/{name}.yaml" for name in REPLACED}
    folders = ("apps/platform/argo-rollouts/", "argocd/install/")
    assert {file for rule, file in findings if rule == "manifest-is-rendered"} == replaced
    assert {
        (rule, file)
        for rule, file in findings
        if rule not in ("manifest-is-rendered", "manifest-is-delivered")
        or not (file in replaced or file.startswith(folders))
    } == set()


def test_the_fake_store_holds_what_the_overlays_ask_for(fitted: Path) -> None:
    store = render(fitted / "apps/platform/secret-store")["ClusterSecretStore", "vault"]
    keys = {entry["key"] for entry in store["spec"]["provider"]["fake"]["data"]}
    asked = {
        found["spec"]["dataFrom"][0]["extract"]["key"]
        for name in OVERLAYS
        for (kind, _), found in render(fitted / f"overlays/{name}/inference").items()
        if kind == "ExternalSecret"
    }
    assert asked == keys
