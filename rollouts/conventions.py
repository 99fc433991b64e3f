"""What every Prometheus template has in common: shape, limits, guards, shared arguments."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

#: Arguments that several templates share. The controller refuses a step with two defaults.
SHARED = {
    "namespace": None,
    "canary-hash": None,
    "stable-hash": None,
    "step-duration": "10m",
    "minimum-requests": "3000",
    "minimum-predictions": "1000",
    "interval": "15s",
    "first-look": "30s",
    "scrape-interval": "15s",
    "in-flight-window": "1m",
    "looks": "120",
    "watch-looks": "39",
    "watch-undecided-looks": "38",
    "cold-start": "75s",
    "history": "1h",
    "design-effect": "1",
    "stable-alarm-at": "2",
    "stable-z": "1",
}
_REPEATED = {"interval": "{{args.interval}}", "initialDelay": "{{args.first-look}}"}
_ALWAYS = {"failureLimit": 0, "consecutiveErrorLimit": 18}
_SHAPES: dict[str, dict[str, Any]] = {
    # Looked at until it decides.
    "sequential": _REPEATED
    | {
        "count": "{{args.looks}}",
        "inconclusiveLimit": "{{args.looks}}",
        "consecutiveSuccessLimit": 1,
    },
    # Looked at to the end of the step: 30 s + 38 x 15 s = 10 min.
    "watching": _REPEATED
    | {"count": "{{args.watch-looks}}", "inconclusiveLimit": "{{args.watch-undecided-looks}}"},
    # Looked at as long as the release lasts: it may abort, and never ends otherwise.
    "background": _REPEATED | {"inconclusiveLimit": 999999999},
    # Looked at once.
    "at the end": {"initialDelay": "{{args.step-duration}}", "count": 1, "inconclusiveLimit": 0},
}
_BEFORE_THE_ROLLOUT = {"argocd.argoproj.io/sync-wave": "-1"}
_OWN = {"name", "provider", "successCondition", "failureCondition"}


def shape(metric: Mapping[str, Any]) -> str:
    """Return which of the shapes a metric is meant to have."""
    if "consecutiveSuccessLimit" in metric:
        return "sequential"
    if "interval" not in metric:
        return "at the end"
    return "watching" if "count" in metric else "background"


def breaches(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a template does otherwise than all others."""
    name, spec = document["metadata"]["name"], document["spec"]
    if document["metadata"].get("annotations") != _BEFORE_THE_ROLLOUT:
        yield "Argo CD applies a template one wave before the Rollout"
    if [metric["name"] for metric in spec["metrics"]] != [name]:
        yield "a template has one metric, of its own name"
    for argument in spec.get("args", ()):
        default = SHARED.get(argument["name"], argument.get("value"))
        if argument.get("value") != default:
            yield f"{argument['name']} is {default} in other templates"
        if f"{{{{args.{argument['name']}}}}}" not in str(spec["metrics"]):
            yield f"{argument['name']} is used nowhere"
    for metric in spec["metrics"]:
        expected = _SHAPES[shape(metric)] | _ALWAYS
        found = {field: value for field, value in metric.items() if field not in _OWN}
        for field in sorted(expected.keys() | found.keys()):
            if found.get(field) != expected.get(field):
                yield f"{field} is {found.get(field)}, not {expected.get(field)}"
        for side in ("successCondition", "failureCondition"):
            yield from (f"{side} lacks {guard}" for guard in _missing(metric.get(side, "")))


def _missing(condition: str) -> Iterator[str]:
    """Yield the guards that a condition lacks, also where a NaN would compare as false anyway."""
    if not condition.startswith("len(result) "):
        yield "len(result)"
    if "all(result, !isNaN(#) && !isInf(#))" in condition:
        return
    for item in sorted(set(re.findall(r"result\[\d\]", condition))):
        for guard in (f"!isNaN({item})", f"!isInf({item})"):
            if guard not in condition:
                yield guard
