"""The table of apiVersions that go is well-formed, and read as releases, not as text."""

import pytest
from gitops_policy.apis.api_versions import lifecycle, reached


@pytest.mark.parametrize(
    ("api_version", "kind", "removed", "replacement"),
    [
        ("extensions/v1beta1", "Deployment", "1.16", "apps/v1"),
        ("extensions/v1beta1", "Ingress", "1.22", "networking.k8s.io/v1"),
        ("policy/v1beta1", "PodSecurityPolicy", "1.25", ""),
        ("policy/v1beta1", "PodDisruptionBudget", "1.25", "policy/v1"),
        ("autoscaling/v2beta2", "HorizontalPodAutoscaler", "1.26", "autoscaling/v2"),
        ("resource.k8s.io/v1beta1", "ResourceClaim", "1.38", "resource.k8s.io/v1"),
        ("v1", "Endpoints", "", "discovery.k8s.io/v1"),
    ],
)
def test_what_the_deprecation_guide_says(
    api_version: str, kind: str, removed: str, replacement: str
) -> None:
    found = lifecycle(api_version, kind)
    assert found is not None
    assert (found.removed, found.replacement) == (removed, replacement)


def test_no_end_is_known_of_what_is_served() -> None:
    assert lifecycle("apps/v1", "Deployment") is None
    assert lifecycle("admissionregistration.k8s.io/v1beta1", "MutatingAdmissionPolicy") is None


@pytest.mark.parametrize(
    ("release", "kubernetes", "out"),
    [
        ("1.9", "1.10", True),
        ("1.22", "1.9", False),
        ("1.36", "1.36", True),
        ("cert-manager-1.6", "1.36", True),
        ("", "1.36", False),
    ],
)
def test_releases_are_compared_by_their_numbers(release: str, kubernetes: str, out: bool) -> None:
    assert reached(release, kubernetes) is out
