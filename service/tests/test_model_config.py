"""A wrong config.yaml is named by file and key, and never guessed at."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference_server.models.config import (
    ConfigError,
    ModelConfig,
    VersionPolicy,
    make_config,
    read_config,
)


def read(folder: Path, text: str, name: str = "m") -> ModelConfig:
    path = folder / name / "config.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return make_config(path, read_config(path.parent))


def test_no_file_means_the_defaults(tmp_path: Path) -> None:
    assert make_config(tmp_path / "config.yaml", read_config(tmp_path)) == ModelConfig()


def test_every_section_is_read(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        """
        max_batch_size: 16
        batch_buckets: [16, 4, 1]
        batch_delay_ms: 2
        version_policy: {latest: 2}
        providers: [tensorrt, cuda]
        gpu: {mem_limit: 1073741824, conv_search: DEFAULT}
        warm_up_shapes: {image: [3, 224, 224]}
        """,
    )
    assert config.batch_buckets == (1, 4, 16)
    assert config.version_policy.latest == 2
    assert config.providers == ("tensorrt", "cuda")
    assert config.warm_up_shapes == {"image": (3, 224, 224)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size: 0", "m/config.yaml: max_batch_size: "),
        ("max_batch_size: '8'", "m/config.yaml: max_batch_size: "),
        ("max_batchsize: 8", "m/config.yaml: max_batchsize: "),
        ("gpu: {mem_limit: -1}", "m/config.yaml: gpu.mem_limit: "),
        ("gpu: 3", "m/config.yaml: gpu: "),
        ("a: 1\na: 2", "key 'a' is given twice"),
        ("preload: yes please", "m/config.yaml: preload: "),
        ("a: &x [1]\nb: *x", "aliases are not supported"),
        ("[" * 5000, "no YAML"),
        ("- 1", "expected keys"),
        ("a: \x00", "no YAML"),
        ("max_batch_size: 8\nbatch_buckets: [1, 4]", "the keys together: the largest"),
        ("version_policy: newest", "version_policy: "),
        ("version_policy: {latest: 1, specific: [1]}", "either latest or specific"),
        ("route: {header: x, targets: []}", "route.targets: "),
        ("route: {header: 'x y', targets: [{version: 1}]}", "route.header: "),
        ("route: {header: x, targets: [{percent: 50}]}", "add up to 50"),
        ("!!python/object/apply:os.system ['true']", "no YAML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_version_inherits_from_its_model_and_says_more(tmp_path: Path) -> None:
    read(tmp_path, "max_batch_size: 8\ncache: 100")
    read(tmp_path, "cache: 7", "m/3")
    keys = read_config(tmp_path / "m" / "3", read_config(tmp_path / "m"))
    assert (keys["max_batch_size"], keys["cache"]) == (8, 7)


def test_a_version_may_not_say_what_belongs_to_the_model(tmp_path: Path) -> None:
    read(tmp_path, "default_version: 3", "m/3")
    with pytest.raises(ConfigError, match=r"m/3/config\.yaml: default_version"):
        read_config(tmp_path / "m" / "3", {})


VERSIONS = st.sets(st.integers(1, 99), max_size=8)


@given(VERSIONS, st.integers(1, 9))
def test_the_latest_are_the_highest(versions: set[int], count: int) -> None:
    chosen = VersionPolicy(latest=count).choose(list(versions))
    assert chosen == sorted(versions)[max(0, len(versions) - count) :]


@given(VERSIONS, VERSIONS)
def test_specific_ones_are_those_that_are_there(versions: set[int], wanted: set[int]) -> None:
    chosen = VersionPolicy(specific=tuple(wanted)).choose(list(versions))
    assert chosen == sorted(versions & wanted)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
        ),
        max_leaves=6,
    ),
    st.sampled_from(sorted(ModelConfig.model_fields)),
)
def test_whatever_a_key_holds_it_is_read_or_refused(value: Any, key: str) -> None:
    try:
        make_config(Path("m/config.yaml"), {key: value})
    except ConfigError as error:
        message = str(error)
    else:
        return
    assert f"m/config.yaml: {key}" in message or "keys together" in message
