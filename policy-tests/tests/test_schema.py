"""The schema check agrees with kubernetes-validate and knows the structural schemas of CRDs."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import kubernetes_validate.utils
import pytest
from gitops_policy import Config, lint
from gitops_policy.apis.catalogue import built_in
from gitops_policy.apis.schemas import Validator
from gitops_policy.reading.manifests import ManifestError, read_file

CASES = Path(__file__).parents[1] / "cases"


def structural(value: Any, schema: dict[str, Any]) -> list[str]:
    faults = Validator({}, structural=True).faults(value, schema)
    return [f"{'/'.join(map(str, path))} {reason}" for path, reason in faults]


def test_definitions_that_are_parsed_one_by_one_are_those_of_the_whole_file() -> None:
    core = built_in("1.36")
    whole = json.loads((core.folder / "_definitions.json").read_text())["$defs"]
    kinds = [k for d in whole.values() for k in d.get("x-kubernetes-group-version-kind", ())]
    assert dict(core.definitions) == whole
    assert core.groups == {kind["group"] for kind in kinds}


def _documents(path: Path) -> list[Any]:
    try:
        return [source.content for source in read_file(path)]
    except ManifestError:  # such a case is reported where the cases run
        return []


def _core_documents(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """The documents of kinds that Kubernetes itself has, each with its place."""
    core = built_in("1.36")
    return [
        (f"{path.name}:{i}", document)
        for path in sorted(folder.glob("*.yaml"))
        for i, document in enumerate(_documents(path))
        if isinstance(document, dict)
        and core.schema(str(document.get("apiVersion")), str(document.get("kind")))
    ]


@pytest.fixture(scope="module")
def _schemas_are_read_once() -> Iterator[None]:
    """It reads one megabyte of definitions for each document."""
    with pytest.MonkeyPatch.context() as patch:
        read = cache(kubernetes_validate.utils.schema_contents)
        patch.setattr(kubernetes_validate.utils, "schema_contents", read)
        yield


@pytest.mark.usefixtures("_schemas_are_read_once")
@pytest.mark.parametrize("rule", sorted(path.name for path in CASES.iterdir()))
def test_the_verdict_on_a_rule_s_cases_is_that_of_kubernetes_validate(rule: str) -> None:
    ours, theirs = {}, {}
    for place, document in _core_documents(CASES / rule):
        ours[place] = lint([document], Config(only=("schema-valid",))).findings == ()
        try:
            kubernetes_validate.validate(document, "1.36", strict=True)
            theirs[place] = True
        except kubernetes_validate.ValidationError:
            theirs[place] = False
    assert ours == theirs


def test_there_are_verdicts_on_more_than_a_thousand_cases() -> None:
    assert sum(len(_core_documents(folder)) for folder in CASES.iterdir()) > 1_000


OBJECT = {"type": "object"}
TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("value", "schema", "faults"),
    [
        ({"a": 1}, OBJECT, ["a is no field of this object; is it misspelled or misplaced?"]),
        ({"a": 1}, {**OBJECT, "x-kubernetes-preserve-unknown-fields": True}, []),
        ({"a": {"b": 1}}, {**OBJECT, "additionalProperties": True}, []),
        ({"a": 1}, {**OBJECT, "additionalProperties": TEXT}, ["a is 1, not of type string"]),
        ({}, {**OBJECT, "required": ["a"]}, ["a is required"]),
        (None, TEXT, []),
        ({"a": None}, {**OBJECT, "properties": {"a": TEXT}, "required": ["a"]}, ["a is required"]),
        ([None], {"type": "array", "items": TEXT}, ["0 is null, not of type string"]),
        (2**63, {"type": "integer"}, [" is 9223372036854775808, too large for 64 bits"]),
        ("WARN", {**TEXT, "pattern": "^(?i)(abort|warn)?$"}, []),
        ([{"a": 1, "b": 1}, {"a": 1}],
         {"type": "array", "x-kubernetes-list-map-keys": ["a"],
          "items": {**OBJECT, "additionalProperties": True}},
         ["1 has the a 1 of another item"]),
        (None, {**TEXT, "nullable": True}, []),
        (None, {**TEXT, "default": "a"}, []),
        ("25%", {"x-kubernetes-int-or-string": True}, []),
        (25, {"x-kubernetes-int-or-string": True}, []),
        (2.5, {"x-kubernetes-int-or-string": True}, [" is 2.5, not of type integer or string"]),
        (True, {"type": "integer"}, [" is True, not of type integer"]),
        ([], OBJECT, [" is a list, not of type object"]),
        ({}, TEXT, [" is an object, not of type string"]),
        ("c", {**TEXT, "enum": ["a", "b"]}, [" is 'c', not one of a, b"]),
        ("ab", {**TEXT, "maxLength": 1}, [" has 2 characters, more than 1"]),
        ("", {**TEXT, "minLength": 1}, [" has 0 characters, fewer than 1"]),
        ("a_b", {**TEXT, "pattern": "^[a-z]+$"}, [" is 'a_b', which does not match ^[a-z]+$"]),
        ("a", {**TEXT, "pattern": "\\pL(?<x"}, []),
        ([1, 1], {"type": "array", "uniqueItems": True}, [" holds the same item twice"]),
        ([1], {"type": "array", "items": TEXT}, ["0 is 1, not of type string"]),
        ([1], {"type": "array", "minItems": 2}, [" has 1 items, fewer than 2"]),
        ({"a": 1}, {"type": "object", "additionalProperties": True, "maxProperties": 0},
         [" has 1 fields, more than 0"]),
        (0, {"type": "integer", "minimum": 1}, [" is 0, below 1"]),
        (1, {"type": "number", "minimum": 1, "exclusiveMinimum": True}, [" is 1, below 1"]),
        (9, {"type": "integer", "maximum": 8}, [" is 9, above 8"]),
        (2**31, {"type": "integer", "format": "int32"}, [" is 2147483648, too large for 32 bits"]),
        (3, {"type": "integer", "multipleOf": 2}, [" is 3, no multiple of 2"]),
        (1, {"anyOf": [TEXT, {"type": "boolean"}]}, [" fits none of the allowed forms"]),
        (1, {"allOf": [{"minimum": 2}, {"minimum": 0}]}, [" is 1, below 2"]),
        (1, {"not": {"enum": [1]}}, [" has a forbidden form"]),
        (1, {"oneOf": [{"minimum": 0}, {"minimum": 1}]},
         [" fits several of the forms that exclude each other"]),
        ({"a": 1, "b": 1},
         {"x-kubernetes-preserve-unknown-fields": True,
          "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
         [" fits several of the forms that exclude each other: a; or b"]),
    ],
)  # fmt: skip
def test_structural_schemas(value: Any, schema: dict[str, Any], faults: list[str]) -> None:
    assert structural({"x": value}, {"properties": {"x": schema}}) == [
        f"x{'' if fault.startswith(' ') else '/'}{fault}" for fault in faults
    ]


def test_an_object_may_have_identity_fields_at_its_root_and_where_it_is_embedded() -> None:
    embedded = {"type": "object", "x-kubernetes-embedded-resource": True}
    document = {"apiVersion": "v1", "kind": "A", "metadata": {"name": "a"}}
    schema = {"type": "object", "properties": {"object": embedded}}
    assert structural({**document, "object": document}, schema) == []
    assert len(structural({"other": document}, {"properties": {"other": OBJECT}})) == 3


def test_an_unknown_kubernetes_version_is_reported_and_crashes_nothing_else() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}
    report = lint([pod], Config(kubernetes_version="9.9", only=("schema-valid", "empty-render")))
    assert [error.rule for error in report.errors] == ["schema-valid"]
    assert "no schemas of Kubernetes 9.9" in report.errors[0].message


def test_a_missing_schema_folder_says_what_to_run(tmp_path: Path) -> None:
    rollout = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "a"}}
    config = Config(schemas=tmp_path / "none", only=("crd-schemas", "schema-valid", "known-kind"))
    (finding,) = lint([rollout], config).findings
    assert finding.rule == "crd-schemas"
    assert "make tools" in finding.fix


def test_an_unmodelled_kind_is_a_warning_and_an_error_under_strict() -> None:
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}}
    for profile, severity in (("recommended", "warning"), ("strict", "error")):
        report = lint([widget], Config(profile=profile, only=("known-kind",)))
        assert [f.severity.name for f in report.findings] == [severity]
