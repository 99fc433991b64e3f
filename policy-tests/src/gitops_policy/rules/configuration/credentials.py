"""Credentials: none stands in Git, in no variable, ConfigMap, argument or other field."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

from gitops_policy.fields import Path, entries, mapping, sequence, text
from gitops_policy.kubernetes.producers import secret_keys
from gitops_policy.model import Problem, Resource
from gitops_policy.notations.credentials import credential, credentials_in, token
from gitops_policy.pods import Container
from gitops_policy.registry import CONTAINERS, EVERY, rule
from gitops_policy.world import World

_PRACTICE = "https://kubernetes.io/docs/concepts/security/secrets-good-practices/"
_DATREE = " ".join(f"datree:{number}" for number in range(62, 80))
_FLAG = re.compile(r"-{1,2}([A-Za-z][\w.-]*)(?:=(.*))?", re.DOTALL)
_FILE = re.compile(r".+\.[a-z]{2,10}")
_PROGRAM = re.compile(r".+\.(?:py|js|mjs|ts|go|rb|lua|java|groovy|rego|rs|php|pl|jsonnet)")
_FIX = "read it from a Secret that an ExternalSecret makes, and revoke what stood in Git"


@rule(
    id="env-credential",
    title="No environment variable holds a credential as a literal",
    severity="error",
    rationale="Whoever reads the repository, the object or a crash report has the credential.",
    references=[_PRACTICE],
    kinds=CONTAINERS,
    known_as=(
        "kube-linter:env-var-secret polaris:sensitiveContainerEnvVar kubescape:C-0012 "
        f"kubescape:C-0259 {_DATREE}"
    ),
)
def env_credential(container: Container, world: World) -> Iterator[Problem]:
    """No value has a token's shape, or stands under a name such as DB_PASSWORD.

    Paths, references, switches, numbers of seconds and the names of Secrets are no credentials.
    """
    for i, variable in entries(container.spec, "env"):
        name, value = text(variable, "name"), text(variable, "value")
        reason = credential(name, value) if value else ""
        named = (container.resource.namespace, value) in secret_keys(world) if reason else False
        if reason and not named:
            path = ("env", i, "value")
            yield container.problem(path, f"variable {name} holds {reason} as a literal", _FIX)


@rule(
    id="argument-credential",
    title="No command line holds a credential as a literal",
    severity="error",
    rationale="Arguments stand in Git, in the object and in the process list of the node.",
    references=[_PRACTICE],
    kinds=CONTAINERS,
)
def argument_credential(container: Container) -> Iterator[Problem]:
    """No `--password=value`, no `--password value`."""
    for part in ("command", "args"):
        words = [word if isinstance(word, str) else "" for word in sequence(container.spec, part)]
        for i, name, value in _flags(words):
            reason = credential(name, value)
            if reason:
                yield container.problem((part, i), f"holds {reason} as a literal", _FIX)


def _flags(words: list[str]) -> Iterator[tuple[int, str, str]]:
    """Yield where each flag's value stands, the flag's name and the value."""
    for i, word in enumerate(words):
        flag = _FLAG.fullmatch(word)
        if flag and flag[2] is not None:
            yield i, flag[1], flag[2]
        elif flag and words[i + 1 : i + 2] and not words[i + 1].startswith("-"):
            yield i + 1, flag[1], words[i + 1]


@rule(
    id="config-map-credential",
    title="No ConfigMap holds a credential",
    severity="error",
    rationale="ConfigMaps are readable by everybody who may look at the namespace, and by Git.",
    references=[_PRACTICE],
    kinds=["ConfigMap"],
    known_as=(
        "polaris:sensitiveConfigmapContent kubescape:C-0012 trivy:KSV-0109 trivy:KSV-01010 "
        f"kube-linter:configmap-with-credentials {_DATREE}"
    ),
)
def config_map_credential(config_map: Resource) -> Iterator[Problem]:
    """No key such as `password` with a value, no token, and no line `password: value` in a file."""
    for place, read in (("data", str), ("binaryData", _decoded)):
        for key, value in mapping(config_map.content, place).items():
            if isinstance(value, str):
                for reason in dict.fromkeys(_reasons(str(key), read(value))):
                    yield config_map.problem((place, key), f"key {key!r} holds {reason}", _FIX)


def _decoded(value: str) -> str:
    """Return the text that a value of binaryData holds, nothing where it is no text."""
    try:
        return base64.b64decode(value, validate=True).decode()
    except ValueError:
        return ""


def _reasons(key: str, value: str) -> Iterator[str]:
    """Judge a key by its name, a file by its lines."""
    file = _FILE.fullmatch(key) is not None
    if file or "\n" in value.strip():
        yield from credentials_in(value, program=_PROGRAM.fullmatch(key) is not None)
    elif reason := credential(key, value):
        yield reason


@rule(
    id="literal-credential",
    title="No other field holds a token or private key",
    severity="error",
    rationale="A token in an annotation or a custom resource is as public as one in a variable.",
    references=[_PRACTICE],
    kinds=EVERY,
    known_as=_DATREE,
)
def literal_credential(resource: Resource) -> Iterator[Problem]:
    """No string of any object but a Secret has the shape of a known token."""
    if resource.group_kind == "Secret":
        return
    strings = [found for found in _strings(resource.content) if not _has_own_rule(resource, found)]
    if not token("\0".join(value for _, value in strings)):
        return
    for path, value in strings:
        found = token(value)
        if found:
            yield resource.problem(path, f"holds a {found}", _FIX)


def _has_own_rule(resource: Resource, found: tuple[Path, str]) -> bool:
    path = found[0]
    if resource.group_kind == "ConfigMap":
        return path[0] == "data"
    return len(path) > 2 and path[-1] == "value" and path[-3] == "env"


def _strings(content: object) -> Iterator[tuple[Path, str]]:
    waiting: list[tuple[Path, object]] = [((), content)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, str):
            yield path, value
        elif isinstance(value, dict):
            waiting += [((*path, str(key)), item) for key, item in value.items()]
        elif isinstance(value, list):
            waiting += [((*path, i), item) for i, item in enumerate(value)]


@rule(
    id="secret-in-git",
    title="Secrets come from a store, not from Git",
    severity="warning",
    rationale="Base64 is no encryption: a Secret with data in Git is public to all its readers.",
    references=[_PRACTICE, "https://external-secrets.io/latest/"],
    kinds=["Secret"],
    known_as="kubescape:C-0208 kubescape:C-0234 cis:5.4.2",
)
def secret_in_git(secret: Resource) -> Iterator[Problem]:
    """A Secret has no data; ExternalSecret, SealedSecret or a controller fill it in the cluster."""
    for part in ("data", "stringData"):
        keys = [key for key, value in mapping(secret.content, part).items() if value]
        if keys:
            yield secret.problem(
                (part,),
                f"holds {', '.join(sorted(map(str, keys)))}",
                "make it with an ExternalSecret (or seal it)",
            )


_PERSONAL_KEY = re.compile(
    r".*(?:user[-_.]?name|e-?mail|phone|(?:^|[-_.])iban(?:$|[-_.])).*", re.IGNORECASE
)
_ADDRESS = re.compile(r"\b[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}\b")
_IBAN = re.compile(r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")


@rule(
    id="config-map-personal-data",
    title="No ConfigMap holds personal data",
    severity="info",
    rationale="Names, addresses and account numbers of people do not belong into Git's history.",
    references=[_PRACTICE],
    kinds=["ConfigMap"],
    known_as="trivy:KSV-01010",
    default=False,
)
def config_map_personal_data(config_map: Resource) -> Iterator[Problem]:
    """No key for a user name, mail address, phone number or IBAN, and no such value."""
    for key, value in mapping(config_map.content, "data").items():
        if not isinstance(value, str):
            continue
        if _PERSONAL_KEY.fullmatch(str(key)) or _ADDRESS.search(value) or _IBAN.search(value):
            yield config_map.problem(
                ("data", key), f"key {key!r} may hold personal data", "move it into a Secret"
            )
