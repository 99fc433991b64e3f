"""The policy suite says whether a release fits into the quota, and the cluster agrees."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from local_cluster.cluster import Cluster

from e2e.scenarios.environment import Environment
from e2e.scenarios.evidence.recording import Evidence
from e2e.scenarios.models import Models
from e2e.scenarios.places import TOOLS
from e2e.scenarios.waiting import wait_for

RULE = "quota-fits-release"
GPU = "requests.nvidia.com/gpu"
POINTER = "/spec/hard/" + GPU.replace("/", "~1")
SERVERS = 2
SURGE_SECONDS = 90
LINT_SECONDS = 60


def size(overlay: Path, gpus: int) -> None:
    """So few servers that their surge fits a laptop, and a quota of so many GPUs."""
    autoscaler = overlay / "patches/horizontalpodautoscaler-patch.yaml"
    text = re.sub(r"(?m)^  (min|max)Replicas: .*\n", "", autoscaler.read_text(encoding="utf-8"))
    text += f"  minReplicas: {SERVERS}\n  maxReplicas: {SERVERS}\n"
    autoscaler.write_text(text, encoding="utf-8")
    quota = overlay / "patches/resourcequota-patch.yaml"
    old, new = rf'{re.escape(GPU)}: "\d+"', f'{GPU}: "{gpus}"'
    text, found = re.subn(old, new, quota.read_text(encoding="utf-8"))
    assert found == 1, f"{quota}: {GPU} does not stand there once"
    quota.write_text(text, encoding="utf-8")


def asked_suite(overlay: Path) -> str | None:
    """What the policy suite has against the quota of GPUs; None where a release fits."""
    program = Cluster.from_environment().scripts / "gitops-policy"
    argv = [str(program), "lint", str(overlay), "--only", RULE, "--format", "json"]
    done = subprocess.run(
        argv,
        cwd=overlay,
        capture_output=True,
        text=True,
        check=False,
        timeout=LINT_SECONDS,
        env={**os.environ, "PATH": f"{TOOLS}:{os.environ['PATH']}"},
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["evaluated"] == {RULE: 1}, done.stderr
    problems = [each["message"] for each in answer["findings"] if each["pointer"].endswith(POINTER)]
    return problems[0] if problems else None


def refusals(environment: Environment) -> list[str]:
    """What the API server said where it refused a pod of the newest version for the quota."""
    current = environment.timeline.now("rollout.current")
    events = [event.raw for event in environment.find_all("events")]
    return [
        event["message"]
        for event in events
        if event["reason"] == "FailedCreate"
        and event["involvedObject"]["name"] == f"inference-{current}"
        and "exceeded quota" in event["message"]
    ]


@pytest.mark.limit(360)
def test_the_cluster_refuses_the_surge_that_the_policy_suite_says_does_not_fit(
    production: Environment, models: Models, evidence: Evidence
) -> None:
    overlay = production.overlay(production.branch.folder)
    enough = 2 * SERVERS
    production.sync(production.commit("Just enough", lambda _: size(overlay, enough)))
    production.wait(
        f"{SERVERS} servers",
        lambda seen: seen.now(f"pods/{seen.now('rollout.stable')}") == SERVERS,
        SURGE_SECONDS,
    )
    evidence.note(f"the suite on {enough} GPUs", asked_suite(overlay) or "fits")
    assert asked_suite(overlay) is None
    # All servers at once, as at the last step of the ladder: no question is asked here.
    production.sync(production.release(models["good"]))
    production.promote_by_hand()
    production.wait_promoted(models["good"])
    assert not refusals(production)
    production.wait(
        "the first version to be gone",
        lambda seen: sum(seen.values("pods/").values()) == SERVERS,
        SURGE_SECONDS,
    )

    short = production.commit("One too few", lambda _: size(overlay, enough - 1))
    said = asked_suite(overlay)
    evidence.note(f"the suite on {enough - 1} GPUs", said)
    assert said is not None
    assert f"up to {enough} may be needed" in said
    production.sync(short)
    production.sync(production.release(models["stable"]))
    production.promote_by_hand()
    refused = wait_for("a pod to be refused", lambda: refusals(production), SURGE_SECONDS)
    evidence.note("the cluster", refused[0])
    assert f"requested: {GPU}=1, used: {GPU}={enough - 1}" in refused[0]
    assert production.timeline.now("rollout.stable") != production.timeline.now("rollout.current")
