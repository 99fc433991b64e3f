"""Pod templates in every kind of object that the policy suite knows to carry them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gitops_policy.apis.kinds import FURTHER_TEMPLATES, POD_TEMPLATES

Fields = dict[str, Any]
Carrier = tuple[str, tuple[Any, ...]]

CARRIERS: Sequence[Carrier] = (*POD_TEMPLATES.items(), *FURTHER_TEMPLATES.items())
POD: Carrier = ("Pod", ())


def carry(carrier: Carrier, template: Fields, name: str) -> Fields:
    """Put a pod template into an object of this kind, at the place that the carrier names."""
    group_kind, path = carrier
    content: Any = template
    for step in reversed(path):
        content = [content] if step == "*" else {step: content}
    group, _, kind = group_kind.rpartition("/")
    identity = {"apiVersion": f"{group}/v1" if group else "v1", "kind": kind}
    return {**identity, **content, "metadata": {**content.get("metadata", {}), "name": name}}
