"""Ingresses of ingress-nginx: no configuration smuggled in by annotation."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitops_policy.fields import mapping
from gitops_policy.findings import Severity
from gitops_policy.kubernetes.ingresses import INGRESS
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule

_CVE = "https://nvd.nist.gov/vuln/detail/CVE-2021-25742"
_SNIPPETS = (
    "https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/annotations/"
    "#configuration-snippet"
)
_SETTINGS = (
    "https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/configmap/"
    "#allow-snippet-annotations"
)
_ALLOW = "allow-snippet-annotations"
_CONTROLLERS = ("nginx-config", "nginx-conf", "ingress-nginx-controller")
# What reads the controller's files and credentials, and the directives that end a value.
_REACHING = re.compile(
    r"/etc/(passwd|shadow|group|nginx|ingress-controller)|/var/run/secrets|_by_lua"
)
_DIRECTIVE = re.compile(r"\b(alias|root)\b[^;]*;")
_BREAKING = {
    "auth-url": re.compile(r"[\s<>\"{}|^`\\#;]"),
    "mirror-target": re.compile(r"[\s<>\"{}|^`\\#;]"),
    "mirror-host": re.compile(r"[\s<>\"{}|^`\\#;]"),
    "auth-tls-match-cn": re.compile(r"CN=.*[\r\n#{};|]"),
}


def _snippets(ingress: Resource) -> Iterator[tuple[str, str]]:
    for key, value in ingress.annotations.items():
        if isinstance(key, str) and key.endswith("-snippet"):
            yield key, str(value)


def _found(ingress: Resource, pattern: str, what: str) -> Iterator[Problem]:
    for key, value in _snippets(ingress):
        if re.search(pattern, value):
            yield ingress.problem(
                ("metadata", "annotations", key), f"the snippet {what}", "remove the snippet"
            )


@rule(
    id="ingress-no-snippet",
    title="An Ingress carries no nginx configuration",
    severity="error",
    rationale="Whoever writes a snippet runs configuration in the controller, with its secrets.",
    references=[_CVE, _SNIPPETS],
    kinds=INGRESS,
    known_as=[
        "checkov:CKV_K8S_153",
        "kubescape:C-0059",
        "datree:32",
        "kyverno:disallow-ingress-nginx-custom-snippets",
    ],
)
def ingress_no_snippet(ingress: Resource) -> Iterator[Problem]:
    """No annotation ends in `-snippet`."""
    for key, _ in _snippets(ingress):
        yield ingress.problem(
            ("metadata", "annotations", key),
            "the annotation holds nginx configuration",
            "use an annotation made for the purpose",
        )


@rule(
    id="ingress-snippet-without-lua",
    title="No snippet of an Ingress runs Lua",
    severity="error",
    rationale="Lua in a snippet reads the controller's service account token (CVE-2021-25742).",
    references=[_CVE],
    kinds=INGRESS,
    known_as=["checkov:CKV_K8S_152"],
)
def ingress_snippet_without_lua(ingress: Resource) -> Iterator[Problem]:
    """No snippet contains a Lua directive or a path of the service account."""
    pattern = r"\blua_|_lua\b|_lua_|\bkubernetes\.io\b"
    yield from _found(ingress, pattern, "runs Lua, or reads the service account")


@rule(
    id="ingress-snippet-without-alias",
    title="No snippet of an Ingress serves the controller's files",
    severity="error",
    rationale="An alias serves any file that the controller may read (CVE-2021-25742).",
    references=[_CVE],
    kinds=INGRESS,
    known_as=["checkov:CKV_K8S_154"],
)
def ingress_snippet_without_alias(ingress: Resource) -> Iterator[Problem]:
    """No snippet contains an `alias` directive."""
    yield from _found(ingress, r"\balias\b", "serves files by alias")


@rule(
    id="ingress-annotation-values",
    title="No annotation of an Ingress breaks out of its directive",
    severity="error",
    rationale=(
        "ingress-nginx writes values into its configuration: a quote or brace ends the directive"
        " and begins another (CVE-2025-1097, 1098, 24514; CVE-2021-25746)."
    ),
    references=[
        "https://github.com/kubernetes/kubernetes/issues/131007",
        "https://github.com/kubernetes/kubernetes/issues/131006",
        "https://github.com/kubernetes/ingress-nginx/issues/8503",
    ],
    kinds=INGRESS,
    known_as=["trivy:KCV-0093", "kyverno:restrict-annotations"],
)
def ingress_annotation_values(ingress: Resource) -> Iterator[Problem]:
    """No value holds characters or directives that end or replace its own."""
    for key, value in ingress.annotations.items():
        if not isinstance(key, str) or not isinstance(value, str):
            continue
        if _REACHING.search(value) or _breaks_out(key, value.rstrip("\n")):
            yield ingress.problem(
                ("metadata", "annotations", key),
                "the value holds nginx configuration",
                "write a plain URL or name",
            )


def _breaks_out(key: str, value: str) -> bool:
    """Say whether a value that is written into nginx's configuration ends its directive."""
    broken = _BREAKING.get(key.removeprefix("nginx.ingress.kubernetes.io/"))
    directive = "nginx" in key and _DIRECTIVE.search(value)
    return bool(directive or (broken and broken.search(value)))


@rule(
    id="nginx-forbids-snippets",
    title="ingress-nginx accepts no snippets",
    severity="error",
    rationale=(
        "With snippets allowed, anybody who may write an Ingress owns the controller's secrets;"
        " versions before 1.9 allow them unless told."
    ),
    references=[_CVE, _SETTINGS],
    kinds=["ConfigMap"],
    known_as=[
        "datree:31",
        "kubescape:C-0059",
        "kyverno:disallow-ingress-nginx-custom-snippets",
    ],
)
def nginx_forbids_snippets(settings: Resource) -> Iterator[Problem]:
    """`allow-snippet-annotations` of the controller's ConfigMap is "false"."""
    value = mapping(settings.content, "data").get(_ALLOW)
    controller = settings.name in _CONTROLLERS or settings.namespace in (
        "ingress-nginx",
        "nginx-ingress",
    )
    if value is None and not controller:
        return
    if value != "false":
        unset = value is None
        yield settings.problem(
            ("data", _ALLOW),
            "it is not set: false only since version 1.9" if unset else f"it is {value!r}",
            f'set {_ALLOW}: "false"',
            severity=Severity.info if unset else None,
        )
