# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Finds the first mistake in a CDR payload or in a plain value, and says where it stands.

The compiled functions of `cdr` are fast and only notice that something is wrong; these walk again,
slowly, to name the place: `points[3].x: expected float32, got 'a'`.
"""

from __future__ import annotations

import struct
from array import array
from typing import Any

from redis_bridge.errors import PayloadError
from redis_bridge.messages.types import (
    PRIMITIVES,
    Array,
    FieldType,
    Message,
    Primitive,
    Sequence,
    String,
    did_you_mean,
    integer_range,
    is_bytes,
    type_name,
)

_SHOWN = 40  # characters of a wrong value that an error shows


def show(value: Any) -> str:
    """Return a value as errors show it: scalars as they are, containers by kind and size."""
    if value is None or isinstance(value, (bool, float)):
        return str(value)
    if isinstance(value, int):
        # The text of a huge integer takes quadratic time, and Python may refuse it.
        return (
            str(value) if value.bit_length() <= 128 else f'an integer of {value.bit_length()} bits'
        )
    if isinstance(value, str):
        return ascii(value) if len(value) <= _SHOWN else f'{value[:_SHOWN]!a}...'
    if isinstance(value, dict):
        return 'a map' if value else 'an empty map'
    if isinstance(value, (list, tuple, array)):
        return f'a list of {len(value)}'
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f'{len(value)} bytes'
    return f'a value of type {type(value).__name__}'


class _Found(Exception):
    """The walk found the mistake; its text is the whole message."""


def _wrong(path: str, text: str) -> _Found:
    return _Found(f'{path}: {text}' if path else text)


def _child(path: str, name: str) -> str:
    return f'{path}.{name}' if path else name


# Plain values


def in_value(message: Message, value: Any) -> PayloadError | None:
    """Return the first mistake in a plain value, or None."""
    try:
        _check(message, value, '')
    except _Found as found:
        return PayloadError(str(found))
    return None


def _check(type_: FieldType, value: Any, path: str) -> None:
    if isinstance(type_, Message):
        _check_message(type_, value, path)
    elif isinstance(type_, Primitive):
        _check_number(type_, value, path)
    elif isinstance(type_, String):
        _check_string(type_, value, path)
    else:
        _check_items(type_, value, path)


def _check_message(type_: Message, value: Any, path: str) -> None:
    if type(value) is not dict:
        raise _wrong(path, f'expected a map of {type_name(type_)}, got {show(value)}')
    fields = {field.name: field.type for field in type_.fields}
    for name, item in value.items():
        if name not in fields:
            there = ', '.join(fields) or 'no fields'
            raise _wrong(
                _child(path, name if isinstance(name, str) else show(name)),
                f'no such field{did_you_mean(name, fields)} ({type_name(type_)} has {there})',
            )
        _check(fields[name], item, _child(path, name))


_KINDS = {'boolean': (bool,), 'float': (float, int), 'double': (float, int)}
# Within these nothing can be wrong with a number; beyond, `_check_number` decides.
_SAFE = {'boolean': (False, True), 'float': (-3.4e38, 3.4e38), 'double': (-1.7e308, 1.7e308)}


def _check_number(type_: Primitive, value: Any, path: str) -> None:
    name = type_name(type_)
    limits = integer_range(type_.name)
    if type(value) not in _KINDS.get(type_.name, (int,)):
        raise _wrong(path, f'expected {name}, got {show(value)}')
    if limits and not limits[0] <= value <= limits[1]:
        raise _wrong(path, f'expected {name} ({limits[0]} to {limits[1]}), got {show(value)}')
    if type_.name in ('float', 'double'):
        try:
            struct.pack('<' + PRIMITIVES[type_.name][0], value)
        except (OverflowError, struct.error):
            raise _wrong(path, f'{show(value)} is out of range of {name}') from None


def _check_string(type_: String, value: Any, path: str) -> None:
    name = type_name(type_)
    if type(value) is not str:
        raise _wrong(path, f'expected {name}, got {show(value)}')
    try:
        encoded = value.encode('utf-16-le' if type_.wide else 'utf-8')
    except UnicodeEncodeError:
        raise _wrong(path, f'{show(value)} has half of a surrogate pair') from None
    if not type_.wide and '\0' in value:
        raise _wrong(path, f'{show(value)} has a NUL character, where DDS would cut it')
    length = len(encoded) // 2 if type_.wide else len(value)
    if type_.bound is not None and length > type_.bound:
        raise _wrong(path, f'expected {name}, got {length} characters')


def _check_items(type_: Array | Sequence, value: Any, path: str) -> None:
    kinds: tuple[type, ...] = (list, tuple)
    if isinstance(type_.item, Primitive) and type_.item.name != 'boolean':
        kinds += (array,)
    if is_bytes(type_):
        kinds += (bytes, bytearray, memoryview)
    if type(value) not in kinds:
        raise _wrong(path, f'expected {type_name(type_)}, got {show(value)}')
    if isinstance(value, memoryview):
        value = bytes(value)
    if isinstance(type_, Array) and len(value) != type_.size:
        raise _wrong(path, f'expected {type_name(type_)}, got {len(value)} items')
    if isinstance(type_, Sequence) and len(value) > (
        0xFFFFFFFF if type_.bound is None else type_.bound
    ):
        raise _wrong(path, f'expected {type_name(type_)}, got {len(value)} items')
    if isinstance(type_.item, Primitive):  # may be millions, of which one is wrong
        kinds = _KINDS.get(type_.item.name, (int,))
        low, high = integer_range(type_.item.name) or _SAFE[type_.item.name]
        for index, item in enumerate(value):
            if type(item) not in kinds or not low <= item <= high:
                _check_number(type_.item, item, f'{path}[{index}]')
        return
    for index, item in enumerate(value):
        _check(type_.item, item, f'{path}[{index}]')


# CDR


def in_cdr(message: Message, payload: bytes) -> PayloadError | None:
    """Return the first mistake in a CDR payload, or None."""
    if payload[:2] not in (b'\0\0', b'\0\1') or len(payload) < 4:
        start = payload[:4].hex(' ') or 'nothing'
        return PayloadError(f'expected CDR, which starts with 00 00 or 00 01, got {start}')
    walk = _Walk(payload)
    try:
        walk.skip(message, '')
    except _Found as found:
        return PayloadError(str(found))
    return None


class _Walk:
    """A position in a CDR payload."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._at = 4
        self._order = '<' if payload[1] else '>'

    def skip(self, type_: FieldType, path: str) -> None:
        if isinstance(type_, Primitive):
            self._numbers(type_, 1, path)
        elif isinstance(type_, String):
            self._string(type_, path)
        elif isinstance(type_, Message):
            for field in type_.fields:
                self.skip(field.type, _child(path, field.name))
            if not type_.fields:
                self._take(1, path)
        else:
            self._items(type_, path)

    def _take(self, size: int, path: str) -> bytes:
        left = len(self._payload) - self._at
        if size > left:
            raise _wrong(path, f'needs {size} bytes, but {max(left, 0)} are left')
        self._at += size
        return self._payload[self._at - size : self._at]

    def _numbers(self, type_: Primitive, count: int, path: str) -> None:
        size = PRIMITIVES[type_.name][1]
        if count:
            self._at += -(self._at - 4) % size
        self._take(size * count, path)

    def _length(self, path: str) -> int:
        self._at += -(self._at - 4) % 4
        return struct.unpack(self._order + 'I', self._take(4, path))[0]

    def _string(self, type_: String, path: str) -> None:
        length = self._length(path)
        data = self._take(4 * length if type_.wide else length, path)
        try:
            text = wide_text(data, self._order) if type_.wide else data.decode().partition('\0')[0]
        except ValueError:
            coding = 'UTF-16 in units of 4 bytes' if type_.wide else 'UTF-8'
            raise _wrong(path, f'the string is not {coding}') from None
        length = length if type_.wide else len(text)
        if type_.bound is not None and length > type_.bound:
            raise _wrong(path, f'expected {type_name(type_)}, got {length} characters')

    def _items(self, type_: Array | Sequence, path: str) -> None:
        count = type_.size if isinstance(type_, Array) else self._length(path)
        if isinstance(type_, Sequence) and type_.bound is not None and count > type_.bound:
            raise _wrong(path, f'expected {type_name(type_)}, got {count} items')
        if isinstance(type_.item, Primitive):
            self._numbers(type_.item, count, path)
            return
        left = len(self._payload) - self._at
        if count > left:  # each takes a byte at least
            raise _wrong(path, f'has {count} items, but {max(left, 0)} bytes are left')
        for index in range(count):
            self.skip(type_.item, f'{path}[{index}]')


def wide_text(data: bytes, order: str) -> str:
    """Return the text of a wstring: UTF-16 code units of 4 bytes each.

    :raises ValueError: a unit is beyond 0xFFFF, or half of a surrogate pair is missing.
    """
    units = data.decode('utf-32-le' if order == '<' else 'utf-32-be', 'surrogatepass')
    if units and max(units) > '\uffff':
        raise ValueError('a UTF-16 code unit is beyond 0xFFFF')
    return units.encode('utf-16-le', 'surrogatepass').decode('utf-16-le')


def wide_units(text: str) -> bytes:
    """Return the body of a wstring, little-endian.

    :raises ValueError: half of a surrogate pair is missing.
    """
    data = text.encode('utf-16-le')
    if len(data) == 2 * len(text):
        return text.encode('utf-32-le')
    return b''.join(data[at : at + 2] + b'\0\0' for at in range(0, len(data), 2))
