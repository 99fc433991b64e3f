"""Every metric and label that a query uses is exported by the inference service."""

import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from canary_gate import Analysis, load_templates
from inference_server.metrics import Metrics
from prometheus_client.parser import text_string_to_metric_families

TEMPLATES = sorted((Path(__file__).resolve().parents[1] / "templates").glob("*/template.yaml"))
TARGET = {"namespace": "test", "canary-hash": "canary", "stable-hash": "stable"}
#: Labels that the scrape adds, not the service.
SCRAPED = {"namespace", "rollouts_pod_template_hash"}


def selectors(path: Path) -> list[Any]:
    """The vector selectors of a template's queries."""
    found: list[Any] = []

    def visit(node: Any) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        return True

    document = yaml.safe_load(path.read_text())
    for metric in Analysis(load_templates([document]).values(), TARGET).metrics:
        promql_parser.walk(promql_parser.parse(metric.query), visit)
    return found


def exported() -> list[tuple[str, dict[str, str]]]:
    """Samples of a service that has a model and has not answered a request."""
    metrics = Metrics()
    metrics.model("breast-cancer", 1, ("benign", "malignant"))
    families = text_string_to_metric_families(metrics.render().decode())
    return [(sample.name, sample.labels) for family in families for sample in family.samples]


def matches(matcher: Any, value: str) -> bool:
    negative, regular = "Not" in str(matcher.op), "Re" in str(matcher.op)
    hit = re.fullmatch(matcher.value, value) if regular else matcher.value == value
    return bool(hit) != negative


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.parent.name)
def test_every_selector_finds_a_series_before_the_first_request(path: Path) -> None:
    found = selectors(path)
    samples = exported()
    assert found
    for selector in found:
        matchers = [m for m in selector.matchers.matchers if m.name not in SCRAPED]
        assert any(
            name == selector.name
            and all(m.name in labels and matches(m, labels[m.name]) for m in matchers)
            for name, labels in samples
        ), f"{path}: {selector.name} with {[(m.name, m.value) for m in matchers]}"


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.parent.name)
def test_every_selector_is_bound_to_namespace_and_version(path: Path) -> None:
    for selector in selectors(path):
        exact = (m for m in selector.matchers.matchers if str(m.op) == "MatchOp.Equal")
        bound = {m.name: m.value for m in exact}
        assert bound["namespace"] == "test"
        assert bound["rollouts_pod_template_hash"] in ("canary", "stable")


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.parent.name)
def test_requests_are_counted_without_probes(path: Path) -> None:
    for selector in selectors(path):
        if selector.name.startswith("http_"):
            matchers = {(m.name, m.value) for m in selector.matchers.matchers}
            assert ("endpoint", "infer|predict") in matchers
