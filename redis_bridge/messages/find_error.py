# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Finds the first error in CDR or in a plain value.

The compiled functions are fast and only notice that there is an error; these walk again, slowly,
to name the place: `points[3].x: expected float32, got 'a'`.
"""

from __future__ import annotations

import struct
from array import array
from typing import Any

from redis_bridge.errors import PayloadError, did_you_mean, show
from redis_bridge.messages.paths import child
from redis_bridge.messages.types import (
    NANOSECONDS,
    TIMES,
    Array,
    Message,
    Primitive,
    Sequence,
    String,
)
from redis_bridge.messages.walk import Walk
from redis_bridge.messages.wide_strings import wide_text


def _wrong(path: str, text: str) -> PayloadError:
    return PayloadError(f'{path}: {text}' if path else text)


# Plain values


def in_value(message: Message, value: Any) -> PayloadError | None:
    """Return the first error in a plain value, or None."""
    try:
        _Value().visit(message, (value, ''))
    except PayloadError as error:
        return error
    return None


# Within these nothing can be wrong with a number; beyond, `number` decides.
_SAFE = {'boolean': (False, True), 'float': (-3.4e38, 3.4e38), 'double': (-1.7e308, 1.7e308)}


class _Value(Walk[tuple[Any, str], None]):
    """A walk over a type and a plain value, with the path so far."""

    def message(self, type_: Message, at: tuple[Any, str]) -> None:
        value, path = at
        if type(value) is not dict:
            raise _wrong(path, f'expected a map of {type_}, got {show(value)}')
        fields = {field.name: field.type for field in type_.fields}
        for name, item in value.items():
            if name not in fields:
                known = ', '.join(fields) or 'no fields'
                raise _wrong(
                    child(path, name if isinstance(name, str) else show(name)),
                    f'no such field{did_you_mean(str(name), fields)} ({type_} has {known})',
                )
            self.visit(fields[name], (item, child(path, name)))
            if type_.name in TIMES and name == 'nanosec' and item >= NANOSECONDS:
                raise _wrong(child(path, name), f'expected a part of a second, got {item}')

    def number(self, type_: Primitive, at: tuple[Any, str]) -> None:
        value, path = at
        limits = type_.integers
        if type(value) not in type_.kinds:
            raise _wrong(path, f'expected {type_}, got {show(value)}')
        if limits and not limits[0] <= value <= limits[1]:
            raise _wrong(path, f'expected {type_} ({limits[0]} to {limits[1]}), got {show(value)}')
        if type_.is_float:
            try:
                struct.pack('<' + type_.code, value)
            except (OverflowError, struct.error):
                raise _wrong(path, f'{show(value)} is out of range of {type_}') from None

    def string(self, type_: String, at: tuple[Any, str]) -> None:
        value, path = at
        if type(value) is not str:
            raise _wrong(path, f'expected {type_}, got {show(value)}')
        try:
            encoded = value.encode('utf-16-le' if type_.wide else 'utf-8')
        except UnicodeEncodeError:
            raise _wrong(path, f'{show(value)} has half of a surrogate pair') from None
        if not type_.wide and '\0' in value:
            raise _wrong(path, f'{show(value)} has a NUL character, where DDS would cut it')
        length = len(encoded) // 2 if type_.wide else len(value)
        if type_.bound is not None and length > type_.bound:
            raise _wrong(path, f'expected {type_}, got {length} characters')

    def numbers(self, type_: Array | Sequence, item: Primitive, at: tuple[Any, str]) -> None:
        kinds: tuple[type, ...] = (list, tuple)
        if item.name != 'boolean':
            kinds += (array,)
        if type_.is_bytes:
            kinds += (bytes, bytearray, memoryview)
        value, path = self._checked(type_, at, kinds)
        kinds = item.kinds  # of the items, which may be millions, of which one is wrong
        low, high = item.integers or _SAFE[item.name]
        for index, number in enumerate(value):
            if type(number) not in kinds or not low <= number <= high:
                self.number(item, (number, f'{path}[{index}]'))

    def items(self, type_: Array | Sequence, item: String | Message, at: tuple[Any, str]) -> None:
        value, path = self._checked(type_, at, (list, tuple))
        for index, part in enumerate(value):
            self.visit(item, (part, f'{path}[{index}]'))

    def _checked(
        self, type_: Array | Sequence, at: tuple[Any, str], kinds: tuple[type, ...]
    ) -> tuple[Any, str]:
        """Return what was given once its kind and its number of items are right."""
        value, path = at
        if type(value) not in kinds:
            raise _wrong(path, f'expected {type_}, got {show(value)}')
        if isinstance(value, memoryview):
            value = bytes(value)
        if not type_.fits(len(value)):
            raise _wrong(path, f'expected {type_}, got {len(value)} items')
        return value, path


# CDR

_UINT32 = Primitive('uint32')


def in_cdr(message: Message, cdr: bytes) -> PayloadError | None:
    """Return the first error in CDR, or None."""
    if cdr[:2] == b'\0\0':
        return PayloadError('big-endian CDR is not supported: expected 00 01 at its start')
    if cdr[:2] != b'\0\1' or len(cdr) < 4:
        start = cdr[:4].hex(' ') or 'nothing'
        return PayloadError(f'expected CDR, which starts with 00 01, got {start}')
    try:
        _Cdr(cdr).visit(message, '')
    except PayloadError as error:
        return error
    return None


class _Cdr(Walk[str, None]):
    """A walk over a type and CDR; the path goes down."""

    def __init__(self, cdr: bytes) -> None:
        self._cdr = cdr
        self._position = 4

    def _take(self, size: int, path: str) -> bytes:
        left = len(self._cdr) - self._position
        if size > left:
            raise _wrong(path, f'needs {size} bytes, but {max(left, 0)} are left')
        self._position += size
        return self._cdr[self._position - size : self._position]

    def _take_numbers(self, type_: Primitive, count: int, path: str) -> bytes:
        if count:
            self._position += -(self._position - 4) % type_.size
        return self._take(type_.size * count, path)

    def _length(self, path: str) -> int:
        return int.from_bytes(self._take_numbers(_UINT32, 1, path), 'little')

    def _count(self, type_: Array | Sequence, path: str) -> int:
        if isinstance(type_, Array):
            return type_.size
        count = self._length(path)
        if not type_.fits(count):
            raise _wrong(path, f'expected {type_}, got {count} items')
        return count

    def number(self, type_: Primitive, at: str) -> None:
        self._take_numbers(type_, 1, at)

    def string(self, type_: String, at: str) -> None:
        length = self._length(at)
        data = self._take(4 * length if type_.wide else length, at)
        try:
            text = wide_text(data) if type_.wide else data.decode().partition('\0')[0]
        except ValueError:
            coding = 'UTF-16 in units of 4 bytes' if type_.wide else 'UTF-8'
            raise _wrong(at, f'the string is not {coding}') from None
        length = length if type_.wide else len(text)
        if type_.bound is not None and length > type_.bound:
            raise _wrong(at, f'expected {type_}, got {length} characters')

    def message(self, type_: Message, at: str) -> None:
        for field in type_.fields:
            self.visit(field.type, child(at, field.name))
        if not type_.fields:
            self._take(1, at)

    def numbers(self, type_: Array | Sequence, item: Primitive, at: str) -> None:
        self._take_numbers(item, self._count(type_, at), at)

    def items(self, type_: Array | Sequence, item: String | Message, at: str) -> None:
        count = self._count(type_, at)
        left = len(self._cdr) - self._position
        if count > left:  # each takes a byte at least
            raise _wrong(at, f'has {count} items, but {max(left, 0)} bytes are left')
        for index in range(count):
            self.visit(item, f'{at}[{index}]')
