"""A route sends each caller to one version, by a header; an ensemble runs models as one."""

import asyncio
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference_server.errors import RequestError
from inference_server.models.catalog import Catalog, State
from inference_server.models.config import Route, Target
from inference_server.models.ensemble import EnsembleModel
from inference_server.models.routing import choose_target

from .model_catalog import ROW, catalog_of, find, until
from .onnx_models import FLOAT, classifier, node, value, write

SHARED = Route(
    header="X-User",
    targets=(
        Target(version=1, percent=90),
        Target(version=2, percent=10, values=("beta", "tester")),
    ),
)


def doubler(path: Path) -> Path:
    """`raw` [N,3] to `scaled` [N,3]: twice as much."""
    return write(
        path,
        [node("Add", "raw raw", "scaled")],
        [value("raw", FLOAT, "N", 3)],
        [value("scaled", FLOAT, "N", 3)],
    )


def configure(repository: Path, name: str, text: str) -> None:
    (repository / name).mkdir(parents=True, exist_ok=True)
    (repository / name / "config.yaml").write_text(text)


ENSEMBLE = """
ensemble:
  steps:
    - {model: doubler, inputs: {raw: measured}, outputs: {scaled: doubled}}
    - model: flowers
      inputs: {features: doubled}
      outputs: {label: kind, probabilities: scores}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    doubler(tmp_path / "doubler" / "1" / "model.onnx")
    classifier(tmp_path / "flowers" / "1" / "model.onnx", scale=0.1)
    configure(tmp_path, "both", ENSEMBLE)
    return tmp_path


def test_shares_are_kept_and_a_caller_stays_where_it_was() -> None:
    users = [{b"x-user": f"user-{number}".encode()} for number in range(10_000)]
    first = [choose_target(SHARED, user).version for user in users]
    assert first == [choose_target(SHARED, user).version for user in users]
    assert 900 < Counter(first)[2] < 1100


@given(st.binary(max_size=50))
def test_every_value_leads_to_a_target(value: bytes) -> None:
    assert choose_target(SHARED, {b"x-user": value}) in SHARED.targets


def test_a_named_value_overrides_the_share_and_no_header_means_the_first() -> None:
    assert choose_target(SHARED, {b"x-user": b"beta"}).version == 2
    assert choose_target(SHARED, {}).version == 1
    plain = Route(header="canary", targets=(Target(version=1), Target(version=2, values=("yes",))))
    assert choose_target(plain, {b"canary": b"yes"}).version == 2
    assert choose_target(plain, {b"canary": b"no"}).version == 1


def test_a_route_over_versions_yields_to_a_named_version(tmp_path: Path) -> None:
    for version in (1, 2):
        classifier(tmp_path / "m" / str(version) / "model.onnx")
    configure(
        tmp_path,
        "m",
        "route: {header: x-user, targets: [{version: 1}, {version: 2, values: [beta]}]}",
    )

    async def run() -> None:
        async with catalog_of(tmp_path) as catalog:
            assert (await find(catalog, "m")).model.version == 1
            assert (await find(catalog, x_user="beta")).model.version == 2
            assert (await find(catalog, "m", "2")).model.version == 2
            assert (await find(catalog, "m", "1", x_user="beta")).model.version == 1

    asyncio.run(run())


def test_a_route_over_models_is_a_folder_with_a_config_only(tmp_path: Path) -> None:
    classifier(tmp_path / "old" / "1" / "model.onnx")
    classifier(tmp_path / "new" / "7" / "model.onnx")
    configure(
        tmp_path,
        "front",
        "route: {header: x-user, targets: [{model: old}, {model: new, values: [beta]}]}",
    )

    async def run() -> None:
        async with catalog_of(tmp_path) as catalog:
            assert catalog.ready
            assert catalog.names == ["new", "old", "front"]
            assert (await find(catalog, "front")).model.name == "old"
            assert (await find(catalog, "front", x_user="beta")).model.name == "new"
            assert catalog.model("front").name == "old"

    asyncio.run(run())


def test_a_route_to_nowhere_keeps_the_server_from_traffic(tmp_path: Path) -> None:
    configure(tmp_path, "front", "route: {header: x-user, targets: [{model: lost}]}")

    async def run() -> None:
        async with catalog_of(tmp_path) as catalog:
            assert not catalog.ready
            assert "front: its route leads to 'lost'" in catalog.problems[0]
            with pytest.raises(RequestError) as caught:
                catalog.find("front", None, {})
            assert caught.value.status == 404

    asyncio.run(run())


def member(catalog: Catalog) -> EnsembleModel:
    model = catalog.model("both")
    assert isinstance(model, EnsembleModel)
    return model


def test_an_ensemble_answers_as_its_members_do_one_after_the_other(repository: Path) -> None:
    async def run() -> None:
        async with catalog_of(repository) as catalog:
            assert catalog.ready
            both = member(catalog)
            answer = both.run({"measured": ROW["features"]})
            expected = catalog.model("flowers").run({"features": ROW["features"] * 2})
            np.testing.assert_array_equal(answer["scores"], expected["probabilities"])
            np.testing.assert_array_equal(answer["kind"], expected["label"])
            assert list(both.inputs) == ["measured"]
            assert both.batchable
            assert both.max_batch_size == max(both.seconds) >= 32
            assert both.seconds[32] > catalog.model("flowers").seconds[32]
            assert (both.contract.class_output, both.contract.score_output) == ("kind", "scores")
            assert both.contract.output_ranges == {"scores": (0, 1)}

    asyncio.run(run())


def test_an_ensemble_follows_its_members(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference_server.models.lifecycle._RUN_BACKOFF", 0.1)

    async def run() -> None:
        async with catalog_of(repository, mode="poll", poll_seconds=3600) as catalog:
            before = member(catalog).sha256
            classifier(repository / "flowers" / "1" / "model.onnx", scale=0.3)
            await catalog.refresh()
            await until(lambda: member(catalog).sha256 != before)
            catalog.model_failed("flowers", 1, "hung")
            entry = catalog.entry("both")
            assert entry.state is State.UNAVAILABLE
            assert entry.reason == "member flowers/1: hung"
            await until(lambda: catalog.entry("both").state is State.READY)

    asyncio.run(run())


def test_an_ensemble_on_demand_brings_its_members(repository: Path) -> None:
    async def run() -> None:
        async with catalog_of(repository, preload=frozenset()) as catalog:
            assert (await find(catalog, "both")).model.name == "both"
            assert catalog.entry("flowers").state is State.READY

    asyncio.run(run())


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("model: doubler", "model: nope", "unknown model 'nope'"),
        ("model: doubler", "model: both", "is an ensemble itself"),
        ("raw: measured", "rwa: measured", "takes ['raw']"),
        ("scaled: doubled", "scald: doubled", "has no output 'scald'"),
        ("scaled: doubled", "scaled: measured", "is there already"),
        ("features: doubled", "features: measured, more: x", "takes ['features']"),
        ("ensemble:", "ensemble:\n  outputs: [nope]", "no step produces 'nope'"),
    ],
)
def test_an_ensemble_that_does_not_fit_says_where(
    repository: Path, old: str, new: str, reason: str
) -> None:
    configure(repository, "both", ENSEMBLE.replace(old, new))

    async def run() -> None:
        async with catalog_of(repository) as catalog:
            assert not catalog.ready
            assert reason in str(catalog.entry("both").reason)

    asyncio.run(run())


def test_tensors_of_another_type_do_not_fit(repository: Path) -> None:
    write(
        repository / "doubler" / "1" / "model.onnx",
        [node("Cast", "raw", "scaled", to=7)],
        [value("raw", FLOAT, "N", 3)],
        [value("scaled", 7, "N", 3)],
    )

    async def run() -> None:
        async with catalog_of(repository) as catalog:
            assert "'features' does not fit tensor 'doubled'" in str(catalog.entry("both").reason)

    asyncio.run(run())


def test_one_member_that_mixes_rows_keeps_the_ensemble_from_batching(repository: Path) -> None:
    configure(repository, "doubler", "max_batch_size: 1")

    async def run() -> None:
        async with catalog_of(repository) as catalog:
            both = member(catalog)
            assert (both.batchable, both.max_batch_size, list(both.seconds)) == (False, 1, [1])

    asyncio.run(run())
