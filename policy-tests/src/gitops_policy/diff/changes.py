"""What differs between two versions of one object, field by field, without noise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gitops_policy.diff.lists import canonical, label, pairs, reordered
from gitops_policy.fields import Path, field, pointer
from gitops_policy.notations.quantities import quantity

# Maps whose values are amounts: `1` and `1000m` are the same.
_AMOUNTS = frozenset(
    {
        *("requests", "limits", "hard", "default", "defaultRequest", "max", "min"),
        *("maxLimitRequestRatio", "capacity", "overhead"),
    }
)
_AMOUNT_FIELDS = frozenset({"sizeLimit", "averageValue", "divisor", "storage"})


Fields = dict[str, Any]
Names = tuple[str, ...]


class _Absent:
    def __repr__(self) -> str:
        return "(absent)"


ABSENT = _Absent()


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs.

    `names` is the path with items of lists called by their key; `path` leads to the field in the
    newer object, or in the older one where it was removed, `former` in the older one. `quiet` is
    a generated name that followed its content.
    """

    names: Names
    path: Path
    former: Path
    before: Any
    after: Any
    quiet: bool = False

    @property
    def pointer(self) -> str:
        """The place as a JSON pointer."""
        return pointer(self.path)

    @property
    def place(self) -> str:
        """The place as a person would say it: `spec.containers[web].image`."""
        return "".join(
            name if name.startswith("[") or not i else f".{name}"
            for i, name in enumerate(self.names)
        )


def changes(before: Any, after: Any, renamed: Mapping[str, str] | None = None) -> list[Change]:
    """Compare two objects; `renamed` holds generated names, old -> new, that are no news."""
    return list(_Comparison(renamed or {}).values(before, after, (), (), ()))


class _Comparison:
    def __init__(self, renamed: Mapping[str, str]) -> None:
        self.renamed = renamed

    def values(
        self, before: Any, after: Any, names: Names, path: Path, former: Path
    ) -> Iterator[Change]:
        if isinstance(before, dict) and isinstance(after, dict):
            yield from self._mappings(before, after, names, path, former)
        elif isinstance(before, list) and isinstance(after, list):
            yield from self._lists(before, after, names, path, former)
        elif not _same(before, after, path):
            quiet = isinstance(before, str) and self.renamed.get(before) == after
            yield Change(names, path, former, before, after, quiet)

    def _mappings(
        self, before: Fields, after: Fields, names: Names, path: Path, former: Path
    ) -> Iterator[Change]:
        for key in [*before, *(key for key in after if key not in before)]:
            # The API server drops a null: it says the same as no field at all.
            old, new = before.get(key), after.get(key)
            yield from self.values(
                ABSENT if old is None else old,
                ABSENT if new is None else new,
                (*names, str(key)),
                (*path, key),
                (*former, key),
            )

    def _lists(
        self, before: list[Any], after: list[Any], names: Names, path: Path, former: Path
    ) -> Iterator[Change]:
        field = str(path[-1]) if path else ""
        for i, j, name in pairs(field, before, after):
            yield from self.values(
                ABSENT if i is None else before[i],
                ABSENT if j is None else after[j],
                (*names, f"[{name}]"),
                (*path, _first(j, i)),
                (*former, _first(i, j)),
            )
        if reordered(field, before, after):
            old, new = (_order(field, items) for items in (before, after))
            yield Change((*names, "[order]"), path, former, old, new)


def _first(*positions: int | None) -> int:
    return next(position for position in positions if position is not None)


def _order(field: str, items: list[Any]) -> list[str]:
    return [label(field, items, i) for i in range(len(items))]


def _same(before: Any, after: Any, path: Path) -> bool:
    if before is ABSENT or after is ABSENT:
        return before is after or _is_default(after if before is ABSENT else before, path)
    if canonical(before) == canonical(after):
        return True
    amounts = _is_amount(path)
    old, new = (quantity(before), quantity(after)) if amounts else (None, None)
    return old is not None and old == new


def _is_default(value: Any, path: Path) -> bool:
    return bool(path) and path[-1] == "protocol" and value == "TCP"


def _is_amount(path: Path) -> bool:
    return bool(path) and (path[-1] in _AMOUNT_FIELDS or (len(path) > 1 and path[-2] in _AMOUNTS))


def names_of(content: Any, path: Path) -> Names:
    """Return a path with the items of lists called by their key, for comparing two versions."""
    names = []
    for i, step in enumerate(path):
        around = field(content, *path[:i])
        if isinstance(around, list) and isinstance(step, int) and step < len(around):
            names.append(f"[{label(str(path[i - 1]) if i else '', around, step)}]")
        else:
            names.append(str(step))
    return tuple(names)
