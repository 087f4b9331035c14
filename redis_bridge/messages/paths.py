# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Dotted paths such as `pose.position.x`, in message types and in plain values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from redis_bridge.errors import InterfaceError, PayloadError, did_you_mean, show
from redis_bridge.messages.types import FieldType, Message


def field_at(message: Message, path: str) -> FieldType:
    """Return the type at a path.

    :raises InterfaceError: names the unknown part and the fields that there are.
    """
    type_: FieldType = message
    walked: list[str] = []
    for part in path.split('.'):
        if not isinstance(type_, Message):
            raise InterfaceError(
                f'{path}: {".".join(walked)} of {message.name} is {type_}, '
                f'which has no field {part!r}'
            )
        fields = {field.name: field.type for field in type_.fields}
        if part not in fields:
            known = ', '.join(fields) or 'no fields'
            raise InterfaceError(
                f'{path}: {type_.name} has no field {part!r}'
                f'{did_you_mean(part, fields)} (it has {known})'
            )
        type_ = fields[part]
        walked.append(part)
    return type_


def leaves(message: Message, prefix: str = '') -> Iterator[tuple[str, FieldType]]:
    """Yield the path and type of all scalars, strings and arrays, in order."""
    for field in message.fields:
        if isinstance(field.type, Message):
            yield from leaves(field.type, f'{prefix}{field.name}.')
        else:
            yield prefix + field.name, field.type


def child(path: str, name: str) -> str:
    """Return the path of a field below `path`, which is '' for the whole message."""
    return f'{path}.{name}' if path else name


def get_at(value: Any, path: str, default: Any = None) -> Any:
    """Return the plain value at a path; `default` if it is left out."""
    for part in path.split('.'):
        if not isinstance(value, dict) or part not in value:
            return default
        value = value[part]
    return value


def has_at(value: Any, path: str) -> bool:
    """Return whether a plain value has the field at a path."""
    return get_at(value, path, _MISSING) is not _MISSING


def set_at(value: dict[str, Any], path: str, setting: Any) -> None:
    """Set the field at a path, and make the maps on the way.

    :raises PayloadError: a value on the way is no map.
    """
    *parents, last = path.split('.')
    for part in parents:
        value = value.setdefault(part, {})
        if not isinstance(value, dict):
            raise PayloadError(f'{path}: expected a map at {part}, got {show(value)}')
    value[last] = setting


_MISSING = object()
