"""Which lists of Kubernetes are maps, which are sets, and which have an order."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any

# The field of a list -> the fields of its items that tell them apart; several forms are tried.
_KEYS: dict[str, tuple[tuple[str, ...], ...]] = {
    "volumeMounts": (("mountPath",),),
    "volumeDevices": (("devicePath",),),
    "hostAliases": (("ip",),),
    "ports": (("containerPort", "protocol"), ("port", "protocol"), ("name",)),
    "parentRefs": (("namespace", "name", "sectionName", "port"),),
    "backendRefs": (("kind", "namespace", "name", "port"),),
    "targetRefs": (("kind", "name", "sectionName"),),
    "subjects": (("kind", "namespace", "name"),),
    "clusterResourceWhitelist": (("group", "kind", "name"),),
    "clusterResourceBlacklist": (("group", "kind", "name"),),
    "namespaceResourceWhitelist": (("group", "kind"),),
    "namespaceResourceBlacklist": (("group", "kind"),),
    "templates": (("templateName",), ("name",)),
    "rules": (("alert",), ("record",)),
}
_NAME = (("name",),)
# Lists whose items have names and whose order counts all the same.
_ORDERED = frozenset({"initContainers", "rules"})
_SEQUENCES = frozenset({"steps", "command", "args"})
_SETS = frozenset(
    {
        *("accessModes", "add", "apiGroups", "apiVersions", "categories", "cidrs", "destinations"),
        *("dnsNames", "drop", "egress", "except", "finalizers", "from", "hostnames", "ingress"),
        *("ignoreDifferences", "jqPathExpressions", "jsonPointers", "managedFieldsManagers"),
        *("matchExpressions", "matchLabelKeys", "matches", "metrics", "namespaces", "nodePorts"),
        *("nonResourceURLs", "podTargetLabels", "policyTypes", "ports", "resourceNames", "rules"),
        *("resources", "sourceNamespaces", "sourceRepos", "supplementalGroups", "syncOptions"),
        *("targetLabels", "to", "tolerations", "topologySpreadConstraints", "values", "verbs"),
    }
)
# `rules` is a set of rights in a Role, and a sequence in a route.
_RIGHTS = frozenset({"verbs", "nonResourceURLs"})

Pair = tuple[int | None, int | None, str]


def pairs(field: str, before: list[Any], after: list[Any]) -> Iterator[Pair]:
    """Yield (position before, position after, label) of what belongs together in two lists."""
    keys = _common_keys(field, before, after)
    if keys:
        yield from _by_key(*keys)
    elif field in _SETS and (field != "rules" or _are_rights([*before, *after])):
        yield from _as_set(before, after)
    else:
        yield from _in_order(before, after)


def reordered(field: str, before: list[Any], after: list[Any]) -> bool:
    """Say whether items that stand in both lists changed places where the place counts."""
    keys = _common_keys(field, before, after)
    if not keys or field not in _ORDERED:
        return False
    common = set(keys[0]) & set(keys[1])
    return [k for k in keys[0] if k in common] != [k for k in keys[1] if k in common]


def label(field: str, items: list[Any], position: int) -> str:
    """Return what an item of a list is called: its key, or its position."""
    keys = _keys(field, items)
    return _shown(keys[position]) if keys else str(position)


def _common_keys(
    field: str, before: list[Any], after: list[Any]
) -> tuple[list[Hashable], list[Hashable]] | None:
    for form in _forms(field):
        old, new = _values(before, form), _values(after, form)
        if old is not None and new is not None:
            return old, new
    return None


def _keys(field: str, items: list[Any]) -> list[Hashable] | None:
    return next((keys for form in _forms(field) if (keys := _values(items, form))), None)


def _forms(field: str) -> tuple[tuple[str, ...], ...]:
    return () if field in _SEQUENCES and field != "args" else _KEYS.get(field, _NAME)


def _values(items: list[Any], form: tuple[str, ...]) -> list[Hashable] | None:
    """Return the key of each item; None where one has none, or two have the same."""
    keys: list[Hashable] = []
    for item in items:
        if not isinstance(item, dict):
            return None
        values = tuple(item.get(name) for name in form)
        if all(value is None for value in values):
            return None
        if not all(value is None or isinstance(value, str | int) for value in values):
            return None
        keys.append(tuple(_DEFAULTS.get(n, "") if v is None else v for n, v in zip(form, values)))  # noqa: B905
    return keys if len(set(keys)) == len(keys) else None


_DEFAULTS = {"protocol": "TCP"}


def _by_key(before: list[Hashable], after: list[Hashable]) -> Iterator[Pair]:
    old = {key: i for i, key in enumerate(before)}
    new = {key: i for i, key in enumerate(after)}
    for key in [*before, *(k for k in after if k not in old)]:
        yield old.get(key), new.get(key), _shown(key)


def _shown(key: Hashable) -> str:
    parts = key if isinstance(key, tuple) else (key,)
    return "/".join(str(part) for part in parts if part not in ("", "TCP"))


def _are_rights(items: list[Any]) -> bool:
    return all(isinstance(item, dict) and _RIGHTS & item.keys() for item in items)


def canonical(value: Any) -> str:
    """Return a text that is equal for equal values."""
    return json.dumps(value, sort_keys=True, default=str)


def _as_set(before: list[Any], after: list[Any]) -> Iterator[Pair]:
    old, new = [canonical(item) for item in before], [canonical(item) for item in after]
    left = _rest(old, Counter(new))
    right = _rest(new, Counter(old))
    scalars = not any(isinstance(item, dict | list) for item in (*before, *after))
    if scalars:
        yield from ((i, None, str(i)) for i in left)
        yield from ((None, i, str(i)) for i in right)
    else:
        yield from _side_by_side(left, right)


def _rest(items: list[str], others: Counter[str]) -> list[int]:
    rest = []
    for i, item in enumerate(items):
        if others[item] > 0:
            others[item] -= 1
        else:
            rest.append(i)
    return rest


def _in_order(before: list[Any], after: list[Any]) -> Iterator[Pair]:
    old, new = [canonical(item) for item in before], [canonical(item) for item in after]
    for what, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if what != "equal":
            yield from _side_by_side(range(i, j), range(k, m))


def _side_by_side(left: Sequence[int], right: Sequence[int]) -> Iterator[Pair]:
    for position in range(max(len(left), len(right))):
        i = left[position] if position < len(left) else None
        j = right[position] if position < len(right) else None
        yield i, j, str(j if j is not None else i)
