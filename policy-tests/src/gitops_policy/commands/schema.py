"""`gitops-policy schema`: the JSON Schema of the configuration file, for editors."""

from __future__ import annotations

import argparse
import json

from gitops_policy.commands.options import Commands
from gitops_policy.exits import CLEAN


def add_parser(commands: Commands) -> None:
    """Add the subcommand to those of the command."""
    parser = commands.add_parser("schema", help="print the configuration's JSON Schema")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:  # noqa: ARG001
    """Print the schema; returns the exit status."""
    from gitops_policy.config_file import json_schema

    print(json.dumps(json_schema(), indent=2))
    return CLEAN
