"""Rules of the team `payments` about labels."""

from collections.abc import Iterator

from gitops_policy import Problem, Resource, rule
from gitops_policy.fields import text

TEAMS = ("payments", "ledger")


@rule(
    id="team-label-known",
    title="Every workload says which team runs it",
    severity="warning",
    rationale="The alert of a workload goes to the team that its label names.",
    references=["https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/"],
    kinds=["apps/Deployment", "argoproj.io/Rollout"],
)
def team_label_known(workload: Resource) -> Iterator[Problem]:
    """The label `team` is one of our teams."""
    team = text(workload.labels, "team")
    if team not in TEAMS:
        said = f"team is {team!r}" if team else "there is no label team"
        yield workload.problem(("metadata", "labels", "team"), said, f"one of {', '.join(TEAMS)}")
