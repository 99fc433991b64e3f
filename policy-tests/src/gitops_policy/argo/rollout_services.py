"""The Services that a Rollout names."""

from __future__ import annotations

from gitops_policy.fields import Path, text
from gitops_policy.model import Resource

_SERVICE_FIELDS = (
    ("canary", "stableService"),
    ("canary", "canaryService"),
    ("blueGreen", "activeService"),
    ("blueGreen", "previewService"),
    ("canary", "pingPong", "pingService"),
    ("canary", "pingPong", "pongService"),
)


def services_of(rollout: Resource) -> list[tuple[Path, str]]:
    """Return the Services that a Rollout names, with the place of each."""
    return [
        (("spec", "strategy", *path), text(rollout.spec, "strategy", *path))
        for path in _SERVICE_FIELDS
        if text(rollout.spec, "strategy", *path)
    ]
