"""Envoy Gateway's policies do what their names say."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import mapping, text
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule

_ENVOY = "https://gateway.envoyproxy.io/docs/api/extension_types/"
_TLS = "https://www.rfc-editor.org/rfc/rfc8996"
_SECURES = ("apiKeyAuth", "authorization", "basicAuth", "cors", "csrf", "extAuth", "jwt", "oidc")


@rule(
    id="client-tls-version",
    title="Clients speak TLS 1.2 or newer",
    severity="warning",
    rationale="TLS 1.0 and 1.1 are deprecated: their hashes and ciphers are broken.",
    references=[_TLS, _ENVOY + "#clienttlssettings"],
    kinds=["gateway.envoyproxy.io/ClientTrafficPolicy"],
)
def client_tls_version(policy: Resource) -> Iterator[Problem]:
    """minVersion, where it is set, is 1.2, 1.3 or Auto, whose least is 1.2."""
    version = text(policy.spec, "tls", "minVersion")
    if version in ("1.0", "1.1"):
        path = ("spec", "tls", "minVersion")
        yield policy.problem(path, f"clients may speak TLS {version}", "ask for 1.2")


@rule(
    id="security-policy-secures",
    title="A SecurityPolicy asks for something",
    severity="error",
    rationale="A policy without a section is accepted and lets every request through.",
    references=[_ENVOY + "#securitypolicyspec"],
    kinds=["gateway.envoyproxy.io/SecurityPolicy"],
)
def security_policy_secures(policy: Resource) -> Iterator[Problem]:
    """A key, a token, an address or an origin is asked for."""
    if not any(mapping(policy.spec, section) for section in _SECURES):
        yield policy.problem(("spec",), "it asks for nothing", f"add one of {', '.join(_SECURES)}")
