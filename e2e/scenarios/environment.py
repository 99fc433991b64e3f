"""A scenario's own environment: a branch, a namespace, an Application, and eyes on them."""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import kr8s
from model_pipeline import ModelRelease

from e2e.scenarios import facts, manifests
from e2e.scenarios.argo_cd import ARGOCD, ArgoCD
from e2e.scenarios.branch import Branch, Change, open_branch
from e2e.scenarios.places import Places
from e2e.scenarios.timeline import Timeline
from e2e.scenarios.traffic import RATE, Target, Traffic
from e2e.scenarios.waiting import wait_for
from e2e.scenarios.watch import Watch

INSTALL_SECONDS = 150
SYNC_SECONDS = 120
RELEASE_SECONDS = 300
REMOVE_SECONDS = 90
ASK_AGAIN_SECONDS = 10
REFRESH = "argocd.argoproj.io/refresh"
CLASSES = {
    kind: kr8s.objects.new_class(kind, "argoproj.io/v1alpha1", namespaced=True, asyncio=False)
    for kind in ("AppProject", "Application")
}


@dataclass(frozen=True)
class Control:
    """What all environments of a session share."""

    places: Places
    api: Any
    argocd: ArgoCD


OpenEnvironment = Callable[..., "Environment"]
ApplicationChange = Callable[[manifests.Document], None]


class Environment:
    """`inference-<name>`, made from the overlay `template`; see `prepare_environment`."""

    def __init__(self, control: Control, name: str, template: str, branch: Branch):
        self.control, self.name, self.template, self.branch = control, name, template, branch
        self.namespace = self.application = f"inference-{name}"
        self.hostname = manifests.hostname(name)
        self.timeline = Timeline()
        self.watch = Watch(control.places, self.namespace, self.application, self.timeline)
        self.traffics: list[Traffic] = []
        self._turn = 1
        self._asked_for, self._asked_at = "", 0.0

    # Git: each returns the revision, and has asked Argo CD to look.

    def commit(self, message: str, change: Change) -> str:
        """Change files of the branch; the overlay stands in `overlays/<template>/inference`."""
        return self._asked(self.branch.commit(message, change))

    def revert(self, revision: str = "HEAD") -> str:
        """`git revert` of a commit or a range, the way back of every release."""
        return self._asked(self.branch.revert(revision))

    def release(
        self, model: ModelRelease, image: str | None = None, require_gpu: bool | None = None
    ) -> str:
        """Commit what a release changes: the model, and with it an image or a demand."""
        # Else its pods' hash, and with it what was measured, would be that of an earlier turn.
        own = replace(model, run_id=f"{model.run_id}-{self._turn}")

        def change(repository: Path) -> None:
            own.write(self.overlay(repository) / "release" / "model-release.env")
            if image is not None:
                manifests.set_image(repository, self.template, image)
            if require_gpu is not None:
                demand = str(require_gpu).lower()
                manifests.set_setting(repository, self.template, "REQUIRE_GPU", demand)

        return self.commit(f"Release {model.name} {model.version} to {self.name}", change)

    def sync(self, revision: str) -> None:
        """What a person does in production: wait until Argo CD sees the commit, and sync it."""
        self._wait_seen(revision)
        self.control.argocd.sync(self.application)
        self.wait_synced(revision)

    def promote_by_hand(self) -> None:
        """What `kubectl argo rollouts promote --full` does: no more steps, no more questions."""
        found = self.find("rollouts.argoproj.io", facts.ROLLOUT)
        found.patch({"status": {"promoteFull": True}}, subresource="status")

    def overlay(self, repository: Path) -> Path:
        """The overlay of this environment in a clone."""
        return repository / "overlays" / self.template / "inference"

    def refresh(self) -> None:
        """Ask Argo CD to look at Git now, instead of at its next poll."""
        self._asked_at = time.time()
        self.find("applications.argoproj.io", self.application, ARGOCD).annotate(
            {REFRESH: "normal"}
        )

    # Waits: each has a limit, and says what it waited for and what was seen last.

    def wait(self, what: str, look: Callable[[Timeline], Any], within: float) -> Any:
        """Until `look(timeline)` is true."""

        def looked() -> Any:
            self._ask_again()
            return look(self.timeline)

        return wait_for(f"{what} in {self.namespace}", looked, within, self.timeline.said)

    def wait_synced(self, revision: str, within: float = SYNC_SECONDS) -> None:
        """Until the cluster holds what this commit says."""
        self.wait(
            f"revision {revision[:7]} to be Synced",
            lambda seen: (
                self._seen(revision)
                and seen.now("application.synced-revision") == revision
                and seen.now("application.sync") == "Synced"
                and seen.now("application.operation") == "Succeeded"
            ),
            within,
        )

    def wait_healthy(self, within: float = RELEASE_SECONDS) -> None:
        """Until the Rollout and the Application are Healthy."""
        self.wait(
            "Rollout and Application to be Healthy",
            lambda seen: (
                seen.now("rollout.phase") == "Healthy"
                and seen.now("application.health") == "Healthy"
            ),
            within,
        )

    def wait_promoted(self, model: ModelRelease, within: float = RELEASE_SECONDS) -> float:
        """Until the model is the stable one, with all traffic; the moment. Fails on an abort."""
        self.wait(
            f"version {model.version} to be promoted",
            lambda seen: self._promoted(model) or seen.now("rollout.aborted"),
            within,
        )
        if self.timeline.now("rollout.aborted"):
            raise AssertionError(
                f"version {model.version} was aborted in {self.namespace}: {self.timeline.said()}"
            )
        return time.time()

    def wait_aborted(self, within: float = RELEASE_SECONDS) -> float:
        """Until the Rollout has aborted; the moment. Fails on a promotion or a pause."""
        self.wait(
            "the release to be aborted",
            lambda seen: seen.now("rollout.aborted"),
            within,
        )
        return self.timeline.history("rollout.aborted")[-1].at

    def wait_paused(self, within: float = RELEASE_SECONDS) -> float:
        """Until the Rollout waits for a person because the gate does not know; the moment."""
        self.wait(
            "the release to be paused as undecided",
            lambda seen: (
                seen.now("rollout.phase") == "Paused"
                and "Inconclusive" in (seen.now("rollout.message") or "")
            ),
            within,
        )
        return self.timeline.history("rollout.phase")[-1].at

    def wait_weight(self, weight: int, within: float = RELEASE_SECONDS) -> float:
        """Until Envoy gives the canary this share of the traffic, in percent; the moment."""
        subject = self.weight_subject
        self.wait(
            f"the canary's weight to be {weight}", lambda seen: seen.now(subject) == weight, within
        )
        return self.timeline.history(subject)[-1].at

    @property
    def weight_subject(self) -> str:
        """The nearest to the traffic that this cluster shows: Envoy, or else the HTTPRoute."""
        return "envoy.canary" if self.control.places.routes else "route.canary"

    # The cluster.

    def find(self, kind: str, name: str, namespace: str | None = None) -> Any:
        """One object, as kr8s has it; an AssertionError where it is not there."""
        where = namespace or self.namespace
        found = list(self.control.api.get(kind, name, namespace=where))
        if not found:
            raise AssertionError(f"{kind} {name} is not in {where}")
        return found[0]

    def find_all(self, kind: str, **selectors: Any) -> list[Any]:
        """Objects of the namespace."""
        return list(self.control.api.get(kind, namespace=self.namespace, **selectors))

    def pods(self, pod_hash: str) -> list[Any]:
        """The servers of one version."""
        return self.find_all("pods", label_selector={facts.HASH: pod_hash})

    def measured(self, metric: str) -> list[str]:
        """What a metric measured, in every run of the gate: values as the controller wrote them."""
        return [
            measurement["value"]
            for run in self.find_all("analysisruns.argoproj.io")
            for result in run.raw.get("status", {}).get("metricResults", [])
            if result["name"] == metric
            for measurement in result.get("measurements", [])
            if "value" in measurement
        ]

    def traffic(self, rate: float | None = None, *, bucketed: bool = False) -> Traffic:
        """Steady traffic to this environment; use it as a context.

        Without a rate there is little of it until a canary has a share: that is what is judged.
        """
        secret = self.find("secrets", "inference-api-keys")
        keys = [
            base64.b64decode(value).decode()
            for client, value in sorted(secret.raw["data"].items())
            if client != "analysis"
        ]
        target = Target(self.control.places.gateway, self.hostname, keys)
        traffic = Traffic(
            target,
            RATE if rate is None else rate,
            bucketed=bucketed,
            looked_at=lambda: rate is not None or bool(self.timeline.now("route.canary")),
        )
        self.traffics.append(traffic)
        return traffic

    def apply(self, change: ApplicationChange | None = None) -> None:
        """Create project and Application, as the repository has them; `change` edits the latter."""
        project, application = manifests.argocd_objects(
            self.branch.folder, self.template, self.name, self.branch.url, self.branch.name
        )
        if change:
            change(application)
        for document in (project, application):
            # By its class: kr8s takes the kind of an object that it has only read from its plural.
            CLASSES[document["kind"]](document, api=self.control.api).create()

    def install(self, change: ApplicationChange | None = None) -> None:
        """Project and Application; returns when the first release is ready and has its traffic."""
        revision = self.branch.head()
        self.apply(change)
        if not self.syncs_by_itself:
            self.wait("Argo CD to compare", lambda seen: seen.now("application.sync"), SYNC_SECONDS)
            self.control.argocd.sync(self.application)
        self.wait_synced(revision, INSTALL_SECONDS)
        self.wait_healthy(INSTALL_SECONDS)

    def restore(self, revision: str) -> None:
        """Files and cluster as they were at this commit."""
        restored = self.branch.restore(revision)
        if not self._seen(restored):
            self._asked(restored)
        self._follow(restored)

    def begin_anew(self, forgotten: Collection[str]) -> None:
        """Forget what was seen and sent so far, but for the newest values of other subjects."""
        self.traffics.clear()
        self.timeline.begin_anew(forgotten)
        self._turn += 1

    @property
    def syncs_by_itself(self) -> bool:
        """Whether Argo CD syncs a commit without a person."""
        application = self.find("applications.argoproj.io", self.application, ARGOCD)
        return "automated" in application.raw["spec"].get("syncPolicy", {})

    def close(self) -> None:
        """Send nothing more, and look no longer."""
        for traffic in self.traffics:
            traffic.close()
        self.watch.close()

    def remove(self) -> None:
        """Delete the Application, the namespace with all in it, the project and the branch.

        Not through Argo CD, which would compare what is left again and again until nothing is.
        """
        api = self.control.api
        for found in api.get("applications.argoproj.io", self.application, namespace=ARGOCD):
            found.patch({"metadata": {"finalizers": None}})
            delete(found)
        for rollout in self.find_all("rollouts.argoproj.io"):
            delete(rollout)
        # Nobody is served any more: no drain, which would hold a place of the next scenario.
        for pod in self.find_all("pods"):
            delete(pod, grace_period=0, force=True)
        for namespace in api.get("namespaces", self.namespace):
            delete(namespace)
        wait_for(
            f"namespace {self.namespace} to be deleted",
            lambda: not list(api.get("namespaces", self.namespace)),
            REMOVE_SECONDS,
        )
        for project in api.get("appprojects.argoproj.io", self.application, namespace=ARGOCD):
            delete(project)
        self.branch.delete()

    def _wait_seen(self, revision: str) -> None:
        self.wait(
            f"Argo CD to see revision {revision[:7]}",
            lambda _: self._seen(revision),
            SYNC_SECONDS,
        )

    def _follow(self, revision: str) -> None:
        """Until there is no difference to this commit, synced by a person where nothing does."""
        self._wait_seen(revision)
        if not self.syncs_by_itself:
            self.control.argocd.sync(self.application)
        # Where nothing differs, nothing is synced: the last operation is that of another commit.
        self.wait(
            f"no difference to revision {revision[:7]}",
            lambda seen: (
                self._seen(revision)
                and seen.now("application.sync") == "Synced"
                and seen.now("application.operation") != "Running"
            ),
            SYNC_SECONDS,
        )

    def _asked(self, revision: str) -> str:
        self._asked_for = revision
        self.refresh()
        return revision

    def _seen(self, revision: str) -> bool:
        """Whether Argo CD has looked at this commit."""
        return bool(self.timeline.now("application.revision") == revision)

    def _ask_again(self) -> None:
        """At the end of a comparison Argo CD takes the mark away, also one that came meanwhile."""
        waits = self._asked_for and not self._seen(self._asked_for)
        if waits and time.time() - self._asked_at > ASK_AGAIN_SECONDS:
            self.refresh()

    def _promoted(self, model: ModelRelease) -> bool:
        now = self.timeline.now
        return bool(
            now("rollout.release") == str(model.version)
            and now("rollout.observed")
            and now("rollout.phase") == "Healthy"
            and now("rollout.stable") == now("rollout.current")
        )


def delete(found: Any, **options: Any) -> None:
    """Delete an object that its controller may have deleted meanwhile."""
    with contextlib.suppress(kr8s.NotFoundError):
        found.delete(**options)


def prepare_environment(control: Control, name: str, template: str, folder: Path) -> Environment:
    """The overlay `template` as `inference-<name>`, on a branch of its own; not installed yet."""
    branch = open_branch(control.places.git, f"scenario/{name}", folder)
    branch.commit(
        f"Make {name} from {template}",
        lambda repository: manifests.rename_overlay(repository, template, name),
    )
    return Environment(control, name, template, branch)
