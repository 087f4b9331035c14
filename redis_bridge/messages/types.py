# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Message types as plain data, without ROS: fields, types, bounds and defaults.

`ros_io.types` makes them from the rosidl classes, `definition` from the text of a definition.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

# rosidl's names of the primitive types: struct's format character, the size in bytes, the name in
# .msg files, and the number in type_description_interfaces/msg/FieldType.
PRIMITIVES = {
    'boolean': ('?', 1, 'bool', 15),
    'octet': ('B', 1, 'byte', 16),
    'int8': ('b', 1, 'int8', 2),
    'uint8': ('B', 1, 'uint8', 3),
    'int16': ('h', 2, 'int16', 4),
    'uint16': ('H', 2, 'uint16', 5),
    'int32': ('i', 4, 'int32', 6),
    'uint32': ('I', 4, 'uint32', 7),
    'int64': ('q', 8, 'int64', 8),
    'uint64': ('Q', 8, 'uint64', 9),
    'float': ('f', 4, 'float32', 10),
    'double': ('d', 8, 'float64', 11),
}


# Their field `nanosec` is a part of a second.
TIMES = ('builtin_interfaces/msg/Time', 'builtin_interfaces/msg/Duration')
NANOSECONDS = 1_000_000_000  # of a second


class _Type(ABC):
    """What all types have in common; `str()` is the type as .msg files write it."""

    @property
    def is_bytes(self) -> bool:
        """Return whether plain values are bytes: arrays of uint8, char and byte."""
        return False

    @property
    def min_size(self) -> int:
        """Return the least number of bytes that a value takes in CDR."""
        return 4  # of a length

    @abstractmethod
    def default(self) -> Any:
        """Return a new plain value of a field that is left out."""


@dataclass(frozen=True)
class Primitive(_Type):
    """A number, a boolean or one byte; `name` is a key of PRIMITIVES."""

    name: str

    def __str__(self) -> str:
        return PRIMITIVES[self.name][2]

    @property
    def code(self) -> str:
        """Return struct's format character."""
        return PRIMITIVES[self.name][0]

    @property
    def size(self) -> int:
        """Return the number of bytes in CDR."""
        return PRIMITIVES[self.name][1]

    @property
    def min_size(self) -> int:
        return self.size

    @property
    def is_float(self) -> bool:
        """Return whether it is a float32 or float64."""
        return self.code in 'fd'

    @property
    def kinds(self) -> tuple[type[bool] | type[int] | type[float], ...]:
        """Return the classes of plain values, the usual one first."""
        return (bool,) if self.name == 'boolean' else (float, int) if self.is_float else (int,)

    @property
    def integers(self) -> tuple[int, int] | None:
        """Return the least and the greatest integer; None for booleans and floats."""
        if self.code in '?fd':
            return None
        half = 1 << 8 * self.size - 1
        return (-half, half - 1) if self.code.islower() else (0, 2 * half - 1)

    def default(self) -> bool | int | float:
        return self.kinds[0]()


@dataclass(frozen=True)
class String(_Type):
    """A UTF-8 string, or a wide one; `bound` counts characters (UTF-16 units if wide)."""

    wide: bool = False
    bound: int | None = None

    def __str__(self) -> str:
        bound = '' if self.bound is None else f'<={self.bound}'
        return ('wstring' if self.wide else 'string') + bound

    def default(self) -> str:
        return ''


class _Items(_Type):
    item: Item

    @property
    def is_bytes(self) -> bool:
        return isinstance(self.item, Primitive) and self.item.name in ('octet', 'uint8')


@dataclass(frozen=True)
class Array(_Items):
    """Exactly `size` items."""

    item: Item
    size: int

    def __str__(self) -> str:
        return f'{self.item}[{self.size}]'

    @property
    def min_size(self) -> int:
        return self.size * self.item.min_size

    def default(self) -> bytes | list[Any]:
        if self.is_bytes:
            return bytes(self.size)
        return [self.item.default() for _ in range(self.size)]

    def fits(self, count: int) -> bool:
        """Return whether a value may have so many items."""
        return count == self.size


@dataclass(frozen=True)
class Sequence(_Items):
    """Any number of items, or at most `bound`."""

    item: Item
    bound: int | None = None

    def __str__(self) -> str:
        return f'{self.item}[]' if self.bound is None else f'{self.item}[<={self.bound}]'

    def default(self) -> bytes | list[Any]:
        return b'' if self.is_bytes else []

    def fits(self, count: int) -> bool:
        """Return whether a value may have so many items."""
        return count <= (0xFFFFFFFF if self.bound is None else self.bound)


@dataclass(frozen=True)
class Field:
    """One field of a message; `default` is a plain value, None for the type's zero.

    The default of an array of strings or numbers is a tuple, so that types can be hashed.
    """

    name: str
    type: FieldType
    default: Any = None

    @classmethod
    def with_default(cls, name: str, type_: FieldType, default: Any) -> Field:
        """Return a field; a default that equals the type's zero is not kept."""
        if isinstance(default, list):
            default = bytes(default) if type_.is_bytes else tuple(default)
        field = cls(name, type_, default)
        return cls(name, type_) if field.value() == type_.default() else field

    def value(self) -> Any:
        """Return the new plain value that the field has if it is left out."""
        if self.default is None:
            return self.type.default()
        return list(self.default) if isinstance(self.default, tuple) else self.default


@dataclass(frozen=True, repr=False)
class Message(_Type):
    """A message type: `name` is 'pkg/msg/Name', or 'pkg/srv/Name_Request' and the like."""

    name: str
    fields: tuple[Field, ...]

    def __str__(self) -> str:
        return self.name.replace('/msg/', '/')

    def __repr__(self) -> str:  # the whole tree would fill pages
        return f'Message({self.name!r}, {len(self.fields)} fields)'

    @property
    def min_size(self) -> int:
        return sum(field.type.min_size for field in self.fields) or 1

    def default(self) -> dict[str, Any]:
        return {field.name: field.value() for field in self.fields}

    def nested(self) -> dict[str, Message]:
        """Return all types it is made of, itself left out, in order of first use."""
        found: dict[str, Message] = {}
        waiting = [self]
        while waiting:
            for field in waiting.pop(0).fields:
                type_ = field.type
                item = type_.item if isinstance(type_, (Array, Sequence)) else type_
                if isinstance(item, Message) and item.name not in found:
                    found[item.name] = item
                    waiting.append(item)
        return found


Item = Primitive | String | Message
FieldType = Primitive | String | Array | Sequence | Message
