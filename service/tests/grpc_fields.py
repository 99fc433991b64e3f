"""Compares our messages with a client's generated ones, field number by field number."""

from typing import Any

from inference_server.grpc_api import schema


def differences(ours: Any, theirs: Any, seen: set[str]) -> list[str]:
    """Fields of the same number and another type; `seen` collects what was compared."""
    if ours.full_name in seen:
        return []
    seen.add(ours.full_name)
    wrong = []
    for number, field in ours.fields_by_number.items():
        other = theirs.fields_by_number.get(number)
        if other is None:
            continue
        seen.add(f"{ours.full_name}.{field.name}")
        if (field.type, field.is_repeated) != (other.type, other.is_repeated):
            wrong.append(f"{ours.full_name}.{field.name}")
        if field.message_type is not None and other.message_type is not None:
            wrong += differences(field.message_type, other.message_type, seen)
        if field.enum_type is not None:
            ours_by_name, theirs_by_name = (
                {name: value.number for name, value in each.enum_type.values_by_name.items()}
                for each in (field, other)
            )
            wrong += [name for name in ours_by_name if ours_by_name[name] != theirs_by_name[name]]
    return wrong


def compare(service: Any) -> dict[str, Any]:
    """Fields of another type than the client's service has, and how many were compared."""
    seen: set[str] = set()
    wrong = []
    for method in service.methods:
        for theirs in (method.input_type, method.output_type):
            try:
                ours = schema.message(theirs.full_name).DESCRIPTOR
            except KeyError:
                continue
            wrong += differences(ours, theirs, seen)
    return {"wrong": wrong, "compared": len(seen)}
