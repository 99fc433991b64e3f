"""The AnalysisTemplates of this repository as they stand, with scripts of their test cases."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from e2e.oracles.gate.case import Case, Object
from e2e.oracles.gate.measurement_runs import INTERVAL
from e2e.oracles.gate.scripted_prometheus import Answer, refused, vector
from rollouts.cases import analysis as resolved
from rollouts.cases import answers, prometheus_templates, read_cases, read_document

#: Durations are arguments of the templates; nothing else of them is changed but the error limit,
#: where a case errs until the end: 19 errors would take three minutes.
SHORT = {"interval": INTERVAL, "first-look": "0s", "step-duration": "2s", "looks": "6"}
_ERRORS = 2
_LENGTH = 12


def cases() -> Iterator[Case]:
    """Every answer of every case of every template, at once and after two errors; and outages."""
    for template in prometheus_templates():
        document = read_document(template)
        seen: list[str] = []
        for number, case in enumerate(read_cases(template)):
            for values in answers(case, _only_metric(document)["provider"]["prometheus"]["query"]):
                answer = vector(*map(_text, values))
                arguments = dict(case.arguments or {})
                key = f"{answer.body} {arguments}"
                if key not in seen:
                    seen.append(key)
                    name = f"{template}-{number}-{len(seen)}"
                    yield _case(document, name, [answer] * _LENGTH, arguments)
        down = refused(503, "unavailable", "down")
        last = vector("0")
        yield _case(document, f"{template}-late", [down, *[last] * _LENGTH], {})
        yield _case(document, f"{template}-down", [down] * _LENGTH, {}, errors=_ERRORS)
        yield _case(document, f"{template}-empty-then-zero", [vector(), *[last] * _LENGTH], {})


def _only_metric(document: Mapping[str, Any]) -> Mapping[str, Any]:
    (metric,) = document["spec"]["metrics"]
    found: Mapping[str, Any] = metric
    return found


def _text(value: float) -> str:
    return {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}.get(str(value), repr(float(value)))


def _case(
    document: Mapping[str, Any],
    name: str,
    script: list[Answer],
    arguments: Mapping[str, str],
    errors: int | None = None,
) -> Case:
    spec: Object = copy.deepcopy(dict(document["spec"]))
    metric = _only_metric({"spec": spec})
    if errors is not None:
        metric["consecutiveErrorLimit"] = errors  # type: ignore[index]
    declared = {argument["name"]: argument.get("value") for argument in spec.get("args", [])}
    given = {name: name for name, value in declared.items() if value is None}
    given |= arguments
    short = {name: value for name, value in SHORT.items() if name in declared}
    if "count" not in metric:
        # A watch without end: the release ends it, here a count does.
        metric["count"] = 3  # type: ignore[index]
        metric["inconclusiveLimit"] = 3  # type: ignore[index]
    watch = {name: "4" for name in ("watch-looks", "watch-undecided-looks") if name in declared}
    given |= short | watch
    query = resolved({**document, "spec": spec}, given).metrics[0].query
    return Case(name.lower(), spec, {query: script}, given)
