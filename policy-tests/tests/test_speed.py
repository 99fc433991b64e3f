"""Speed without a clock: what a start imports, and how the work grows with the objects."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from gitops_policy import Config, Document, Workspace
from gitops_policy.engine import Evaluation, Outcome
from gitops_policy.reading.build import Build, build_kustomization
from gitops_policy.registry import rules

ROOT = Path(__file__).parents[2]
FEW, MANY = 2, 6
# What a rule may cost at MANY copies, as a multiple of its cost at FEW: 3 is linear, 9 quadratic.
MOST = MANY / FEW * 1.25

# Libraries that a start must not pay for: they are for one rule, one format or one subcommand.
SLOW = {
    "promql_parser", "kubernetes_validate", "importlib.metadata", "importlib.resources",
    "multiprocessing", "concurrent.futures", "subprocess", "shutil", "tempfile", "logging",
    "hashlib", "difflib", "zoneinfo", "email", "xml", "http", "asyncio", "unittest",
}  # fmt: skip


def imported(statement: str) -> set[str]:
    code = f"{statement}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys\nsys.path[:0] = {sys.path!r}\n{code}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(json.loads(done.stdout))


def test_an_import_of_the_library_imports_nothing_slow() -> None:
    assert imported("import gitops_policy") & SLOW == set()


def test_the_rules_import_nothing_slow() -> None:
    found = imported("from gitops_policy.registry import rules; rules()")
    assert found & (SLOW - {"difflib"}) == set()


def copies(build: Build, number: int, *, own_namespace: bool) -> Build:
    """The build's objects again and again: in namespaces of their own, or under other names."""
    documents = [document.content for document in build.documents]
    rename = _moved if own_namespace else _renamed
    many = [content for i in range(number) for content in rename(documents, build.namespace, i)]
    return Build(tuple(map(Document, many)), build.name, build.path, build.tree, build.namespace)


def _moved(documents: list[Any], namespace: str, copy: int) -> Any:
    return json.loads(json.dumps(documents).replace(namespace, f"{namespace}-{copy}"))


def _renamed(documents: list[Any], namespace: str, copy: int) -> Any:
    """Objects with other names and labels; what means the whole namespace exists once."""
    own = [d for d in documents if not _means_all(d)]
    names = {d["metadata"]["name"] for d in own}

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: renamed(item) for key, item in value.items()}
        if isinstance(value, list):
            return [renamed(item) for item in value]
        own_name = isinstance(value, str) and any(
            value == name or value.startswith(f"{name}-") for name in names
        )
        return f"{value}-{copy}" if own_name else value

    return renamed(own) + ([] if copy else [d for d in documents if _means_all(d)])


def _means_all(document: Any) -> bool:
    kind = document["kind"]
    everyone = kind == "NetworkPolicy" and not document["spec"]["podSelector"]
    return everyone or kind in ("Namespace", "ResourceQuota", "LimitRange", "PrometheusRule")


class Steps:
    """Counts the lines that run: each turn of a loop or of a comprehension is one."""

    def __init__(self) -> None:
        self.number = 0

    @contextmanager
    def counting(self) -> Iterator[None]:
        before = sys.gettrace()
        sys.settrace(self._call)
        try:
            yield
        finally:
            sys.settrace(before)

    def _call(self, frame: FrameType, event: str, arg: Any) -> Any:
        self.number += 1
        return self._line

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:
        self.number += 1
        return self._line


class Counted(Evaluation):
    """An evaluation that counts the steps of each rule."""

    spent: Counter[str]

    def _call(self, position: int, subjects: Iterable[Any], outcome: Outcome) -> None:
        steps = Steps()
        with steps.counting():
            super()._call(position, subjects, outcome)
        self.spent[self.rules[position].id] += steps.number


def cost(build: Build) -> Counter[str]:
    """How many steps each rule takes on a build."""
    every = tuple(rule.id for rule in rules())
    evaluation = Counted(build, Config(only=every), Workspace(ROOT))
    evaluation.spent = Counter()
    for part in evaluation.parts():
        evaluation.run(part)
    return evaluation.spent


@pytest.mark.parametrize("own_namespace", [True, False], ids=["namespaces", "names"])
def test_each_rule_takes_steps_in_proportion_to_the_objects(own_namespace: bool) -> None:
    build = build_kustomization(ROOT / "overlays" / "production" / "inference")
    cost(copies(build, 1, own_namespace=own_namespace))  # what is remembered between runs
    few = cost(copies(build, FEW, own_namespace=own_namespace))
    many = cost(copies(build, MANY, own_namespace=own_namespace))
    assert len(few) >= len([rule for rule in rules() if rule.kinds != "exemptions"])
    steep = {
        rule: f"{few[rule]} steps for {FEW} copies, {many[rule]} for {MANY}"
        for rule in many
        if many[rule] > MOST * few[rule] + 200
    }
    assert steep == {}
