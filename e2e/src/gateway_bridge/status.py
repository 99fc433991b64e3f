"""The status of an object, as Envoy Gateway writes it on a cluster of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway_bridge.envoy import Shown
from gateway_bridge.translate import ROUTES, Key, Object, Translation, backend_name, key

Status = dict[str, Any]


def missing(
    translation: Translation,
    objects: Mapping[Key, Object],
    shown: Shown,
    verdicts: Mapping[Key, Mapping[str, Any]],
) -> str | None:
    """What Envoy does not show yet of a translation; None when it serves all of it.

    A route is not asked for where Envoy Gateway refused it or a listener of its Gateway:
    Envoy may show its last form while connections drain.
    """
    if shown.revision != translation.revision:
        return f"revision {translation.revision}, Envoy has {shown.revision or 'none'}"
    if closed := _closed(translation, shown, verdicts):
        return closed
    for identity, thing in sorted(objects.items()):
        if identity not in translation.names or identity[0] not in ROUTES:
            continue
        if any(_refused(verdicts.get(name, {})) for name in (identity, *_gateways(thing))):
            continue
        answer = _missing_of(thing, translation, shown)
        if answer:
            return f"{identity[0]} {identity[1]}/{identity[2]}: {answer}"
    return None


def _closed(
    translation: Translation, shown: Shown, verdicts: Mapping[Key, Mapping[str, Any]]
) -> str | None:
    for document in translation.documents:
        if document["kind"] != "Gateway" or _refused(verdicts.get(key(document), {})):
            continue
        for listener in document["spec"]["listeners"]:
            if listener["port"] not in shown.ports:
                _, namespace, name = key(document)
                return f"Gateway {namespace}/{name}: nothing listens at port {listener['port']}"
    return None


def _refused(verdict: Mapping[str, Any]) -> bool:
    return any(
        condition["status"] == "False"
        for entry in [*verdict.get("parents", []), *verdict.get("listeners", [])]
        for condition in entry["conditions"]
    )


def _gateways(route: Object) -> Iterator[Key]:
    for ref in route["spec"].get("parentRefs", []):
        yield "Gateway", ref.get("namespace", route["metadata"]["namespace"]), ref["name"]


def _missing_of(route: Object, translation: Translation, shown: Shown) -> str | None:
    _, namespace, name = key(route)
    for index, rule in enumerate(route["spec"].get("rules", [])):
        place = (namespace, name, index)
        if place not in shown.weights:
            continue  # Envoy Gateway refused it, or it only redirects.
        wanted = weights(rule, namespace, translation)
        if shown.weights[place] != wanted:
            return f"weights {wanted} of rule {index}, Envoy has {dict(shown.weights[place])}"
        for backend in wanted:
            ref = rule["backendRefs"][backend]
            addresses = translation.endpoints[_service(ref, namespace)]
            if shown.endpoints.get((*place, backend)) != frozenset(addresses):
                return f"endpoints of {ref['name']}"
    return None


def weights(rule: Object, namespace: str, translation: Translation) -> dict[int, int]:
    """Weight by the index of the backend, of those that exist and get requests."""
    return {
        index: ref.get("weight", 1)
        for index, ref in enumerate(rule.get("backendRefs", []))
        if ref.get("weight", 1) and _service(ref, namespace) in translation.endpoints
    }


def _service(ref: Object, namespace: str) -> tuple[str, str, int]:
    return ref.get("namespace", namespace), ref["name"], ref.get("port", 0)


def status(thing: Object, verdict: Status, address: str, now: str) -> Status:
    """Envoy Gateway's verdict on a document, made the status of the object behind it.

    The document has no generation, Secrets and Services another name in it, and Envoy Gateway
    knows no address on a host: Envoy showed the configuration, so the Gateway is programmed.
    """
    renamed: Status = _with_names(verdict, thing)
    if thing["kind"] == "Gateway":
        renamed = _programmed(renamed, address)
    for conditions, before in _conditions(renamed, thing.get("status", {})):
        for condition in conditions:
            condition["observedGeneration"] = thing["metadata"].get("generation", 1)
            condition["lastTransitionTime"] = _since(condition, before, now)
    return renamed


def _programmed(verdict: Status, address: str) -> Status:
    programmed = {
        "type": "Programmed",
        "status": "True",
        "reason": "Programmed",
        "message": "Address assigned to the Gateway, 1/1 envoy replicas available",
    }
    conditions = [
        programmed
        if condition["type"] == "Programmed" and condition["reason"] == "AddressNotAssigned"
        else condition
        for condition in verdict.get("conditions", [])
    ]
    addresses = [{"type": "IPAddress", "value": address}]
    return {**verdict, "addresses": addresses, "conditions": conditions}


def _with_names(verdict: Any, thing: Object) -> Any:
    """A copy whose messages name Services, not the Backends that stand for them."""
    if isinstance(verdict, dict):
        return {name: _with_names(value, thing) for name, value in verdict.items()}
    if isinstance(verdict, list):
        return [_with_names(item, thing) for item in verdict]
    if isinstance(verdict, str):
        return _service_message(verdict, thing)
    return verdict


def _service_message(text: str, thing: Object) -> str:
    namespace = thing["metadata"].get("namespace", "")
    for rule in thing.get("spec", {}).get("rules", []):
        for ref in rule.get("backendRefs", []):
            place, name, port = _service(ref, namespace)
            backend = f"{place}/{backend_name(name, port)}"
            text = text.replace(f"Backend {backend}", f"Service {place}/{name}")
    return text


def _conditions(
    new: Status, old: Mapping[str, Any]
) -> Iterator[tuple[list[dict[str, Any]], Sequence[Mapping[str, Any]]]]:
    """Each list of conditions of a status with the list that the object has in its place."""
    if "conditions" in new:
        yield new["conditions"], old.get("conditions") or []
    for name, identity in (("listeners", "name"), ("parents", "parentRef"), ("ancestors", None)):
        for entry in new.get(name, []):
            label = identity or "ancestorRef"
            match = [e for e in old.get(name) or [] if e.get(label) == entry.get(label)]
            yield entry["conditions"], match[0].get("conditions") or [] if match else []


def _since(condition: Mapping[str, Any], before: Sequence[Mapping[str, Any]], now: str) -> str:
    for old in before:
        if old.get("type") == condition["type"] and old.get("status") == condition["status"]:
            return str(old.get("lastTransitionTime", now))
    return now
