"""Whatever stands in a manifest: no rule crashes, nothing hangs, and the command says something.

`make test` tries a few examples, the same ones each time; `make fuzz` new ones, FUZZ_TIMES as many.
"""

from __future__ import annotations

import os
import string
from copy import deepcopy
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from gitops_policy import Config, Workspace, cli, lint
from gitops_policy.cases import cases
from gitops_policy.reading.build import SUFFIXES, build_kustomization
from gitops_policy.reading.manifests import ManifestError, read_file
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
TIMES = int(os.environ.get("FUZZ_TIMES", "1"))
SECONDS = 30


def budget(few: int) -> settings:
    """Return the settings of a test: a few fixed examples, or many new ones."""
    return settings(
        max_examples=few * TIMES,
        derandomize=TIMES == 1,
        deadline=timedelta(seconds=SECONDS),
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@cache
def corpus() -> list[dict[str, Any]]:
    """Return every object of our overlays and of the rules' own cases."""
    found = []
    for folder in ("overlays/production/inference", "overlays/dev/inference", "apps", "argocd"):
        found += [document.content for document in build_kustomization(ROOT / folder)]
    for case in cases(ROOT / "policy-tests/cases"):
        if case.path.suffix in SUFFIXES:
            try:
                found += [source.content for source in read_file(case.path)]
            except ManifestError:
                continue
    return [content for content in found if isinstance(content, dict)]


@cache
def vocabulary() -> tuple[list[str], list[str], list[str]]:
    """Return the field names, the strings and the `apiVersion kind` pairs of the corpus."""
    names: set[str] = set()
    texts: set[str] = set()
    pending: list[Any] = list(corpus())
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            names.update(map(str, value))
            pending += value.values()
        elif isinstance(value, list):
            pending += value
        elif isinstance(value, str) and len(value) < 60:
            texts.add(value)
    kinds = {f"{c.get('apiVersion')} {c.get('kind')}" for c in corpus()}
    return sorted(names), sorted(texts), sorted(kinds)


WEIRD: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, -(2**63), 10**30, 10**400, 0.5, -0.0, 1e308),
    *(float("inf"), float("-inf"), float("nan"), "", " ", "0", "-1", "1e999", "100%", "-5%"),
    *("1e9999%", "999999999999999999999999", "٣", "0x10", "1Ei", "1e3000000", "null", "~", "*"),
    *("a/b/c", "/", "//", "..", "../../../etc/passwd", "\0", "\ud800", "\u202e", "é" * 300),
    *("a" * 10_000, "(" * 3000, "[" * 3000, "!" * 500, "{{", "}}", "{{args.", "{{ $labels."),
    *("$(A)", "sum(", 'a{b=~"("}', "a[5m:]", "^(a+)+$", "2026-02-30", "owner=; until=x; reason="),
    *("0.0.0.0/0", "::/0", "999.1.1.1/99", "* * * * *", "@every -1s", "5m", "-5m", "1d1d"),
    *("result[0] <", "len(result", "a.b.c[0]['x']", [], {}, [[]], [{}], [None], [1, "a", None]),
    *({"": {}}, {"a": {"b": {"c": []}}}, {"name": None}, {"name": ["a"]}, [{"name": {}}]),
    *({"matchLabels": 1}, {"matchExpressions": [{"operator": 5}]}),
]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) of every node under a value."""
    found: list[tuple[Any, Any]] = []
    pending = [value]
    while pending:
        parent = pending.pop()
        items = parent.items() if isinstance(parent, dict) else enumerate(parent)
        for key, child in list(items):
            found.append((parent, key))
            if isinstance(child, dict | list):
                pending.append(child)
    return found


def spoil(content: dict[str, Any], draw: Any) -> None:
    """Change one node of an object: replace, remove, repeat, move or garble it."""
    nodes = places(content)
    if not nodes:
        return
    parent, key = nodes[draw(st.integers(0, len(nodes) - 1))]
    how = draw(
        st.sampled_from(["replace", "replace", "remove", "repeat", "move", "garble", "deepen"])
    )
    if how == "remove":
        del parent[key]
    elif how == "repeat" and isinstance(parent, list):
        parent.extend(deepcopy(parent[key]) for _ in range(draw(st.sampled_from([1, 2, 50]))))
    elif how == "move":
        other, place = nodes[draw(st.integers(0, len(nodes) - 1))]
        if place in other if isinstance(other, dict) else place < len(other):
            parent[key] = deepcopy(other[place])
    elif how == "garble" and isinstance(parent[key], str):
        parent[key] = garbled(parent[key], draw)
    elif how == "deepen":
        parent[key] = [parent[key]] if draw(st.booleans()) else {"name": parent[key]}
    else:
        parent[key] = deepcopy(draw(st.sampled_from(WEIRD)))


def garbled(text: str, draw: Any) -> str:
    """Return a text with something cut, put in or doubled."""
    position = draw(st.integers(0, len(text)))
    inserted = draw(
        st.sampled_from([*string.punctuation, "\n", "\0", " ", "9" * 30, "é", "{{", "}}"])
    )
    return draw(
        st.sampled_from(
            [
                text[:position],
                text[position:],
                text[:position] + inserted + text[position:],
                text * 3,
            ]
        )
    )


@cache
def workspace() -> Workspace:
    """Return the repository, whose other folders are rendered once for all examples."""
    return Workspace(ROOT)


def crashes(documents: list[Any], config: Config) -> list[str]:
    report = lint(documents, config, workspace=workspace())
    return [f"{error.rule}: {error.message}" for error in report.errors]


@budget(few=30)
@given(data=st.data())
def test_no_rule_crashes_on_spoilt_manifests(data: st.DataObject) -> None:
    objects = corpus()
    chosen = data.draw(st.lists(st.integers(0, len(objects) - 1), min_size=1, max_size=5))
    documents = [deepcopy(objects[number]) for number in chosen]
    for _ in range(data.draw(st.integers(1, 6))):
        spoil(documents[data.draw(st.integers(0, len(documents) - 1))], data.draw)
    assert crashes(documents, Config(profile="strict")) == []


@budget(few=3)
@given(data=st.data())
def test_no_rule_crashes_on_a_spoilt_overlay(data: st.DataObject) -> None:
    documents = [deepcopy(d.content) for d in build_of("overlays/production/inference")]
    for _ in range(data.draw(st.integers(1, 12))):
        spoil(documents[data.draw(st.integers(0, len(documents) - 1))], data.draw)
    environment = data.draw(st.sampled_from([None, "dev", "production"]))
    assert crashes(documents, Config(profile="strict", environment=environment)) == []


@cache
def build_of(folder: str) -> Any:
    return build_kustomization(ROOT / folder)


scalars = st.one_of(
    st.sampled_from(WEIRD),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.booleans(),
    st.none(),
)


@st.composite
def shaped(draw: Any) -> Any:
    """Draw an object of a known kind whose fields have known names and anything as values."""
    names, texts, kinds = vocabulary()
    name, text = st.sampled_from(names), st.sampled_from(texts)
    values = st.recursive(
        scalars | text,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(name, inner, max_size=5),
        max_leaves=25,
    )
    version, _, kind = draw(st.sampled_from(kinds)).partition(" ")
    content = draw(st.dictionaries(name, values, max_size=4))
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": draw(values),
        "spec": draw(values),
    } | content


@budget(few=20)
@given(st.lists(shaped() | scalars, max_size=4))
def test_no_rule_crashes_on_yaml_shaped_input(documents: list[Any]) -> None:
    assert crashes(documents, Config(profile="strict")) == []


def status_of(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = cli.main(["lint", str(file), "--format", "json"])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert "mistake of its own" not in captured.err
    assert status in (0, 1, 2)
    assert status != 2 or f"{file}" in captured.err or file.name in captured.err


@budget(few=20)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_judged_or_refused(content: bytes, tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "any.yaml"
    file.write_bytes(content)
    status_of(file, capsys)


PIECES = [
    *("apiVersion: v1\n", "kind: Pod\n", "kind: List\n", "items:\n", "metadata:\n", "  name: a\n"),
    *("spec:\n", "  containers:\n", "  - ", "- ", "---\n", "...\n", "&a ", "*a", "<<: ", "!x "),
    *("!!binary ", "? ", ": ", "|\n", ">-\n", "'", '"', "[", "]", "{", "}", ",", "#", "\t", "\n"),
    *(" ", "  ", "\r\n", "é", "\0", "%YAML 1.1\n", "a", "1", "~", "0x", "2026-01-01", "\u2028"),
    *("\x85", "\ufeff", "e", ".inf", "=", "@", "`"),
]


@budget(few=40)
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=40))
def test_any_pieces_of_yaml_are_judged_or_refused(
    pieces: list[str], tmp_path: Path, capsys: Any
) -> None:
    file = tmp_path / "any.yaml"
    file.write_text("".join(pieces), encoding="utf-8", newline="")
    status_of(file, capsys)


@budget(few=10)
@given(data=st.data())
def test_any_change_of_a_files_bytes_is_judged_or_refused(
    data: st.DataObject, tmp_path: Path, capsys: Any
) -> None:
    files = sorted((ROOT / "base").rglob("*.yaml"))
    content = bytearray(files[data.draw(st.integers(0, len(files) - 1))].read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        position = data.draw(st.integers(0, max(0, len(content) - 1)))
        length = data.draw(st.integers(0, 30))
        content[position : position + length] = data.draw(st.binary(max_size=10))
    file = tmp_path / "any.yaml"
    file.write_bytes(content)
    status_of(file, capsys)
