"""model-release.env: what may stand in it, and how it is written."""

import json
import re
import threading
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_pipeline import ModelRelease, PipelineError, ReleaseFileError, parse_env

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "release" / "model-release.schema.json").read_text()
)
RELEASE = ModelRelease(
    name="breast-cancer",
    version=12,
    uri="models:/breast-cancer/12",
    sha256="ab" * 32,
    run_id="66ad959d5da343a09a87e9b5563cc126",
    dataset_version="2026-11-21-120000",
    training_git_sha="cd" * 20,
)
TEXT = RELEASE.to_env()

names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
versions = st.integers(1, 10**18 - 1)
reasons = st.text(min_size=1, max_size=200).filter(
    lambda text: text == text.strip() and not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", text)
)
uris = st.sampled_from(
    [
        "models:/{name}/{version}",
        "s3://models/{name}/{version}/model.onnx",
        "https://models.example.com/{name}/{version}/model.onnx",
        "file:///models/{name}/{version}",
        "oci://registry.example.com:5000/models/{name}:{version}",
        "oci://ghcr.io/example/{name}:{version}@sha256:" + "e" * 64,
    ]
)


@st.composite
def releases(draw: st.DrawFn) -> ModelRelease:
    name, version = draw(names), draw(versions)
    shift = draw(st.none() | st.booleans())
    return ModelRelease(
        name=name,
        version=version,
        uri=draw(uris).format(name=name, version=version),
        sha256=draw(st.from_regex(r"[0-9a-f]{64}", fullmatch=True)),
        run_id=draw(st.from_regex(r"[0-9a-f]{32}", fullmatch=True)),
        dataset_version=draw(st.datetimes()).strftime("%Y-%m-%d-%H%M%S").zfill(17),
        training_git_sha=draw(st.from_regex(r"[0-9a-f]{40}", fullmatch=True)),
        expected_shift=shift,
        expected_shift_reason=None if shift is None else draw(reasons),
    )


def as_object(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.split("\n") if line)


def changed(key: str, value: str) -> str:
    return re.sub(rf"^{key}=.*$", lambda _: f"{key}={value}", TEXT, flags=re.MULTILINE)


@settings(deadline=None)
@given(releases())
def test_what_is_written_is_read_back_and_fits_the_schema(release):
    assert parse_env(release.to_env()) == release
    jsonschema.validate(as_object(release.to_env()), SCHEMA)


@settings(deadline=None)
@given(st.text())
def test_any_text_is_either_read_or_refused_with_its_line(text):
    with pytest.raises(ReleaseFileError, match=r"^model-release\.env:\d+: "):
        parse_env(text)


@settings(deadline=None)
@given(st.sampled_from(sorted(as_object(TEXT))), st.text().filter(lambda text: "\n" not in text))
def test_schema_and_parser_refuse_the_same_values(key, value):
    text = changed(key, value)
    accepted = jsonschema.Draft202012Validator(SCHEMA).is_valid(as_object(text))
    if accepted:
        return
    line = list(as_object(TEXT)).index(key) + 1
    with pytest.raises(ReleaseFileError, match=rf"^model-release\.env:{line}: {key}="):
        parse_env(text)


def test_the_text_has_the_contracts_keys_in_order():
    assert list(as_object(TEXT)) == [
        "MODEL_NAME",
        "MODEL_VERSION",
        "MODEL_URI",
        "MODEL_SHA256",
        "MODEL_RUN_ID",
        "DATASET_VERSION",
        "TRAINING_GIT_SHA",
    ]


def test_comments_and_empty_lines_are_read_over():
    assert parse_env(f"# which model\n\n{TEXT}") == RELEASE


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(
            ("MODEL_VERSION", bad)
            for bad in ("latest", "champion", "Production", "v12", "1.0", "0", "-1", "", " 12", "٣")
        ),
        *(
            ("MODEL_URI", bad)
            for bad in (
                "models:/breast-cancer@champion",
                "models:/breast-cancer/latest",
                "models:/breast-cancer/Production",
                "models:/breast-cancer",
                "runs:/66ad959d5da343a09a87e9b5563cc126/model",
                "http://models.example.com/breast-cancer/12",
                "s3://models/breast-cancer/latest/model.onnx",
                "oci://ghcr.io/example/breast-cancer:latest",
                "oci://ghcr.io/example/breast-cancer",
            )
        ),
        ("MODEL_SHA256", "ab" * 31),
        ("MODEL_SHA256", "ab" * 32 + "a"),
        ("MODEL_SHA256", "AB" * 32),
        ("MODEL_NAME", "Breast Cancer"),
        ("DATASET_VERSION", "2026-13-21-120000"),
        ("DATASET_VERSION", "2026-11-21"),
        ("TRAINING_GIT_SHA", "cdcdcdc"),
        ("MODEL_RUN_ID", ""),
        ("MODEL_NAME", "breast-cancer\r"),
    ],
)
def test_a_value_that_may_not_stand_in_git_is_refused_with_its_line(key, value):
    line = list(as_object(TEXT)).index(key) + 1
    with pytest.raises(ReleaseFileError, match=rf"^overlay/a\.env:{line}: {key}=") as refused:
        parse_env(changed(key, value), "overlay/a.env")
    assert "must be" in str(refused.value)
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(as_object(changed(key, value)))


@pytest.mark.parametrize(
    "uri", ["models:/breast-cancer/13", "s3://models/breast-cancer/13/model.onnx"]
)
def test_a_uri_of_another_version_is_refused(uri):
    with pytest.raises(ReleaseFileError, match=r":3: .* is not of MODEL_VERSION=12"):
        parse_env(changed("MODEL_URI", uri))


def test_a_registry_uri_of_another_model_is_refused():
    with pytest.raises(ReleaseFileError, match=r":3: .*write models:/breast-cancer/12"):
        parse_env(changed("MODEL_URI", "models:/lung-cancer/12"))


@pytest.mark.parametrize("key", list(as_object(TEXT)))
def test_a_missing_key_is_named(key):
    with pytest.raises(ReleaseFileError, match=rf":6: missing after this line: {key}$"):
        parse_env(re.sub(rf"^{key}=.*\n", "", TEXT, flags=re.MULTILINE))


def test_an_unknown_key_is_refused_with_its_line():
    with pytest.raises(ReleaseFileError, match=r":8: unknown key 'MODEL_ALIAS'; known are MODEL_"):
        parse_env(f"{TEXT}MODEL_ALIAS=champion\n")


def test_a_key_that_stands_twice_is_refused_with_both_lines():
    with pytest.raises(ReleaseFileError, match=r":8: MODEL_VERSION .*first in line 2"):
        parse_env(f"{TEXT}MODEL_VERSION=12\n")


def test_a_line_without_equals_sign_is_refused():
    with pytest.raises(ReleaseFileError, match=r":8: 'MODEL_NAME' is not KEY=VALUE"):
        parse_env(f"{TEXT}MODEL_NAME")


@pytest.mark.parametrize("line", ["EXPECTED_SHIFT=true", "EXPECTED_SHIFT_REASON=new data"])
def test_an_expected_shift_needs_its_reason_and_the_reason_its_shift(line):
    key = line.split("=", 1)[0]
    with pytest.raises(ReleaseFileError, match=f":8: {key} stands alone"):
        parse_env(f"{TEXT}{line}\n")
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid(as_object(TEXT + line))


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": "12"},
        {"version": True},
        {"name": "a\nb"},
        {"expected_shift": True},
        {"expected_shift": True, "expected_shift_reason": "new data\n"},
        {"expected_shift": True, "expected_shift_reason": "new\n#data"},
    ],
)
def test_a_release_cannot_be_built_from_what_a_file_may_not_hold(wrong):
    with pytest.raises(ReleaseFileError, match="ModelRelease"):
        replace(RELEASE, **wrong)


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path):
    path = tmp_path / "model-release.env"
    other = replace(RELEASE, version=13, uri="models:/breast-cancer/13")
    RELEASE.write(path)
    done = threading.Event()

    def alternate() -> None:
        for number in range(200):
            (RELEASE if number % 2 else other).write(path)
        done.set()

    writer = threading.Thread(target=alternate)
    writer.start()
    seen = {parse_env(path.read_text()).version}
    while not done.is_set():
        seen.add(parse_env(path.read_text()).version)
    writer.join(timeout=30)
    assert seen <= {12, 13}
    assert [file.name for file in tmp_path.iterdir()] == ["model-release.env"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "model-release.env"
    RELEASE.write(path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(PipelineError, match=r"model-release\.env: .*No space left"):
        replace(RELEASE, version=13, uri="models:/breast-cancer/13").write(path)
    assert path.read_text() == TEXT
    assert [file.name for file in tmp_path.iterdir()] == ["model-release.env"]


def test_a_folder_that_is_missing_is_named(tmp_path):
    path = tmp_path / "missing" / "model-release.env"
    with pytest.raises(PipelineError, match=rf"{path}: cannot be written: No such file"):
        RELEASE.write(path)


def test_the_written_file_is_readable_by_others(tmp_path):
    path = tmp_path / "model-release.env"
    RELEASE.write(path)
    assert path.stat().st_mode & 0o777 == 0o644
