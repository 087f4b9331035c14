# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What functions on CDR are compiled from: what is known of positions, and lines of source.

A generic walk over the fields costs about a microsecond a field. So the source of a function is
generated that does what the walk would do for just one type: neighbouring numbers are one
`struct`, arrays one slice. What makes this possible is that most alignments are known beforehand:
a `Place` says what is known of a position, and only after strings and sequences the padding has
to be computed while the function runs.

The format is XCDR1 (plain CDR) as Fast DDS and Cyclone DDS carry it: 4 bytes of header, then
numbers aligned to their size, counted from behind the header.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from redis_bridge.errors import InterfaceError, PayloadError
from redis_bridge.messages.find_error import show
from redis_bridge.messages.types import (
    PRIMITIVES,
    Array,
    FieldType,
    Message,
    Primitive,
    Sequence,
    String,
    is_bytes,
)

LITTLE, BIG = '<', '>'
HEADERS = {LITTLE: b'\0\1', BIG: b'\0\0'}
NATIVE = LITTLE if sys.byteorder == 'little' else BIG
COMPILED = 256  # functions of one kind that are kept, to be shared by all routes of a type
_MAX_LOOPS = 16  # Python nests no more than 20 blocks

# What the generated code may stumble over; anything else is a bug and surfaces.
READ_FAULTS = (struct.error, ValueError, IndexError)


def define(name: str, text: str, message: Message, names: dict[str, Any]) -> Callable:
    """Return the function `name` of a source text, which may use `names`."""
    namespace = dict(names)
    exec(compile(text, f'<{name} {message.name}>', 'exec'), namespace)
    return namespace[name]


def as_bytes(payload: Any) -> bytes:
    """Return the bytes of a payload; PayloadError if it has none."""
    if isinstance(payload, (bytes, bytearray, memoryview)):
        return bytes(payload)
    raise PayloadError(f'expected bytes, got {show(payload)}')


# What is known of a position


class Place(NamedTuple):
    """A position of which `position % modulus == rest` is known, counted from the header's end."""

    modulus: int
    rest: int

    def padding(self, size: int) -> int | None:
        """Return the bytes to the next multiple of `size`, None where that is not known."""
        return -self.rest % size if self.modulus >= size else None

    def aligned(self, size: int) -> Place:
        padding = self.padding(size)
        return Place(size, 0) if padding is None else self.moved(padding)

    def moved(self, count: int) -> Place:
        return Place(self.modulus, (self.rest + count) % self.modulus)

    def joined(self, other: Place) -> Place:
        """Return what is known of a position that is either of two."""
        modulus = min(self.modulus, other.modulus)
        while (self.rest - other.rest) % modulus:
            modulus //= 2
        return Place(modulus, self.rest % modulus)


START = Place(8, 0)
_UNKNOWN = Place(1, 0)


class Layout:
    """What is known of the position behind a value; remembered, since loops ask repeatedly."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, Place], Place] = {}

    def behind(self, type_: FieldType, place: Place) -> Place:
        """Return what is known of the position behind a value that begins at `place`."""
        key = (id(type_), place)
        if key not in self._known:
            self._known[key] = self._behind(type_, place)
        return self._known[key]

    def _behind(self, type_: FieldType, place: Place) -> Place:
        if isinstance(type_, Primitive):
            size = PRIMITIVES[type_.name][1]
            return place.aligned(size).moved(size)
        if isinstance(type_, String):
            return Place(4, 0) if type_.wide else _UNKNOWN
        if isinstance(type_, Message):
            for field in type_.fields:
                place = self.behind(field.type, place)
            return place if type_.fields else place.moved(1)
        if isinstance(type_, Array):
            return self.behind_items(type_, place)
        return self.behind_items(type_, place.aligned(4).moved(4))

    def behind_items(self, type_: Array | Sequence, place: Place) -> Place:
        """Return what is known behind the items of an array, or of a sequence after its length."""
        if isinstance(type_.item, Primitive):
            size = PRIMITIVES[type_.item.name][1]
            if isinstance(type_, Array):
                return place.aligned(size).moved(size * type_.size)
            return place.joined(Place(size, 0))
        behind = self.behind(type_.item, self.before_each(type_.item, place))
        return behind if isinstance(type_, Array) else place.joined(behind)

    def before_each(self, item: FieldType, place: Place) -> Place:
        """Return what is known of the position before each of several items."""
        while True:
            joined = place.joined(self.behind(item, place))
            if joined == place:
                return place
            place = joined


def least(type_: FieldType) -> int:
    """Return the least number of bytes that a value takes."""
    if isinstance(type_, Primitive):
        return PRIMITIVES[type_.name][1]
    if isinstance(type_, Array):
        return type_.size * least(type_.item)
    if isinstance(type_, Message):
        return sum(least(field.type) for field in type_.fields) or 1
    return 4


def _numbers_of(type_: FieldType) -> list[int] | None:
    """Return the sizes of a value that is nothing but numbers and fixed bytes, else None."""
    if isinstance(type_, Primitive):
        return [PRIMITIVES[type_.name][1]]
    if is_bytes(type_) and isinstance(type_, Array):
        return [1] * type_.size
    if not isinstance(type_, Message) or not type_.fields:
        return None
    sizes = []
    for field in type_.fields:
        inner = _numbers_of(field.type)
        if inner is None:
            return None
        sizes += inner
    return sizes


def stride(type_: FieldType) -> tuple[int, int] | None:
    """Return (bytes, alignment) of items that follow each other with no padding between."""
    sizes = _numbers_of(type_)
    if sizes is None or sizes[0] != max(sizes):
        return None
    end = 0
    for size in sizes:
        end += -end % size + size
    return (end, sizes[0]) if end % sizes[0] == 0 else None


# Generated source


class Pending(NamedTuple):
    """Bytes that the next struct reads or writes: a part of its format."""

    code: str
    name: str | None  # the variable of the value; None: padding, or not wanted
    items: int | None = None  # of an array of numbers


class Source:
    """Lines of a function under construction, and the position that it has reached.

    The position is `base` (a number, or the variable `o`) plus `ahead`, the bytes of the pending
    numbers; `flush` turns these into one call of a struct.
    """

    def __init__(self, order: str, base: int) -> None:
        self.constants: dict[str, Any] = {}
        self.base: int | str = base
        self.place = START
        self._order = order
        self._layout = Layout()
        self._ahead = 0
        self._pending: list[Pending] = []
        self._lines: list[str] = []
        self._depth = 2
        self._loops = 0
        self._used = 0

    def text(self) -> str:
        return ''.join(f'{line}\n' for line in self._lines)

    def emit(self, line: str) -> None:
        self._lines.append(' ' * self._depth + line)

    def fresh(self, prefix: str = 'v') -> str:
        self._used += 1
        return f'{prefix}{self._used}'

    def constant(self, value: Any, prefix: str) -> str:
        name = self.fresh(prefix)
        self.constants[name] = value
        return name

    def pend(self, code: str, name: str | None, size: int, items: int | None = None) -> None:
        self._pending.append(Pending(code, name, items))
        self._ahead += size
        self.place = self.place.moved(size)

    def align(self, size: int) -> None:
        """Move to the next multiple of `size`."""
        padding = self.place.padding(size)
        if padding is None:
            self.flush()
            self.emit_alignment(size)
            self.place = Place(size, 0)
        elif padding:
            self.pend(f'{padding}x', None, padding)

    def emit_alignment(self, size: int) -> None:
        raise NotImplementedError

    def flush(self) -> None:
        raise NotImplementedError

    def moved_by(self, expression: str | int) -> None:
        """Emit that the position has moved, once nothing is pending any more."""
        if isinstance(self.base, int) and isinstance(expression, int):
            self.base += expression
        elif self.base == 'o':
            self.emit(f'o += {expression}')
        else:
            self.emit(f'o = {self.base} + {expression}')
            self.base = 'o'

    def _struct(self) -> struct.Struct:
        return struct.Struct(self._order + ''.join(part.code for part in self._pending))

    def _settle(self) -> None:
        """Forget what was pending, after it has been emitted."""
        if self._ahead:
            self.moved_by(self._ahead)
        self._pending, self._ahead = [], 0

    def hold_position(self) -> None:
        """Have the position in the variable `o`, as loops and branches need it."""
        if self.base != 'o':
            self.emit(f'o = {self.base}')
            self.base = 'o'

    def enter(self, line: str) -> None:
        self._loops += 1
        if self._loops > _MAX_LOOPS:
            raise InterfaceError(f'sequences nested more than {_MAX_LOOPS} deep')
        self.emit(line)
        self._depth += 1

    def leave(self) -> None:
        self._loops -= 1
        self._depth -= 1


def rounded(base: int | str, size: int, padding: int | None = None) -> str:
    """Return the source of a position (from the payload's start) aligned to `size`."""
    if padding is not None:
        return f'{base} + {padding}' if padding else str(base)
    if size == 8:  # the header's 4 bytes do not count
        return f'({base} + 3 & -8) + 4'
    return f'{base} + {size - 1} & -{size}'


def identifier(type_: Message, name: str) -> str:
    """Return a field's name; it becomes part of source, so it must be a plain one."""
    if not (name.isascii() and name.isidentifier()):
        raise InterfaceError(f'{type_.name}: {name!r} is no name of a field')
    return name
