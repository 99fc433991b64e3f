"""The node runner does for a pod what a kubelet does; only the local cluster has one."""

from __future__ import annotations

import secrets
import subprocess
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import kr8s
import pytest
from kr8s.objects import ConfigMap, Job, Namespace, Node, Pod, Service

from e2e.scenarios.environment import delete
from e2e.scenarios.parts import Parts
from e2e.scenarios.places import TOOLS, Places
from e2e.scenarios.waiting import wait_for

pytestmark = pytest.mark.local

START_SECONDS = 30
FAKE = {"kwok.x-k8s.io/node": "fake"}
SERVER = ["python", "-m", "http.server", "8080", "--bind", "0.0.0.0", "--directory", "/site"]
READY = {"httpGet": {"port": "http", "path": "/index.html"}, "periodSeconds": 1}
# Runs in a pod: its service account may be told its own name, whatever it may do beside.
WHO_AM_I = """
import json, os, ssl, urllib.request
folder = "/var/run/secrets/kubernetes.io/serviceaccount/"
host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
request = urllib.request.Request(
    f"https://{host}:{port}/apis/authentication.k8s.io/v1/selfsubjectreviews",
    data=json.dumps(body).encode(),
    headers={
        "Authorization": "Bearer " + open(folder + "token").read(),
        "Content-Type": "application/json",
    },
)
context = ssl.create_default_context(cafile=folder + "ca.crt")
answer = json.load(urllib.request.urlopen(request, context=context))
name = answer["status"]["userInfo"]["username"]
namespace = open(folder + "namespace").read()
raise SystemExit(0 if name == f"system:serviceaccount:{namespace}:default" else name)
"""


@dataclass
class Place:
    """A namespace of the test's own, and the node runner's view of it."""

    api: Any
    namespace: str
    runner: str

    def create(self, kind: Any, name: str, **fields: Any) -> Any:
        metadata = {"name": name, "namespace": self.namespace, **fields.pop("metadata", {})}
        found = kind({"metadata": metadata, **fields}, api=self.api)
        found.create()
        return found

    def pod(self, name: str, *containers: dict[str, Any], **spec: Any) -> Any:
        """A pod with these containers; the image is `python`."""
        filled = [{"name": "main", "image": "python", **one} for one in containers]
        metadata = {"labels": {"app": name}}
        return self.create(Pod, name, metadata=metadata, spec={"containers": filled, **spec})

    def service(self, name: str) -> dict[str, Any] | None:
        """The proxy of a Service, as `/services` shows it."""
        answer = httpx.get(f"{self.runner}/services").raise_for_status().json()
        mine = (one for one in answer if one["namespace"] == self.namespace)
        return next((one for one in mine if one["name"] == name), None)

    def seen(self, pod: Any) -> dict[str, Any] | None:
        """The pod, as `/pods` shows it."""
        answer = httpx.get(f"{self.runner}/pods").raise_for_status().json()
        return next((one for one in answer if one["uid"] == pod.raw["metadata"]["uid"]), None)


@pytest.fixture
def place(places: Places, share_the_cluster: None) -> Iterator[Place]:
    if places.local is None:
        pytest.skip("a real node has a real kubelet")
    with warnings.catch_warnings():
        # kr8s names the versions that it was tested with.
        warnings.simplefilter("ignore", UserWarning)
        api = kr8s.api(kubeconfig=str(places.kubeconfig))
        api.version()
    name = f"node-{secrets.token_hex(3)}"
    namespace = Namespace({"metadata": {"name": name}}, api=api)
    namespace.create()
    wait_for("the default service account", lambda: _account(api, name), START_SECONDS)
    yield Place(api, name, places.local.url("node-runner"))
    # Else they take their 30 s to end, and a drain refuses pods that nobody would make again.
    for pod in api.get("pods", namespace=name):
        delete(pod, grace_period=0, force=True)
    namespace.delete()


def _account(api: Any, namespace: str) -> list[Any]:
    found = api.get("serviceaccounts", namespace=namespace)
    return [one for one in found if one.name == "default"]


def status(pod: Any) -> dict[str, Any]:
    pod.refresh()
    return dict(pod.raw["status"])


def container(pod: Any) -> dict[str, Any]:
    """The status of the first container; nothing before there is one."""
    return dict((status(pod).get("containerStatuses") or [{}])[0])


def ready(pod: Any) -> bool:
    conditions = {one["type"]: one["status"] for one in status(pod).get("conditions", [])}
    return conditions.get("Ready") == "True"


def wait_ready(pod: Any) -> None:
    wait_for("the pod to be ready", lambda: ready(pod), START_SECONDS, lambda: status(pod))


def wait_waiting(pod: Any, reason: str) -> dict[str, Any]:
    """Until the container waits for this reason; its status."""

    def look() -> dict[str, Any] | None:
        found = container(pod)
        return found if found.get("state", {}).get("waiting", {}).get("reason") == reason else None

    return wait_for(f"the container to wait: {reason}", look, START_SECONDS, lambda: status(pod))


def wait_phase(pod: Any, phase: str) -> dict[str, Any]:
    """Until the pod is in this phase; its status."""

    def look() -> dict[str, Any] | None:
        found = status(pod)
        return found if found["phase"] == phase else None

    return wait_for(f"the pod to be {phase}", look, START_SECONDS, lambda: status(pod))


def failed(place: Place) -> list[str]:
    """The pods of the namespace that failed."""
    found = place.api.get("pods", namespace=place.namespace)
    return [pod.name for pod in found if pod.raw["status"]["phase"] == "Failed"]


def serving(place: Place, name: str = "site", **container: Any) -> Any:
    """A web server of what its init container wrote, and a Service of the same name."""
    mounts = [{"name": "site", "mountPath": "/site"}]
    place.create(
        Service,
        name,
        spec={"selector": {"app": name}, "ports": [{"port": 80, "targetPort": "http"}]},
    )
    main = {
        "command": SERVER,
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": READY,
        "volumeMounts": mounts,
        **container,
    }
    write = {
        "name": "write",
        "image": "python",
        "command": ["sh", "-c", "hostname=$HOSTNAME; echo $hostname > /site/index.html"],
        "volumeMounts": mounts,
    }
    return place.pod(name, main, initContainers=[write], volumes=[{"name": "site", "emptyDir": {}}])


@pytest.mark.limit(60)
def test_a_pod_serves_behind_its_service_what_its_init_container_wrote(place: Place) -> None:
    pod = serving(place)
    wait_ready(pod)
    proxy = wait_for("an endpoint", lambda: (place.service("site") or {}).get("endpoints"), 5)
    address = (place.service("site") or {})["address"]
    assert len(proxy) == 1
    assert httpx.get(f"http://{address}/").text.strip() == "site"


@pytest.mark.limit(60)
def test_a_pod_leaves_its_service_at_once_and_goes_after_its_pre_stop(place: Place) -> None:
    pod = serving(place, lifecycle={"preStop": {"sleep": {"seconds": 4}}})
    wait_ready(pod)
    address = (place.seen(pod) or {})["address"]
    pod.delete()
    wait_for("no endpoint", lambda: (place.service("site") or {})["endpoints"] == [], 2)
    assert httpx.get(f"http://{address}:8080/").is_success
    wait_for("the pod to be gone", lambda: not pod.exists(), START_SECONDS)
    assert place.seen(pod) is None
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://{address}:8080/")


@pytest.mark.limit(60)
def test_kubectl_logs_shows_what_a_container_wrote(place: Place, places: Places) -> None:
    def logs(*more: str) -> str:
        argv = [str(TOOLS / "kubectl"), f"--kubeconfig={places.kubeconfig}", "logs", "talker"]
        argv += [f"--namespace={place.namespace}", *more]
        return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30).stdout

    script = "echo one; echo two; sleep 5; echo three"
    pod = place.pod("talker", {"command": ["sh", "-c", script]}, restartPolicy="Never")
    wait_for("the pod to run", lambda: container(pod).get("started"), START_SECONDS)
    assert logs("--follow", "--tail=2") == "one\ntwo\nthree\n"
    wait_phase(pod, "Succeeded")
    assert logs() == "one\ntwo\nthree\n"
    assert logs("--tail=1") == "three\n"
    with pytest.raises(subprocess.CalledProcessError) as refused:
        logs("--previous")
    assert "container main has not ended before" in refused.value.stderr


@pytest.mark.limit(60)
def test_a_pod_waits_for_its_config_map(place: Place) -> None:
    pod = place.pod(
        "late",
        {
            "command": ["sh", "-c", 'test "$COLOUR" = blue'],
            "envFrom": [{"configMapRef": {"name": "late"}}],
        },
        restartPolicy="Never",
    )
    waiting = wait_waiting(pod, "CreateContainerConfigError")
    assert waiting["state"]["waiting"]["message"] == 'configmap "late" not found'
    place.create(ConfigMap, "late", data={"COLOUR": "blue"})
    wait_phase(pod, "Succeeded")


@pytest.mark.limit(60)
def test_a_container_that_crashes_is_started_again_and_shows_how_it_ended(place: Place) -> None:
    pod = place.pod(
        "crash",
        {
            "command": ["sh", "-c", "echo out of cheese; exit 7"],
            "terminationMessagePolicy": "FallbackToLogsOnError",
        },
    )
    wait_waiting(pod, "CrashLoopBackOff")
    wait_for("two restarts", lambda: container(pod)["restartCount"] >= 2, START_SECONDS)
    ended = container(pod)["lastState"]["terminated"]
    assert (ended["exitCode"], ended["message"]) == (7, "out of cheese\n")
    assert not ready(pod)


@pytest.mark.limit(60)
def test_a_container_that_fails_its_liveness_probe_is_restarted(place: Place) -> None:
    probe = {"exec": {"command": ["test", "-e", "/data/alive"]}, "periodSeconds": 1}
    pod = place.pod(
        "liveness",
        {
            "command": ["sh", "-c", "touch /data/alive; sleep 2; rm /data/alive; exec sleep 100"],
            "livenessProbe": {**probe, "failureThreshold": 2},
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        },
        volumes=[{"name": "data", "emptyDir": {}}],
    )
    restarted = wait_for(
        "a restart", lambda: container(pod).get("restartCount"), START_SECONDS, lambda: status(pod)
    )
    assert restarted >= 1
    assert container(pod)["lastState"]["terminated"]["exitCode"] == 143


@pytest.mark.limit(30)
def test_an_image_that_nobody_knows_is_not_pulled(place: Place) -> None:
    pod = place.pod("unknown", {"image": "registry.invalid/nothing:1"})
    wait_waiting(pod, "ImagePullBackOff")


@pytest.mark.limit(90)
def test_a_job_ignores_the_exit_code_that_its_policy_names_and_completes(place: Place) -> None:
    """Exit 3 once, then 0: the Job controller reads the codes that the runner wrote."""
    place.create(ConfigMap, "told")
    script = "import os; raise SystemExit(3 if os.environ.get('TOLD') != 'yes' else 0)"
    told = {"name": "told", "key": "told", "optional": True}
    rule = {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [3]}}
    job = place.create(
        Job,
        "probe",
        spec={
            "backoffLimit": 0,
            "podFailurePolicy": {"rules": [rule]},
            "template": {
                "spec": {
                    "restartPolicy": "Never",
                    "containers": [
                        {
                            "name": "probe",
                            "image": "python",
                            "command": ["python", "-c", script],
                            "env": [{"name": "TOLD", "valueFrom": {"configMapKeyRef": told}}],
                        }
                    ],
                }
            },
        },
    )
    wait_for("a pod that exits with 3", lambda: failed(place), START_SECONDS)
    next(iter(place.api.get("configmaps", "told", namespace=place.namespace))).patch(
        {"data": {"told": "yes"}}
    )

    def complete() -> bool:
        job.refresh()
        return bool(job.raw["status"].get("succeeded"))

    wait_for("the Job to be complete", complete, 60, lambda: job.raw["status"])
    assert not job.raw["status"].get("failed")


@pytest.mark.limit(60)
def test_a_script_finds_its_service_account_where_every_pod_has_it(place: Place) -> None:
    place.create(ConfigMap, "scripts", data={"who_am_i.py": WHO_AM_I})
    pod = place.pod(
        "account",
        {
            "command": ["python", "/scripts/who_am_i.py"],
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "volumeMounts": [{"name": "scripts", "mountPath": "/scripts"}],
        },
        restartPolicy="Never",
        volumes=[{"name": "scripts", "configMap": {"name": "scripts"}}],
    )
    wait_phase(pod, "Succeeded")


@pytest.mark.limit(90)
def test_a_pod_ends_with_its_node(place: Place) -> None:
    name = f"{place.namespace}-lost"
    size = {"cpu": "4", "memory": "4Gi", "pods": "10"}
    node = Node(
        {
            "metadata": {"name": name, "annotations": FAKE},
            "spec": {"taints": [{"key": name, "effect": "NoSchedule"}]},
            "status": {"capacity": size, "allocatable": size},
        },
        api=place.api,
    )
    node.create()
    try:
        pod = place.pod(
            "lost",
            {"command": ["sleep", "1000"]},
            nodeName=name,
            tolerations=[{"operator": "Exists"}],
        )
        wait_ready(pod)
        node.patch({"metadata": {"annotations": dict.fromkeys(FAKE)}})
        wait_for("its programs to end", lambda: place.seen(pod) is None, 5)
        node.patch({"metadata": {"annotations": FAKE}})
        wait_for("a restart", lambda: container(pod)["restartCount"] == 1, START_SECONDS)
        wait_ready(pod)
    finally:
        node.delete()


@pytest.mark.alone
@pytest.mark.limit(90)
def test_a_pod_survives_a_restart_of_the_runner(place: Place, parts: Parts) -> None:
    pod = serving(place)
    wait_ready(pod)
    before = status(pod)
    parts.restart("node-runner")
    wait_for("a restart", lambda: container(pod)["restartCount"] == 1, START_SECONDS)
    wait_ready(pod)
    assert status(pod)["podIP"] == before["podIP"]
    assert status(pod)["startTime"] == before["startTime"]
    wait_for("its endpoint", lambda: (place.service("site") or {}).get("endpoints"), 5)
