"""Jobs: they start when they should, end, clean up, and are nobody's server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitops_policy.fields import Path, field, mapping, text
from gitops_policy.findings import Severity
from gitops_policy.kubernetes.scaling import count
from gitops_policy.kubernetes.selectors import Selecting, selected, served, services_of
from gitops_policy.model import Problem, Resource
from gitops_policy.pods import Pod
from gitops_policy.registry import PODS, rule
from gitops_policy.world import World, once

_CRON_JOBS = "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/"
_JOBS = "https://kubernetes.io/docs/concepts/workloads/controllers/job/"
_TTL = "https://kubernetes.io/docs/concepts/workloads/controllers/ttlafterfinished/"
_WITH_JOBS = (
    "batch/Job",
    "batch/CronJob",
    "keda.sh/ScaledJob",
    "argoproj.io/AnalysisTemplate",
    "argoproj.io/ClusterAnalysisTemplate",
)
# The controller looks every 10 s: a shorter deadline has passed when it looks.
_SHORTEST_DEADLINE = 10
_HOOKS = ("argocd.argoproj.io/hook", "helm.sh/hook")


def _job_specs(resource: Resource, world: World) -> Iterator[tuple[Path, dict[str, Any], Pod]]:
    """Yield each Job spec of an object with its path and its pod."""
    for pod in world.templates_in(resource):
        path = pod.path[:-1]
        yield path, mapping(resource.content, *path), pod


@rule(
    id="cron-job-deadline",
    title="A CronJob says how late it may start",
    severity="warning",
    rationale="After 100 missed runs without a deadline the controller gives up for ever.",
    references=[f"{_CRON_JOBS}#starting-deadline"],
    kinds=["batch/CronJob"],
    known_as="kube-score:cronjob-has-deadline datree:17",
)
def cron_job_deadline(cron_job: Resource) -> Iterator[Problem]:
    """startingDeadlineSeconds is set, and to 10 or more."""
    deadline = field(cron_job.spec, "startingDeadlineSeconds")
    if deadline is None:
        message = "has no startingDeadlineSeconds"
    elif count(deadline, _SHORTEST_DEADLINE) < _SHORTEST_DEADLINE:
        message = f"a deadline of {deadline} s has passed before the controller looks (every 10 s)"
    else:
        return
    path = ("spec", "startingDeadlineSeconds")
    yield cron_job.problem(path, message, "set how many seconds late a run still makes sense")


@rule(
    id="cron-job-concurrency",
    title="A CronJob says what happens while its last run still runs",
    severity="warning",
    rationale="The default, Allow, lets slow runs pile up until the namespace's quota is used.",
    references=[f"{_CRON_JOBS}#concurrency-policy"],
    kinds=["batch/CronJob"],
    known_as="datree:24",
)
def cron_job_concurrency(cron_job: Resource) -> Iterator[Problem]:
    """concurrencyPolicy is Forbid or Replace."""
    policy = field(cron_job.spec, "concurrencyPolicy")
    if policy not in ("Forbid", "Replace"):
        yield cron_job.problem(
            ("spec", "concurrencyPolicy"),
            f"concurrencyPolicy is {policy or 'Allow, by default'}",
            "use Forbid, or Replace",
        )


@rule(
    id="cron-job-history",
    title="A CronJob keeps a failed run, and not many",
    severity="info",
    rationale="With no failed run kept nobody can read why it failed; kept pods cost quota.",
    references=[f"{_CRON_JOBS}#jobs-history-limits"],
    kinds=["batch/CronJob"],
)
def cron_job_history(cron_job: Resource) -> Iterator[Problem]:
    """Both history limits are explicit, that of failed runs at least 1, none above 10."""
    for key, least in (("successfulJobsHistoryLimit", 0), ("failedJobsHistoryLimit", 1)):
        limit = field(cron_job.spec, key)
        if limit is None:
            yield cron_job.problem(("spec", key), f"leaves {key} to the default", f"set {key}")
        elif not least <= count(limit, least) <= 10:
            message = f"{key} is {limit}"
            yield cron_job.problem(("spec", key), message, f"keep {least} to 10 runs")


@rule(
    id="job-active-deadline",
    title="A Job is ended when it hangs",
    severity="warning",
    rationale="A Job that hangs holds its quota for ever, and with Forbid no later run starts.",
    references=[f"{_JOBS}#job-termination-and-cleanup"],
    kinds=_WITH_JOBS,
)
def job_active_deadline(resource: Resource, world: World) -> Iterator[Problem]:
    """activeDeadlineSeconds is set, on the Job or on its pod."""
    for path, spec, pod in _job_specs(resource, world):
        if all(field(part, "activeDeadlineSeconds") is None for part in (spec, pod.spec)):
            yield resource.problem(
                (*path, "activeDeadlineSeconds"),
                "has no activeDeadlineSeconds",
                "set it above the longest run that is still good",
            )


@rule(
    id="job-backoff-limit",
    title="A Job says how often it is tried",
    severity="info",
    rationale="Six retries with growing pauses, the default, hide a failure for half an hour.",
    references=[f"{_JOBS}#pod-backoff-failure-policy"],
    kinds=_WITH_JOBS,
)
def job_backoff_limit(resource: Resource, world: World) -> Iterator[Problem]:
    """backoffLimit (or backoffLimitPerIndex) is explicit."""
    for path, spec, _ in _job_specs(resource, world):
        if spec.get("backoffLimit") is None and spec.get("backoffLimitPerIndex") is None:
            yield resource.problem(
                (*path, "backoffLimit"), "leaves backoffLimit to the default", "set backoffLimit"
            )


@rule(
    id="job-ttl",
    title="Finished Jobs go: by their TTL, those of a CronJob by its history",
    severity="warning",
    rationale="Finished Jobs fill the namespace; a TTL on a CronJob's takes away its history.",
    references=[_TTL],
    kinds=["batch/Job", "batch/CronJob"],
    known_as="kube-linter:job-ttl-seconds-after-finished kyverno:add-ttl-jobs",
)
def job_ttl(resource: Resource) -> Iterator[Problem]:
    """A Job has ttlSecondsAfterFinished, a CronJob's Job template has none.

    A hook of Argo CD or Helm is exempt: they delete it themselves.
    """
    if resource.group_kind == "batch/CronJob":
        path: Path = ("spec", "jobTemplate", "spec", "ttlSecondsAfterFinished")
        if field(resource.content, *path) is not None:
            yield resource.problem(
                path, "its Jobs end by a TTL", "remove it: the history limits decide"
            )
        return
    owned = field(resource.content, "metadata", "ownerReferences")
    hook = any(text(resource.annotations, name) for name in _HOOKS)
    if field(resource.spec, "ttlSecondsAfterFinished") is None and not owned and not hook:
        yield resource.problem(
            ("spec", "ttlSecondsAfterFinished"), "stays when it has finished", "set it"
        )


@once
def _budgets(world: World) -> Selecting:
    budgets = world.index.of_kind("policy/PodDisruptionBudget")
    return Selecting(budgets, lambda budget: budget.spec.get("selector"))


@rule(
    id="job-not-selected",
    title="No Service and no budget of a server selects a Job's pods",
    severity="error",
    rationale="A job's pod with the server's labels gets its requests and uses up its budget.",
    references=["https://kubernetes.io/docs/concepts/services-networking/service/", _JOBS],
    kinds=PODS,
)
def job_not_selected(pod: Pod, world: World) -> Iterator[Problem]:
    """Whatever selects a pod that keeps running selects no pod of a Job beside it.

    A Service of its own for the pods of a Job is fine.
    """
    if pod.resource.group_kind not in _WITH_JOBS:
        return
    namespace = pod.resource.namespace
    for service in services_of(pod, world):
        if any(other.long_running for other in served(world, namespace, service.spec)):
            yield _collision(pod, service, Severity.error)
    for budget in _budgets(world).of(namespace, pod.labels):
        chosen = selected(world, namespace, budget.spec.get("selector"))
        if any(other.long_running for other in chosen):
            yield _collision(pod, budget, Severity.warning)


def _collision(pod: Pod, selecting: Resource, severity: Severity) -> Problem:
    message = f"{selecting.kind} {selecting.name!r} selects these pods beside a server's"
    fix = "give the Job's pods labels that its selector does not ask for"
    return Problem(pod.resource, (*pod.path, "metadata", "labels"), message, fix, severity)
