"""A container's command line and environment are those that Kubernetes would give it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from release_play.pods import Node, PodError, pod_template_hash, start_pod
from release_play.processes import ProcessGroup
from release_play.release import find_rollout

CONFIG: dict[str, Any] = {
    "kind": "ConfigMap",
    "metadata": {"name": "model-release-abc", "namespace": "ns"},
    "data": {"MODEL_NAME": "m", "GREETING": "hello"},
}


def rollout(**container: Any) -> dict[str, Any]:
    """A Rollout whose init container prints; its server is never reached."""
    init = {
        "name": "say",
        "command": ["python"],
        "envFrom": [{"configMapRef": {"name": "model-release-abc"}}],
        "volumeMounts": [{"name": "models", "mountPath": "/models"}],
        **container,
    }
    spec = {
        "volumes": [{"name": "models", "emptyDir": {}}],
        "initContainers": [init],
        "containers": [{"name": "server"}],
    }
    return {"metadata": {"name": "r", "namespace": "ns"}, "spec": {"template": {"spec": spec}}}


def output(tmp_path: Path, document: dict[str, Any], node: Node | None = None) -> str:
    """What the init container printed before it ended with status 9, so nothing more started."""
    logs = tmp_path / "logs"
    with ProcessGroup(logs) as group, pytest.raises(Exception, match="ended with status 9"):
        start_pod(group, tmp_path, "p", document, [CONFIG], node or Node({}, {}))
    return (logs / "p.say.log").read_text()


def script(expression: str) -> list[str]:
    return ["-c", f"import os, sys; print({expression}); sys.exit(9)", "$(GREETING)", "$(NO)"]


def test_values_come_from_the_config_map_and_the_containers_own_env(tmp_path: Path) -> None:
    env = [
        {"name": "OWN", "value": "$(GREETING) world"},
        {
            "name": "KEY",
            "valueFrom": {"configMapKeyRef": {"name": "model-release-abc", "key": "MODEL_NAME"}},
        },
    ]
    document = rollout(args=script("os.environ['OWN'], os.environ['KEY'], sys.argv[1:]"), env=env)
    assert output(tmp_path, document) == "hello world m ['hello', '$(NO)']\n"


def test_mount_paths_lead_into_the_pods_own_folder(tmp_path: Path) -> None:
    env = [{"name": "MODEL_REPOSITORY", "value": "/models"}, {"name": "OTHER", "value": "/modelsx"}]
    document = rollout(args=script("os.environ['MODEL_REPOSITORY'], os.environ['OTHER']"), env=env)
    assert output(tmp_path, document) == f"{tmp_path}/p/models /modelsx\n"


def test_the_nodes_addresses_replace_the_clusters(tmp_path: Path) -> None:
    document = rollout(
        args=script("os.environ['URI']"), env=[{"name": "URI", "value": "http://mlflow.svc"}]
    )
    node = Node({"URI": "http://127.0.0.1:1"}, {})
    assert output(tmp_path, document, node) == "http://127.0.0.1:1\n"


def test_a_secret_is_a_folder_of_files(tmp_path: Path) -> None:
    document = rollout(args=script("open(os.environ['KEYS'] + '/client').read()"))
    spec = document["spec"]["template"]["spec"]
    spec["volumes"].append({"name": "keys", "secret": {"secretName": "api-keys"}})
    spec["initContainers"][0]["volumeMounts"].append({"name": "keys", "mountPath": "/keys"})
    spec["initContainers"][0]["env"] = [{"name": "KEYS", "value": "/keys"}]
    assert output(tmp_path, document, Node({}, {"api-keys": {"client": "abc"}})) == "abc\n"


def test_an_optional_secret_that_there_is_not_is_an_empty_folder(tmp_path: Path) -> None:
    document = rollout(args=script("os.listdir(os.environ['KEYS'])"))
    spec = document["spec"]["template"]["spec"]
    secret = {"secretName": "api-keys", "optional": True}
    spec["volumes"].append({"name": "keys", "secret": secret})
    spec["initContainers"][0]["volumeMounts"].append({"name": "keys", "mountPath": "/keys"})
    spec["initContainers"][0]["env"] = [{"name": "KEYS", "value": "/keys"}]
    assert output(tmp_path, document, Node({}, {})) == "[]\n"


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ({"name": "x", "secret": {"secretName": "unknown"}}, "Secret unknown"),
        ({"name": "x", "hostPath": {"path": "/"}}, "neither emptyDir nor secret"),
    ],
)
def test_what_this_machine_cannot_give_is_refused(
    tmp_path: Path, volume: dict[str, Any], message: str
) -> None:
    document = rollout()
    document["spec"]["template"]["spec"]["volumes"].append(volume)
    with ProcessGroup(tmp_path / "logs") as group, pytest.raises(PodError, match=message):
        start_pod(group, tmp_path, "p", document, [CONFIG], Node({}, {}))


def test_a_config_map_that_is_not_rendered_is_named(tmp_path: Path) -> None:
    document = rollout(envFrom=[{"configMapRef": {"name": "elsewhere"}}])
    with ProcessGroup(tmp_path / "logs") as group, pytest.raises(PodError, match="ns/elsewhere"):
        start_pod(group, tmp_path, "p", document, [CONFIG], Node({}, {}))


def test_an_environment_from_a_secret_is_refused(tmp_path: Path) -> None:
    document = rollout(envFrom=[{"secretRef": {"name": "s"}}])
    with ProcessGroup(tmp_path / "logs") as group, pytest.raises(PodError, match="envFrom"):
        start_pod(group, tmp_path, "p", document, [CONFIG], Node({}, {}))


@pytest.mark.parametrize("count", [0, 2])
def test_an_overlay_has_exactly_one_rollout(count: int) -> None:
    documents = [{"kind": "Rollout"}] * count + [CONFIG]
    with pytest.raises(PodError, match=f"renders {count} Rollouts"):
        find_rollout(documents)


def test_the_hash_is_a_function_of_the_template_alone() -> None:
    one, same, other = rollout(), rollout(), rollout(args=["x"])
    same["metadata"]["labels"] = {"a": "b"}
    assert pod_template_hash(one) == pod_template_hash(same) != pod_template_hash(other)
