"""Cases drawn at random: limits, counts, intervals, arguments, dry runs, answers."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any

from e2e.oracles.gate.case import Case, EndlessError, Object, evaluate
from e2e.oracles.gate.conditions import PAIRS, Conditions
from e2e.oracles.gate.scripted_prometheus import (
    Answer,
    ScriptedPrometheus,
    matrix,
    refused,
    scalar,
    success,
    vector,
)

#: The longest case in the controller's time: three errors are 30 s.
LONGEST_SECONDS = 45.0
#: Longer than the controller needs to see its own last write, on a busy machine too.
INTERVAL = "4s"
_ANSWERS = 24

_SHORT_TIMEOUT = 1
_HANGS = Answer("{}", delay=_SHORT_TIMEOUT + 0.5)
_HISTOGRAM = {"count": "2", "sum": "7", "buckets": [[1, "0", "4", "2"]]}


def _shaped(kind: str, *results: object) -> list[Answer]:
    return [success({"resultType": kind, "result": result}) for result in results]


#: Samples: a time and a value, or what is neither.
_PAIRS: tuple[object, ...] = (
    [1, "x"],
    [1, 2],
    ["1", "2"],
    [1],
    [],
    [1, "2", "3"],
    [1, None],
    {},
    "1",
    None,
    [1.5, "1"],
    [-1, "1"],
    [1.25, "1"],
    [True, "1"],
)
#: What is no answer, or one of its own kind.
UNUSUAL: tuple[Answer, ...] = (
    refused(400, "bad_data", "invalid parameter"),
    refused(422, "execution", "many-to-many matching not allowed"),
    refused(500, "internal", "oops"),
    refused(503, "timeout", "query timed out"),
    refused(429, "too_many", "slow down"),
    refused(200, "execution", "an error with the status 200"),
    *(Answer("<html>", status) for status in (200, 400, 401, 403, 404, 500, 502, 503, 504)),
    *(Answer(vector("1").body, status) for status in (201, 400, 422, 404, 500, 503)),
    *(Answer("", status) for status in (200, 204, 400, 500)),
    *map(Answer, ("[]", "{}", "null", "1", '"x"', '{"status":"success"', "[1]")),
    *map(Answer, ('{"status":"success","data":null}', '{"status":"success","data":[]}')),
    *(
        Answer(f'{{{status}"data":{{"resultType":"scalar","result":[1,"1"]}}}}')
        for status in ('"status":"other",', '"status":"",', '"status":null,', "")
    ),
    *_shaped("vector", None, {}, "x", 1, [None], [1], ["x"], [[]], [{}]),
    *_shaped("matrix", None, {}, [None], [{}], [{"values": None}], [{"values": []}]),
    *_shaped("scalar", None, [], {}, "1", [1], [1, "1", "2"], [1, None]),
    *_shaped("string", [1700000000, "text"]),
    *_shaped("other", []),
    success({"resultType": "vector"}),
    success({"result": []}),
    *(
        one
        for pair in _PAIRS
        for one in (
            *_shaped("vector", [{"metric": {}, "value": pair}]),
            *_shaped("matrix", [{"metric": {}, "values": [[1, "1"], pair]}]),
        )
    ),
    *_shaped("vector", [{"metric": {}}], [{"value": [1, "1"]}], [{"value": [2, "1"]}]),
    *_shaped("vector", [{"histogram": [1, _HISTOGRAM]}]),
    *_shaped("vector", [{"histogram": [1, _HISTOGRAM], "value": [1, "1"]}]),
    *_shaped("vector", [{"histogram": [1, {}]}]),
    *_shaped("matrix", [{"histograms": [[1, _HISTOGRAM]]}]),
    *_shaped("matrix", [{"histograms": [[1, _HISTOGRAM]], "values": [[1, "1"]]}]),
    *map(
        scalar,
        (
            "inf",
            "Inf",
            "+inf",
            "-infinity",
            "nan",
            "NAN",
            "+NaN",
            "-NaN",
            " 1",
            "1 ",
            "",
            "1e999",
            "-1e999",
            "1e-999",
            "1.",
            ".5",
            ".",
            "+1",
            "--1",
            "1e",
            "1e5",
            "1E+5",
            "1,5",
            "٣",
        ),
    ),
)
_NUMBERS = ("0", "1", "2", "2.5", "4", "4.999", "5", "6", "7", "8.5", "100", "-1", "1e+06", "-0")
_STRANGE = ("NaN", "+Inf", "-Inf")


class Cases:
    """Draws cases that end within the oracle's time, each decided by its seed and number alone."""

    def __init__(self, seed: int, prometheus: ScriptedPrometheus) -> None:
        self._seed, self._prometheus = seed, prometheus

    def draw(self, kind: str, number: int, make: Callable[[Random, str], Case]) -> Iterator[Case]:
        """Draw a number of cases of one kind."""
        for index in range(number):
            for attempt in range(100):
                random = Random(f"{self._seed} {kind} {index} {attempt}")
                case = make(random, f"{kind}-{index}")
                if self._ends(case):
                    yield case
                    break

    def _ends(self, case: Case) -> bool:
        try:
            evaluate(case, self._prometheus, within=LONGEST_SECONDS)
        except EndlessError:
            return False
        return True


def answer(random: Random, good: float) -> Answer:
    """Draw an answer; `good` is the share of plain small numbers."""
    if random.random() < good:
        return vector(random.choice(("0", "1", "2", "2.5")))
    kind = random.choices(
        ("number", "strange", "empty", "two", "scalar", "matrix", "warned", "unusual"),
        weights=(9, 2, 2, 1, 1, 0.5, 0.5, 2),
    )[0]
    value = random.choice(_STRANGE if kind == "strange" else _NUMBERS)
    other = random.choice(_NUMBERS + _STRANGE)
    made: Mapping[str, Callable[[], Answer]] = {
        "empty": vector,
        "two": lambda: vector(value, other),
        "scalar": lambda: scalar(random.choice((value, other))),
        "matrix": lambda: matrix((value, other), ()),
        "warned": lambda: vector(value, warnings=["w1", "w2"], infos=["i"]),
        "unusual": lambda: random.choice(UNUSUAL),
    }
    return made.get(kind, lambda: vector(value))()


def answers(random: Random) -> list[Answer]:
    """Draw a script: mostly good, mixed, or a stretch of errors in between."""
    good = random.choice((0.95, 0.8, 0.5, 0.0))
    script = [answer(random, good) for _ in range(_ANSWERS)]
    if random.random() < 0.15:
        at, length = random.randrange(4), random.randrange(1, 4)
        script[at : at + length] = [refused(503, "unavailable", "down")] * length
    return script


def query(case: str, metric: str) -> str:
    """Write a query that nobody else in the oracle asks."""
    return f'sum(rate(requests{{case="{case}",metric="{metric}"}}[1m]))'


def metric(
    random: Random, case: str, name: str, *, intervals: Sequence[str] = (INTERVAL,)
) -> Object:
    """Draw a metric; one in sixteen has limits that the controller may refuse."""
    success_condition, failure_condition = random.choice(PAIRS)
    if random.random() < 0.35:
        conditions = Conditions(random)
        success_condition = random.choice((conditions.condition(), ""))
        failure_condition = random.choice((conditions.condition(), ""))
    drawn: Object = {
        "successCondition": success_condition,
        "failureCondition": failure_condition,
        "count": random.choice((None, 1, 2, 3, 4, 6, 12)),
        "interval": random.choice(intervals),
        "initialDelay": random.choice((None, None, None, "0s", "4s", "8s")),
        "failureLimit": random.choice((None, 0, 0, 1, 2, 3)),
        "inconclusiveLimit": random.choice((None, 0, 1, 2, 3)),
        "consecutiveErrorLimit": random.choice((0, 0, 0, 1, 2, None)),
        "consecutiveSuccessLimit": random.choice((None, None, None, 0, 1, 2, 3)),
    }
    if drawn["count"] in (None, 1) and random.random() < 0.5:
        drawn["interval"] = None
    if drawn["consecutiveSuccessLimit"] and random.random() < 0.3:
        drawn["failureLimit"] = -1
    if random.random() < 0.06:
        _spoil(random, drawn)
    else:
        _mend(drawn)
    present = {field: value for field, value in drawn.items() if value not in (None, "")}
    return {"name": name, **present, "provider": {"prometheus": {"query": query(case, name)}}}


def _spoil(random: Random, drawn: Object) -> None:
    field = random.choice([field for field in drawn if field.endswith("Limit") or field == "count"])
    drawn[field] = random.choice(
        (0, 5, 99, "7", "+2") if field == "count" else (-2, -1, "-1", 0, 5, "7", "+2")
    )
    if random.random() < 0.2:
        drawn[random.choice(("interval", "initialDelay"))] = random.choice(
            ("0.5", "1 s", "s", "1d", "1h2", "+4s", "4.s", "4000ms", ".4e1s")
        )


def _mend(drawn: Object) -> None:
    """Raise a count that is too low for its limits."""
    if drawn["count"] is not None:
        limits = max(drawn["failureLimit"] or 0, 0) + (drawn["consecutiveSuccessLimit"] or 0)
        drawn["count"] = max(drawn["count"], limits, drawn["inconclusiveLimit"] or 0)
        if drawn["count"] > 1:
            drawn["interval"] = drawn["interval"] or INTERVAL


def single(random: Random, name: str) -> Case:
    """Draw a case with one metric."""
    one = metric(random, name, "only")
    return _with_rules(random, name, [one])


def several(random: Random, name: str) -> Case:
    """Draw a case with two to four metrics that are measured in step."""
    intervals = random.choice(((INTERVAL,), (INTERVAL,), ("8s",), (INTERVAL, "8s")))
    metrics = [
        metric(random, name, f"metric-{number}", intervals=intervals)
        for number in range(random.randrange(2, 5))
    ]
    return _with_rules(random, name, metrics)


def _with_rules(random: Random, name: str, metrics: list[Object]) -> Case:
    names = [one["name"] for one in metrics]
    spec: Object = {"metrics": metrics}
    if random.random() < 0.3:
        rules = random.choice(([names[0]], [".*"], ["metric-(0|1)"], ["^none$"], names[-1:]))
        spec["dryRun"] = [{"metricName": rule} for rule in rules]
    if random.random() < 0.3:
        rule = random.choice((names[0], ".*", "^none$"))
        spec["measurementRetention"] = [{"metricName": rule, "limit": random.randrange(0, 15)}]
    scripts = {one["provider"]["prometheus"]["query"]: answers(random) for one in metrics}
    return Case(name, spec, scripts, terminate=random.random() < 0.02)


def with_arguments(random: Random, name: str) -> Case:
    """Draw a case whose numbers are arguments; some are missing, some are no numbers."""
    plain = several(random, name) if random.random() < 0.3 else single(random, name)
    values: dict[str, str] = {}
    metrics = [_as_arguments(random, dict(one), values) for one in plain.metrics]
    declared = [{"name": argument} for argument in values]
    if random.random() < 0.1 and declared:
        declared.pop()
    for argument in declared:
        if random.random() < 0.3:
            argument["value"] = "1"
    given = {name: value for name, value in values.items() if random.random() > 0.02}
    return Case(name, {**plain.spec, "metrics": metrics, "args": declared}, plain.scripts, given)


def _as_arguments(random: Random, metric: Object, values: dict[str, str]) -> Object:
    for field in ("interval", "initialDelay", "count", "failureLimit", "inconclusiveLimit"):
        if field in metric and random.random() < 0.6:
            argument = f"{metric['name']}-{field}".lower()
            values[argument] = str(metric[field])
            metric[field] = random.choice(("{{args.NAME}}", "{{ args.NAME }}")).replace(
                "NAME", argument
            )
    for field in ("successCondition", "failureCondition"):
        numbers = re.findall(r"(?<![\w.])\d(?![\w.])", metric.get(field, ""))
        if numbers and random.random() < 0.5:
            argument = f"{metric['name']}-{field}".lower()
            values[argument] = numbers[0]
            metric[field] = re.sub(
                rf"(?<![\w.]){numbers[0]}(?![\w.])", f"{{{{args.{argument}}}}}", metric[field]
            )
    return metric


def expressions(random: Random, name: str, number: int = 20) -> Case:
    """Draw many conditions, each asked once about an answer of its own; none ends the run."""
    drawn = Conditions(random)
    metrics: list[Object] = []
    scripts: dict[str, Sequence[Answer]] = {}
    for index in range(number):
        one = f"metric-{index}"
        conditions = {"successCondition": drawn.condition()}
        if random.random() < 0.4:
            conditions["failureCondition"] = drawn.condition()
        asked = query(name, one)
        limits: Mapping[str, Any] = {"count": 1, "consecutiveErrorLimit": 0, "failureLimit": 0}
        provider = {"prometheus": {"query": asked}}
        metrics.append({"name": one, **conditions, **limits, "provider": provider})
        scripts[asked] = [_value(random)]
    spec = {"metrics": metrics, "dryRun": [{"metricName": ".*"}]}
    return Case(name, spec, scripts, independent=True)


def unusual(_: Random, name: str) -> Case:
    """Make a case that gets every unusual answer once; without a condition, what counts passes."""
    asked = [query(name, f"answer-{number}") for number in range(len(UNUSUAL))]
    metrics = [
        {
            "name": f"answer-{number}",
            "consecutiveErrorLimit": 0,
            "provider": {"prometheus": {"query": text}},
        }
        for number, text in enumerate(asked)
    ]
    spec = {"metrics": metrics, "dryRun": [{"metricName": ".*"}]}
    scripts = {text: [UNUSUAL[number]] for number, text in enumerate(asked)}
    return Case(name, spec, scripts, independent=True)


def hanging(_: Random, name: str) -> Case:
    """Make a case whose first query gets no answer in time."""
    asked = query(name, "only")
    metric = {"name": "only", "count": 1, "provider": {"prometheus": {"query": asked}}}
    scripts = {asked: [_HANGS, vector("1")]}
    return Case(name, {"metrics": [metric]}, scripts, timeout=_SHORT_TIMEOUT)


def _value(random: Random) -> Answer:
    values = [random.choice(_NUMBERS + _STRANGE) for _ in range(3)]
    shape = random.choices(("one", "none", "two", "three", "scalar"), weights=(6, 1, 1, 1, 1))[0]
    if shape == "scalar":
        return scalar(values[0])
    return vector(*values[: {"none": 0, "one": 1, "two": 2, "three": 3}[shape]])
