"""`build/e2e/report.html`: one page about all scenarios, without network."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from e2e.scenarios.evidence.drawing import Drawing, draw
from e2e.scenarios.evidence.lowered import Lowered, lowered
from e2e.scenarios.places import OUTPUT, NoClusterError, find_places

Record = Mapping[str, Any]


def write(output: Path) -> Path:
    """Write the page from the files of the tests and of the oracles; its path."""
    records = read_records(output / "scenarios")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(
        records=[_shown(record) for record in records],
        counts=_counts(records),
        began=_clock(min((r["began"] for r in records), default=time.time())),
        minutes=_minutes(records),
        facts=read_facts(output),
        oracles=read_oracles(output / "oracles.json"),
        lowered=_lowered(),
    )
    path = output / "report.html"
    temporary = output / ".report.html.tmp"
    temporary.write_text(page, encoding="utf-8")
    temporary.replace(path)
    return path


def read_records(folder: Path) -> list[Record]:
    """The tests' files in the order in which they began."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]
    return sorted(records, key=lambda record: record["began"])


def read_oracles(path: Path) -> list[dict[str, Any]]:
    """What each oracle counted: name, cases, agree, seconds; nothing where they did not run."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def read_facts(output: Path) -> dict[str, Any]:
    """Which programs ran, as the start of the cluster noted it."""
    facts: dict[str, Any] = {}
    try:
        places = find_places()
    except NoClusterError:
        return facts
    facts["cluster"] = "local, from `make up`" if places.local else str(places.kubeconfig)
    if places.local:
        from local_cluster.repository import REPLACED

        facts["replaced"] = REPLACED
        router = places.local.part_folder("argo-rollouts") / "traffic-router.json"
        if router.is_file():
            facts["router"] = json.loads(router.read_text(encoding="utf-8"))
    return facts


def _lowered() -> list[Lowered]:
    try:
        return lowered(find_places().git)
    except Exception as error:
        return [Lowered("all overlays", "could not be compared", "", str(error))]


def _shown(record: Record) -> dict[str, Any]:
    drawings: list[Drawing] = [
        draw(environment, record["marks"], record["began"], record["ended"])
        for environment in record["environments"]
    ]
    return {
        **record,
        "file": record["test"].split("::")[0].rsplit("/", 1)[-1],
        "anchor": record["test"].rsplit("::", 1)[-1],
        "total": sum(record["seconds"].values()),
        "drawings": drawings,
    }


def _counts(records: Sequence[Record]) -> dict[str, int]:
    outcomes = [record["outcome"] for record in records]
    return {outcome: outcomes.count(outcome) for outcome in ("passed", "failed", "skipped")}


def _minutes(records: Sequence[Record]) -> float:
    if not records:
        return 0.0
    begin = min(record["began"] for record in records)
    return float(max(record["ended"] for record in records) - begin) / 60


def _clock(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))


if __name__ == "__main__":
    print(write(Path(sys.argv[1]) if len(sys.argv) > 1 else OUTPUT))
