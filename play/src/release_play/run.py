"""The whole run: overlays checked, a model put into Git, a good and a bad release played."""

from __future__ import annotations

import hashlib
import json
import secrets
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from model_pipeline import ModelRelease
from model_pipeline import dataset as example

from release_play.outcome import OverlayOutcome, ReleaseOutcome, RunOutcome
from release_play.overlays import Overlay, read_overlay
from release_play.pace import Pace
from release_play.pod_statuses import PodStatuses
from release_play.pods import Node, start_pod
from release_play.processes import ProcessGroup
from release_play.prometheus import start_prometheus
from release_play.registry import Registry, start_registry
from release_play.release import PROMOTED, Plan, ReleasePlay, find_rollout
from release_play.stage import Stage, pod_name
from release_play.traffic import Request, Split, Traffic
from release_play.view import View
from release_play.workspace import Workspace, open_workspace

OVERLAY = "staging/inference"
PLANS = (Plan("good", PROMOTED), Plan("bad", "aborted"))


class PlayError(Exception):
    """The run cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Setting:
    """Where the run finds and leaves things: the repository, `build/run`, the tools."""

    root: Path
    output: Path
    tools: Path
    pace: Pace


def run(setting: Setting, view: View) -> RunOutcome:
    """Check every overlay, then play each plan on a copy of the manifests.

    Raises the errors of its parts, each with a message for a person. Whatever was started is
    stopped when this returns or raises.
    """
    with ExitStack() as stack:
        workspace = stack.enter_context(open_workspace(setting.root, setting.output))
        group = stack.enter_context(ProcessGroup(workspace.folder / "logs"))
        # MLflow takes seconds to come up: it does so while the overlays are checked.
        registry = start_registry(group, workspace.folder / "mlflow")
        overlays = check_overlays(workspace, setting, view)
        if any(overlay.findings["error"] for overlay in overlays):
            return RunOutcome(overlays, [], len(PLANS))
        statuses = stack.enter_context(PodStatuses())
        releases = _play_releases(workspace, group, registry, statuses, setting, view)
        return RunOutcome(overlays, releases, len(PLANS))


def check_overlays(workspace: Workspace, setting: Setting, view: View) -> list[OverlayOutcome]:
    """Render and lint every overlay, each shown as soon as it is known."""
    view.heading("Overlays, rendered and held to the policies")
    outcomes = []
    for name in workspace.overlays():
        with view.doing(f"rendering {name}"):
            overlay = read_overlay(workspace.repository, name, setting.tools / "schemas")
        view.overlay(overlay.outcome, overlay.findings)
        outcomes.append(overlay.outcome)
    return outcomes


def _play_releases(
    workspace: Workspace,
    group: ProcessGroup,
    registry: Registry,
    statuses: PodStatuses,
    setting: Setting,
    view: View,
) -> list[ReleaseOutcome]:
    good, bad = _put_stable_into_git(workspace, registry, view)
    with view.doing("starting Prometheus and the stable server"):
        key = secrets.token_urlsafe(24)
        node = node_for(registry.address, key)
        folder = workspace.folder
        binary = setting.tools / "bin" / "prometheus"
        prometheus = start_prometheus(group, folder / "prometheus", binary, "1s", statuses.address)
        overlay = _read(workspace, setting)
        rollout, pods = find_rollout(overlay.documents), folder / "pods"
        stable = start_pod(group, pods, pod_name(rollout), rollout, overlay.documents, node)
        statuses.pods = [stable]
        prometheus.scrape([stable.target])
        prometheus.wait_until_scraped(stable.target)
    requests, headers = real_requests(good.name), {"X-API-Key": key}
    with Traffic(requests, setting.pace.rate, Split(stable.base_url), headers) as traffic:
        stage = Stage(group, pods, node, prometheus, statuses, stable, traffic)
        outcomes = []
        for plan, release in zip(PLANS, (good, bad), strict=True):
            outcomes.append(_play_one(plan, release, stage, workspace, setting, view))
            if broken := stage.broken():
                view.line(f"nothing more can be played: {broken}")
                break
        return outcomes


def _put_stable_into_git(
    workspace: Workspace, registry: Registry, view: View
) -> tuple[ModelRelease, ModelRelease]:
    """Register three versions and commit the first; the good and the bad candidate."""
    view.heading(f"Models, trained and put into Git ({OVERLAY})")
    with view.doing("starting MLflow"):
        registry.wait()
    with view.doing("training the stable model"):
        stable, _, accuracy = registry.train("stable")
    view.line(_bumped(workspace, stable, f"accuracy {accuracy:.3f}"))
    with view.doing("training the good candidate"):
        good, model, accuracy = registry.train("good")
    view.line(f"{good.uri}: the good candidate, accuracy {accuracy:.3f}")
    bad = registry.register_faulty(model)
    view.line(f"{bad.uri}: the bad one, fails on about 5 % of real rows when it runs")
    return good, bad


def _play_one(
    plan: Plan,
    release: ModelRelease,
    stage: Stage,
    workspace: Workspace,
    setting: Setting,
    view: View,
) -> ReleaseOutcome:
    view.heading(f"Release {plan.name}")
    before = _read(workspace, setting).documents
    view.line(_bumped(workspace, release, f"expected to be {plan.expected}"))
    overlay = _read(workspace, setting)
    with view.doing("starting the canary"):
        outcome = ReleasePlay(stage, overlay, setting.pace, view).play(plan)
    view.release(outcome)
    if outcome.verdict != PROMOTED:
        commit = workspace.revert()
        if _read(workspace, setting).documents != before:
            raise PlayError("git revert did not bring the previous manifests back")
        view.line(f"git revert: commit {commit}, rendered manifests as before the release")
    return outcome


def _read(workspace: Workspace, setting: Setting) -> Overlay:
    overlay = read_overlay(workspace.repository, OVERLAY, setting.tools / "schemas")
    if overlay.outcome.findings["error"]:
        messages = "\n".join(f"{f.rule}: {f.message}" for f in overlay.findings)
        raise PlayError(f"{OVERLAY} breaks a policy after the release commit:\n{messages}")
    return overlay


def _bumped(workspace: Workspace, release: ModelRelease, why: str) -> str:
    """Commit the release file of the overlay; the line that says so."""
    release.write(workspace.overlay(OVERLAY) / "release" / "model-release.env")
    commit = workspace.commit(f"Release {release.name} {release.version}")
    return f"{release.uri} in Git as commit {commit}, {why}"


def node_for(registry: str, key: str) -> Node:
    """What stands in for the cluster's addresses and for External Secrets.

    `key` is that of the traffic; the jobs of an analysis have one of their own.
    """
    keys = {"release-play": key, "analysis": secrets.token_urlsafe(24)}
    hashes = {name: hashlib.sha256(each.encode()).hexdigest() for name, each in keys.items()}
    return Node(
        environment={"MLFLOW_TRACKING_URI": registry, "DRAIN_SECONDS": "1"},
        secrets={
            "inference-api-key-hashes": hashes,
            "inference-api-keys": {"analysis": keys["analysis"]},
        },
    )


def real_requests(model: str) -> list[Request]:
    """One request for every row of the example data set, every fifth one to `/predict`."""
    requests = []
    for number, row in enumerate(example.load().features.tolist()):
        if number % 5 == 0:
            requests.append(Request("/predict", json.dumps({"instances": [row]}).encode()))
            continue
        tensor = {"name": "features", "datatype": "FP32", "shape": [1, len(row)], "data": row}
        body = json.dumps({"inputs": [tensor]}).encode()
        requests.append(Request(f"/v2/models/{model}/infer", body))
    return requests
