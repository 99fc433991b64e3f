"""The ConfigMap of a release: stays as long as a pod may read it, and no longer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from kr8s.objects import ConfigMap, Job

from e2e.scenarios.environment import Environment
from e2e.scenarios.evidence.recording import Evidence
from e2e.scenarios.facts import is_ready
from e2e.scenarios.models import Models

RELEASE = {"app.kubernetes.io/component": "model-release"}
CANARY_SECONDS = 90
JOB_SECONDS = 60
POD_SECONDS = 60


@pytest.mark.limit(300)
def test_the_config_of_stable_pods_outlives_the_release_that_replaces_it(
    staging: Environment, models: Models, evidence: Evidence
) -> None:
    stable = staging.timeline.now("rollout.stable")
    (old,) = releases(staging)
    staging.wait_synced(staging.release(models["good"]))
    staging.wait(
        "a canary beside stable",
        lambda seen: seen.now("rollout.current") != stable,
        CANARY_SECONDS,
    )
    canary = staging.timeline.now("rollout.current")
    (new,) = releases(staging) - {old}
    assert staging.timeline.now("application.sync") == "Synced", "the old one shows as a difference"
    assert reads(staging, stable) == {old}

    replaced = replace_pod(staging, stable)
    evidence.note("stable pod replaced during the canary", replaced)
    assert reads(staging, stable) == {old}

    create(staging, "model-release-left", RELEASE)
    create(staging, "not-of-a-release", {})
    assert retain(staging, "by-default") == "0 deleted"
    said = retain(staging, "at-once", ["--minimum-age-seconds", "0"])
    evidence.note("retention job", said.replace("\n", ", "))
    assert said == "deleted ConfigMap model-release-left\n1 deleted"
    assert releases(staging) == {old, new}
    staging.find("configmaps", "not-of-a-release")
    assert (
        staging.timeline.now("rollout.current") == canary != staging.timeline.now("rollout.stable")
    ), "the canary had ended before the job ran"


def releases(environment: Environment) -> set[str]:
    found = environment.find_all("configmaps", label_selector=RELEASE)
    return {each.name for each in found}


def reads(environment: Environment, pod_hash: str) -> set[str]:
    """The release's ConfigMap that the pods of a version take their environment from."""
    return {
        source["configMapRef"]["name"]
        for pod in environment.pods(pod_hash)
        for container in pod.raw["spec"]["initContainers"] + pod.raw["spec"]["containers"]
        for source in container.get("envFrom", [])
    }


def replace_pod(environment: Environment, pod_hash: str) -> str:
    """Delete a pod of a version, and wait until another is ready in its place; its name."""
    before = {pod.name for pod in environment.pods(pod_hash)}
    environment.pods(pod_hash)[0].delete()

    def new() -> list[str]:
        pods = environment.pods(pod_hash)
        return [pod.name for pod in pods if pod.name not in before and is_ready(pod.raw)]

    found: list[str] = environment.wait("a new stable pod", lambda _: new(), POD_SECONDS)
    return found[0]


def create(environment: Environment, name: str, labels: dict[str, str]) -> None:
    metadata = {"name": name, "namespace": environment.namespace, "labels": labels}
    ConfigMap({"metadata": metadata, "data": {"a": "1"}}, api=environment.control.api).create()


def retain(environment: Environment, name: str, arguments: Sequence[str] = ()) -> str:
    """What `kubectl create job --from=cronjob/config-retention` does, and what the job printed."""
    cron_job = environment.find("cronjobs.batch", "config-retention")
    spec: dict[str, Any] = cron_job.raw["spec"]["jobTemplate"]["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    container["command"] = [*container["command"], *arguments]
    metadata = {"name": f"retention-{name}", "namespace": environment.namespace}
    job: Any = Job({"metadata": metadata, "spec": spec}, api=environment.control.api)
    job.create()

    def ended() -> bool:
        job.refresh()
        status = job.raw.get("status", {})
        assert not status.get("failed"), status
        return bool(status.get("succeeded"))

    environment.wait(f"Job {job.name} to succeed", lambda _: ended(), JOB_SECONDS)
    (pod,) = environment.find_all("pods", label_selector={"job-name": job.name})
    return "\n".join(pod.logs()).strip()
