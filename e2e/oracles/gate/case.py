"""A case of the oracle: one analysis, the answers it gets, and what either side makes of it."""

import copy
import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
from canary_gate import (
    Analysis,
    AnalysisResult,
    Measurement,
    MetricResult,
    Phase,
    PrometheusProvider,
    RefusedError,
    load_templates,
)
from canary_gate.run import AnalysisRun

from e2e.oracles.gate.scripted_prometheus import Answer, Script, ScriptedPrometheus

Object = dict[str, Any]
Rounds = list[tuple[str, ...]]

#: Of a message that quotes an engine or a client, only what the controller itself says is compared.
_QUOTED = '"Error Message: '
_CONDITION = re.compile(r"could not evaluate \w+")
_NO_DATA = "metric result is nil or empty: no data returned from the metric provider"


class EndlessError(Exception):
    """A case whose analysis does not end within the time that the oracle has."""


@dataclass(frozen=True)
class Case:
    """An analysis as a template's spec, its arguments, and the script of each resolved query."""

    name: str
    spec: Mapping[str, Any]
    scripts: Mapping[str, Sequence[Answer]]
    arguments: Mapping[str, str] = field(default_factory=dict)
    terminate: bool = False
    #: Every metric is a dry run of its own: what ours refuses in one is no matter to another.
    independent: bool = False
    #: Seconds after which a query that is held back has timed out, on both sides.
    timeout: int = 20

    @property
    def metrics(self) -> Sequence[Mapping[str, Any]]:
        """The metrics as they stand in the template."""
        metrics: Sequence[Mapping[str, Any]] = self.spec["metrics"]
        return metrics

    def script(self, *, real_time: bool) -> Script:
        """A fresh copy of the answers."""
        return Script(self.scripts, real_time)

    def analysis(self) -> Analysis:
        """The analysis as our evaluator reads it; raises RefusedError."""
        document = {"kind": "AnalysisTemplate", "metadata": {"name": self.name}, "spec": self.spec}
        return Analysis(load_templates([document]).values(), self.arguments)

    def analysis_run(self, namespace: str, address: str) -> Object:
        """The AnalysisRun that a Rollout would make of it, which asks `address`."""
        spec: Object = copy.deepcopy(dict(self.spec))
        for metric in spec["metrics"]:
            metric["provider"]["prometheus"] |= {"address": address, "timeout": self.timeout}
        spec["args"] = [
            argument | {"value": self.arguments[argument["name"]]}
            if argument["name"] in self.arguments
            else argument
            for argument in spec.get("args", [])
        ]
        spec |= {"terminate": True} if self.terminate else {}
        return {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "AnalysisRun",
            "metadata": {"name": self.name, "namespace": namespace},
            "spec": spec,
        }


@dataclass(frozen=True)
class Outcome:
    """What a side makes of a case, in the controller's words, and when it measured what.

    `misfits` are metrics whose condition fits no result: our evaluator refuses them, and to the
    controller every look at them must be an Error.
    """

    run: Mapping[str, Any]
    rounds: Rounds
    misfits: tuple[str, ...] = ()
    reason: str = ""

    def differences(self, theirs: "Outcome") -> list[str]:
        """Where ours differs from the controller's."""
        found = [line for name in self.misfits for line in _decided(name, theirs.run["metrics"])]
        if self.misfits and not self.run["metrics"]:
            return found
        reason = [f"ours refuses: {self.reason}"] if self.reason else []
        more = _differences("", self.run, _without(theirs.run, self.misfits))
        return found + (reason + more if more else [])

    @property
    def measured(self) -> int:
        """Measurements that are counted."""
        metrics = self.run["metrics"].values()
        return sum(metric["count"] + metric["error"] for metric in metrics)


def _decided(name: str, metrics: Mapping[str, Any]) -> list[str]:
    metric = metrics.get(name, {})
    found = [field for field in ("successful", "failed", "inconclusive") if metric.get(field)]
    return [f".{name}: refused here, and {', '.join(found)} in the controller"] if found else []


def _without(run: Mapping[str, Any], names: Sequence[str]) -> Mapping[str, Any]:
    kept = {name: metric for name, metric in run["metrics"].items() if name not in names}
    return {**run, "metrics": kept}


def _refused(reason: str, *misfits: str) -> Outcome:
    known = ("Analysis spec invalid", "Unable to resolve metric arguments")
    run = {"phase": "Error", "refused": reason.startswith(known), "metrics": {}}
    return Outcome(run, [], misfits)


# Ours.


class VirtualClock:
    """Seconds that pass only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


def evaluate(case: Case, prometheus: ScriptedPrometheus, *, within: float = 1e9) -> Outcome:
    """What our evaluator makes of a case, asking the same scripts over HTTP in virtual time.

    Raises EndlessError where it has not ended `within` these seconds.
    """
    if not case.independent:
        return _evaluate(case, prometheus, within)
    each = [
        _evaluate(one, prometheus, within)
        for one in (
            replace(case, name=f"{case.name}.{number}", spec={**case.spec, "metrics": [metric]})
            for number, metric in enumerate(case.metrics)
        )
    ]
    metrics = {name: metric for one in each for name, metric in one.run["metrics"].items()}
    return Outcome(
        {"phase": "Successful", "message": "", "metrics": metrics},
        [tuple(sorted(metric["name"] for metric in case.metrics))],
        tuple(misfit for one in each for misfit in one.misfits),
    )


def _evaluate(case: Case, prometheus: ScriptedPrometheus, within: float) -> Outcome:
    try:
        analysis = case.analysis()
    except RefusedError as error:
        is_misfit = error.reason.startswith(("successCondition: ", "failureCondition: "))
        outcome = _refused("Analysis spec invalid", *[error.metric] * is_misfit)
        return replace(outcome, reason=str(error))
    clock, taken = VirtualClock(), list[Measurement]()
    address = prometheus.play(f"ours/{case.name}", case.script(real_time=False))
    provider = _provider(address, case.timeout)
    run = AnalysisRun(analysis, provider, clock=lambda: clock.now, on_measurement=taken.append)
    if case.terminate:
        run.terminate()
    while not run.phase.completed:
        run.reconcile()
        if not run.phase.completed:
            clock.sleep(max(0.0, run.next_look - clock.now))
        if clock.now > within:
            raise EndlessError(case.name)
    return Outcome(_ours(run.result()), _our_rounds(taken))


@functools.cache
def _only_provider() -> PrometheusProvider:
    return PrometheusProvider("http://127.0.0.1")


def _provider(address: str, timeout: int) -> PrometheusProvider:
    # One for all cases: a client takes 30 ms to make.
    provider = _only_provider()
    provider._client.base_url = httpx.URL(address)
    provider._client.timeout = httpx.Timeout(timeout)
    return provider


def _our_rounds(taken: list[Measurement]) -> Rounds:
    times = sorted({measurement.at for measurement in taken})
    return [tuple(sorted(m.metric for m in taken if m.at == at)) for at in times]


def _ours(result: AnalysisResult) -> Object:
    return {
        "phase": str(result.phase),
        "message": _comparable(result.message),
        "metrics": {one.name: _our_metric(one) for one in result.metrics if one.measurements},
    }


def _our_metric(result: MetricResult) -> Object:
    phases = [measurement.phase for measurement in result.measurements]
    return {
        "phase": str(result.phase),
        "message": _comparable(result.message),
        "dryRun": result.metric.dry_run,
        "successful": phases.count(Phase.SUCCESSFUL),
        "failed": result.failed,
        "inconclusive": result.inconclusive,
        "error": phases.count(Phase.ERROR),
        "count": result.count,
        "consecutiveError": result.consecutive_errors,
        "consecutiveSuccess": result.consecutive_successes,
        "measurements": [
            (str(one.phase), None if one.phase is Phase.ERROR else _values(one.value))
            for one in result.measurements
        ],
    }


def _values(value: object) -> str:
    if isinstance(value, list):
        return "[" + ",".join(map(_number, value)) + "]"
    return _number(value)


def _number(value: object) -> str:
    return repr(float(value)) if isinstance(value, (int, float)) else repr(value)


# The controller's.


def observed(run: Mapping[str, Any], script: Script, names: Mapping[str, str]) -> Outcome:
    """What the controller made of a run; `names` are those of the metrics, by their query."""
    status = run["status"]
    message = status.get("message", "")
    if "metricResults" not in status and message and status["phase"] == "Error":
        return _refused(message)
    results = {result["name"]: result for result in status.get("metricResults") or []}
    return Outcome(
        {
            "phase": status["phase"],
            "message": _comparable(message),
            "metrics": {name: _their_metric(result) for name, result in results.items()},
        },
        script_rounds(script, names),
    )


def script_rounds(script: Script, names: Mapping[str, str], gap: float = 0.35) -> Rounds:
    """The metrics that were measured together, in the order in which it was asked."""
    rounds: list[list[str]] = []
    before = float("-inf")
    for at, query in script.asked:
        if at - before > gap or len(names) == 1:
            rounds.append([])
        rounds[-1].append(names.get(query, query))
        before = at
    return [tuple(sorted(one)) for one in rounds]


def _their_metric(result: Mapping[str, Any]) -> Object:
    counters = ("successful", "failed", "inconclusive", "error", "count")
    consecutive = ("consecutiveError", "consecutiveSuccess")
    return {
        "phase": result["phase"],
        "message": _comparable(result.get("message", "")),
        "dryRun": result.get("dryRun", False),
        **{field: result.get(field, 0) for field in (*counters, *consecutive)},
        "measurements": [
            (one["phase"], None if one["phase"] == "Error" else _their_values(one.get("value", "")))
            for one in result.get("measurements", [])
        ],
    }


def _their_values(value: str) -> str:
    if value.startswith("["):
        numbers = [number for number in value[1:-1].split(",") if number]
        return "[" + ",".join(repr(float(number)) for number in numbers) + "]"
    return repr(float(value))


def _comparable(message: str) -> str:
    """Cut from a message what an expression engine or an HTTP client says in its own words."""
    if not message or _NO_DATA in message:
        return message
    if message.startswith(("Metric ", "Run ")):
        own, quoted, _ = message.partition(_QUOTED)
        return own + quoted
    condition = _CONDITION.match(message)
    return condition.group() if condition else "what the client says"


def _differences(path: str, ours: Any, theirs: Any) -> list[str]:
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return [
            line
            for name in sorted(set(ours) | set(theirs))
            for line in _differences(f"{path}.{name}", ours.get(name), theirs.get(name))
        ]
    if path.endswith(".measurements") and ours and theirs:
        # The controller keeps the last ones only; it must not keep more than were taken.
        kept = ours[-len(theirs) :]
        same = kept == theirs
        return [] if same else [f"{path}: ours {kept}, the controller's {theirs}"]
    return [] if ours == theirs else [f"{path}: ours {ours!r}, the controller's {theirs!r}"]
