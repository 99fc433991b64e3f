"""The served Git repository: HEAD of this one, and one commit that fits it to a local cluster."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from local_cluster.api_keys import ENVIRONMENTS, fake_secrets
from local_cluster.git_server import git_environment

BRANCH = "main"
NAME = "inference-gitops.git"
# The HEAD and the setting that the branch was made from.
MADE_FROM = "refs/local-cluster/made-from"
GIT_SECONDS = 180

PLACEHOLDER_REPOSITORY = "https://github.com/example/inference-gitops.git"
PLACEHOLDER_ARGOCD = "https://argocd.example.com"

# Processes of the cluster stand in for these Applications, whose charts and manifests come
# from elsewhere; the report lists them by these words.
REPLACED = {
    "argo-rollouts": "the process argo-rollouts",
    "argocd": "the processes of argo-cd",
    "cert-manager": "the process cert-manager",
    "dcgm-exporter": "nothing: there is no GPU to measure",
    "envoy-gateway": "the processes envoy-gateway and gateway-bridge",
    "external-secrets": "the process external-secrets",
    "kube-state-metrics": "the process kube-state-metrics",
    "metrics-server": "the process prometheus-adapter",
    "nvidia-device-plugin": "nothing: the nodes of kwok say themselves how many GPUs they have",
    "prometheus-adapter": "the process prometheus-adapter",
    "prometheus-operator": "the processes prometheus and monitors",
}

# The components of e2e/component that each kustomization takes, after its own.
COMPONENTS = {
    "apps": ["applications"],
    "apps/platform/cluster-issuers": ["cluster-issuers"],
    "apps/platform/secret-store": ["secret-store"],
    "argocd/config": ["argocd-config"],
    "overlays/dev/inference": ["pace"],
    "overlays/production/inference": ["pace"],
    "overlays/staging/inference": ["pace", "load"],
}

Edit = Callable[[str], str]


class RepositoryError(Exception):
    """The repository cannot be served; the message says why and what to do."""


@dataclass(frozen=True)
class Setting:
    """What only the machine knows: two URLs, and the checksum of the stable model trained there."""

    repository: str
    argocd: str
    model_sha256: str


@dataclass(frozen=True)
class Served:
    """What the branch holds: `commit` is HEAD of the product and one commit more."""

    commit: str
    head: str
    made: bool
    uncommitted: bool


def serve_repository(root: Path, bare: Path, setting: Setting) -> Served:
    """Make the bare repository, or keep it where it was made from this HEAD and these setting.

    What was pushed since stays in the kept one; a new HEAD starts the branch anew, and the old
    one stays as the branch `previous`.
    """
    product = _Git(root)
    head = product.run("rev-parse", "--verify", "HEAD^{commit}")
    uncommitted = bool(product.run("status", "--porcelain", "--untracked-files=no"))
    _create(bare)
    served = _Git(bare)
    origin = f"{head} {setting}"
    if served.note() == origin:
        return Served(served.run("rev-parse", BRANCH), head, made=False, uncommitted=uncommitted)
    served.run("fetch", "--quiet", "--no-tags", "--update-shallow", str(root), head)
    parent = _parent(served, head)
    commit = _commit(served, parent, edits(setting))
    if served.exists(BRANCH):
        served.run("branch", "--force", "previous", BRANCH)
    served.run("update-ref", f"refs/heads/{BRANCH}", commit)
    served.write_note(origin)
    return Served(commit, head, made=True, uncommitted=uncommitted)


def export(bare: Path, folder: Path, paths: list[str]) -> None:
    """Write the files below `paths`, as the branch holds them, into `folder` and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as temporary:
        _Git(bare).run(
            *(f"--work-tree={folder}", "checkout", BRANCH, "--", *paths),
            environment={"GIT_INDEX_FILE": str(Path(temporary, "index"))},
        )


def edits(setting: Setting) -> dict[str, Edit]:
    """What the one commit changes: path and the change of its text."""
    changes: dict[str, Edit] = {
        "argocd/root.yaml": substitution(PLACEHOLDER_REPOSITORY, setting.repository, 2),
        "argocd/config/argocd-cm.yaml": substitution(PLACEHOLDER_ARGOCD, setting.argocd, 1),
        "e2e/component/secret-store/fake-provider-patch.yaml": substitution(
            "data: []", f"data: {json.dumps(fake_secrets())}", 1
        ),
        # No machine of the local cluster has a GPU, whatever its nodes say.
        "overlays/production/inference/settings.env": substitution(
            "REQUIRE_GPU=true", "REQUIRE_GPU=false", 1
        ),
    }
    for environment in ENVIRONMENTS:
        changes[f"overlays/{environment}/inference/release/model-release.env"] = partial(
            _with_checksum, setting.model_sha256
        )
    for folder, names in COMPONENTS.items():
        changes[f"{folder}/kustomization.yaml"] = _with_components(folder, names)
    take_components = changes["apps/kustomization.yaml"]
    changes["apps/kustomization.yaml"] = lambda text: take_components(_without_replaced(text))
    return changes


def substitution(old: str, new: str, times: int) -> Edit:
    """Replace `old`, which must stand there exactly `times` times."""

    def apply(text: str) -> str:
        if text.count(old) != times:
            raise RepositoryError(f"{old!r} stands {text.count(old)} times in it, not {times}")
        return text.replace(old, new)

    return apply


def _with_checksum(sha256: str, text: str) -> str:
    """Another processor may train a model with other bytes; where it does not, nothing changes."""
    return re.sub(r"^MODEL_SHA256=.*$", f"MODEL_SHA256={sha256}", text, flags=re.MULTILINE)


def _without_replaced(text: str) -> str:
    for name in REPLACED:
        text = substitution(f"  - platform/{name}.yaml\n", "", 1)(text)
    return text


def _with_components(folder: str, names: list[str]) -> Edit:
    up = "../" * len(Path(folder).parts)
    return lambda text: with_components(text, [f"{up}e2e/component/{name}" for name in names])


def with_components(text: str, paths: list[str]) -> str:
    """A kustomization that takes the components of `paths` after its own."""
    lines = text.splitlines()
    if "components:" not in lines:
        lines.append("components:")
    end = lines.index("components:") + 1
    while end < len(lines) and lines[end].startswith(" "):
        end += 1
    lines[end:end] = [f"  - {path}" for path in paths]
    return "\n".join(lines) + "\n"


def _create(bare: Path) -> None:
    if (bare / "HEAD").is_file():
        return
    bare.parent.mkdir(parents=True, exist_ok=True)
    _Git(bare.parent).run("init", "--quiet", "--bare", f"--initial-branch={BRANCH}", str(bare))


def _parent(served: _Git, head: str) -> str:
    """HEAD itself; of a shallow clone a commit without parents that holds the same files.

    A client that fetches from a shallow repository refuses what it gets.
    """
    if served.run("rev-parse", "--is-shallow-repository") == "false":
        return head
    message = served.run("log", "-1", "--format=%B", head)
    date = served.run("log", "-1", "--format=%aI", head)
    return served.run(
        *("commit-tree", f"{head}^{{tree}}", "-m", message),
        environment={"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date},
    )


def _commit(served: _Git, parent: str, changes: Mapping[str, Edit]) -> str:
    """One commit on `parent` that makes the changes, with the date of `parent`."""
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        served.run("read-tree", parent, environment=index)
        for path, edit in changes.items():
            try:
                text = edit(served.read(parent, path))
            except RepositoryError as error:
                raise RepositoryError(
                    f"{path} cannot be fitted to the local cluster: {error}; "
                    "see e2e/src/local_cluster/repository.py"
                ) from None
            blob = served.run("hash-object", "-w", "--stdin", given=text)
            served.run("update-index", "--cacheinfo", f"100644,{blob},{path}", environment=index)
        tree = served.run("write-tree", environment=index)
    date = served.run("log", "-1", "--format=%cI", parent)
    return served.run(
        *("commit-tree", tree, "-p", parent, "-m", "Fit the repository to the local cluster"),
        environment={"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date},
    )


@dataclass(frozen=True)
class _Git:
    folder: Path

    def run(
        self, *arguments: str, given: str = "", environment: Mapping[str, str] | None = None
    ) -> str:
        try:
            result = subprocess.run(
                ["git", "-c", f"safe.directory={self.folder}", "-C", str(self.folder), *arguments],
                input=given,
                capture_output=True,
                text=True,
                env=git_environment() | _IDENTITY | dict(environment or {}),
                timeout=GIT_SECONDS,
                check=False,
            )
        except FileNotFoundError:
            raise RepositoryError("git is not installed, or not on PATH") from None
        except subprocess.TimeoutExpired:
            raise RepositoryError(f"git {arguments[0]} took over {GIT_SECONDS} s") from None
        if result.returncode:
            raise RepositoryError(
                f"git {arguments[0]} in {self.folder} failed: {result.stderr.strip()}"
            )
        return result.stdout.rstrip("\n")

    def read(self, commit: str, path: str) -> str:
        return self.run("cat-file", "blob", f"{commit}:{path}") + "\n"

    def exists(self, branch: str) -> bool:
        return bool(self.run("for-each-ref", f"refs/heads/{branch}"))

    def note(self) -> str:
        if not self.run("for-each-ref", MADE_FROM):
            return ""
        return self.run("cat-file", "blob", MADE_FROM)

    def write_note(self, text: str) -> None:
        self.run("update-ref", MADE_FROM, self.run("hash-object", "-w", "--stdin", given=text))


_IDENTITY = {
    name: value
    for role in ("AUTHOR", "COMMITTER")
    for name, value in (
        (f"GIT_{role}_NAME", "local-cluster"),
        (f"GIT_{role}_EMAIL", "local-cluster@localhost"),
    )
}
