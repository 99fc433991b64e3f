"""`metrics/inference-server.yaml` says what the inference server exports; this holds it to that.

After a change of the server's metrics, write the file again:
`python policy-tests/tests/test_inference_metrics.py > policy-tests/metrics/inference-server.yaml`
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import yaml
from inference_server.observability.metrics import Metrics
from prometheus_client.parser import text_string_to_metric_families

FILE = Path(__file__).parents[1] / "metrics" / "inference-server.yaml"
# Those of the process and of Python come with every client library; several workers export neither
# them nor the times of creation.
COMMON = ("process_", "python_")
ALONE = "_created"
HEAD = """\
# Written by policy-tests/tests/test_inference_metrics.py. Values are those that exist before the
# first request; a label without a list of values can have any.
exporter: inference-server
source: service/src/inference_server/observability/metrics.py
"""


def _with_models(*models: tuple[str, int, str]) -> str:
    """What a server renders that knows these models and has not answered a request."""
    metrics = Metrics()
    for name, version, word in models:
        metrics.announce(name, version)
        metrics.model(name, version, (word,))
        metrics.queue(name)
        metrics.loaded(name, version, word, word)
        metrics.runs_on(name, version, word, gpu_required=False)
        metrics.runs_on(name, version, word, gpu_required=True)
    return metrics.render().decode()


def _values(text: str) -> dict[str, dict[str, set[str]]]:
    found: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = found.setdefault(name, {})
        for sample in family.samples:
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return found


def exported() -> dict[str, Any]:
    """The metrics with type, labels and edges; a label that varies with the model is open."""
    text = _with_models(("a", 1, "x"))
    one, other = _values(text), _values(_with_models(("b", 2, "y")))
    types = {f.name: f.type for f in text_string_to_metric_families(text)}
    made: dict[str, Any] = {}
    for name, labels in one.items():
        kind = types.get(name) or types[name.removesuffix("_total")]
        entry: dict[str, Any] = {"type": kind, "labels": {}}
        for label, values in sorted(labels.items()):
            if label == "le":
                entry["edges"] = sorted(float(v) for v in values if v != "+Inf")
            elif label != "quantile":
                entry["labels"][label] = sorted(values) if values == other[name][label] else None
        if not name.startswith(COMMON) and not name.endswith(ALONE):
            made[name] = entry
    return made


def written() -> str:
    return HEAD + yaml.safe_dump({"metrics": exported()}, width=100, default_flow_style=None)


def test_the_file_says_what_the_registry_of_the_server_holds() -> None:
    assert FILE.read_text() == written(), f"write {FILE.name} again, as the docstring says"


def test_labels_of_a_model_are_open_and_those_of_requests_are_not() -> None:
    metrics = yaml.safe_load(FILE.read_text())["metrics"]
    assert metrics["http_requests_total"]["labels"]["endpoint"]
    assert "500" in metrics["http_requests_total"]["labels"]["status"]
    assert metrics["model_info"]["labels"]["sha256"] is None
    assert metrics["http_request_duration_seconds"]["edges"][6] == 0.5


def test_a_running_server_exports_what_the_file_says(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = Path(sys.executable).with_name("inference-server")
    server = subprocess.Popen(
        [command, f"--model-repository={tmp_path}", "--host=127.0.0.1", f"--port={port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        answer = _answer(f"http://127.0.0.1:{port}/metrics", server)
    finally:
        server.terminate()
        server.wait(30)
    known = yaml.safe_load(FILE.read_text())["metrics"]
    values = {n: v for n, v in _values(answer).items() if not n.startswith(COMMON)}
    values = {name: labels for name, labels in values.items() if not name.endswith(ALONE)}
    assert set(values) <= set(known)
    assert {name for name in known if name.startswith("http_")} <= set(values)
    for name, labels in values.items():
        for label, seen in labels.items():
            listed = known[name]["labels"].get(label)
            assert label == "le" or listed is None or seen <= set(listed), (name, label, seen)


def _answer(url: str, server: subprocess.Popen[bytes]) -> str:
    for _ in range(300):
        assert server.poll() is None, "the server ended"
        try:
            return httpx.get(url).raise_for_status().text
        except httpx.HTTPError:
            time.sleep(0.1)
    raise AssertionError(f"no answer from {url}")


if __name__ == "__main__":
    sys.stdout.write(written())
