"""Every metric and label that a query uses is exported by the service or by a named exporter."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import promql_parser
import pytest
from inference_server.observability.metrics import Metrics
from prometheus_client.parser import text_string_to_metric_families

from rollouts.cases import TARGET, analysis, prometheus_templates, read_document

TEMPLATES = prometheus_templates()
#: Labels of every series that is scraped from a pod of the service.
SCRAPED = {"namespace", "pod", "container", "rollouts_pod_template_hash"}
VERSIONS = {TARGET["canary-hash"], TARGET["stable-hash"]}
#: The exporters that Prometheus scrapes here beside the service, and what it writes itself.
EXPORTERS = ("kube-state-metrics", "prometheus")


def nodes(template: str) -> Iterator[Any]:
    """The nodes of a template's queries."""
    found: list[Any] = []

    def visit(node: Any) -> bool:
        found.append(node)
        return True

    for metric in analysis(read_document(template)).metrics:
        promql_parser.walk(promql_parser.parse(metric.query), visit)
    yield from found


def selectors(template: str) -> list[Any]:
    """The vector selectors of a template's queries."""
    return [node for node in nodes(template) if isinstance(node, promql_parser.VectorSelector)]


@cache
def service() -> dict[str, list[dict[str, str]]]:
    """Labels of the series, by name, of a service that has models and answered no request."""
    metrics = Metrics()
    metrics.announce("breast-cancer", 1)
    metrics.model("breast-cancer", 1, ("benign", "malignant"))
    metrics.loaded("breast-cancer", 1, "model-sha256", "sklearn")
    metrics.loaded("breast-cancer", 2, "another hash", "sklearn")
    metrics.runs_on("breast-cancer", 1, "CPUExecutionProvider", gpu_required=True)
    found: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


@cache
def exported() -> dict[str, Mapping[str, Any]]:
    """What is known of the series of the named exporters, by name."""
    folder = files("gitops_policy.prometheus") / "exporters"
    contents = [json.loads((folder / f"{name}.json").read_text()) for name in EXPORTERS]
    return {name: metric for content in contents for name, metric in content["metrics"].items()}


def labels_of(name: str) -> set[str]:
    """Labels that the series of this name have in Prometheus; raises KeyError for an unknown one.

    kube-state-metrics writes namespace and pod itself, since it speaks of other pods.
    """
    if name in service():
        return SCRAPED.union(*service()[name])
    labels = exported()[name]["labels"]
    return SCRAPED if labels is None else set(labels)


def matches(matcher: Any, value: str) -> bool:
    negative, regular = "Not" in str(matcher.op), "Re" in str(matcher.op)
    hit = re.fullmatch(matcher.value, value) if regular else matcher.value == value
    return bool(hit) != negative


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_label_of_a_selector_is_one_of_its_metric(template: str) -> None:
    assert selectors(template)
    for selector in selectors(template):
        asked = {matcher.name for matcher in selector.matchers.matchers}
        assert asked <= labels_of(selector.name), selector.name


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_selector_finds_a_series_of_the_service_before_the_first_request(
    template: str,
) -> None:
    for selector in selectors(template):
        matchers = [m for m in selector.matchers.matchers if m.name not in SCRAPED]
        assert selector.name in exported() or any(
            all(matches(m, labels[m.name]) for m in matchers) for labels in service()[selector.name]
        ), f"{selector.name} with {[(m.name, m.value) for m in matchers]}"


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_selector_is_bound_to_namespace_and_version(template: str) -> None:
    for selector in selectors(template):
        bound = {(m.name, str(m.op)): m.value for m in selector.matchers.matchers}
        assert bound["namespace", "MatchOp.Equal"] == "test"
        if "rollouts_pod_template_hash" in labels_of(selector.name):
            (version,) = (m for m in selector.matchers.matchers if m.name.endswith("_hash"))
            assert "Not" not in str(version.op)
            assert set(version.value.split("|")) <= VERSIONS
        else:
            assert bound["pod", "MatchOp.Re"] in {f".*-{version}-.*" for version in VERSIONS}


@pytest.mark.parametrize("template", TEMPLATES)
def test_requests_are_counted_without_probes(template: str) -> None:
    for selector in selectors(template):
        if "endpoint" in labels_of(selector.name):
            matchers = {(m.name, m.value) for m in selector.matchers.matchers}
            assert ("endpoint", "infer|predict") in matchers


def grouping(node: Any) -> set[str]:
    """Labels that an aggregation or a join names."""
    modifier = getattr(node, "modifier", None)
    if isinstance(node, promql_parser.BinaryExpr):
        modifier = modifier and modifier.matching
    return set(modifier.labels) if modifier else set()


def made(node: Any) -> set[str]:
    """Labels that label_replace() writes in this call."""
    named = isinstance(node, promql_parser.Call) and node.func.name == "label_replace"
    return {node.args[1].val} if named else set()


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_label_that_is_grouped_by_is_one_of_the_metrics(template: str) -> None:
    known = set().union(*(labels_of(selector.name) for selector in selectors(template)))
    known |= set().union(*map(made, nodes(template)))
    assert set().union(*map(grouping, nodes(template))) <= known
