"""The page `docs/rules.md`: every rule by concern, the decisions, and the names of other tools."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from gitops_policy.decisions import Decision
from gitops_policy.registry import Rule
from gitops_policy.rule_words import looks_at, profiles

COMMAND = "make docs"
TOOLS = {
    "kube-linter": "kube-linter",
    "kube-score": "kube-score",
    "polaris": "polaris",
    "checkov": "checkov",
    "kubescape": "kubescape",
    "trivy": "trivy",
    "datree": "datree",
    "kyverno": "Kyverno policies",
    "gatekeeper": "Gatekeeper library",
    "pss": "Pod Security Standards",
    "cis": "CIS Kubernetes Benchmark",
    "nsa": "NSA/CISA Kubernetes Hardening Guide",
    "argo-rollouts": "kubectl argo rollouts lint",
    "argocd-source-lint": "argocd-source-lint",
    "kubeconform": "kubeconform",
    "kubernetes-validate": "kubernetes-validate",
    "pint": "pint",
    "promtool": "promtool",
}


def page(known: Sequence[Rule], decided: Sequence[Decision]) -> str:
    """Return the whole page as Markdown."""
    by_concern: dict[str, list[Rule]] = defaultdict(list)
    for rule in known:
        by_concern[rule.concern].append(rule)
    concerns = sorted(by_concern)
    lines = [
        f"<!-- Generated: {COMMAND} -->",
        "# Rules",
        "",
        f"{len(known)} rules. `gitops-policy explain RULE` shows one with examples; RULE may be "
        "another tool's name, too. *strict*: runs only in the profile `strict`, by name, or with "
        "a severity in the configuration; *by name*: not in `strict` either.",
        "",
        *_areas(concerns),
        "",
        "Then: [decisions](#decisions) · [names in other tools](#names-in-other-tools).",
        "",
    ]
    for concern in concerns:
        lines += [f"## {concern.capitalize()}", ""]
        for rule in by_concern[concern]:
            lines += [*_rule(rule), ""]
    lines += [*_decisions(decided), *_index(known, decided)]
    return "\n".join(lines).rstrip() + "\n"


def _areas(concerns: Iterable[str]) -> Iterator[str]:
    """Yield one line of links for each area."""
    for area, inside in groupby(concerns, key=lambda concern: concern.partition(": ")[0]):
        links = (f"[{c.partition(': ')[2] or c}](#{_anchor(c)})" for c in inside)
        yield f"- **{area}**: {' · '.join(links)}"


def _anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def _rule(rule: Rule) -> Iterator[str]:
    strict = "" if rule.default else " *by name*" if rule.by_name_only else " *strict*"
    standards = [name for name in profiles(rule) if name.startswith("pss-")][:1]
    standard = f" *{standards[0]}*" if standards else ""
    yield f"### {rule.id}"
    yield ""
    yield f"**{rule.severity.name}**{strict}{standard} {_sentence(rule.title)} {rule.rationale}"
    yield ""
    yield f"- looks at: {looks_at(rule)}"
    if rule.known_as:
        yield f"- elsewhere: {', '.join(f'`{name}`' for name in rule.known_as)}"
    yield f"- more: {', '.join(_link(reference) for reference in rule.references)}"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _link(reference: str) -> str:
    return f"<{reference}>" if "://" in reference else f"[{reference}](../{reference})"


def _decisions(decided: Iterable[Decision]) -> Iterator[str]:
    yield "## Decisions"
    yield ""
    yield "Checks of other tools that no rule here implements, or that a rule decides differently."
    yield ""
    for decision in decided:
        names = ", ".join(f"`{name}`" for name in decision.names)
        yield f"- **{decision.title}** ({names}): {decision.text}"
    yield ""


def _index(known: Iterable[Rule], decided: Iterable[Decision]) -> Iterator[str]:
    answers: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for rule in known:
        for name in rule.known_as:
            answers[name.partition(":")[0]][name].append(f"[{rule.id}](#{rule.id})")
    for decision in decided:
        for name in decision.names:
            answers[name.partition(":")[0]][name].append("[decision](#decisions)")
    yield "## Names in other tools"
    yield ""
    yield "Each name works in `--only`, `--skip`, `severity:` and `explain`."
    order = [*TOOLS, *sorted(answers.keys() - TOOLS.keys())]
    for tool in (tool for tool in order if tool in answers):
        yield from ("", f"### {TOOLS.get(tool, tool)}", "", "| name | rule |", "| --- | --- |")
        for name in sorted(answers[tool], key=_natural):
            yield f"| `{name}` | {', '.join(answers[tool][name])} |"


def _natural(name: str) -> list[tuple[int, str]]:
    """Order numbers inside a name by their value."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
