"""Certificates: an issuer that exists, names, and a life that is not too long."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import Path, field, mapping, sequence, text
from gitops_policy.model import Problem, Resource
from gitops_policy.notations.durations import go_seconds
from gitops_policy.notations.globs import matches
from gitops_policy.registry import rule
from gitops_policy.world import World

_CERTIFICATE = ["cert-manager.io/Certificate"]
_DOCS = "https://cert-manager.io/docs/usage/certificate/"
_DEFAULT_SECONDS = 90 * 24 * 3600
_NAMES = ("commonName", "dnsNames", "ipAddresses", "uris", "emailAddresses", "otherNames")


@rule(
    id="certificate-issuer-named",
    title="A Certificate names an issuer that exists",
    severity="error",
    rationale="Without issuerRef, or with a misspelled one, no certificate is ever issued.",
    references=[_DOCS, "https://cert-manager.io/docs/concepts/issuer/"],
    kinds=_CERTIFICATE,
)
def certificate_issuer_named(certificate: Resource, world: World) -> Iterator[Problem]:
    """issuerRef.name is set; an Issuer of cert-manager's is in the Certificate's namespace."""
    path: Path = ("spec", "issuerRef")
    reference = mapping(certificate.content, *path)
    name, kind = text(reference, "name"), text(reference, "kind") or "Issuer"
    if not name:
        misspelt = "issuer: is no field; " if "issuer" in certificate.spec else ""
        yield certificate.problem(
            (*path, "name"), f"{misspelt}no issuer is named", "write issuerRef: {name, kind}"
        )
        return
    own = text(reference, "group") in ("", "cert-manager.io")
    if not own or kind == "ClusterIssuer":
        return
    if kind != "Issuer":
        yield certificate.problem((*path, "kind"), f"{kind!r} is no kind of issuer", "correct it")
    elif world.index.get("cert-manager.io/Issuer", certificate.namespace, name) is None:
        yield certificate.problem(
            (*path, "name"),
            f"there is no Issuer {name!r} in namespace {certificate.namespace!r}",
            "add it, or name kind: ClusterIssuer",
        )


@rule(
    id="certificate-for-domain",
    title="A domain's certificates come from its issuer",
    severity="warning",
    rationale="Who may set up an issuer of his own could sign certificates of any domain.",
    references=[_DOCS],
    kinds=_CERTIFICATE,
    known_as=["kyverno:cert-manager-restrict-issuer", "kyverno:restrict-issuer"],
)
def certificate_for_domain(certificate: Resource, world: World) -> Iterator[Problem]:
    """Names that the setting certificate_issuers lists have that ClusterIssuer."""
    reference = mapping(certificate.spec, "issuerRef")
    for pattern, issuer in world.config.certificate_issuers.items():
        names = [str(name) for name in sequence(certificate.spec, "dnsNames")]
        concerned = [name for name in names if matches(pattern, name)]
        wanted = {"name": issuer, "kind": "ClusterIssuer"}
        if concerned and any(reference.get(key) != value for key, value in wanted.items()):
            yield certificate.problem(
                ("spec", "issuerRef"),
                f"{concerned[0]} is not signed by ClusterIssuer {issuer!r}",
                "name it with its kind",
            )


@rule(
    id="certificate-duration",
    title="A certificate is not valid for too long",
    severity="warning",
    rationale="A key that leaks is of use until its certificate ends: nobody revokes in time.",
    references=[_DOCS],
    kinds=_CERTIFICATE,
    known_as=["kyverno:cert-manager-limit-duration", "kyverno:limit-duration"],
)
def certificate_duration(certificate: Resource, world: World) -> Iterator[Problem]:
    """duration is at most the setting certificate_hours; Let's Encrypt decides for itself."""
    duration = go_seconds(text(certificate.spec, "duration"))
    named = text(certificate.spec, "issuerRef", "name")
    longest = world.config.certificate_hours * 3600
    if duration is not None and duration > longest and "letsencrypt" not in named:
        yield certificate.problem(
            ("spec", "duration"),
            f"{duration / 3600:g} hours, more than {world.config.certificate_hours}",
            "shorten it: cert-manager renews by itself",
        )


@rule(
    id="certificate-renewed-in-time",
    title="A certificate is renewed before it ends, and not all the time",
    severity="error",
    rationale="cert-manager refuses it, or renews again and again until the issuer's limit.",
    references=[_DOCS + "#renewal-reissuance"],
    kinds=_CERTIFICATE,
)
def certificate_renewed_in_time(certificate: Resource) -> Iterator[Problem]:
    """duration is an hour or more, renewBefore five minutes or more and below duration."""
    spec = certificate.spec
    written = go_seconds(text(spec, "duration"))
    duration = _DEFAULT_SECONDS if written is None else written
    before = go_seconds(text(spec, "renewBefore"))
    if duration < 3600:
        yield certificate.problem(("spec", "duration"), "less than an hour", "set 1h or more")
    if before is not None and not 300 <= before < duration:
        yield certificate.problem(
            ("spec", "renewBefore"),
            "it is not between five minutes and the certificate's duration",
            "renew when a third of the time is left",
        )
    if before is not None and field(spec, "renewBeforePercentage") is not None:
        yield certificate.problem(
            ("spec", "renewBeforePercentage"), "renewBefore is set as well", "keep one of them"
        )


@rule(
    id="certificate-has-names",
    title="A Certificate has a name",
    severity="error",
    rationale="cert-manager refuses a Certificate that is for nobody.",
    references=[_DOCS],
    kinds=_CERTIFICATE,
)
def certificate_has_names(certificate: Resource) -> Iterator[Problem]:
    """One of commonName, dnsNames, ipAddresses, uris, emailAddresses is set."""
    if not any(field(certificate.spec, name) for name in (*_NAMES, "literalSubject")):
        yield certificate.problem(("spec", "dnsNames"), "it is for no name", "add dnsNames")


@rule(
    id="certificate-one-name",
    title="A Certificate has one DNS name",
    severity="info",
    rationale="Some programs read the first name only; a shared key ties services together.",
    references=[_DOCS],
    kinds=_CERTIFICATE,
    known_as=["kyverno:cert-manager-limit-dnsnames", "kyverno:limit-dnsnames"],
    default=False,
)
def certificate_one_name(certificate: Resource) -> Iterator[Problem]:
    """dnsNames has at most one entry."""
    number = len(sequence(certificate.spec, "dnsNames"))
    if number > 1:
        yield certificate.problem(("spec", "dnsNames"), f"{number} names", "make one for each")
