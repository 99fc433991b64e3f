"""A release is the bytes of one folder: what it changes, and how it goes back."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from math import ceil
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[1]
ENVIRONMENTS = ("dev", "staging", "production")
Manifest = dict[str, Any]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the manifests that a test may change."""
    for folder in ("base", "rollouts", "overlays"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder)
    return tmp_path


def build(tree: Path, environment: str = "staging") -> "subprocess.CompletedProcess[bytes]":
    kustomize = REPOSITORY / ".tools" / "bin" / "kustomize"
    overlay = tree / "overlays" / environment / "inference"
    return subprocess.run([kustomize, "build", overlay], capture_output=True)


def rendered(tree: Path, environment: str = "staging") -> bytes:
    result = build(tree, environment)
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout


def of_kind(output: bytes, kind: str) -> list[Manifest]:
    return [each for each in yaml.load_all(output, yaml.CSafeLoader) if each["kind"] == kind]


def release(tree: Path, environment: str = "staging") -> Path:
    return tree / "overlays" / environment / "inference" / "release"


def set_variable(tree: Path, name: str, value: str) -> None:
    path = release(tree) / "model-release.env"
    lines = [line for line in path.read_text().splitlines() if not line.startswith(f"{name}=")]
    path.write_text("\n".join([*lines, f"{name}={value}"]) + "\n")


def release_config_map(output: bytes) -> Manifest:
    [found] = [each for each in of_kind(output, "ConfigMap") if "MODEL_VERSION" in each["data"]]
    return found


def pod_template(output: bytes) -> Manifest:
    [rollout] = of_kind(output, "Rollout")
    return dict(rollout["spec"]["template"])


def test_version_12_then_13_then_12_gives_back_the_bytes_of_12(tree: Path) -> None:
    outputs = []
    for version in ("12", "13", "12"):
        set_variable(tree, "MODEL_VERSION", version)
        outputs.append(rendered(tree))

    assert outputs[0] == outputs[2]
    assert outputs[0] != outputs[1]


def test_git_revert_gives_back_the_bytes_of_before(tree: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
        hooks = ["-c", "core.hooksPath=/dev/null", "-c", "commit.gpgsign=false"]
        subprocess.run(
            ["git", *identity, *hooks, *arguments], cwd=tree, check=True, capture_output=True
        )

    git("init")
    git("add", ".")
    git("commit", "-m", "stable")
    stable = rendered(tree)
    set_variable(tree, "MODEL_VERSION", "13")
    git("commit", "-a", "-m", "candidate")
    candidate = rendered(tree)

    git("revert", "--no-edit", "HEAD")

    assert candidate != stable
    assert rendered(tree) == stable


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_container_that_reads_the_release_reads_the_generated_name(
    tree: Path, environment: str
) -> None:
    output = rendered(tree, environment)
    spec = pod_template(output)["spec"]

    read = [
        source["configMapRef"]["name"]
        for container in [*spec["initContainers"], *spec["containers"]]
        for source in container["envFrom"]
    ]

    name = release_config_map(output)["metadata"]["name"]
    assert re.fullmatch("model-release-[a-z0-9]{10}", name)
    assert read == [name, name]


def test_without_the_field_specs_the_pods_would_read_a_config_map_that_does_not_exist(
    tree: Path,
) -> None:
    (tree / "rollouts" / "kustomizeconfig" / "kustomizeconfig.yaml").write_text("{}\n")

    [container] = pod_template(rendered(tree))["spec"]["containers"]

    assert container["envFrom"][0]["configMapRef"]["name"] == "model-release"


@pytest.mark.parametrize(
    ("variable", "value", "annotation"),
    [
        ("MODEL_VERSION", "12", "model-version"),
        ("MODEL_SHA256", "1" * 64, "model-sha256"),
        ("MODEL_SHA256", "2e" + "5" * 62, "model-sha256"),
        ("EXPECTED_SHIFT", "true", "expected-shift"),
    ],
)
def test_the_pods_carry_the_release_as_text(
    tree: Path, variable: str, value: str, annotation: str
) -> None:
    set_variable(tree, variable, value)

    assert pod_template(rendered(tree))["metadata"]["annotations"][annotation] == value


def test_a_release_that_says_nothing_of_a_shift_expects_none(tree: Path) -> None:
    assert "EXPECTED_SHIFT" not in (release(tree) / "model-release.env").read_text()

    assert pod_template(rendered(tree))["metadata"]["annotations"]["expected-shift"] == "false"


@pytest.mark.parametrize("variable", ["MODEL_VERSION", "MODEL_SHA256"])
def test_a_release_without_its_model_does_not_render(tree: Path, variable: str) -> None:
    path = release(tree) / "model-release.env"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith(variable)))

    result = build(tree)

    assert result.returncode != 0
    assert variable in result.stderr.decode()


def test_every_change_of_the_model_makes_new_pods(tree: Path) -> None:
    before = pod_template(rendered(tree))
    set_variable(tree, "MODEL_RUN_ID", "0123456789abcdef0123456789abcdef")

    assert pod_template(rendered(tree)) != before


def test_copying_stagings_folder_releases_it_in_production(tree: Path) -> None:
    set_variable(tree, "MODEL_VERSION", "12")
    shutil.copytree(release(tree), release(tree, "production"), dirs_exist_ok=True)

    staging, production = rendered(tree), rendered(tree, "production")

    assert release_config_map(production)["data"] == release_config_map(staging)["data"]
    for read in (images, annotations):
        assert read(production) == read(staging)


def images(output: bytes) -> set[str]:
    return set(re.findall(r"image: (\S+)", output.decode()))


def annotations(output: bytes) -> Manifest:
    return dict(pod_template(output)["metadata"]["annotations"])


def without_digest(text: str) -> str:
    return re.sub("sha256:[0-9a-f]{64}", "sha256:", text)


READERS: dict[str, Callable[[str], object]] = {
    "kustomization.yaml": without_digest,
    "model-release.env": lambda text: (
        {line.partition("=")[0] for line in text.splitlines()}
        - {"EXPECTED_SHIFT", "EXPECTED_SHIFT_REASON"}
    ),
}


@pytest.mark.parametrize("name", READERS)
def test_release_folders_have_one_shape_and_differ_in_values_alone(name: str) -> None:
    shapes = [
        READERS[name]((release(REPOSITORY, each) / name).read_text()) for each in ENVIRONMENTS
    ]

    assert shapes[0] == shapes[1] == shapes[2]
    assert {each.name for each in release(REPOSITORY).iterdir()} == READERS.keys()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_one_image_by_digest_serves_all_containers(tree: Path, environment: str) -> None:
    [image] = images(rendered(tree, environment))

    assert re.fullmatch("[^@:]+@sha256:[0-9a-f]{64}", image)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_config_map_of_a_release_outlives_it_without_a_trace_in_argo_cd(
    tree: Path, environment: str
) -> None:
    metadata = release_config_map(rendered(tree, environment))["metadata"]

    assert metadata["annotations"] == {
        "argocd.argoproj.io/compare-options": "IgnoreExtraneous",
        "argocd.argoproj.io/sync-options": "Prune=false",
    }
    # What the retention job looks for.
    assert metadata["labels"]["app.kubernetes.io/component"] == "model-release"


def canary_pods(steps: list[Manifest], replicas: int) -> Iterator[tuple[int, int]]:
    """The controller's number of canary pods and the weight, at each step in turn."""
    weight = 0
    scale: Manifest = {"matchTrafficWeight": True}
    for step in steps:
        weight = step.get("setWeight", weight)
        scale = step.get("setCanaryScale", scale)
        share = weight if scale.get("matchTrafficWeight") else scale.get("weight")
        yield scale["replicas"] if share is None else ceil(replicas * share / 100), weight


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_canary_only_grows_and_has_the_pods_that_its_traffic_needs(environment: str) -> None:
    [rollout] = of_kind(rendered(REPOSITORY, environment), "Rollout")
    steps = rollout["spec"]["strategy"]["canary"]["steps"]

    for replicas in range(1, 21):
        stages = list(canary_pods(steps, replicas))
        assert stages == sorted(stages)
        assert all(pods >= ceil(replicas * weight / 100) for pods, weight in stages)
        assert stages[0][0] >= 1
