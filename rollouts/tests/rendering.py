"""Overlays as Kustomize renders them, and what the ladder in one asks, where and how."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from canary_gate import Analysis, load_templates

REPOSITORY = Path(__file__).parents[2]
LADDERS = REPOSITORY / "rollouts" / "ladders"
Document = dict[str, Any]
Overlay = Callable[[str], Path]
Rendered = Callable[[str], list[Document]]

DEFAULT = "canary-10-50-100"
#: Taken behind the default ladder, not instead of it.
ADDITIONS = ("load-at-weight-0", "load-during-analysis", "shadow")
#: Where an addition needs a setting that production has no use for; elsewhere it is production.
ENVIRONMENTS = {"load-during-analysis": "staging"}
#: Every ladder, by its name, as an overlay takes it.
CLIMBS: dict[str, tuple[str, ...]] = {
    folder.name: (DEFAULT, folder.name) if folder.name in ADDITIONS else (folder.name,)
    for folder in sorted(LADDERS.iterdir())
    if folder.is_dir()
}


@dataclass(frozen=True)
class Asked:
    """An analysis of a Rollout: where it stands, its templates, the arguments and dry runs."""

    where: str
    templates: tuple[str, ...]
    arguments: Mapping[str, Any]
    dry_run: tuple[str, ...]


def render(overlay: Path) -> list[Document]:
    """What `kustomize build` makes of an overlay; raises CalledProcessError where it refuses."""
    built = subprocess.run(
        [REPOSITORY / ".tools" / "bin" / "kustomize", "build", overlay],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return list(yaml.load_all(built.stdout, yaml.CSafeLoader))


def copy_with_ladder(tree: Path, *ladder: str, environment: str = "production") -> Path:
    """Copy the manifests below `tree`, with another ladder in one overlay; the overlay's path.

    `ladder` is a folder of rollouts/ladders/, and the additions to it that follow.
    """
    for folder in ("base", "rollouts", "overlays"):
        shutil.copytree(
            REPOSITORY / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    overlay = tree / "overlays" / environment / "inference"
    kustomization = overlay / "kustomization.yaml"
    climbed = "".join(f"  - ../../../rollouts/ladders/{name}\n" for name in ladder)
    text, found = re.subn(
        r"(  - \.\./\.\./\.\./rollouts/ladders/.*\n)+", climbed, kustomization.read_text()
    )
    if found != 1:
        raise ValueError(f"{kustomization} does not name its ladder in one place")
    kustomization.write_text(text)
    return overlay


def rollout_of(documents: list[Document]) -> Document:
    """The one Rollout of an overlay."""
    (rollout,) = (document for document in documents if document["kind"] == "Rollout")
    return rollout


def steps_of(rollout: Document) -> list[tuple[str, Any]]:
    """The canary steps, each as its kind and its content."""
    canary = rollout["spec"]["strategy"].get("canary", {})
    return [(kind, value) for step in canary.get("steps", ()) for kind, value in step.items()]


def analyses_of(rollout: Document) -> Iterator[Asked]:
    """Every analysis: of the steps, of experiments, beside the steps, around a promotion."""
    share = "0 %"
    for kind, value in steps_of(rollout):
        if kind == "setWeight":
            share = f"{value} %"
        elif kind == "setHeaderRoute":
            share = "header"
        elif kind == "analysis":
            yield _asked(share, value)
        elif kind == "experiment":
            for analysis in value["analyses"]:
                yield _asked("experiment", {**analysis, "templates": [analysis]} | _dry(value))
    strategy = rollout["spec"]["strategy"]
    if "analysis" in strategy.get("canary", {}):
        yield _asked("background", strategy["canary"]["analysis"])
    for name in ("prePromotionAnalysis", "postPromotionAnalysis"):
        if name in strategy.get("blueGreen", {}):
            yield _asked(name, strategy["blueGreen"][name])


def _dry(experiment: Mapping[str, Any]) -> dict[str, Any]:
    return {"dryRun": experiment.get("dryRun", [])}


def _asked(where: str, content: Mapping[str, Any]) -> Asked:
    return Asked(
        where=where,
        templates=tuple(template["templateName"] for template in content["templates"]),
        arguments={
            argument["name"]: argument.get("value", argument.get("valueFrom"))
            for argument in content.get("args", ())
        },
        dry_run=tuple(rule["metricName"] for rule in content.get("dryRun", ())),
    )


def analysis(asked: Asked, documents: list[Document]) -> Analysis:
    """What the controller would run; a value that only a Rollout has is a stand-in."""
    templates = load_templates(documents)
    given = {
        name: value if isinstance(value, str) else "from-the-rollout"
        for name, value in asked.arguments.items()
    }
    return Analysis([templates[name] for name in asked.templates], given, dry_run=asked.dry_run)
