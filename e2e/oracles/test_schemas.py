"""The suite takes of every kind that we ship what the API server takes, and refuses the rest.

Variants of our own objects, one change each, are created as a strict dry run; the suite judges them
by the rules that speak for the API server (schema_verdicts.RULES).

How it is counted. Every variant counts, whatever the API server's reason is: its decoder, the
schema of a CRD and its rules, or hand-written validation of built-in kinds (label syntax, ranges,
order of amounts); nothing is left out as being beyond a schema. Argo's kinds keep pod templates
that no API server looks into until a controller makes pods of them, so its verdict on such an
object is that on the object and on each of its templates, sent as a PodTemplate. What stays
different is listed in build/e2e/schema-disagreements.md, by kind and field, with the side that
accepts.
"""

from __future__ import annotations

import json
import multiprocessing
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from time import monotonic
from typing import Any

import pytest
from gitops_policy.apis.catalogue import built_in, custom
from gitops_policy.model import Resource
from gitops_policy.pods import pods

from e2e.oracles.api_server import Answer, ApiServer, Question
from e2e.oracles.figures import Figures
from e2e.oracles.rendered import ROOT, folders, objects
from e2e.oracles.schema_variants import Schemas, Variant, chosen, variants
from e2e.oracles.schema_verdicts import broken_rules

Manifest = dict[str, Any]

VERSION = "1.36"
SEED = 20_261_122
OF_A_KIND = 150
OBJECTS_OF_A_KIND = 4
SHARE = 0.99
FEWEST = 4_000
CHUNK = 100
PROCESSES = 2
TABLE = ROOT / "build" / "e2e" / "schema-disagreements.md"


@dataclass(frozen=True)
class Judged:
    """A variant, whether the API server accepts it, why not, and the rules of ours it breaks."""

    variant: Variant
    accepted: bool
    message: str
    rules: frozenset[str]

    @property
    def agreed(self) -> bool:
        """Whether both sides say the same."""
        return self.accepted is not bool(self.rules)


def shipped() -> dict[str, list[Manifest]]:
    """Return the objects that we ship by kind: the largest, and others by chance."""
    by_kind: dict[str, list[Manifest]] = defaultdict(list)
    for folder in folders():
        for manifest in objects(folder):
            by_kind[manifest["kind"]].append(manifest)
    found = {}
    for kind, manifests in sorted(by_kind.items()):
        largest, *others = sorted(manifests, key=lambda m: -len(json.dumps(m)))
        random = Random(f"{SEED} {kind}")
        found[kind] = [largest, *random.sample(others, min(len(others), OBJECTS_OF_A_KIND - 1))]
    return found


def drawn(server: ApiServer, namespace: str) -> list[Variant]:
    """Return the variants of every kind, of objects in our namespace with names of our own."""
    schemas = Schemas(built_in(VERSION), custom(ROOT / ".tools" / "schemas"))
    found = []
    for kind, manifests in shipped().items():
        random = Random(f"{SEED} {kind}")
        own = [_own(manifest, server, namespace) for manifest in manifests]
        of_kind = (variant for manifest in own for variant in variants(manifest, schemas, random))
        found += chosen(of_kind, OF_A_KIND, random)
    return found


def _own(manifest: Manifest, server: ApiServer, namespace: str) -> Manifest:
    own: Manifest = json.loads(json.dumps(manifest))
    own["metadata"]["name"] = f"oracle-{own['metadata']['name']}"
    if server.namespaced(own):
        own["metadata"]["namespace"] = namespace
    return own


def templates(server: ApiServer, variant: Variant, namespace: str) -> list[Question]:
    """Return the questions about the pod templates of a custom kind."""
    if not variant.original["apiVersion"].startswith("argoproj.io/"):
        return []
    wrapped = {
        "apiVersion": "v1",
        "kind": "PodTemplate",
        "metadata": {"name": "oracle", "namespace": namespace},
    }
    resource = Resource(variant.manifest, namespace)
    return [server.create({**wrapped, "template": pod.template}) for pod in pods(resource)]


def _refusal(answers: Sequence[Answer]) -> str | None:
    return next((answer.message for answer in answers if not answer.accepted), None)


@pytest.fixture(scope="module")
def namespace(api_server: ApiServer) -> Iterator[str]:
    with api_server.namespace("schemas") as name:
        yield name


@pytest.fixture(scope="module")
def judged(api_server: ApiServer, namespace: str, figures: Figures) -> list[Judged]:
    started = monotonic()
    found = drawn(api_server, namespace)
    with _asked_ours(found) as ours:
        questions = [api_server.create(variant.manifest, variant.original) for variant in found]
        answers = [[answer] for answer in api_server.ask_all(questions)]
        inner = [(i, q) for i, v in enumerate(found) for q in templates(api_server, v, namespace)]
        for (i, _), answer in zip(
            inner, api_server.ask_all([question for _, question in inner]), strict=True
        ):
            answers[i].append(answer)
        rules = ours()
    result = [
        Judged(variant, _refusal(said) is None, _refusal(said) or "", frozenset(broken))
        for variant, said, broken in zip(found, answers, rules, strict=True)
    ]
    agreed = sum(case.agreed for case in result)
    figures.add("schema", len(result), agreed, monotonic() - started)
    accepted = sum(case.accepted for case in result)
    figures.say(f"schema: {accepted} of {len(result)} variants accepted by the API server")
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(table(result))
    return result


@contextmanager
def _asked_ours(found: Sequence[Variant]) -> Iterator[Any]:
    """Let other processes judge the variants while the API server does."""
    manifests = [variant.manifest for variant in found]
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as workers:
        chunks = [
            workers.submit(broken_rules, manifests[i : i + CHUNK], VERSION)
            for i in range(0, len(manifests), CHUNK)
        ]
        yield lambda: [rules for chunk in chunks for rules in chunk.result()]


def table(judged: Sequence[Judged]) -> str:
    """Return every disagreement as a Markdown table."""
    rows = sorted(
        f"| {case.variant.kind} | {case.variant.field} | {case.variant.change} "
        f"| {'API server' if case.accepted else 'suite'} | {_why(case)} |"
        for case in judged
        if not case.agreed
    )
    head = (
        "| Kind | Field | Change | Accepted by | The other says |\n| --- | --- | --- | --- | --- |"
    )
    return "\n".join([head, *rows]) + "\n"


def _why(case: Judged) -> str:
    said = ", ".join(sorted(case.rules)) if case.accepted else case.message
    return said.rpartition(" is invalid: ")[2].replace("\n", " ").replace("|", "\\|")[:160]


def test_objects_as_they_are_are_accepted_by_both(api_server: ApiServer, namespace: str) -> None:
    own = [_own(m, api_server, namespace) for ms in shipped().values() for m in ms]
    answers = api_server.ask_all([api_server.create(manifest) for manifest in own])
    refused = [
        f"{m['kind']} {m['metadata']['name']}: {answer.message or rules}"
        for m, answer, rules in zip(own, answers, broken_rules(own, VERSION), strict=True)
        if not answer.accepted or rules
    ]
    assert not refused, "\n".join(refused)


def test_the_suite_and_the_api_server_agree_on_variants(judged: list[Judged]) -> None:
    agreed = sum(case.agreed for case in judged)
    assert agreed >= SHARE * len(judged), (
        f"{agreed} of {len(judged)} agree; the others:\n{table(judged)}"
    )


def test_no_kind_is_far_from_agreement(judged: list[Judged]) -> None:
    cases = Counter(case.variant.kind for case in judged)
    wrong = Counter(case.variant.kind for case in judged if not case.agreed)
    far = {
        kind: f"{wrong[kind]} of {cases[kind]}" for kind in cases if wrong[kind] > cases[kind] / 10
    }
    assert not far, f"{far}\n{table(judged)}"


def test_variants_are_many_and_of_both_sorts_for_every_kind(judged: list[Judged]) -> None:
    assert len(judged) >= FEWEST
    for kind in shipped():
        verdicts = Counter(case.accepted for case in judged if case.variant.kind == kind)
        assert min(verdicts[True], verdicts[False]) >= 10, f"{kind}: {verdicts}"


@pytest.mark.parametrize("change", ["dropped", "null", "unknown field", "in a list", "'a b'"])
def test_a_sort_of_change_is_refused_and_not_only_tried(judged: list[Judged], change: str) -> None:
    """The generator has not lost what it is there for."""
    of_sort = [case for case in judged if case.variant.change == change]
    assert len(of_sort) >= 20
    assert any(not case.accepted for case in of_sort)
