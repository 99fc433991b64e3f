"""Cron schedules: whatever reads one gets one that it understands."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from gitops_policy.fields import Path, entries, field, text
from gitops_policy.model import Problem, Resource
from gitops_policy.notations.cron import fault
from gitops_policy.registry import rule

_CRON_JOB = "batch/CronJob"
_BACKUP = "postgresql.cnpg.io/ScheduledBackup"
_VELERO = "velero.io/Schedule"
_SCALERS = ("keda.sh/ScaledObject", "keda.sh/ScaledJob")


@rule(
    id="cron-schedule",
    title="Schedules parse, and come round",
    severity="error",
    rationale="The API server refuses a bad schedule; a backup with one field too few runs at "
    "other times than it says.",
    references=[
        "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#schedule-syntax",
        "https://cloudnative-pg.io/documentation/current/backup/#scheduled-backups",
        "https://pkg.go.dev/github.com/robfig/cron/v3",
    ],
    kinds=[_CRON_JOB, _BACKUP, _VELERO, *_SCALERS],
    known_as="datree:8 kyverno:validate-cron-schedule kyverno:velero/validate-cron-schedule",
)
def cron_schedule(resource: Resource) -> Iterator[Problem]:
    """Five fields or @daily and the like; CloudNativePG's six; zones only in spec.timeZone."""
    for path, schedule in _schedules(resource):
        reason = fault(schedule, seconds=resource.group_kind == _BACKUP)
        if resource.group_kind == _CRON_JOB and "TZ" in schedule:
            reason = "names a time zone: that belongs into spec.timeZone"
        if reason:
            message = f"schedule {schedule!r} {reason}"
            yield resource.problem(path, message, "write it as minute hour day month weekday")
    zone = field(resource.spec, "timeZone")
    if (
        resource.group_kind == _CRON_JOB
        and zone is not None
        and not _is_zone(zone if isinstance(zone, str) else "")
    ):
        yield resource.problem(
            ("spec", "timeZone"), f"timeZone {zone!r} is no zone", "write it as Europe/Berlin"
        )


def _schedules(resource: Resource) -> Iterator[tuple[Path, str]]:
    if resource.group_kind not in _SCALERS:
        yield ("spec", "schedule"), text(resource.spec, "schedule")
        return
    for i, trigger in entries(resource.spec, "triggers"):
        for key in ("start", "end"):
            if text(trigger, "type") == "cron":
                path = ("spec", "triggers", i, "metadata", key)
                yield path, text(trigger, "metadata", key)


@cache
def _is_zone(zone: str) -> bool:
    """Say whether a zone is one; where the machine knows none, it cannot say no."""
    from zoneinfo import ZoneInfo, available_timezones

    try:
        ZoneInfo(zone)
    except (LookupError, ValueError, OSError):
        return bool(zone) and not available_timezones()
    return bool(zone)
