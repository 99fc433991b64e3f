"""What the policy suite says of pod templates, carrier by carrier; runs in processes of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gitops_policy import Config, Severity, lint

from e2e.oracles.carriers import CARRIERS, carry


@dataclass(frozen=True, slots=True)
class Verdict:
    """The rules that a template breaks, as each carrier of CARRIERS has it."""

    by_carrier: tuple[frozenset[str], ...]


def verdicts(templates: Sequence[dict[str, Any]], level: str, version: str) -> list[Verdict]:
    """Lint each template in every carrier by the profile of a level, as the command does."""
    documents = [
        carry(carrier, template, f"{number}-{place}")
        for number, template in enumerate(templates)
        for place, carrier in enumerate(CARRIERS)
    ]
    report = lint(documents, Config(profile=f"pss-{level}", kubernetes_version=version))
    if report.errors:
        raise RuntimeError(f"a rule crashed: {report.errors[0]}")
    broken: dict[str, set[str]] = defaultdict(set)
    for finding in report.findings:
        if finding.severity is Severity.error and finding.resource:
            broken[finding.resource.name].add(finding.rule)
    none: frozenset[str] = frozenset()
    return [
        Verdict(tuple(_shared(broken, f"{number}-{place}", none) for place in range(len(CARRIERS))))
        for number in range(len(templates))
    ]


def _shared(broken: dict[str, set[str]], name: str, none: frozenset[str]) -> frozenset[str]:
    return frozenset(broken[name]) if name in broken else none
