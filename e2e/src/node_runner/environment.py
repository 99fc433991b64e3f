"""The environment of a container, as a kubelet makes it from a pod's spec."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from node_runner.manifest import Manifest, metadata

_REFERENCE = re.compile(r"\$(?:\$|\((?P<name>[^)]*)\))")
_FIELD_KEY = re.compile(r"metadata\.(?P<kind>labels|annotations)\['(?P<key>[^']+)'\]")
_SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("0.001"),
    "": Decimal(1),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    **{f"{unit}i": Decimal(1024**power) for power, unit in enumerate("KMGTPE", start=1)},
}

# Data of a ConfigMap or Secret by (kind, name); None where there is none.
Source = Callable[[str, str], Mapping[str, bytes] | None]


class MissingReferenceError(Exception):
    """A ConfigMap, a Secret or a key of one is not there yet; the message names it."""


class UnsupportedError(Exception):
    """The pod asks for something that this runner does not do; the message names it."""


@dataclass(frozen=True)
class PodFacts:
    """What the downward API may say about a pod beside its manifest."""

    pod: Manifest
    address: str
    host_address: str
    node_allocatable: Mapping[str, str] = field(default_factory=dict)

    def field(self, path: str) -> str:
        """Return what a `fieldRef` names."""
        found = metadata(self.pod)
        keyed = _FIELD_KEY.fullmatch(path)
        if keyed:
            return str((found.get(keyed["kind"]) or {}).get(keyed["key"], ""))
        if path in ("metadata.labels", "metadata.annotations"):
            entries = found.get(path.removeprefix("metadata.")) or {}
            return "\n".join(f"{key}={_quoted(value)}" for key, value in sorted(entries.items()))
        return self._plain(path)

    def _plain(self, path: str) -> str:
        found, spec = metadata(self.pod), self.pod["spec"]
        values = {
            "metadata.name": found["name"],
            "metadata.namespace": found["namespace"],
            "metadata.uid": found["uid"],
            "spec.nodeName": spec.get("nodeName", ""),
            "spec.serviceAccountName": spec.get("serviceAccountName", ""),
            "status.podIP": self.address,
            "status.podIPs": self.address,
            "status.hostIP": self.host_address,
            "status.hostIPs": self.host_address,
        }
        if path not in values:
            raise UnsupportedError(f"fieldPath {path} is not known")
        return str(values[path])

    def resource(self, reference: Manifest, container: Manifest) -> str:
        """Return what a `resourceFieldRef` names, in units of its divisor, rounded up."""
        name = reference.get("containerName") or container["name"]
        chosen = next(one for one in all_containers(self.pod) if one["name"] == name)
        kind, _, resource = reference["resource"].partition(".")
        amounts = (chosen.get("resources") or {}).get(kind) or {}
        amount = amounts.get(resource)
        if amount is None and kind == "limits":
            amount = self.node_allocatable.get(resource)
        divisor = quantity(str(reference.get("divisor") or "1")) or Decimal(1)
        return str(math.ceil(quantity(str(amount or "0")) / divisor))


def all_containers(pod: Manifest) -> Iterable[Manifest]:
    """Return the init containers, then the containers."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def quantity(text: str) -> Decimal:
    """Return the number that a quantity such as `500m` or `2Gi` means."""
    match = re.fullmatch(r"([+-]?[0-9.]+(?:[eE][+-]?\d+)?)([A-Za-z]{0,2})", text)
    if match is None or match[2] not in _SUFFIXES:
        raise ValueError(f"{text!r} is not a quantity")
    return Decimal(match[1]) * _SUFFIXES[match[2]]


def expand(text: str, known: Mapping[str, str]) -> str:
    """Replace `$(NAME)` by its value; `$$` is a dollar, and what is not known stays."""

    def value(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            return "$"
        return known.get(name, match[0])

    return _REFERENCE.sub(value, text)


def container_environment(
    container: Manifest, facts: PodFacts, source: Source, base: Mapping[str, str]
) -> dict[str, str]:
    """Return `base`, then `envFrom`, then `env`, each with its references resolved.

    Raises MissingReferenceError for what is not there and not optional.
    """
    found = dict(base)
    for entry in container.get("envFrom") or []:
        found.update(_all_of(entry, source))
    for entry in container.get("env") or []:
        value = _value(entry, container, facts, source)
        if value is not None:
            # An expansion sees what stands before it, as the order in the list says.
            found[entry["name"]] = expand(value, found) if "value" in entry else value
    return found


def _all_of(entry: Manifest, source: Source) -> dict[str, str]:
    kind, reference = (
        ("ConfigMap", entry["configMapRef"])
        if "configMapRef" in entry
        else ("Secret", entry["secretRef"])
    )
    data = _data(kind, reference, source)
    prefix = entry.get("prefix") or ""
    return {prefix + key: _text(value) for key, value in (data or {}).items()}


def _value(entry: Manifest, container: Manifest, facts: PodFacts, source: Source) -> str | None:
    if "valueFrom" not in entry:
        return str(entry.get("value") or "")
    chosen = entry["valueFrom"]
    if "fieldRef" in chosen:
        return facts.field(chosen["fieldRef"]["fieldPath"])
    if "resourceFieldRef" in chosen:
        return facts.resource(chosen["resourceFieldRef"], container)
    for name, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
        if name in chosen:
            return _key_of(kind, chosen[name], source)
    raise UnsupportedError(f"valueFrom of {entry['name']} is not known: {', '.join(chosen)}")


def _key_of(kind: str, reference: Manifest, source: Source) -> str | None:
    data = _data(kind, reference, source)
    if data is None:
        return None
    if reference["key"] in data:
        return _text(data[reference["key"]])
    if reference.get("optional"):
        return None
    raise MissingReferenceError(
        f"couldn't find key {reference['key']} in {kind} {reference['name']}"
    )


def _data(kind: str, reference: Manifest, source: Source) -> Mapping[str, bytes] | None:
    data = source(kind, reference["name"])
    if data is None and not reference.get("optional"):
        raise MissingReferenceError(f'{kind.lower()} "{reference["name"]}" not found')
    return data


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
