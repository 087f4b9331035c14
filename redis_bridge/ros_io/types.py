# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Fills the descriptions of message types from the classes that rosidl generates.

It needs the message packages, but neither rclpy nor a context.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from rosidl_parser import definition as rosidl

from redis_bridge.errors import InterfaceError, MissingTypeError, did_you_mean
from redis_bridge.messages.types import (
    PRIMITIVES,
    Array,
    Field,
    FieldType,
    Item,
    Message,
    Primitive,
    Sequence,
    String,
)

_KINDS = ('msg', 'srv', 'action')

MessageClass = Any  # that rosidl generates, without types


def load(name: str) -> MessageClass:
    """Return rosidl's class for 'pkg/msg/Name', 'pkg/srv/Name_Request', 'pkg/action/Name_Goal'.

    :raises MissingTypeError: the package of the type cannot be imported.
    :raises InterfaceError: there is no such type.
    """
    parts = name.split('/')
    if len(parts) != 3 or parts[1] not in _KINDS or not all(map(str.isidentifier, parts)):
        raise InterfaceError(f'{name!r} is no message type, which is like std_msgs/msg/String')
    package, kind, short = parts
    try:
        module = importlib.import_module(f'{package}.{kind}')
    except ImportError as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing == package:
            distro = os.environ.get('ROS_DISTRO', '<distro>')
            debian = f'ros-{distro}-{package.replace("_", "-")}'
            raise MissingTypeError(
                f'{name}: the package {package} is not there: install it (apt install {debian}), '
                f'or source the workspace that has it, before the bridge starts'
            ) from None
        if missing == f'{package}.{kind}':
            raise InterfaceError(f'{name}: the package {package} has no {kind} types') from None
        text = f'{name}: the package {package} cannot be loaded: {error}'
        raise MissingTypeError(text) from error
    found = _find(module, short)
    if found is None:
        known = [word for word in dir(module) if word[0].isupper() and word.isidentifier()]
        raise InterfaceError(
            f'{name}: {package}.{kind} has no type {short}{did_you_mean(short, known)} '
            f'(if the package is newer, source its workspace again)'
        )
    return found


def _find(module: Any, short: str) -> MessageClass | None:
    """Return the class of a message; those of services and actions hang on their interface."""
    found = getattr(module, short, None)
    if found is None and '_' in short:
        interface, part = short.split('_', 1)
        found = getattr(module, interface, None)
        for step in _PARTS.get(part, (part,)):
            found = getattr(found, step, None)
    return found if hasattr(found, 'SLOT_TYPES') else None


# Where the messages of an interface hang; actions hide theirs.
_PARTS = {
    'SendGoal_Request': ('Impl', 'SendGoalService', 'Request'),
    'SendGoal_Response': ('Impl', 'SendGoalService', 'Response'),
    'GetResult_Request': ('Impl', 'GetResultService', 'Request'),
    'GetResult_Response': ('Impl', 'GetResultService', 'Response'),
    'FeedbackMessage': ('Impl', 'FeedbackMessage'),
}


def message(name: str) -> Message:
    """Return the description of the message type of a name; raises as `load` and `describe`."""
    return describe(load(name))


def describe(cls: MessageClass) -> Message:
    """Return the description of a rosidl message class.

    :raises InterfaceError: a field has a type that no .msg file can have (long double, wchar).
    """
    package, kind = cls.__module__.split('.')[:2]
    name = f'{package}/{kind}/{cls.__name__}'
    slots = zip(cls.get_fields_and_field_types(), cls.SLOT_TYPES, strict=True)
    return Message(name, tuple(_field(name, cls, field, slot) for field, slot in slots))


def _field(name: str, cls: MessageClass, field: str, slot: rosidl.AbstractType) -> Field:
    type_ = _type(f'{name}.{field}', slot)
    default = getattr(cls, f'{field.upper()}__DEFAULT', None)
    if default is None:
        return Field(field, type_)
    return Field.with_default(field, type_, _plain(default))


def _plain(value: Any) -> Any:
    """Return a default of rosidl as a plain value: `byte` is bytes of one, arrays vary in kind."""
    if isinstance(value, bytes):
        return value[0]
    if hasattr(value, 'tolist'):
        return value.tolist()
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _type(path: str, slot: rosidl.AbstractType) -> FieldType:
    """Return the type of a field."""
    if isinstance(slot, rosidl.Array):
        return Array(_item(path, slot.value_type), slot.size)
    if isinstance(slot, rosidl.AbstractSequence):
        return Sequence(_item(path, slot.value_type), getattr(slot, 'maximum_size', None))
    return _item(path, slot)


def _item(path: str, slot: rosidl.AbstractType) -> Item:
    """Return the type of a field that is no array, or of the items of one."""
    if isinstance(slot, rosidl.AbstractGenericString):
        wide = isinstance(slot, rosidl.AbstractWString)
        return String(wide, getattr(slot, 'maximum_size', None))
    if isinstance(slot, rosidl.NamespacedType):
        return describe(load('/'.join(slot.namespaced_name())))
    if isinstance(slot, rosidl.BasicType) and slot.typename in PRIMITIVES:
        return Primitive(slot.typename)
    kind = getattr(slot, 'typename', type(slot).__name__)
    raise InterfaceError(f'{path}: the type {kind} is not supported')
