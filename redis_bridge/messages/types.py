# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Message types as plain data: fields, types, bounds and defaults, without ROS.

Filled from the rosidl classes by `ros_io.types`, or from a message definition (the concatenated
.msg text that MCAP calls `ros2msg`) by `parse_definition`.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from redis_bridge.errors import InterfaceError

# rosidl's names of the primitive types: struct's format character and the size in bytes.
PRIMITIVES = {
    'boolean': ('?', 1),
    'octet': ('B', 1),
    'int8': ('b', 1),
    'uint8': ('B', 1),
    'int16': ('h', 2),
    'uint16': ('H', 2),
    'int32': ('i', 4),
    'uint32': ('I', 4),
    'int64': ('q', 8),
    'uint64': ('Q', 8),
    'float': ('f', 4),
    'double': ('d', 8),
}
BYTES = ('octet', 'uint8')  # arrays of these are bytes


@dataclass(frozen=True)
class Primitive:
    """A number, a boolean or one byte; `name` is a key of PRIMITIVES."""

    name: str


@dataclass(frozen=True)
class String:
    """A UTF-8 string, or a wide one; `bound` counts characters (UTF-16 units where wide)."""

    wide: bool = False
    bound: int | None = None


@dataclass(frozen=True)
class Array:
    """Exactly `size` items."""

    item: Primitive | String | Message
    size: int


@dataclass(frozen=True)
class Sequence:
    """Any number of items, or at most `bound`."""

    item: Primitive | String | Message
    bound: int | None = None


@dataclass(frozen=True)
class Field:
    """One field of a message; `default` is a plain value, None for the type's zero.

    The default of an array of strings or numbers is a tuple, so that descriptions can be hashed.
    """

    name: str
    type: FieldType
    default: Any = None


@dataclass(frozen=True, repr=False)
class Message:
    """A message type: `name` is 'pkg/msg/Name', or 'pkg/srv/Name_Request' and the like."""

    name: str
    fields: tuple[Field, ...]

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:  # the whole tree would fill pages
        return f'Message({self.name!r}, {len(self.fields)} fields)'


FieldType = Primitive | String | Array | Sequence | Message

# What .msg files call rosidl's types; the others have one name on both sides.
_MSG_NAMES = {'boolean': 'bool', 'octet': 'byte', 'float': 'float32', 'double': 'float64'}
_ROSIDL_NAMES = {_MSG_NAMES.get(name, name): name for name in PRIMITIVES} | {'char': 'uint8'}
_INTEGER_RANGES = {
    name: (-(1 << 8 * size - 1), (1 << 8 * size - 1) - 1)
    if char.islower()
    else (0, (1 << 8 * size) - 1)
    for name, (char, size) in PRIMITIVES.items()
    if char not in '?fd'
}

# Bounds of what `parse_definition` takes, since a definition may come from Redis: how deep types
# are nested, how many fields there are once nested types are unfolded, and the bytes of all fixed
# arrays together.
MAX_DEPTH = 15
MAX_FIELDS = 20_000
MAX_FIXED_BYTES = 1 << 26


def integer_range(name: str) -> tuple[int, int] | None:
    """Return the least and greatest value of an integer type; None for other primitives."""
    return _INTEGER_RANGES.get(name)


def type_name(type_: FieldType) -> str:
    """Return a type as .msg files write it: `float64[36]`, `string<=22`, `pkg/Point[]`."""
    if isinstance(type_, Primitive):
        return _MSG_NAMES.get(type_.name, type_.name)
    if isinstance(type_, String):
        bound = '' if type_.bound is None else f'<={type_.bound}'
        return ('wstring' if type_.wide else 'string') + bound
    if isinstance(type_, Array):
        return f'{type_name(type_.item)}[{type_.size}]'
    if isinstance(type_, Sequence):
        bound = '' if type_.bound is None else f'<={type_.bound}'
        return f'{type_name(type_.item)}[{bound}]'
    return type_.name.replace('/msg/', '/')


def is_bytes(type_: FieldType) -> bool:
    """Tell whether plain values of this type are bytes: arrays of uint8, char and byte."""
    return (
        isinstance(type_, (Array, Sequence))
        and isinstance(type_.item, Primitive)
        and type_.item.name in BYTES
    )


def default_of(type_: FieldType) -> Any:
    """Return a new plain value: zeros, empty strings and sequences, a message's own defaults."""
    if isinstance(type_, Primitive):
        return {'boolean': False, 'float': 0.0, 'double': 0.0}.get(type_.name, 0)
    if isinstance(type_, String):
        return ''
    if is_bytes(type_):
        return bytes(type_.size if isinstance(type_, Array) else 0)
    if isinstance(type_, Array):
        return [default_of(type_.item) for _ in range(type_.size)]
    if isinstance(type_, Sequence):
        return []
    return {field.name: default_of_field(field) for field in type_.fields}


def default_of_field(field: Field) -> Any:
    """Return a new plain value for a field that is left out."""
    if field.default is None:
        return default_of(field.type)
    return list(field.default) if isinstance(field.default, tuple) else field.default


def field_with_default(name: str, type_: FieldType, default: Any) -> Field:
    """Return a field; a default that equals the type's zero is not kept."""
    if isinstance(default, list):
        default = bytes(default) if is_bytes(type_) else tuple(default)
    field = Field(name, type_, default)
    return Field(name, type_) if default_of_field(field) == default_of(type_) else field


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `, did you mean 'x'?` for the nearest known word, or an empty string."""
    near = difflib.get_close_matches(str(word), list(known), n=1)
    return f', did you mean {near[0]!r}?' if near else ''


def field_at(message: Message, path: str) -> FieldType:
    """Return the type at a dotted path such as `pose.position.x`.

    :raises InterfaceError: it names the unknown part and what there is instead.
    """
    type_: FieldType = message
    walked = []
    for part in path.split('.'):
        if not isinstance(type_, Message):
            raise InterfaceError(
                f'{path}: {".".join(walked)} of {message.name} is {type_name(type_)}, '
                f'which has no field {part!r}'
            )
        fields = {field.name: field.type for field in type_.fields}
        if part not in fields:
            there = ', '.join(fields) or 'no fields'
            raise InterfaceError(
                f'{path}: {type_.name} has no field {part!r}'
                f'{did_you_mean(part, fields)} (it has {there})'
            )
        type_ = fields[part]
        walked.append(part)
    return type_


def leaves(message: Message, prefix: str = '') -> Iterator[tuple[str, FieldType]]:
    """Yield the dotted path and type of all scalars, strings and arrays, in order."""
    for field in message.fields:
        if isinstance(field.type, Message):
            yield from leaves(field.type, f'{prefix}{field.name}.')
        else:
            yield prefix + field.name, field.type


def _nested(type_: FieldType) -> Message | None:
    item = type_.item if isinstance(type_, (Array, Sequence)) else type_
    return item if isinstance(item, Message) else None


def _nested_types(message: Message) -> dict[str, Message]:
    """Return all types a message is made of, itself left out, in order of first use."""
    found: dict[str, Message] = {}
    waiting = [message]
    while waiting:
        for field in waiting.pop(0).fields:
            nested = _nested(field.type)
            if nested is not None and nested.name not in found:
                found[nested.name] = nested
                waiting.append(nested)
    return found


# The text form

_SEPARATOR = '=' * 80
_ESCAPES = {'\\': '\\\\', '"': '\\"', '\n': '\\n', '\r': '\\r', '\t': '\\t'}
_UNESCAPES = {'n': '\n', 'r': '\r', 't': '\t'}


def definition(message: Message) -> str:
    """Return the definition as text, with those of all nested types (MCAP's `ros2msg`).

    Comments and constants are not kept, so it is not the text of the .msg file.
    """
    parts = [_section(message)]
    for name, nested in _nested_types(message).items():
        parts.append(f'{_SEPARATOR}\nMSG: {name.replace("/msg/", "/")}\n{_section(nested)}')
    return ''.join(parts)


def _section(message: Message) -> str:
    lines = []
    for field in message.fields:
        line = f'{type_name(field.type)} {field.name}'
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
    sections = {name: []}
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


class _Parser:
    """Reads the sections of one definition; types are made once and shared."""

    def __init__(self, root: str, sections: dict[str, list[tuple[int, str]]]) -> None:
        self._root = root
        self._sections = sections
        self._done: dict[str, tuple[Message, int, int]] = {}  # with unfolded fields and bytes

    def message(self, name: str, inside: tuple[str, ...]) -> Message:
        if name in self._done:
            return self._done[name][0]
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
            item_count, item_size = self._weight(field.type)
            count += item_count
            size += item_size
            if count > MAX_FIELDS or size > MAX_FIXED_BYTES:
                raise InterfaceError(f'{self._root}: {name} is too big to be read')
        message = Message(name, tuple(fields.values()))
        self._done[name] = message, count, size
        return message

    def _weight(self, type_: FieldType) -> tuple[int, int]:
        """Return how many fields and bytes a type unfolds to; sequences are taken as empty."""
        if isinstance(type_, Message):
            return self._done[type_.name][1:]
        if isinstance(type_, Array):
            count, size = self._weight(type_.item)
            return count, max(size, 1) * type_.size
        if isinstance(type_, Sequence):
            return self._weight(type_.item)[0], 4
        return 1, PRIMITIVES[type_.name][1] if isinstance(type_, Primitive) else 4

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
        return field_with_default(field_name, type_, _parse_default(type_, default.strip()))

    def _item(
        self, base: str, bound: str | None, name: str, inside: tuple[str, ...]
    ) -> Primitive | String | Message:
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
    code = _COMMENT.match(line)[0]
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
        size = type_.size if isinstance(type_, Array) else type_.bound
        if size is not None and (
            len(items) > size or (isinstance(type_, Array) and len(items) < size)
        ):
            raise ValueError(f'a default of {len(items)} items for {type_name(type_)}')
        return items
    return _parse_scalar(type_, text)


def _parse_scalar(type_: FieldType, text: str) -> Any:
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
    if type_.name in ('float', 'double'):
        return float(text)
    value = int(text, 0) if text[:2] != '00' and not re.fullmatch(r'-?0\d+', text) else int(text)
    low, high = _INTEGER_RANGES[type_.name]
    if not low <= value <= high:
        raise ValueError(f'{value} is out of range of {type_name(type_)}')
    return value


# The type hash (REP 2016; the numbers are those of type_description_interfaces/msg/FieldType)

_TYPE_IDS = {
    'int8': 2,
    'uint8': 3,
    'int16': 4,
    'uint16': 5,
    'int32': 6,
    'uint32': 7,
    'int64': 8,
    'uint64': 9,
    'float': 10,
    'double': 11,
    'boolean': 15,
    'octet': 16,
}
_ARRAY, _BOUNDED_SEQUENCE, _SEQUENCE = 48, 96, 144
# rosidl gives an empty message this member, since C knows no empty structures.
_DUMMY = Field('structure_needs_at_least_one_member', Primitive('uint8'))


def type_hash(message: Message) -> str:
    """Return the hash of a message type as ROS computes it, `RIHS01_` and 64 hex digits."""
    nested = _nested_types(message)
    described = {
        'type_description': _describe(message),
        'referenced_type_descriptions': [_describe(nested[name]) for name in sorted(nested)],
    }
    text = json.dumps(described, ensure_ascii=True, separators=(', ', ': '))
    return 'RIHS01_' + hashlib.sha256(text.encode()).hexdigest()


def _describe(message: Message) -> dict:
    return {
        'type_name': message.name,
        'fields': [
            {'name': field.name, 'type': _describe_type(field.type)}
            for field in message.fields or (_DUMMY,)
        ],
    }


def _describe_type(type_: FieldType) -> dict:
    item, offset, capacity = type_, 0, 0
    if isinstance(type_, Array):
        item, offset, capacity = type_.item, _ARRAY, type_.size
    elif isinstance(type_, Sequence):
        item = type_.item
        offset = _SEQUENCE if type_.bound is None else _BOUNDED_SEQUENCE
        capacity = type_.bound or 0
    if isinstance(item, Primitive):
        type_id = _TYPE_IDS[item.name]
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
