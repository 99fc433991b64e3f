"""The command `gitops-policy`."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence

from gitops_policy.commands import diff, explain, lint, rules, schema, test
from gitops_policy.commands.streams import never_refuse, say
from gitops_policy.config import ConfigError
from gitops_policy.exits import CRASHED, INTERRUPTED, UNREADABLE
from gitops_policy.reading.manifests import ManifestError
from gitops_policy.team_rules import RuleLoadError
from gitops_policy.version import installed_version
from gitops_policy.workers import leave_quickly, seldom_collecting


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    leave_quickly()
    options = _parser().parse_args(arguments)
    never_refuse()
    try:
        with seldom_collecting():
            status: int = options.run(options)
    except (ManifestError, ConfigError, RuleLoadError) as error:
        say(error)
        return UNREADABLE
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREADABLE
    except Exception as error:
        if os.environ.get("GITOPS_POLICY_DEBUG"):
            traceback.print_exc()
        say(f"failed by a mistake of its own ({type(error).__name__}: {error}); "
            "GITOPS_POLICY_DEBUG=1 shows where")  # fmt: skip
        return CRASHED
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gitops-policy",
        description="Checks Argo and Kustomize repositories on their rendered manifests.",
        epilog="exit status: 0 clean; 1 findings; 2 misuse or unreadable input; 3 a rule crashed",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in (lint, diff, explain, rules, test, schema):
        command.add_parser(commands)
    return parser


class _Version(argparse.Action):
    """Looks the version up when it is asked for, not at each start."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print the version and exit."""
        print(f"gitops-policy {installed_version()}")
        parser.exit()


if __name__ == "__main__":
    sys.exit(main())
