"""What a change of a repository changes in the rendered manifests."""

from gitops_policy.diff.command import add_parser, run

__all__ = ["add_parser", "run"]
