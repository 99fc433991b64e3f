"""Schemathesis on /openapi.json: what the document promises holds, and nothing is a 5xx."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from .conftest import Server, Start
from .fuzzing import SEED, TIMES, assert_unharmed, descriptors
from .onnx_models import classifier

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 3 * TIMES


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory, start_anywhere: Start) -> Server:
    folder = tmp_path_factory.mktemp("repository")
    classifier(folder / "flowers" / "1" / "model.onnx")
    return start_anywhere(folder, "--max-body-bytes=65536", "--log-sample-rate=0")


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as opened:
        yield opened


def operations(server: Server) -> dict[str, Any]:
    schema = schemathesis.openapi.from_url(f"{server.client.base_url}/openapi.json")
    found = [each.ok() for each in schema.get_all_operations()]
    return {operation.label: operation for operation in found}


def try_out(operation: Any, mode: GenerationMode, session: requests.Session, **known: Any) -> None:
    """Requests of one operation, all valid or all invalid by the document."""

    @seed(f"{SEED}/{operation.label}")
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode, **known))
    def one(case: Any) -> None:
        case.call_and_validate(session=session, checks=CHECKS, timeout=10)

    one()


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_every_operation_does_as_documented(
    target: Server, session: requests.Session, mode: GenerationMode
) -> None:
    before = descriptors(target) + 1
    found = operations(target)
    assert len(found) > 20
    for label, operation in found.items():
        if mode is GenerationMode.NEGATIVE and not operation.body:
            continue  # any text will do for the rest of it
        try_out(operation, mode, session)
        if "{model}" in label and "/repository/" not in label:
            known = {"model": "flowers"} | ({"version": "1"} if "{version}" in label else {})
            try_out(operation, mode, session, path_parameters=known)
    session.close()
    assert_unharmed(target, before)
