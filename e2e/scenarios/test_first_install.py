"""The first install: argocd/root.yaml alone brings all of this repository, wave by wave."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest
from local_cluster.repository import REPLACED

from e2e.scenarios.argo_cd import ARGOCD
from e2e.scenarios.environment import Control
from e2e.scenarios.evidence.recording import Evidence
from e2e.scenarios.installation import (
    BY_HAND,
    ROOT_APPLICATION,
    Installed,
    apply_root,
    clone_of_main,
)
from e2e.scenarios.places import OUTPUT, TOOLS
from e2e.scenarios.waiting import wait_for

pytestmark = pytest.mark.usefixtures("share_the_cluster")

UP_SECONDS = 120
KUBECTL_SECONDS = 60
AT_A_TIME = 4
WAVE = "argocd.argoproj.io/sync-wave"
PART_OF = "app.kubernetes.io/part-of"
# Who applies: Argo CD, and the person with root.yaml. Controllers write under other names.
APPLIES = ("argocd-controller", "kubectl")

Object = dict[str, Any]


@pytest.fixture
def ours(control: Control, installed: Installed) -> list[str]:
    """Root, and the Applications of root whose source is this repository."""
    found = {each["metadata"]["name"]: each for each in all_applications(control)}
    held = found[ROOT_APPLICATION]["status"]["resources"]
    names = [each["name"] for each in held if each["kind"] == "Application"]
    return [ROOT_APPLICATION] + [
        name
        for name in names
        if name != ROOT_APPLICATION and control.places.git in repositories(found[name])
    ]


def all_applications(control: Control) -> list[Object]:
    return [
        dict(each.raw) for each in control.api.get("applications.argoproj.io", namespace=ARGOCD)
    ]


def application(control: Control, name: str) -> Object:
    return next(each for each in all_applications(control) if each["metadata"]["name"] == name)


def repositories(found: Object) -> set[str]:
    sources = found["spec"].get("sources") or [found["spec"]["source"]]
    return {source["repoURL"] for source in sources}


def state(control: Control, name: str) -> tuple[str, str]:
    status = application(control, name)["status"]
    return status["sync"]["status"], status["health"]["status"]


def wait_up(control: Control, names: Iterable[str]) -> None:
    """Until each is Synced and Healthy, at one moment."""

    def down() -> dict[str, tuple[str, str]]:
        states = {name: state(control, name) for name in names}
        return {name: each for name, each in states.items() if each != ("Synced", "Healthy")}

    wait_for("Applications to be Synced and Healthy", lambda: not down(), UP_SECONDS, down)


def seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def begun(found: Object) -> float:
    return seconds(found["metadata"]["creationTimestamp"])


def first_deployed(found: Object) -> float:
    return seconds(found["status"]["history"][0]["deployedAt"])


@pytest.mark.limit(180)
def test_every_application_of_this_repository_is_synced_and_healthy(
    control: Control, installed: Installed, ours: list[str], evidence: Evidence
) -> None:
    if control.places.local:
        for name, stand_in in REPLACED.items():
            evidence.note(f"instead of the Application {name}", stand_in)
    for name, took in installed["healthy"].items():
        evidence.note(f"{name} up after", f"{took} s")
    assert {"inference-dev", "inference-staging", BY_HAND} < set(ours)
    wait_up(control, [name for name in ours if name != BY_HAND])


@pytest.mark.limit(180)
def test_production_is_out_of_sync_until_a_person_syncs_it(
    control: Control, installed: Installed
) -> None:
    before = application(control, BY_HAND)
    if not before["status"].get("history"):
        assert before["status"]["sync"]["status"] == "OutOfSync"
        assert "operationState" not in before["status"], "something synced it"
        control.argocd.sync(BY_HAND)
    wait_up(control, [BY_HAND])
    history = application(control, BY_HAND)["status"]["history"]
    assert [each["initiatedBy"] for each in history] == [{"username": "admin"}] * len(history)


@pytest.mark.limit(60)
def test_the_waves_came_in_their_order(
    control: Control, ours: list[str], evidence: Evidence
) -> None:
    waves: dict[int, list[Object]] = {}
    for name in ours:
        found = application(control, name)
        waves.setdefault(int(found["metadata"]["annotations"][WAVE]), []).append(found)
    assert sorted(waves)[0] == -30
    assert sorted(waves)[-2:] == [-10, 0]
    start = begun(waves[-30][0])
    for number, members in sorted(waves.items()):
        moments = [begun(each) - start for each in members]
        evidence.note(f"wave {number} created after", f"{min(moments):.0f}-{max(moments):.0f} s")
    for earlier, later in zip(sorted(waves), sorted(waves)[1:], strict=False):
        assert max(map(begun, waves[earlier])) <= min(map(begun, waves[later]))
    # A wave waits for the platform only: an environment holds none open.
    platform = [each for each in waves[-10] if each["metadata"]["labels"][PART_OF] == "platform"]
    assert len(platform) == len(waves[-10])
    assert max(map(first_deployed, platform)) <= min(map(begun, waves[0]))


@pytest.mark.limit(240)
def test_applied_and_synced_again_nothing_changes(
    control: Control, cluster_id: str, ours: list[str], evidence: Evidence
) -> None:
    wait_up(control, [name for name in ours if name != BY_HAND])
    synced = [name for name in ours if application(control, name)["status"].get("history")]
    before = {name: applied(control, name) for name in synced}
    apply_root(control, clone_of_main(control, OUTPUT, cluster_id))
    sync_all(control, synced)
    wait_up(control, synced)
    for name in synced:
        assert applied(control, name) == before[name], f"the second sync of {name} wrote"
    with ThreadPoolExecutor(AT_A_TIME) as at_a_time:
        differences = dict(zip(synced, at_a_time.map(control.argocd.diff, synced), strict=True))
    assert {name: said for name, said in differences.items() if said} == {}
    evidence.note("objects that the second sync left alone", sum(map(len, before.values())))


def sync_all(control: Control, names: list[str]) -> None:
    """Sync each again, as a person does, and wait until all have ended."""
    begin = time.time() - 1
    for name in names:
        control.argocd.sync(name)

    def running() -> list[str]:
        return [name for name in names if not ended(application(control, name), begin)]

    wait_for("the second syncs to end", lambda: not running(), UP_SECONDS, running)


def ended(found: Object, since: float) -> bool:
    operation = found["status"].get("operationState", {"startedAt": "1970-01-01T00:00:00Z"})
    assert operation.get("phase") in (None, "Running", "Succeeded"), operation.get("message")
    return "finishedAt" in operation and seconds(operation["startedAt"]) >= since


def applied(control: Control, name: str) -> dict[str, list[str]]:
    """Of each object of an Application: who has applied what, and when it last changed anything.

    An apply that changes nothing leaves its time; resourceVersions also move with each status.
    """
    found = application(control, name)
    words = [
        f"{each['kind']}.{each.get('group', '')}/{each['name']}".replace("./", "/")
        for each in found["status"]["resources"]
    ]
    argv = [str(TOOLS / "kubectl"), f"--kubeconfig={control.places.kubeconfig}", "get"]
    argv += ["--namespace", found["spec"]["destination"]["namespace"]]
    argv += ["--show-managed-fields", "--output=json", *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=KUBECTL_SECONDS)
    answer = json.loads(done.stdout)
    items = answer.get("items", [answer])
    return {f"{each['kind']}/{each['metadata']['name']}": writes(each) for each in items}


def writes(found: Object) -> list[str]:
    return sorted(
        f"{entry['manager']} {entry['operation']} {entry['time']}"
        for entry in found["metadata"].get("managedFields", [])
        if entry["manager"] in APPLIES and "subresource" not in entry
    )
