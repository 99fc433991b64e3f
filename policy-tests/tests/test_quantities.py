"""Quantities and shares are computed exactly."""

from fractions import Fraction

import pytest
from gitops_policy.notations.image_names import image_name, malformed
from gitops_policy.notations.quantities import quantity, share
from hypothesis import assume, given
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
        ("5.", 5),
        ("+1u", Fraction(1, 10**6)),
        ("1E3", 1000),
        ("1Ei", 2**60),
        ("12e-3", Fraction(12, 1000)),
        ("3M", 3 * 10**6),
    ],
)
def test_quantities(written: object, amount: object) -> None:
    assert quantity(written) == amount


@pytest.mark.parametrize(
    "written",
    [
        None,
        True,
        "",
        "1 Gi",
        "1KI",
        "abc",
        [],
        "1e9999",
        "9" * 99,
        "1_000",
        "0x10",
        "1.2.3",
        "١",
        "1Ke3",
    ],
)
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


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("Nginx", "no repository name"),
        ("team/Web:v1", "no repository name"),
        ("a//b", "no repository name"),
        ("a..b", "no repository name"),
        ("a___b", "no repository name"),
        ("-a", "no repository name"),
        ("x" * 300, "no repository name"),
        ("Team_1/web", "no registry"),
        ("host:port/web", "no registry"),
        ("https://example.com/web", "no registry"),
        ("web:", "no tag"),
        ("web:-v1", "no tag"),
        ("web:" + "v" * 129, "no tag"),
        ("web:a:b", "no tag"),
        ("web@", "no digest"),
        ("nginx@notadigest", "no digest"),
        ("web@sha256:" + "0" * 63, "no digest"),
        ("web@sha256:" + "A" * 64, "no digest"),
    ],
)
def test_what_no_runtime_can_pull(reference: str, reason: str) -> None:
    assert reason in malformed(reference)


component = st.sampled_from(["a", "0", "a.b", "a_b", "a__b", "a---b", "web-1.0"])
hosts = st.sampled_from(
    ["", "localhost/", "example.com/", "host:5000/", "EXAMPLE/", "10.0.0.1:80/"]
)
tags = st.sampled_from(["", ":v1", ":V1.0_a-b", ":" + "a" * 128])
digests = st.sampled_from(["", "@sha256:" + "0" * 64, "@sha512:" + "f" * 128])


@given(hosts, st.lists(component, min_size=1, max_size=3), tags, digests)
def test_well_formed_references_are_read_whole(
    host: str, path: list[str], tag: str, digest: str
) -> None:
    assume(host or len(path) == 1 or "." not in path[0])  # a first part with a dot is a host
    name = "/".join(path)
    written = f"{host}{name}{tag}{digest}"
    image = image_name(written)
    assert malformed(written) == ""
    assert (image.tag, image.digest) == (tag[1:], digest[1:])
    assert image.pinned is bool(digest)
    assert image.path.removeprefix("library/") == name


@given(st.text(max_size=40))
def test_any_reference_is_judged(reference: str) -> None:
    assert isinstance(malformed(reference), str)
