"""`gitops-policy rules`: every rule, for people, programs and the documentation."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gitops_policy.commands.options import Commands
from gitops_policy.config import PROFILES, Config
from gitops_policy.decisions import decisions
from gitops_policy.exits import CLEAN
from gitops_policy.registry import Rule, rules
from gitops_policy.rule_page import page
from gitops_policy.rule_words import looks_at, profiles


def add_parser(commands: Commands) -> None:
    """Add the subcommand to those of the command."""
    parser = commands.add_parser("rules", help="list every rule")
    add = parser.add_argument
    add("--format", choices=("text", "json", "markdown"), default="text")
    add("--profile", choices=PROFILES, help="only the rules that run in it")
    add("--rules", action="append", type=Path, metavar="DIR", help="rules of your own; repeatable")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """List the rules; returns the exit status."""
    known = rules(*(options.rules or ()))
    if options.profile:
        known = Config(profile=options.profile).selected(known)
    if options.format == "json":
        print(json.dumps([described(rule) for rule in known], indent=2))
    elif options.format == "markdown":
        print(page(known, decisions()), end="")
    else:
        print("\n".join(_lines(known)))
    return CLEAN


def described(rule: Rule) -> dict[str, Any]:
    """Return what a rule says of itself as plain values."""
    return {
        "id": rule.id,
        "title": rule.title,
        "severity": rule.severity.name,
        "concern": rule.concern,
        "profiles": profiles(rule),
        "rationale": rule.rationale,
        "looks_at": looks_at(rule),
        "known_as": rule.known_as,
        "references": rule.references,
    }


def _lines(known: tuple[Rule, ...]) -> Iterator[str]:
    width = max((len(rule.id) for rule in known), default=0)
    for concern in sorted({rule.concern for rule in known}):
        yield concern
        for rule in known:
            if rule.concern == concern:
                strict = "" if rule.default else " (by name)" if rule.by_name_only else " (strict)"
                yield f"  {rule.id:<{width}}  {rule.severity.name:<7}  {rule.title}{strict}"
    yield f"{len(known)} rules; gitops-policy explain RULE says more"
