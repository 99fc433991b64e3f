"""Operators: each makes one kind of mistake at every place of a template where it can be made."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from rollouts.cases import Document

#: A place and the template with the mistake made there.
Found = Iterator[tuple[str, dict[str, Any]]]
Find = Callable[[dict[str, Any]], Found]


@dataclass(frozen=True)
class Mutant:
    """A template with one mistake."""

    template: str
    operator: str
    place: str
    document: Document = field(repr=False, compare=False)

    @property
    def id(self) -> str:
        """Template, operator and place; stable as long as those keep their names."""
        return f"{self.template}:{self.operator}:{self.place}"


OPERATORS: dict[str, Find] = {}


def operator(name: str) -> Callable[[Find], Find]:
    """Register the decorated generator function as an operator."""

    def register(find: Find) -> Find:
        if name in OPERATORS:
            raise ValueError(f"operator {name!r} is taken")
        OPERATORS[name] = find
        return find

    return register


def mutants(document: Document) -> Iterator[Mutant]:
    """Yield every mutant of a template; one that equals the template is none."""
    seen = [document]
    for name, find in OPERATORS.items():
        for place, broken in find(deepcopy(dict(document))):
            if broken not in seen:
                seen.append(broken)
                yield Mutant(document["metadata"]["name"], name, place, broken)


def metric(document: Document) -> dict[str, Any]:
    """Return the metric of a template."""
    (only,) = document["spec"]["metrics"]
    found: dict[str, Any] = only
    return found


def with_metric(document: Document, **fields: Any) -> dict[str, Any]:
    """Copy a template with other fields in its metric; None leaves a field out."""
    copy = deepcopy(dict(document))
    (only,) = copy["spec"]["metrics"]
    only.update(fields)
    for name, value in fields.items():
        if value is None:
            del only[name]
    return copy


def query(document: Document) -> str:
    """Return the query of a template."""
    return str(metric(document)["provider"]["prometheus"]["query"])


def with_query(document: Document, text: str) -> dict[str, Any]:
    """Copy a template with another query."""
    return with_metric(document, provider={"prometheus": {"query": text}})
