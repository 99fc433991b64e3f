"""Scripts inside manifests: of ConfigMaps, and of the commands that containers run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gitops_policy.fields import Path, entries, mapping, sequence, text
from gitops_policy.model import Resource
from gitops_policy.pods import Container
from gitops_policy.world import World

_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)(?:[:?-][^}]*)?\}?")


@dataclass(frozen=True, slots=True)
class Script:
    """A text that is run, the object it stands in and its place there."""

    resource: Resource
    path: Path
    content: str


def scripts(world: World) -> Iterator[Script]:
    """Yield the values of ConfigMaps and the commands of containers."""
    for config in world.index.of_kind("ConfigMap"):
        for name, content in mapping(config.content, "data").items():
            if isinstance(content, str):
                yield Script(config, ("data", name), content)
    for container in world.containers:
        for place, content in commands(container):
            yield Script(container.resource, container.at(*place), content)


def commands(container: Container) -> Iterator[tuple[Path, str]]:
    """Yield the command of a container as one text, its literal variables filled in."""
    values = literals(container)
    for name in ("command", "args"):
        words = [word for word in sequence(container.spec, name) if isinstance(word, str)]
        if words:
            yield (name,), filled("\n".join(words), values)


def literals(container: Container) -> dict[str, str]:
    """Return the variables of a container that stand in the manifest."""
    return {
        text(item, "name"): text(item, "value")
        for _, item in entries(container.spec, "env")
        if isinstance(item.get("value"), str)
    }


def filled(content: str, values: Mapping[str, str]) -> str:
    """Write known variables of a shell text out; unknown ones stay as they are."""
    own = dict(re.findall(r"^\s*(?:export\s+)?([A-Za-z_]\w*)=[\"']?([^\s\"'$`]+)", content, re.M))
    known = {**values, **own}
    return _VARIABLE.sub(lambda match: known.get(match.group(1), match.group(0)), content)


def lines(content: str) -> list[str]:
    """Return the commands of a shell text, continued lines joined."""
    joined = re.sub(r"\\\n", " ", content)
    return [part.strip() for part in re.split(r"\n|;|&&|\|\|", joined) if part.strip()]
