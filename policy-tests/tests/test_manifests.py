"""YAML is read as Kubernetes reads it, with the position of every part."""

import json
from pathlib import Path

import pytest
import yaml
from gitops_policy.fields import entries, field, mapping, pointer, sequence, text
from gitops_policy.reading.manifests import ManifestError, read_file, read_text
from hypothesis import given, settings
from hypothesis import strategies as st


def value(content: str) -> object:
    return read_text(f"a: {content}\n", "a.yaml")[0].content["a"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("yes", True),
        ("off", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("12", 12),
        ("-12", -12),
        ("+3", 3),
        ("0644", 0o644),
        ("0o644", 0o644),
        ("0x1F", 31),
        ("0b101", 5),
        ("1_000", 1000),
        ("089", 89.0),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".inf", float("inf")),
        ("2026-01-01", "2026-01-01"),
        ("12:30", "12:30"),
        ("1.2.3", "1.2.3"),
        ("'12'", "12"),
        ("!!str 12", "12"),
        ("[1, a]", [1, "a"]),
    ],
)
def test_scalars_have_the_types_of_kubernetes(content: str, expected: object) -> None:
    assert value(content) == expected
    assert type(value(content)) is type(expected)


def test_merge_keys_are_written_out_and_may_be_overridden() -> None:
    document = "base: &b {x: 1, y: 1}\nmore: &m {y: 2, z: 2}\na: {<<: [*b, *m], x: 3}\n"
    assert read_text(document, "f")[0].content["a"] == {"x": 3, "y": 1, "z": 2}


@pytest.mark.parametrize("content", ["a: {<<: 1}\n", "a: {<<: [1]}\n"])
def test_merging_something_else_is_an_error(content: str) -> None:
    with pytest.raises(ManifestError, match="merges mappings only"):
        read_text(content, "f")


def test_a_dash_line_in_a_block_scalar_does_not_end_the_document() -> None:
    (source,) = read_text("a: |\n  -----\n  ---\n", "f")
    assert source.content == {"a": "-----\n---\n"}


def test_the_line_of_a_path_is_that_of_its_deepest_known_part() -> None:
    source = read_text("# note\na:\n  b:\n    - c: 1\n    - c: 2\n", "f")[0]
    assert source.line() == 2
    assert source.line(("a", "b", 1, "c")) == 5
    assert source.line(("a", "b", 7)) == 3
    assert source.line(("a", "b", 0, "missing")) == 4
    assert source.line(("a", "b", "not a position")) == 3


def test_lines_count_from_the_top_of_the_file_also_in_later_documents() -> None:
    text = "# first\r\n a: 1\r\n...\r\n# second\r\n---\r\n# é\r\nb: {c: &x 2,\r\n d: *x}\r\n"
    first, second = read_text(text, "f")
    assert (first.line(), first.line(("a",))) == (2, 2)
    assert (second.line(), second.line(("b", "d"))) == (7, 8)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a: &k foo\n*k : 2\n", {"a": "foo", "foo": 2}),
        ("&k a: 1\nb: *k\n", {"a": 1, "b": "a"}),
        ("a: &x [1, {b: 2}]\nc: *x\n", {"a": [1, {"b": 2}], "c": [1, {"b": 2}]}),
    ],
    ids=["a key", "an anchor on a key", "a sequence"],
)
def test_an_alias_reads_as_a_copy(content: str, expected: object) -> None:
    found = read_text(content, "f")[0].content
    assert found == expected
    if "c" in found:
        assert found["a"][1] is not found["c"][1]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a: *nope\n", "undefined alias"),
        ("a: &x 1\nb: &x 2\n", "stands twice"),
        ("a: &x [1]\n*x : 1\n", "a mapping key must be plain text"),
        ("&x [" + ", ".join("*x" for _ in range(3)) + "]", "contains it"),
        ("[" * 300 + "]" * 300, "nested deeper"),
        (
            "a: &x " + "[" * 150 + "]" * 150 + "\nb: " + "[" * 100 + "*x" + "]" * 100,
            "nested deeper",
        ),
    ],
)
def test_aliases_and_nesting_have_bounds(content: str, reason: str) -> None:
    with pytest.raises(ManifestError, match=reason):
        read_text(content, "f")


def test_a_file_that_is_too_large_is_refused(monkeypatch) -> None:
    monkeypatch.setattr("gitops_policy.reading.manifests.MAX_BYTES", 10)
    with pytest.raises(ManifestError, match="larger than"):
        read_text("a: 1234567890\n", "f")


def test_a_folder_cannot_be_read_as_a_file(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        read_file(tmp_path)


def test_an_error_without_file_says_the_line() -> None:
    assert str(ManifestError("broken", line=3)) == "line 3: broken"
    assert str(ManifestError("broken")) == "broken"


# No digits: PyYAML leaves '09' unquoted, which Kubernetes' readers take for a number.
texts = st.text(alphabet="abz :-_#'\"\n", max_size=8)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(plain)
def test_what_was_dumped_is_read_back(content: object) -> None:
    assert read_text(yaml.safe_dump(content), "f")[0].content == content
    assert read_text(json.dumps(content), "f")[0].content == content


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab:-[]{}&*!|>'\"#,?% \n\t\x00é<", max_size=40))
def test_any_text_is_read_or_refused_with_its_file(content: str) -> None:
    try:
        read_text(content, "f.yaml")
    except ManifestError as error:
        assert error.file == "f.yaml"  # noqa: PT017


def test_fields_of_the_wrong_type_read_as_empty() -> None:
    content = {"a": [{"b": 1}, 2], "c": "d"}
    assert field(content, "a", 0, "b") == 1
    assert field(content, "a", 9) is None
    assert field(content, "c", "d") is None
    assert mapping(content, "c") == {}
    assert sequence(content, "c") == []
    assert text(content, "a") == ""
    assert entries(content, "a") == [(0, {"b": 1})]


def test_a_pointer_escapes_slash_and_tilde() -> None:
    assert pointer(("a/b", "c~d", 0)) == "/a~1b/c~0d/0"
    assert pointer(()) == ""
