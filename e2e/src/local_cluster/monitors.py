"""What the Prometheus Operator does: PodMonitors and PrometheusRules become Prometheus's files.

The pods are found by Prometheus itself, as on a cluster: it reads their addresses and labels from
the API server, and the relabelling is the operator's.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import yaml
from gitops_policy.prometheus.scraping import seconds

from local_cluster import objects
from local_cluster.cluster import Cluster, ClusterError

Config = dict[str, Any]
SYNCED = "synced"
_LOG = logging.getLogger("monitors")
_POLL_SECONDS = 1.0
_CHECK_SECONDS = 20.0
_RELOAD_SECONDS = 20.0
_RELABEL_FIELDS = {
    "sourceLabels": "source_labels",
    "targetLabel": "target_label",
    "separator": "separator",
    "regex": "regex",
    "modulus": "modulus",
    "replacement": "replacement",
}

# The API server refuses loopback addresses: the pod that runs at 127.40.1.2 has 10.40.1.2 there.
_PLACE_OF_POD: Config = {
    "source_labels": ["__address__"],
    "regex": r"10\.(.+)",
    "replacement": "127.$1",
    "target_label": "__address__",
}


@dataclass(frozen=True)
class Settings:
    """What the Prometheus object and the addresses of the programs say."""

    global_config: Config
    kubeconfig: Path
    rules: Path
    kube_state_metrics: str
    node_runner: str


def configuration(settings: Settings, pod_monitors: Iterable[objects.Object]) -> Config:
    """The configuration of Prometheus: one job for each endpoint of each PodMonitor, and ours."""
    jobs = [
        _pod_monitor_job(settings, monitor, endpoint, number)
        for monitor in sorted(pod_monitors, key=_identity)
        for number, endpoint in enumerate(monitor["spec"].get("podMetricsEndpoints", []))
    ]
    interval = min(
        (job["scrape_interval"] for job in jobs if "scrape_interval" in job),
        key=_length,
        default=settings.global_config["scrape_interval"],
    )
    # An analysis reads restarts beside requests: both must be as fresh.
    timing = {"scrape_interval": interval, "scrape_timeout": interval, "honor_labels": True}
    own = {
        "evaluation_interval": min(
            interval, settings.global_config["evaluation_interval"], key=_length
        )
    }
    return {
        "global": {**settings.global_config, **own},
        "rule_files": [f"{settings.rules}/*.yaml"],
        "scrape_configs": [
            *jobs,
            {
                "job_name": "serviceMonitor/monitoring/kube-state-metrics/0",
                **timing,
                "static_configs": [_static(settings.kube_state_metrics, "kube-state-metrics")],
            },
            {
                "job_name": "serviceMonitor/monitoring/kubelet/0",
                **timing,
                "metrics_path": "/metrics/cadvisor",
                "static_configs": [_static(settings.node_runner, "kubelet")],
            },
        ],
    }


def _static(address: str, job: str) -> Config:
    return {"targets": [address], "labels": {"job": job}}


def _length(duration: str) -> float:
    return seconds(duration) or 0.0


def _identity(thing: objects.Object) -> tuple[str, str]:
    return thing["metadata"]["namespace"], thing["metadata"]["name"]


def _pod_monitor_job(
    settings: Settings, monitor: objects.Object, endpoint: Config, number: int
) -> Config:
    namespace, name = _identity(monitor)
    optional = {
        "scrape_interval": endpoint.get("interval"),
        "scrape_timeout": endpoint.get("scrapeTimeout"),
        "metrics_path": endpoint.get("path"),
        "params": endpoint.get("params"),
        "scheme": endpoint.get("scheme"),
        "honor_labels": endpoint.get("honorLabels"),
        "metric_relabel_configs": _relabelings(endpoint.get("metricRelabelings", [])) or None,
    }
    return {
        "job_name": f"podMonitor/{namespace}/{name}/{number}",
        "kubernetes_sd_configs": [
            {
                "role": "pod",
                "kubeconfig_file": str(settings.kubeconfig),
                **_watched(monitor["spec"].get("namespaceSelector", {}), namespace),
            }
        ],
        **{key: value for key, value in optional.items() if value is not None},
        "relabel_configs": [*relabel_configs(monitor, endpoint), _PLACE_OF_POD],
    }


def _watched(selector: Config, namespace: str) -> Config:
    if selector.get("any"):
        return {}
    return {"namespaces": {"names": selector.get("matchNames") or [namespace]}}


def relabel_configs(monitor: objects.Object, endpoint: Config) -> list[Config]:
    """The relabelling that the operator generates for an endpoint of a PodMonitor."""
    spec, port = monitor["spec"], endpoint["port"]
    return [
        {"source_labels": ["job"], "target_label": "__tmp_prometheus_job_name"},
        {"action": "drop", "source_labels": [_meta("phase")], "regex": "(Failed|Succeeded)"},
        *(_selected(key, value) for key, value in sorted(_match_labels(monitor).items())),
        {"action": "keep", "source_labels": [_meta("container_port_name")], "regex": port},
        {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
        {"source_labels": [_meta("container_name")], "target_label": "container"},
        {"source_labels": [_meta("name")], "target_label": "pod"},
        *(_copied(label) for label in spec.get("podTargetLabels", [])),
        {"target_label": "job", "replacement": "/".join(_identity(monitor))},
        {"target_label": "endpoint", "replacement": port},
        *_relabelings(endpoint.get("relabelings", [])),
    ]


def _match_labels(monitor: objects.Object) -> dict[str, str]:
    selector = monitor["spec"].get("selector", {})
    if selector.get("matchExpressions"):
        raise ClusterError(
            f"monitors: PodMonitor {'/'.join(_identity(monitor))} selects by matchExpressions, "
            "which this translation does not know; use matchLabels"
        )
    labels: dict[str, str] = selector.get("matchLabels", {})
    return labels


def _meta(name: str) -> str:
    return f"__meta_kubernetes_pod_{name}"


def _sanitized(label: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_]", "_", label)


def _selected(key: str, value: str) -> Config:
    names = [_meta(f"label_{_sanitized(key)}"), _meta(f"labelpresent_{_sanitized(key)}")]
    return {"action": "keep", "source_labels": names, "regex": f"({value});true"}


def _copied(label: str) -> Config:
    return {
        "source_labels": [_meta(f"label_{_sanitized(label)}")],
        "target_label": _sanitized(label),
        "regex": "(.+)",
        "replacement": "${1}",
    }


def _relabelings(given: Iterable[Config]) -> list[Config]:
    """A person's relabelings: the operator's names of fields become Prometheus's."""
    return [
        {
            **({"action": rule["action"].lower()} if "action" in rule else {}),
            **{theirs: rule[ours] for ours, theirs in _RELABEL_FIELDS.items() if ours in rule},
        }
        for rule in given
    ]


def rule_files(rules: Iterable[objects.Object]) -> dict[str, str]:
    """A file for each PrometheusRule, by name."""
    return {
        f"{namespace}-{rule['metadata']['name']}.yaml": yaml.safe_dump(
            {"groups": rule["spec"].get("groups", [])}, sort_keys=False
        )
        for rule in rules
        for namespace in (rule["metadata"]["namespace"],)
    }


class Translator:
    """Writes what changed below `folder`, and has Prometheus read it."""

    def __init__(self, folder: Path, settings: Settings, promtool: Path, prometheus: str):
        self._folder, self._settings = folder, settings
        self._promtool, self._prometheus = promtool, prometheus
        self._written: tuple[str, dict[str, str]] | None = None
        self._judged: dict[str, bool] = {}

    def write(self, monitors: list[objects.Object], rules: list[objects.Object]) -> bool:
        """Write configuration and rule files; whether anything is new."""
        text = yaml.safe_dump(configuration(self._settings, monitors), sort_keys=False)
        files = {name: text for name, text in rule_files(rules).items() if self._valid(name, text)}
        if (text, files) == self._written:
            return False
        self._settings.rules.mkdir(parents=True, exist_ok=True)
        for path in self._settings.rules.glob("*.yaml"):
            if path.name not in files:
                path.unlink()
        for name, content in files.items():
            _replace(self._settings.rules / name, content)
        _replace(self._folder / "prometheus.yaml", text)
        self._written = (text, files)
        return True

    def reload(self) -> None:
        """Have Prometheus read its files; it answers only when it has."""
        answer = httpx.post(
            f"{self._prometheus}/-/reload", timeout=_RELOAD_SECONDS, trust_env=False
        )
        if answer.is_error:
            self._written = None
            raise ClusterError(f"Prometheus does not take its configuration: {answer.text}")

    def _valid(self, name: str, text: str) -> bool:
        """Whether promtool takes a rule file; the operator leaves out an invalid one as well."""
        if text not in self._judged:
            done = subprocess.run(
                [str(self._promtool), "check", "rules", "--lint=none"],
                input=text, capture_output=True, text=True, check=False, timeout=_CHECK_SECONDS,
            )  # fmt: skip
            self._judged[text] = done.returncode == 0
            if done.returncode:
                _LOG.error("%s is left out: %s", name, done.stderr.strip() or done.stdout.strip())
        return self._judged[text]


def _replace(path: Path, text: str) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(text)
    temporary.replace(path)


def settings(cluster: Cluster) -> Settings:
    """Intervals of the Prometheus object that the platform ships, addresses of this cluster."""
    manifest = cluster.root / "apps" / "platform" / "prometheus" / "prometheus.yaml"
    spec = yaml.safe_load(manifest.read_text())["spec"]
    return Settings(
        {
            "scrape_interval": spec["scrapeInterval"],
            "evaluation_interval": spec["evaluationInterval"],
            "external_labels": {"prometheus": "monitoring/prometheus"},
        },
        cluster.kubeconfig,
        cluster.part_folder("prometheus") / "rules",
        cluster.address("kube-state-metrics"),
        cluster.address("node-runner"),
    )


Asked = list[tuple[str, int]]
"""The uid and generation of each object."""


def main() -> int:
    """Translate until the process is ended; the folder and the network come from outside."""
    argparse.ArgumentParser(prog="monitors", description=__doc__).parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    cluster = Cluster.from_environment()
    translator = Translator(
        cluster.part_folder("prometheus"),
        settings(cluster),
        cluster.tools / "promtool",
        cluster.url("prometheus"),
    )
    done: Asked = []
    while True:
        try:
            done = _turn(cluster, translator, done)
        except (ClusterError, httpx.HTTPError, subprocess.SubprocessError) as error:
            _LOG.warning("%s", error)
        time.sleep(_POLL_SECONDS)


def _turn(cluster: Cluster, translator: Translator, done: Asked) -> Asked:
    """Translate what is not done yet; what is done then."""
    monitors = objects.items(cluster, "podmonitors.monitoring.coreos.com")
    rules = objects.items(cluster, "prometheusrules.monitoring.coreos.com")
    # Writing YAML takes longer than asking: most seconds nothing is new.
    asked = [
        (str(each["metadata"]["uid"]), int(each["metadata"]["generation"]))
        for each in (*monitors, *rules)
    ]
    if asked != done and translator.write(monitors, rules):
        translator.reload()
        _LOG.info("%d PodMonitors, %d PrometheusRules", len(monitors), len(rules))
    for prometheus in objects.items(cluster, "prometheuses.monitoring.coreos.com"):
        _report(cluster, prometheus)
    (cluster.part_folder("monitors") / SYNCED).touch()
    return asked


def _report(cluster: Cluster, prometheus: objects.Object) -> None:
    """Write what the operator would: Argo CD waits for this status."""
    conditions = prometheus.get("status", {}).get("conditions", [])
    generation = prometheus["metadata"].get("generation", 1)
    if any(condition.get("observedGeneration") == generation for condition in conditions):
        return
    namespace, name = _identity(prometheus)
    status = operator_status(generation, prometheus["spec"].get("replicas", 1))
    objects.kubectl(
        cluster,
        *("patch", "prometheuses.monitoring.coreos.com", name, "-n", namespace),
        *("--subresource=status", "--type=merge", "-p", json.dumps({"status": status})),
    )


def operator_status(generation: int, replicas: int) -> Config:
    """The status of a Prometheus object whose servers are all there."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "paused": False,
        "replicas": replicas,
        "updatedReplicas": replicas,
        "availableReplicas": replicas,
        "unavailableReplicas": 0,
        "conditions": [
            {
                "type": kind,
                "status": "True",
                "lastTransitionTime": now,
                "observedGeneration": generation,
            }
            for kind in ("Available", "Reconciled")
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
