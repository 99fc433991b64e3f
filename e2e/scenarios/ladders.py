"""Another ladder for an overlay: one line of it, and the durations of that ladder's own steps."""

from __future__ import annotations

import re
from pathlib import Path

DEFAULT = "rollouts/ladders/canary-10-50-100"
# Additions to the default that no other ladder takes.
ADDITIONS = ("rollouts/ladders/load-during-analysis", "e2e/component/load")
# Arguments that a step sets itself, and what e2e/component/pace calls them.
ARGUMENTS = {
    "step-duration": "STEP_DURATION",
    "watch-looks": "WATCH_LOOKS",
    "watch-undecided-looks": "WATCH_UNDECIDED_LOOKS",
    "history": "HISTORY",
}


def take(repository: Path, template: str, ladder: str) -> None:
    """Let the overlay climb this ladder in place of the default."""
    path = repository / "overlays" / template / "inference/kustomization.yaml"
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.endswith(ADDITIONS)]
    text = "\n".join(kept) + "\n"
    assert text.count(f"/{DEFAULT}\n") == 1, f"{path}: {DEFAULT} does not stand there once"
    path.write_text(text.replace(f"/{DEFAULT}\n", f"/rollouts/ladders/{ladder}\n"))
    for folder in (repository / "rollouts/ladders").iterdir():
        if folder.is_dir():
            _hurry(folder, pace(repository))


def add(repository: Path, template: str, addition: str) -> None:
    """Add to the default ladder."""
    path = repository / "overlays" / template / "inference/kustomization.yaml"
    text = path.read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.endswith(DEFAULT))
    more = line.replace(DEFAULT, f"rollouts/ladders/{addition}")
    path.write_text(text.replace(line, f"{line}\n{more}"), encoding="utf-8")


def without_canary_pace(repository: Path) -> None:
    """A blue-green Rollout has no canary whose delays could be shortened."""
    pace = repository / "e2e/component/pace"
    (pace / "scale-down-delay-patch.yaml").write_text("[]\n", encoding="utf-8")
    path = pace / "rollout.yaml"
    blocks = re.split(r"(?m)^(?=- source:)", path.read_text(encoding="utf-8"))
    kept = [block for block in blocks if "strategy.canary" not in block]
    path.write_text("".join(kept), encoding="utf-8")


def _hurry(ladder: Path, settings: dict[str, str]) -> None:
    for path in ladder.glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        for argument, setting in ARGUMENTS.items():
            old = rf"(- name: {argument}\n\s+value: ).*"
            text = re.sub(old, rf'\g<1>"{settings[setting]}"', text)
        path.write_text(text, encoding="utf-8")


def pace(repository: Path) -> dict[str, str]:
    """The settings of e2e/component/pace."""
    text = (repository / "e2e/component/pace/pace.env").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)
