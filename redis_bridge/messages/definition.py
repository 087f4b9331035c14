# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Converts message types to and from the text of a definition.

A definition is the concatenated .msg text that MCAP calls `ros2msg`.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from redis_bridge.errors import InterfaceError
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

_ROSIDL_NAMES = {str(Primitive(name)): name for name in PRIMITIVES} | {'char': 'uint8'}

# Limits of what `parse_definition` accepts, because a definition may come from Redis: how deep
# types are nested, how many fields there are once nested types are unfolded, and the bytes of all
# fixed arrays together.
MAX_DEPTH = 15
MAX_FIELDS = 20_000
MAX_FIXED_BYTES = 1 << 26

_SEPARATOR = '=' * 80
_ESCAPES = {'\\': '\\\\', '"': '\\"', '\n': '\\n', '\r': '\\r', '\t': '\\t'}
_UNESCAPES = {'n': '\n', 'r': '\r', 't': '\t'}


def definition_text(message: Message) -> str:
    """Return the definition as text, with those of all nested types (MCAP's `ros2msg`).

    Comments and constants are not kept, so it is not the text of the .msg file.
    """
    parts = [_section(message)]
    for name, nested in message.nested().items():
        parts.append(f'{_SEPARATOR}\nMSG: {name.replace("/msg/", "/")}\n{_section(nested)}')
    return ''.join(parts)


def _section(message: Message) -> str:
    lines = []
    for field in message.fields:
        line = f'{field.type} {field.name}'
        lines.append(line if field.default is None else f'{line} {_literal(field.default)}')
    return ''.join(f'{line}\n' for line in lines)


def _literal(value: Any) -> str:
    if isinstance(value, (tuple, bytes)):
        return '[' + ', '.join(_literal(item) for item in value) + ']'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + ''.join(_ESCAPES.get(char, char) for char in value) + '"'
    return repr(value)


_TYPE = re.compile(
    r'(?P<base>[A-Za-z][A-Za-z0-9_/]*)(?:<=(?P<string>[0-9]+))?'
    r'(?P<array>\[(?P<upper><=)?(?P<size>[0-9]*)\])?'
)
_NAME = re.compile(r'[A-Za-z][A-Za-z0-9_]*')
_TYPE_NAME = re.compile(r'[a-z][a-z0-9_]*/[a-z]+/[A-Za-z][A-Za-z0-9_]*')


def parse_definition(name: str, text: str) -> Message:
    """Return the message type that a definition (MCAP's `ros2msg`) describes.

    :param name: the type's full name, 'pkg/msg/Name'.
    :raises InterfaceError: it says which line cannot be read, or which nested type is missing.
    """
    sections: dict[str, list[tuple[int, str]]] = {name: []}
    lines = sections[name]
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith('MSG:'):
            lines = sections.setdefault(_full_name(line[4:].strip(), name), [])
        elif line.strip('=') or not line:
            lines.append((number, line.replace('\t', ' ')))
    parser = _Parser(name, sections)
    return parser.message(name, ())


def _full_name(name: str, inside: str) -> str:
    """Return 'pkg/msg/Name' for 'Name' (of the same package) or 'pkg/Name'."""
    parts = name.split('/')
    if len(parts) == 1:
        return f'{inside.split("/")[0]}/msg/{name}'
    return f'{parts[0]}/msg/{parts[1]}' if len(parts) == 2 else name


def _unfolded(type_: FieldType) -> int:
    """Return how many fields there are once nested types are unfolded."""
    item = type_.item if isinstance(type_, (Array, Sequence)) else type_
    if isinstance(item, Message):
        return sum(_unfolded(field.type) for field in item.fields) or 1
    return 1


class _Parser:
    """Reads the sections of one definition; types are made once and shared."""

    def __init__(self, root: str, sections: dict[str, list[tuple[int, str]]]) -> None:
        self._root = root
        self._sections = sections
        self._done: dict[str, Message] = {}

    def message(self, name: str, inside: tuple[str, ...]) -> Message:
        if name in self._done:
            return self._done[name]
        if not _TYPE_NAME.fullmatch(name):
            raise InterfaceError(f'{self._root}: {name!r} is no name of a message type')
        if name in inside:
            raise InterfaceError(f'{self._root}: {name} contains itself')
        if name not in self._sections:
            raise InterfaceError(f'{self._root}: the definition of {name} is missing')
        if len(inside) > MAX_DEPTH:
            raise InterfaceError(f'{self._root}: nested deeper than {MAX_DEPTH} types')
        fields: dict[str, Field] = {}
        count = size = 0
        for number, line in self._sections[name]:
            try:
                field = self._field(line, name, (*inside, name))
            except ValueError as error:
                raise InterfaceError(
                    f'{self._root}: line {number} of the definition, {line.strip()!r}: {error}'
                ) from None
            if field is None:
                continue
            if field.name in fields:
                raise InterfaceError(f'{self._root}: {name} has two fields {field.name!r}')
            fields[field.name] = field
            count += _unfolded(field.type)
            size += field.type.min_size
            if count > MAX_FIELDS or size > MAX_FIXED_BYTES:
                raise InterfaceError(f'{self._root}: {name} is too big to be read')
        self._done[name] = Message(name, tuple(fields.values()))
        return self._done[name]

    def _field(self, line: str, name: str, inside: tuple[str, ...]) -> Field | None:
        """Return the field of one line; None for comments and constants."""
        head, _, rest = _without_comment(line).strip().partition(' ')
        if not head:
            return None
        match = _TYPE.fullmatch(head)
        if not match:
            raise ValueError(f'{head!r} is no type')
        field_name, _, default = rest.strip().partition(' ')
        if '=' in field_name or default.lstrip().startswith('='):
            return None  # a constant
        if not _NAME.fullmatch(field_name):
            raise ValueError(f'{field_name!r} is no name of a field')
        item = self._item(match['base'], match['string'], name, inside)
        type_: FieldType = item
        if match['array']:
            size = int(match['size'][:12]) if match['size'] else None
            if size is None and match['upper']:
                raise ValueError('the bound is missing')
            if size is None or match['upper']:
                type_ = Sequence(item, size)
            elif size == 0:
                raise ValueError('an array of no items')
            else:
                type_ = Array(item, size)
        if not default.strip():
            return Field(field_name, type_)
        return Field.with_default(field_name, type_, _parse_default(type_, default.strip()))

    def _item(self, base: str, bound: str | None, name: str, inside: tuple[str, ...]) -> Item:
        if base in ('string', 'wstring'):
            return String(base == 'wstring', None if bound is None else int(bound[:12]))
        if bound is not None:
            raise ValueError(f'{base} cannot be bounded')
        if base in _ROSIDL_NAMES:
            return Primitive(_ROSIDL_NAMES[base])
        return self.message(_full_name(base, name), inside)


_STRING = r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\''
_COMMENT = re.compile(rf'((?:{_STRING}|[^#"\'])*)')
_ITEM = re.compile(rf'\s*({_STRING}|[^,"\']*[^,"\'\s])\s*(?:,|$)')


def _without_comment(line: str) -> str:
    match = _COMMENT.match(line)  # always matches
    code = match[0] if match else line
    return code if code == line or line[len(code)] == '#' else line


def _parse_default(type_: FieldType, text: str) -> Any:
    if isinstance(type_, (Array, Sequence)):
        if not (text.startswith('[') and text.endswith(']')):
            raise ValueError(f'expected a list in brackets as default, got {text}')
        rest, items = text[1:-1].strip(), []
        while rest:
            match = _ITEM.match(rest)
            if not match:
                raise ValueError(f'the default {text} cannot be read')
            items.append(_parse_scalar(type_.item, match[1]))
            rest = rest[match.end() :]
        if not type_.fits(len(items)):
            raise ValueError(f'a default of {len(items)} items for {type_}')
        return items
    return _parse_scalar(type_, text)


def _parse_scalar(type_: Item, text: str) -> Any:
    if isinstance(type_, Message):
        raise ValueError('a message cannot have a default')
    if isinstance(type_, String):
        if text[0] in '"\'' and text[-1] == text[0] and len(text) > 1:
            # Known escapes are undone; any other backslash is a plain character, as in rosidl.
            text = re.sub(r'\\([\\"\'nrt])', lambda m: _UNESCAPES.get(m[1], m[1]), text[1:-1])
        return text
    if type_.name == 'boolean':
        if text.lower() not in ('true', 'false', '1', '0'):
            raise ValueError(f'expected true or false, got {text}')
        return text.lower() in ('true', '1')
    if type_.is_float:
        return float(text)
    value = int(text, 10 if text.lstrip('-').isdigit() else 0)  # 010 is decimal
    if type_.integers and not type_.integers[0] <= value <= type_.integers[1]:
        raise ValueError(f'{value} is out of range of {type_}')
    return value


# The type hash (REP 2016; the numbers are those of type_description_interfaces/msg/FieldType)

_ARRAY, _BOUNDED_SEQUENCE, _SEQUENCE = 48, 96, 144
# rosidl gives an empty message this member, since C knows no empty structures.
_DUMMY = Field('structure_needs_at_least_one_member', Primitive('uint8'))


def type_hash(message: Message) -> str:
    """Return the hash of a message type as ROS computes it, `RIHS01_` and 64 hex digits."""
    nested = message.nested()
    described = {
        'type_description': _describe(message),
        'referenced_type_descriptions': [_describe(nested[name]) for name in sorted(nested)],
    }
    text = json.dumps(described, ensure_ascii=True, separators=(', ', ': '))
    return 'RIHS01_' + hashlib.sha256(text.encode()).hexdigest()


def _describe(message: Message) -> dict[str, Any]:
    return {
        'type_name': message.name,
        'fields': [
            {'name': field.name, 'type': _describe_type(field.type)}
            for field in message.fields or (_DUMMY,)
        ],
    }


def _describe_type(type_: FieldType) -> dict[str, Any]:
    item: FieldType = type_
    offset, capacity = 0, 0
    if isinstance(type_, Array):
        item, offset, capacity = type_.item, _ARRAY, type_.size
    elif isinstance(type_, Sequence):
        item = type_.item
        offset = _SEQUENCE if type_.bound is None else _BOUNDED_SEQUENCE
        capacity = type_.bound or 0
    if isinstance(item, Primitive):
        type_id = PRIMITIVES[item.name][3]
    elif isinstance(item, String):
        type_id = (17 if item.bound is None else 21) + item.wide
    else:
        type_id = 1
    return {
        'type_id': type_id + offset,
        'capacity': capacity,
        'string_capacity': item.bound or 0 if isinstance(item, String) else 0,
        'nested_type_name': item.name if isinstance(item, Message) else '',
    }
