"""The benchmark's breakages still fit the overlay that they break."""

import importlib
from pathlib import Path

import pytest
from gitops_policy import render

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def breakages():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "policy-tests" / "bench"))
        yield importlib.import_module("breakages")


def test_each_known_breakage_changes_one_object(breakages) -> None:
    documents = render(ROOT / "overlays" / "production" / "inference")
    assert len(breakages.BREAKAGES) >= 20
    for breakage in breakages.BREAKAGES:
        changed = breakages.broken(documents, breakage)
        differing = [old for old, new in zip(documents, changed, strict=True) if old != new]
        assert [d["kind"] for d in differing] == [breakage.kind], breakage.title
