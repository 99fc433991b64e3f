"""Images: what runs is named by content and comes from a registry that is allowed."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import Path, entries, field, text
from gitops_policy.findings import Severity
from gitops_policy.model import Problem
from gitops_policy.notations.image_names import comes_from, image_name, malformed
from gitops_policy.pods import Container, Pod
from gitops_policy.registry import CONTAINERS, PODS, rule
from gitops_policy.world import World

_IMAGES = "https://kubernetes.io/docs/concepts/containers/images/"
_PULL = f"{_IMAGES}#image-pull-policy"
# Anybody pulls from these without an account and without a limit that matters.
_ANONYMOUS = {
    "ghcr.io",
    "quay.io",
    "registry.k8s.io",
    "public.ecr.aws",
    "mcr.microsoft.com",
}


def _references(pod: Pod) -> Iterator[tuple[Pod | Container, Path, str]]:
    """Yield every image of a pod, those of image volumes too, with its place.

    An analysis job's image may be an argument, which only the run knows.
    """
    for container in pod.containers:
        image = text(container.spec, "image")
        if "{{" not in image:
            yield container, ("image",), image
    for i, volume in pod.volumes:
        if field(volume, "image") is not None:
            yield pod, ("volumes", i, "image", "reference"), text(volume, "image", "reference")


@rule(
    id="image-tag",
    title="Images have a tag other than latest, or a digest",
    severity="error",
    rationale="`latest` is another image tomorrow: nobody can say what ran, or go back to it.",
    references=[_IMAGES],
    kinds=PODS,
    known_as=(
        "kube-linter:latest-tag kube-score:container-image-tag polaris:tagNotSpecified "
        "checkov:CKV_K8S_14 trivy:KSV-0013 datree:1 kyverno:disallow-latest-tag "
        "gatekeeper:disallowedtags"
    ),
)
def image_tag(pod: Pod) -> Iterator[Problem]:
    """Every image without digest has a tag, and not `latest`."""
    for subject, path, reference in _references(pod):
        image = image_name(reference)
        if image.latest:
            what = f"image {reference!r} has {'the tag latest' if image.tag else 'no tag'}"
            yield subject.problem(
                path, what if reference else "has no image", "name the version, best by digest"
            )


@rule(
    id="image-reference",
    title="Image references are well-formed",
    severity="error",
    rationale="A pod with a reference that no runtime can read waits in InvalidImageName.",
    references=[
        f"{_IMAGES}#image-names",
        "https://pkg.go.dev/github.com/distribution/reference",
    ],
    kinds=PODS,
)
def image_reference(pod: Pod) -> Iterator[Problem]:
    """Registry, name, tag and digest follow the reference grammar: no upper case, whole digests."""
    for subject, path, reference in _references(pod):
        reason = malformed(reference) if reference else ""
        if reason:
            yield subject.problem(
                path,
                f"image {reference!r} cannot be pulled: {reason}",
                "write registry/name:tag@sha256:<64 hex digits>",
            )


@rule(
    id="image-digest",
    title="Images are pinned by a well-formed digest",
    severity="warning",
    rationale="A tag can be moved; a digest names the bytes that were tested and signed.",
    references=[_IMAGES],
    kinds=PODS,
    known_as=(
        "checkov:CKV_K8S_43 kubescape:C-0306 datree:23 kyverno:require-image-checksum "
        "gatekeeper:imagedigests kube-linter:image-not-pinned-by-digest"
    ),
)
def image_digest(pod: Pod, world: World) -> Iterator[Problem]:
    """Every image ends in `@sha256:` and 64 hexadecimal digits; an error in production."""
    strict = Severity.error if world.environment == "production" else None
    for subject, path, reference in _references(pod):
        if reference and not image_name(reference).pinned:
            yield subject.problem(
                path,
                f"image {reference!r} is not pinned by a well-formed sha256 digest",
                "write name@sha256:<64 hex digits> in the overlay's images:",
                severity=strict,
            )


@rule(
    id="image-registry",
    title="Images come from an allowed registry",
    severity="error",
    rationale="Images from elsewhere were neither scanned nor signed by us, and can disappear.",
    references=[_IMAGES],
    kinds=PODS,
    known_as=(
        "kubescape:C-0078 trivy:KSV-0125 kyverno:restrict-image-registries "
        "gatekeeper:allowedrepos gatekeeper:allowedreposv2"
    ),
)
def image_registry(pod: Pod, world: World) -> Iterator[Problem]:
    """Every image's repository starts with one of the settings' registries.

    Without that setting the rule is silent, unless it is asked for by name: then none is allowed.
    """
    allowed = world.config.registries
    if not allowed and not world.config.only:
        return
    for subject, path, reference in _references(pod):
        image = image_name(reference)
        if not any(comes_from(image, registry) for registry in allowed):
            yield subject.problem(
                path,
                f"image {reference!r} is not from {' or '.join(allowed) or 'an allowed registry'}",
                "mirror the image into an allowed registry",
            )


@rule(
    id="deprecated-image-registry",
    title="No image comes from k8s.gcr.io",
    severity="warning",
    rationale="k8s.gcr.io is frozen: new versions and fixes appear at registry.k8s.io only.",
    references=["https://kubernetes.io/blog/2023/02/06/k8s-gcr-io-freeze-announcement/"],
    kinds=PODS,
    known_as="kubescape:C-0253 kyverno:restrict-deprecated-registry",
)
def deprecated_image_registry(pod: Pod) -> Iterator[Problem]:
    """The registry of no image is the frozen one."""
    for subject, path, reference in _references(pod):
        if image_name(reference).registry == "k8s.gcr.io":
            yield subject.problem(
                path,
                f"image {reference!r} is from the frozen k8s.gcr.io",
                "take it from registry.k8s.io",
            )


@rule(
    id="image-pull-policy",
    title="A moving tag is pulled at each start",
    severity="info",
    rationale="With `latest` and no pull each node runs what it once happened to fetch.",
    references=[_PULL],
    kinds=CONTAINERS,
    known_as="kubescape:C-0075 kyverno:imagepullpolicy-always",
)
def image_pull_policy(container: Container) -> Iterator[Problem]:
    """Where the image has no tag or one without a number, imagePullPolicy is no other than Always.

    `latest`, `stable` and `main` move; unset, the policy of `latest` is Always.
    """
    policy = container.spec.get("imagePullPolicy")
    image = image_name(text(container.spec, "image"))
    moves = image.latest or (not image.digest and image.tag.isalpha())
    if moves and policy not in (None, "", "Always"):
        yield container.problem(
            ("imagePullPolicy",),
            f"its image has no fixed tag, and imagePullPolicy is {policy}",
            "pin the image by digest, or pull Always",
        )


@rule(
    id="image-pull-never",
    title="No image must be on the node already",
    severity="warning",
    rationale="With imagePullPolicy Never a pod starts only where somebody loaded the image.",
    references=[_PULL],
    kinds=CONTAINERS,
)
def image_pull_never(container: Container) -> Iterator[Problem]:
    """imagePullPolicy is not Never."""
    if container.spec.get("imagePullPolicy") == "Never":
        yield container.problem(
            ("imagePullPolicy",), "is never pulled: a new node cannot start it", "use IfNotPresent"
        )


@rule(
    id="image-pull-policy-always",
    title="Whatever has no digest is pulled at each start",
    severity="info",
    rationale="Contested: Always checks the pull secret and the tag at each start, and makes each "
    "start depend on the registry. With a digest it changes nothing and is not asked for.",
    references=[_PULL],
    kinds=CONTAINERS,
    known_as=(
        "kube-score:container-image-pull-policy polaris:pullPolicyNotAlways checkov:CKV_K8S_15"
    ),
    default=False,
)
def image_pull_policy_always(container: Container) -> Iterator[Problem]:
    """Where the image has no digest, imagePullPolicy is Always, also by default."""
    image = image_name(text(container.spec, "image"))
    policy = container.spec.get("imagePullPolicy")
    always = policy == "Always" or (policy in (None, "") and image.latest)
    if not image.digest and not always:
        yield container.problem(
            ("imagePullPolicy",),
            f"its image has no digest, and imagePullPolicy is {policy or 'IfNotPresent'}",
            "pin the image by digest, or pull Always",
        )


@rule(
    id="image-pull-policy-explicit",
    title="Containers say when their image is pulled",
    severity="info",
    rationale="Of taste: the default depends on the tag, and is decided once, when it is created.",
    references=[_PULL],
    kinds=CONTAINERS,
    known_as="polaris:pullPolicyNotAlways",
    default=False,
)
def image_pull_policy_explicit(container: Container) -> Iterator[Problem]:
    """`imagePullPolicy` is written down."""
    if not container.spec.get("imagePullPolicy"):
        yield container.problem(
            ("imagePullPolicy",), "leaves imagePullPolicy to the default", "write it down"
        )


@rule(
    id="image-pull-secrets",
    title="Pods that pull with credentials name them",
    severity="info",
    rationale="A pod that starts only where the node has the image cached fails on the next node. "
    "Off by default: Git does not say which registries ask for credentials.",
    references=[
        "https://kubernetes.io/docs/tasks/configure-pod-container/pull-image-private-registry/"
    ],
    kinds=PODS,
    known_as="kyverno:require-imagepullsecrets",
    default=False,
)
def image_pull_secrets(pod: Pod, world: World) -> Iterator[Problem]:
    """The pod or its ServiceAccount names pull secrets, unless all registries are anonymous."""
    images = [image_name(reference) for _, _, reference in _references(pod)]
    registries = sorted({image.registry for image in images} - _ANONYMOUS)
    name = text(pod.spec, "serviceAccountName") or "default"
    account = world.index.get("ServiceAccount", pod.resource.namespace, name)
    own = entries(pod.spec, "imagePullSecrets")
    theirs = entries(account.content, "imagePullSecrets") if account else []
    if registries and not any(text(secret, "name") for _, secret in (*own, *theirs)):
        yield pod.problem(
            ("imagePullSecrets",),
            f"names no credentials for {', '.join(registries)}",
            "set imagePullSecrets here or on the ServiceAccount",
        )
