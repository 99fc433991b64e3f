"""The default ladder as it stands in Git: weights and analyses of its steps with traffic."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import yaml

from canary_gate import (
    Analysis,
    AnalysisStep,
    AnalysisTemplate,
    SetWeight,
    Step,
    canary_steps,
    load_templates,
)

LADDER = Path("ladders") / "canary-10-50-100" / "steps.yaml"

#: What the Rollout gives at run time: names that no draw depends on.
GIVEN = {
    "namespace": "simulation",
    "canary-hash": "canary",
    "stable-hash": "stable",
    "model-sha256": "0" * 64,
    "expected-shift": "false",
}


def ladder_steps(
    rollouts: Path, arguments: Mapping[str, str] | None = None
) -> list[tuple[int, Analysis]]:
    """Weight and analysis of each inline step that has traffic.

    `rollouts` is the folder of ladders and templates; `arguments` replace the ladder's values and
    the templates' own defaults. Raises RefusedError as the controller refuses.
    """
    steps, templates = _read(rollouts)
    weight, found = 0, []
    for step in steps:
        if isinstance(step, SetWeight):
            weight = step.weight
        elif isinstance(step, AnalysisStep) and weight:
            chosen = [templates[name] for name in step.templates]
            values = {each.name: each.value for each in step.arguments if each.name not in GIVEN}
            found.append((weight, Analysis(chosen, GIVEN | values | dict(arguments or {}))))
    return found


@cache
def _read(rollouts: Path) -> tuple[list[Step], Mapping[str, AnalysisTemplate]]:
    patch = yaml.safe_load((rollouts / LADDER).read_text())
    steps = next(part["value"] for part in patch if part["path"].endswith("/steps"))
    paths = rollouts.glob("templates/*/template.yaml")
    templates = load_templates(yaml.safe_load(path.read_text()) for path in paths)
    return canary_steps({"spec": {"strategy": {"canary": {"steps": steps}}}}), templates
