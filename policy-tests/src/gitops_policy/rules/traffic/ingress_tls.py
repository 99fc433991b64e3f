"""TLS of Ingresses: configured, for every host, with a certificate that covers it."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import entries, sequence, text
from gitops_policy.kubernetes.certificates import covers, names_of, produced
from gitops_policy.kubernetes.ingresses import INGRESS
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule
from gitops_policy.world import World

_DOCS = "https://kubernetes.io/docs/concepts/services-networking/ingress/#tls"
_ALLOW_HTTP = "kubernetes.io/ingress.allow-http"


@rule(
    id="ingress-tls",
    title="An Ingress serves TLS",
    severity="error",
    rationale="Without TLS tokens and data cross the network in the clear.",
    references=[_DOCS],
    kinds=INGRESS,
    known_as=[
        "polaris:tlsSettingsMissing",
        "kubescape:C-0263",
        "gatekeeper:httpsonly",
        "gatekeeper:k8shttpsonly",
        "kyverno:require-ingress-https",
        "kyverno:ingress-host-match-tls",
    ],
)
def ingress_tls(ingress: Resource) -> Iterator[Problem]:
    """`spec.tls` has an entry."""
    if not sequence(ingress.spec, "tls"):
        yield ingress.problem(("spec", "tls"), "no TLS is configured", "add tls: with its hosts")


@rule(
    id="ingress-https-only",
    title="An Ingress forbids plain HTTP",
    severity="info",
    rationale="Google's controllers serve HTTP beside HTTPS unless this annotation says no.",
    references=[
        "https://cloud.google.com/kubernetes-engine/docs/concepts/ingress-xlb#disabling_http"
    ],
    kinds=INGRESS,
    known_as=[
        "gatekeeper:httpsonly",
        "gatekeeper:k8shttpsonly",
        "kyverno:require-ingress-https",
    ],
    default=False,
)
def ingress_https_only(ingress: Resource) -> Iterator[Problem]:
    """The annotation kubernetes.io/ingress.allow-http is "false"."""
    if ingress.annotations.get(_ALLOW_HTTP) != "false":
        yield ingress.problem(
            ("metadata", "annotations", _ALLOW_HTTP),
            "plain HTTP is allowed",
            f'set {_ALLOW_HTTP}: "false"',
        )


@rule(
    id="ingress-hosts-in-tls",
    title="Every host of an Ingress is among its TLS hosts",
    severity="error",
    rationale="A host that tls: does not list is served with the controller's own certificate.",
    references=[_DOCS],
    kinds=INGRESS,
    known_as=["kyverno:ingress-host-match-tls"],
)
def ingress_hosts_in_tls(ingress: Resource) -> Iterator[Problem]:
    """An entry of tls lists each rule's host, itself or by a wildcard; one without hosts, all."""
    listed = [sequence(item, "hosts") for _, item in entries(ingress.spec, "tls")]
    if [] in listed:
        return
    names = [str(name) for hosts in listed for name in hosts]
    for i, item in entries(ingress.spec, "rules"):
        host = text(item, "host")
        if host and listed and not any(covers(name, host) for name in names):
            yield ingress.problem(
                ("spec", "rules", i, "host"), f"tls: does not list {host}", "add it to tls[].hosts"
            )


@rule(
    id="ingress-certificate-exists",
    title="The certificate of an Ingress is produced here",
    severity="error",
    rationale="Without the Secret the controller serves its own certificate, which clients refuse.",
    references=[_DOCS, "https://cert-manager.io/docs/usage/ingress/"],
    kinds=INGRESS,
    needs_whole=True,
)
def ingress_certificate_exists(ingress: Resource, world: World) -> Iterator[Problem]:
    """Each secretName is made by a Certificate, another producer or the Ingress's annotation."""
    for i, item in entries(ingress.spec, "tls"):
        name = text(item, "secretName")
        if name and not produced(world, ingress, ingress.namespace, name):
            yield ingress.problem(
                ("spec", "tls", i, "secretName"),
                f"no Certificate or Secret makes {name!r} in namespace {ingress.namespace!r}",
                "set a Certificate's secretName to it, in the Ingress's namespace",
            )


@rule(
    id="ingress-certificate-covers-hosts",
    title="The certificate of an Ingress covers its hosts",
    severity="error",
    rationale="Clients refuse a certificate for another name.",
    references=["https://cert-manager.io/docs/usage/certificate/"],
    kinds=INGRESS,
)
def ingress_certificate_covers_hosts(ingress: Resource, world: World) -> Iterator[Problem]:
    """Each TLS host is among the dnsNames of the Certificate that makes its Secret."""
    for i, item in entries(ingress.spec, "tls"):
        names = names_of(world, ingress.namespace, [text(item, "secretName")])
        for j, host in enumerate(map(str, sequence(item, "hosts"))):
            if names and not any(covers(name, host) for name in names):
                yield ingress.problem(
                    ("spec", "tls", i, "hosts", j),
                    f"the certificate is for {', '.join(names)}, not for {host}",
                    "add the host to the Certificate's dnsNames",
                )
