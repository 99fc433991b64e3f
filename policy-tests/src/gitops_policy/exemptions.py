"""Exemptions: who answers for a broken rule, until when and why."""

from __future__ import annotations

from gitops_policy.findings import Exempted, Finding


def apply_exemptions(findings: list[Finding]) -> tuple[list[Finding], list[Exempted]]:
    """Split findings into those that stand and those that somebody exempted."""
    return findings, []
