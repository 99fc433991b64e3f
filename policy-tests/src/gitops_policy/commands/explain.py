"""`gitops-policy explain`: what a rule wants, why, and how it looks when it is kept."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from gitops_policy.commands.options import Commands
from gitops_policy.commands.streams import say
from gitops_policy.decisions import Decision, decisions_on
from gitops_policy.exits import CLEAN, UNREADABLE
from gitops_policy.reading.kustomization import shown
from gitops_policy.registry import Rule, close_to, named, rules
from gitops_policy.rule_words import example, looks_at, profiles

_WIDTH = 96
_LABEL = 11


def add_parser(commands: Commands) -> None:
    """Add the subcommand to those of the command."""
    parser = commands.add_parser("explain", help="say what a rule wants, and why")
    add = parser.add_argument
    add("names", nargs="+", metavar="RULE", help="a rule, also by its name in another tool")
    add("--rules", action="append", type=Path, metavar="DIR", help="rules of your own; repeatable")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Explain each name; returns 2 where nothing has that name."""
    known = rules(*(options.rules or ()))
    status = CLEAN
    blocks: list[str] = []
    for name in options.names:
        found, decided = named(name, known), decisions_on(name)
        blocks += ["\n".join(_rule(rule)) for rule in found]
        blocks += ["\n".join(_decision(decision)) for decision in decided]
        if not found and not decided:
            close = close_to(name, known)
            say(
                f"no rule is called {name!r}"
                + (f"; did you mean {', '.join(close)}?" * bool(close))
            )
            status = UNREADABLE
    if blocks:
        print("\n\n\n".join(blocks))
    sys.stdout.flush()
    return status


def _rule(rule: Rule) -> Iterator[str]:
    runs = f"profiles {', '.join(profiles(rule))}" if profiles(rule) else "runs by its name only"
    yield f"{rule.id}  ({rule.severity.name}; {rule.concern}; {runs})"
    yield rule.title
    yield ""
    yield from _entry("why", rule.rationale)
    yield from _entry("holds when", rule.doc)
    yield from _entry("looks at", looks_at(rule))
    yield from _entry("elsewhere", ", ".join(rule.known_as))
    for reference in rule.references:
        yield from _entry("more", reference)
    yield ""
    yield "To exempt one object, annotate it (or its pod template), or write a line of the ledger:"
    yield f"  policy.gitops/ignore.{rule.id}: owner=TEAM; until=YYYY-MM-DD; reason=TEXT"
    for outcome, verb in (("fail", "Refused"), ("pass", "Accepted")):
        case = example(rule, outcome)
        if case and case.is_dir():
            yield from ("", f"{verb}: the folder {shown(case)}")
        elif case:
            yield from ("", f"{verb}, {shown(case)}:")
            yield textwrap.indent(case.read_text(encoding="utf-8").rstrip(), "  ")


def _decision(decision: Decision) -> Iterator[str]:
    yield f"{decision.title}  (a decision, no rule)"
    yield ""
    yield from _entry("decided", decision.text)
    yield from _entry("elsewhere", ", ".join(decision.names))


def _entry(label: str, text: str) -> Iterator[str]:
    lines = textwrap.wrap(
        " ".join(text.split()), _WIDTH - _LABEL, break_long_words=False, break_on_hyphens=False
    )
    for position, line in enumerate(lines):
        yield f"{label if position == 0 else '':<{_LABEL}} {line}"
