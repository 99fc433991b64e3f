"""What must not be printed: values of Secrets, and what looks like one elsewhere."""

from __future__ import annotations

import re
from typing import Any

from gitops_policy.diff.changes import ABSENT
from gitops_policy.fields import Path, field, text
from gitops_policy.notations.credentials import names_a_secret, token

REDACTED = "(redacted)"

# `password: value` on a line of its own, and `--password=value` as an argument.
_ASSIGNED = re.compile(
    r"""^(\s*(?:-\s+)?["']?-{0,2}([A-Za-z_][\w.-]*)["']?\s*[:=]\s*)\S.*$""", re.M
)
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
# References say where a secret is, not what it is.
_REFERENCES = frozenset(
    {
        *("valueFrom", "secretRef", "secretKeyRef", "secretName", "secret", "secretStoreRef"),
        *("tokenReview", "serviceAccountToken", "envFrom"),
    }
)


def redacted(value: Any, content: Any, path: Path) -> Any:
    """Return the value of a field of an object as it may be shown."""
    if value is ABSENT or value is None:
        return value
    if _inside_secret(content, path) or _called_secret(content, path):
        return REDACTED
    return _without_secrets(value, path[-1] if path else "")


def _inside_secret(content: Any, path: Path) -> bool:
    if _LAST_APPLIED in path:
        return True
    return text(content, "kind") == "Secret" and path[:1] in (("data",), ("stringData",))


def _called_secret(content: Any, path: Path) -> bool:
    """Say whether the field, or the variable it is the value of, has the name of a secret."""
    if _REFERENCES & set(path):
        return False
    if path and path[-1] == "value":
        return names_a_secret(text(field(content, *path[:-1]), "name"))
    free_form = path[:1] in (("data",), ("stringData",)) or "valuesObject" in path
    return free_form and names_a_secret(str(path[-1]))


def _without_secrets(value: Any, name: Any) -> Any:
    if isinstance(value, dict):
        if text(value, "kind") == "Secret":
            hidden = {k: REDACTED for k in ("data", "stringData") if k in value}
            value = {**value, **hidden}
        if "value" in value and names_a_secret(text(value, "name")):
            value = {**value, "value": REDACTED}
        return {key: _item(key, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_secrets(item, name) for item in value]
    if name == _LAST_APPLIED:
        return REDACTED
    return _text(value) if isinstance(value, str) else value


def _item(key: Any, item: Any) -> Any:
    hidden = isinstance(item, str) and key not in _REFERENCES and names_a_secret(str(key))
    return REDACTED if hidden else _without_secrets(item, key)


def _text(value: str) -> str:
    if token(value):
        return REDACTED
    return _ASSIGNED.sub(_line, value) if "\n" in value or value.startswith("-") else value


def _line(found: re.Match[str]) -> str:
    return found[1] + REDACTED if names_a_secret(found[2]) else found[0]
