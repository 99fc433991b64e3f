"""What the policy suite says of objects, by the rules that speak for the API server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gitops_policy import Config, lint

# The rules whose findings say: the API server does not take this object.
RULES = (
    "affinity-term-has-key",
    "container-names",
    "container-ports",
    "crd-rules-hold",
    "cron-schedule",
    "extended-resource",
    "field-values-valid",
    "label-values",
    "limit-range-valid",
    "network-policy-block-valid",
    "object-identity",
    "object-name",
    "probe-valid",
    "quantity-valid",
    "removed-api",
    "request-within-limit",
    "restart-policy",
    "schema-valid",
    "service-target-port-valid",
    "volume-mount-exists",
    "volume-mount-path-unique",
)


def broken_rules(manifests: Sequence[dict[str, Any]], version: str) -> list[set[str]]:
    """Return for each object the rules that refuse it."""
    config = Config(only=RULES, kubernetes_version=version)
    return [{finding.rule for finding in lint([m], config).findings} for m in manifests]
