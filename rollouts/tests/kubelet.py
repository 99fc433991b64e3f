"""Runs the Jobs of an analysis as processes, with what their manifests say and nothing else."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from canary_gate import Phase

COMMAND = Path(sys.executable).with_name("inference-server")
PATIENCE = 60
Manifest = dict[str, Any]


@dataclass(frozen=True)
class Ended:
    """A Job whose pod has ended: Complete, or Failed at once without a second try."""

    exit_status: int
    log: str

    def state(self) -> tuple[Phase, str]:
        """What the controller reads from the Job's conditions."""
        return (Phase.SUCCESSFUL if self.exit_status == 0 else Phase.FAILED), ""

    def stop(self) -> None:
        """Nothing runs any more."""


@dataclass
class Kubelet:
    """The cluster of the tests: ConfigMaps, Secrets, and the address behind each Service."""

    folder: Path
    config_maps: Mapping[str, Mapping[str, str]]
    secrets: Mapping[str, Mapping[str, str]]
    services: Mapping[str, str]
    ended: dict[str, Ended] = field(default_factory=dict)

    def start(self, metric: str, manifest: Mapping[str, Any]) -> Ended:
        """Run the init containers, then the one container; the Job has ended when this returns."""
        pod = manifest["spec"]["template"]["spec"]
        volumes = {volume["name"]: self._volume(metric, volume) for volume in pod["volumes"]}
        log = ""
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            ran = subprocess.run(
                [COMMAND, *container["args"]],
                env=self._environment(container, volumes),
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
            log += ran.stdout + ran.stderr
            if ran.returncode != 0:
                break
        self.ended[metric] = Ended(ran.returncode, log)
        return self.ended[metric]

    def _volume(self, metric: str, volume: Manifest) -> Path:
        folder: Path = self.folder / metric / volume["name"]
        folder.mkdir(parents=True)
        if "secret" in volume:
            name = volume["secret"]["secretName"]
            if volume["secret"].get("optional") and name not in self.secrets:
                return folder
            content = self.secrets[name]
            for item in volume["secret"]["items"]:
                (folder / item["path"]).write_text(content[item["key"]])
        else:
            assert "sizeLimit" in volume["emptyDir"], volume
        return folder

    def _environment(self, container: Manifest, volumes: Mapping[str, Path]) -> dict[str, str]:
        """Its variables, with paths and Services as they are called on this machine."""
        found: dict[str, str] = {}
        for source in container["envFrom"]:
            found |= self.config_maps[source["configMapRef"]["name"]]
        found |= {each["name"]: each["value"] for each in container["env"]}
        mounts = {each["mountPath"]: volumes[each["name"]] for each in container["volumeMounts"]}
        found = {name: self._called_here(value, mounts) for name, value in found.items()}
        return {"PATH": os.environ["PATH"]} | found

    def _called_here(self, value: str, mounts: Mapping[str, Path]) -> str:
        for inside, here in mounts.items():
            if Path(value).is_relative_to(inside):
                return str(here / Path(value).relative_to(inside))
        return self.services.get(value, value)
