"""What must not be printed: values of Secrets, and what looks like one elsewhere."""

from __future__ import annotations

import re
from typing import Any

from gitops_policy.diff.changes import ABSENT
from gitops_policy.fields import Path, field, text

REDACTED = "(redacted)"

_NAME = re.compile(
    r"(^|[_.-])(password|passwd|passphrase|pwd|secret|token|credentials?|private[_.-]?key"
    r"|api[_.-]?key|access[_.-]?key|secret[_.-]?key|auth|bearer|dsn|connection[_.-]?string)"
    r"([_.-]?[0-9]*)$",
    re.IGNORECASE,
)
_VALUE = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\b(AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\bgh[pousr]_[A-Za-z0-9]{36}"
    r"|\bgithub_pat_[A-Za-z0-9_]{22,}"
    r"|\bglpat-[A-Za-z0-9_-]{20}"
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,}"
    r"|\bsk_live_[A-Za-z0-9]{16,}"
    r"|\bAIza[0-9A-Za-z_-]{35}"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\."
    r"|[a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s@]+@"
    r"|^--?[a-z0-9-]*(password|passwd|token|secret|api-?key|private-?key)=\S"
)
_LINE = re.compile(
    r"""^(\s*["']?[\w.-]*(?:password|passwd|secret|token|api[_-]?key|private[_-]?key)["']?"""
    r"""\s*[:=]\s*)\S.*$""",
    re.IGNORECASE | re.MULTILINE,
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
        return bool(_NAME.search(text(field(content, *path[:-1]), "name")))
    inside_data = path[:1] in (("data",), ("stringData",))
    return inside_data and bool(_NAME.search(str(path[-1])))


def _without_secrets(value: Any, name: Any) -> Any:
    if isinstance(value, dict):
        if text(value, "kind") == "Secret":
            hidden = {k: REDACTED for k in ("data", "stringData") if k in value}
            value = {**value, **hidden}
        if "value" in value and _NAME.search(text(value, "name")):
            value = {**value, "value": REDACTED}
        return {key: _without_secrets(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_secrets(item, name) for item in value]
    if name == _LAST_APPLIED or (isinstance(value, str) and _VALUE.search(value)):
        return REDACTED
    if isinstance(value, str) and "\n" in value:
        return _LINE.sub(rf"\1{REDACTED}", value)
    return value
