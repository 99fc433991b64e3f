"""The end of what the parts and pods wrote, for a scenario that failed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from e2e.scenarios.environment import Environment
from e2e.scenarios.places import Places

LINES = 60
TAIL_BYTES = 400_000


def collect(places: Places, environments: Iterable[Environment]) -> dict[str, str]:
    """Parts by name, with the lines that name an environment of the test; events; pod logs."""
    found: dict[str, str] = {}
    names = [environment.namespace for environment in environments]
    if places.local:
        for path in sorted(places.local.folder.glob("parts/*/log")):
            lines = [line for line in _tail(path) if not names or any(n in line for n in names)]
            if lines:
                found[f"part {path.parent.name}"] = "\n".join(lines[-LINES:])
        for path in sorted(places.local.folder.glob("**/*.log")):
            if any(name in str(path) for name in names):
                found[str(path.relative_to(places.local.folder))] = "\n".join(_tail(path)[-LINES:])
    for environment in environments:
        found[f"events of {environment.namespace}"] = "\n".join(_events(environment)[-LINES:])
    return found


def _events(environment: Environment) -> list[str]:
    try:
        events = environment.find_all("events")
    except Exception as error:
        return [f"could not be read: {error}"]
    rows = []
    for event in events:
        raw = event.raw
        about = raw.get("involvedObject", {})
        at = raw.get("lastTimestamp") or raw.get("eventTime") or ""
        rows.append(
            f"{at} {raw.get('type', '')} {about.get('kind', '')}/{about.get('name', '')} "
            f"{raw.get('reason', '')}: {raw.get('message', '')}"
        )
    return sorted(rows)


def _tail(path: Path) -> list[str]:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL_BYTES))
        return file.read().decode(errors="replace").splitlines()
