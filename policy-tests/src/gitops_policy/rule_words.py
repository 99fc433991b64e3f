"""What a rule says of itself, in words: what it looks at, when it runs, where its cases are."""

from __future__ import annotations

import sys
from pathlib import Path

from gitops_policy.registry import BUILD, CONTAINERS, EVERY, EXEMPTIONS, PODS, Rule

_SUBJECTS = {
    PODS: "the pod template of every object that carries one",
    CONTAINERS: "every container, init and ephemeral ones too, of every object that carries pods",
    EVERY: "every object",
    BUILD: "the build as a whole",
    EXEMPTIONS: "every exemption",
}
_CASES = Path(__file__).parents[2] / "cases"


def looks_at(rule: Rule) -> str:
    """Say what the rule is asked about."""
    return _SUBJECTS[rule.kinds] if isinstance(rule.kinds, str) else ", ".join(rule.kinds)


def profiles(rule: Rule) -> tuple[str, ...]:
    """Return the profiles that the rule runs in."""
    baseline, restricted = "pss:baseline" in rule.known_as, "pss:restricted" in rule.known_as
    runs = {
        "recommended": rule.default,
        "strict": not rule.by_name_only,
        "pss-baseline": baseline,
        "pss-restricted": baseline or restricted,
    }
    return tuple(name for name, yes in runs.items() if yes)


def example(rule: Rule, outcome: str) -> Path | None:
    """Return the shortest case of the rule, `pass` or `fail`: a file if there is one, or a folder.

    None where no case is at hand.
    """
    module = sys.modules.get(rule.module)
    beside = Path(module.__file__).parent / "cases" if module and module.__file__ else _CASES
    found = [f for folder in (_CASES, beside) for f in (folder / rule.id).glob(f"{outcome}-*")]
    return min(found, key=lambda case: (case.is_dir(), _size(case), case.name), default=None)


def _size(case: Path) -> int:
    return sum(f.stat().st_size for f in case.rglob("*")) if case.is_dir() else case.stat().st_size
