"""What the API server takes as a name, a label key and a label value."""

from __future__ import annotations

import re

_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_DNS_LABEL = re.compile(_LABEL)
_QUALIFIED = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?")
_LONGEST_LABEL = 63
_LONGEST_SUBDOMAIN = 253
# The controller appends 11 characters to the names of a CronJob's Jobs.
_LONGEST_CRON_JOB = 52
_PATH_SEGMENTS = frozenset(
    [
        "policy/PodDisruptionBudget",
        *(
            f"rbac.authorization.k8s.io/{kind}"
            for kind in ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")
        ),
    ]
)
_LABEL_NAMES = frozenset(["Namespace", "Service"])


def label_fault(name: str) -> str:
    """Say why a text is no DNS label (RFC 1123): containers, volumes, namespaces."""
    if len(name) > _LONGEST_LABEL:
        return f"is longer than {_LONGEST_LABEL} characters"
    if not _DNS_LABEL.fullmatch(name):
        return "is not lower-case letters, digits and dashes, a letter or digit at both ends"
    return ""


def name_fault(group_kind: str, name: str, *, prefix: bool = False) -> str:
    """Say why the API server refuses an object's name; empty where it takes it.

    `prefix` is a generateName, which may end in a dash.
    """
    if group_kind in _PATH_SEGMENTS:
        bad = name in (".", "..") or "/" in name or "%" in name
        return "is no path segment: it holds '/' or '%', or is a dot" if bad else ""
    if prefix:
        name = name.rstrip("-.") or name
    if group_kind in _LABEL_NAMES:
        letter = group_kind == "Service" and name[:1].isdigit()
        return "starts with a digit" if letter else label_fault(name)
    longest = _LONGEST_CRON_JOB if group_kind == "batch/CronJob" else _LONGEST_SUBDOMAIN
    if len(name) > longest:
        return f"is longer than {longest} characters"
    if not _SUBDOMAIN.fullmatch(name):
        return "is not lower-case letters, digits, dashes and dots, a letter or digit at both ends"
    return ""


def key_fault(key: str) -> str:
    """Say why a text is no key of a label or annotation."""
    prefix, slash, name = key.rpartition("/")
    if slash and (len(prefix) > _LONGEST_SUBDOMAIN or not _SUBDOMAIN.fullmatch(prefix)):
        return f"has the prefix {prefix!r}, which is no DNS name"
    if len(name) > _LONGEST_LABEL or not _QUALIFIED.fullmatch(name):
        return f"{name!r} is not up to 63 letters, digits, '-', '_' and '.'"
    return ""


def value_fault(value: str) -> str:
    """Say why a text is no value of a label."""
    if len(value) > _LONGEST_LABEL:
        return f"is longer than {_LONGEST_LABEL} characters"
    if value and not _QUALIFIED.fullmatch(value):
        return "is not letters, digits, '-', '_' and '.', a letter or digit at both ends"
    return ""
