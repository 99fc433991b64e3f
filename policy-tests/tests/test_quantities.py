"""Quantities and shares are computed exactly."""

from fractions import Fraction

import pytest
from gitops_policy.image_names import image_name
from gitops_policy.quantities import quantity, share
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("500m", Fraction(1, 2)),
        ("1Gi", 2**30),
        ("1.5Ki", 1536),
        ("2e3", 2000),
        ("1E", 10**18),
        ("100n", Fraction(1, 10**7)),
        (2, 2),
        (0.5, Fraction(1, 2)),
        ("-1", -1),
        (".5", Fraction(1, 2)),
    ],
)
def test_quantities(written: object, amount: object) -> None:
    assert quantity(written) == amount


@pytest.mark.parametrize("written", [None, True, "", "1 Gi", "1KI", "abc", [], "1e9999", "9" * 99])
def test_what_is_no_quantity(written: object) -> None:
    assert quantity(written) is None


@pytest.mark.parametrize(
    ("value", "pods"), [(2, 2), ("25%", 3), ("0%", 0), ("x", None), (True, None)]
)
def test_shares_are_rounded_up(value: object, pods: object) -> None:
    assert share(value, 10) == pods


@given(st.integers(0, 10**6), st.integers(0, 1000))
def test_a_share_is_the_smallest_count_that_is_enough(percent: int, whole: int) -> None:
    pods = share(f"{percent}%", whole)
    assert pods is not None
    assert pods * 100 >= percent * whole > (pods - 1) * 100


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("nginx", ("docker.io", "library/nginx", "", "")),
        ("team/web:1", ("docker.io", "team/web", "1", "")),
        ("localhost/web", ("localhost", "web", "", "")),
        ("host:5000/a/b:v1@sha256:0", ("host:5000", "a/b", "v1", "sha256:0")),
    ],
)
def test_image_names_are_read_as_runtimes_do(reference: str, parts: tuple[str, ...]) -> None:
    image = image_name(reference)
    assert (image.registry, image.path, image.tag, image.digest) == parts
    assert not image.pinned
