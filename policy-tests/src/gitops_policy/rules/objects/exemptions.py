"""Exemptions have an owner, a reason and an end, and something to exempt."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from gitops_policy.exemptions import Exemption
from gitops_policy.model import Problem
from gitops_policy.registry import EXEMPTIONS, close_to, rule, rules
from gitops_policy.world import World

_LONGEST = timedelta(days=180)
_FORM = "write owner=TEAM; until=YYYY-MM-DD; reason=TEXT"


@rule(
    id="exemption-complete",
    title="Every exemption has an owner, an end within 180 days and a reason",
    severity="error",
    rationale="An exemption that nobody owns is forgotten, and stays.",
    references=["policy-tests/README.md#exemptions"],
    kinds=EXEMPTIONS,
)
def exemption_complete(exemption: Exemption, world: World) -> Iterator[Problem]:
    """Owner, date and reason are there, the rule exists, the date is near."""
    missing = [name for name in ("owner", "until", "reason") if not getattr(exemption, name)]
    if missing:
        yield exemption.problem(f"{' and '.join(missing)} missing or malformed", _FORM)
    if exemption.strange:
        yield exemption.problem(f"unknown settings {', '.join(exemption.strange)}", _FORM)
    known = rules(*world.config.rules)
    if not any(one.id == exemption.rule for one in known):
        close = close_to(exemption.rule, known)
        meant = f"did you mean {', '.join(close)}?" if close else "see the rule's id in the finding"
        yield exemption.problem("there is no such rule", meant)
    if exemption.until and exemption.until - world.today > _LONGEST:
        yield exemption.problem(
            f"{exemption.until} is more than {_LONGEST.days} days ahead", "choose an earlier end"
        )


@rule(
    id="exemption-expired",
    title="No exemption has expired",
    severity="error",
    rationale="The date is when somebody promised to look again.",
    references=["policy-tests/README.md#exemptions"],
    kinds=EXEMPTIONS,
)
def exemption_expired(exemption: Exemption, world: World) -> Iterator[Problem]:
    """`until` is today or later."""
    if exemption.until and exemption.until < world.today:
        yield exemption.problem(
            f"expired on {exemption.until}", "fix what it hides, or set a new date and reason"
        )


@rule(
    id="exemption-unused",
    title="Every exemption exempts something",
    severity="error",
    rationale="What was fixed must not be allowed to come back unseen.",
    references=["policy-tests/README.md#exemptions"],
    kinds=EXEMPTIONS,
)
def exemption_unused(exemption: Exemption, world: World) -> Iterator[Problem]:
    """A valid exemption covers at least one finding of its rule, if that rule ran."""
    ran = any(known.id == exemption.rule for known in world.config.selected())
    if ran and exemption.holds(world.today) and not exemption.used:
        said = "no such object in all that was linted" if exemption.absent else "nothing to exempt"
        yield exemption.problem(said, "remove it")
