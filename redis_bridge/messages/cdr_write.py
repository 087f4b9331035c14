# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Compiles, per message type, a function that checks a plain value and writes CDR."""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from redis_bridge.errors import PayloadError
from redis_bridge.messages import find_error
from redis_bridge.messages.codegen import COMPILED, Source, define, identifier
from redis_bridge.messages.guards import Guards, broken_guard, check_of_replaced, check_paths
from redis_bridge.messages.paths import child, set_at
from redis_bridge.messages.pieces import NUMBERS, pieces
from redis_bridge.messages.types import (
    NANOSECONDS,
    TIMES,
    Array,
    Message,
    Primitive,
    Sequence,
    String,
)
from redis_bridge.messages.wide_strings import wide_units

Writer = Callable[[Any], bytes]
Now = Callable[[], tuple[int, int]]  # seconds, nanoseconds

_NO_GUARDS = Guards()
_WRITE_ERRORS = (struct.error, ValueError, OverflowError, TypeError, KeyError)


def writer(message: Message, guards: Guards = _NO_GUARDS, now: Now = lambda: (0, 0)) -> Writer:
    """Return a function from a plain value to CDR.

    Fields that are left out get their defaults. Everything else is checked: names, kinds, ranges,
    lengths and bounds, and the guards. Integers pass for floats; booleans and floats do not pass
    for integers. Padding is zero, because bytes sent to Redis must not carry pieces of the
    process's memory.

    The function raises PayloadError, whose `reason` is a reason of a drop.

    :param now: the time in (seconds, nanoseconds) that replaces `'now'` in `guards.set`.
    :raises InterfaceError: a path of the guards is unknown, or a limit is no number's.
    """
    if guards == _NO_GUARDS:
        return _unguarded(message)
    check_paths(message, guards)
    return _compile(message, guards, now)


@lru_cache(COMPILED)
def _unguarded(message: Message) -> Writer:
    return _compile(message, _NO_GUARDS, lambda: (0, 0))


def _compile(message: Message, guards: Guards, now: Now) -> Writer:
    def now_map() -> dict[str, int]:
        sec, nanosec = now()
        return {'sec': sec, 'nanosec': nanosec}

    def rejected(value: Any, error: Exception) -> PayloadError:
        found = broken_guard(message, value, guards) or _type_error(message, value, guards)
        return found or PayloadError(f'{message.name}: {error}')

    source = _Source(guards)
    source.visit(message, ('root', ''))
    source.flush()
    check = check_of_replaced(message, guards)
    text = (
        'def write(value):\n'
        ' try:\n'
        f'  {"check_replaced(value)" if check else "pass"}\n'
        '  root = value\n'
        '  parts = []\n'
        '  add = parts.append\n'
        f'{source.text()}'
        "  return b''.join(parts)\n"
        ' except WRITE_ERRORS as error:\n'
        '  raise rejected(value, error) from error\n'
    )
    names = {'rejected': rejected, 'check_replaced': check, 'now_map': now_map}
    return define('write', text, message, {**_NAMES, **names, **source.constants})


def _type_error(message: Message, value: Any, guards: Guards) -> PayloadError | None:
    """Return the first error in a value that has broken no guard; it may be changed."""
    try:
        for path, setting in guards.set.items() if isinstance(value, dict) else ():
            set_at(value, path, {'sec': 0, 'nanosec': 0} if setting == 'now' else setting)
    except PayloadError as error:
        return error
    return find_error.in_value(message, value)


# A variable, and the path to its value; None within arrays.
_At = tuple[str, str | None]


class _Source(Source[_At, None]):
    """The source of a function that checks a plain value and writes CDR."""

    def __init__(self, guards: Guards) -> None:
        super().__init__(0)
        self._guards = guards
        self._is_guarded = True  # not in values that `set` brings
        self._to_check: list[str] = []  # floats that must be finite
        self._codes, self._values, self._ahead = ['4s'], ['HEADER'], 4

    @property
    def _must_be_finite(self) -> bool:
        return self._guards.finite and self._is_guarded

    def emit_alignment(self, size: int) -> None:
        # `o` counts the header's 4 bytes, which only matter to 8.
        self.emit(f'p = {"4 - o" if size == 8 else "-o"} & {size - 1}')
        self.emit('if p: add(ZEROS[p]); o += p')

    def _add(self, code: str, size: int, value: str) -> None:
        """Write a value, or `*values`, with the next struct."""
        self._values.append(value)
        self.add_pending(code, size)

    def flush(self) -> None:
        if self._to_check:
            # x - x is 0.0 if x is finite, else NaN, which counts as true.
            checks = ' or '.join(f'{name} - {name}' for name in self._to_check)
            self.emit(f'if {checks}: raise ValueError')
            self._to_check = []
        if self._codes:
            pack = self.constant(self._struct().pack, 'pack')
            self.emit(f'add({pack}({", ".join(self._values)}))')
            self._values = []
        self.clear_pending()

    def message(self, type_: Message, at: _At) -> None:
        name, path = at
        self.emit(f'if {name}.__class__ is not dict: raise TypeError')
        self._emit_defaults(type_, at)
        if not type_.fields:
            self.add_pending('x', 1)
        for field in type_.fields:
            key = identifier(type_, field.name)
            variable = self.fresh()
            where = None if path is None else child(path, key)
            was_guarded = self._is_guarded
            if where is None or where not in self._guards.set:
                self.emit(f'{variable} = {name}[{key!r}]')
            else:
                setting = self._guards.set[where]
                constant = 'now_map()' if setting == 'now' else self.constant(setting, 'setting')
                self.emit(f'{variable} = {constant}')
                self._is_guarded = False
            if type_.name in TIMES and key == 'nanosec':
                self.emit(f'if {variable} >= {NANOSECONDS}: raise ValueError')
            self.visit(field.type, (variable, where))
            self._is_guarded = was_guarded

    def _emit_defaults(self, type_: Message, at: _At) -> None:
        """Emit what happens if fields are left out, or are too many."""
        name, path = at
        defaults = {
            field.name: {} if isinstance(field.type, Message) else field.value()
            for field in type_.fields
        }
        # With the right number of fields, an unknown one means that a known one is missing.
        is_wrong = f'if len({name}) != {len(defaults)}:'
        self.emit(is_wrong)
        if path is not None and self._is_guarded:
            for field in defaults:
                where = f'{child(path, field)}.'
                if any(f'{needed}.'.startswith(where) for needed in self._guards.required):
                    self.emit(f' if {field!r} not in {name}: raise KeyError')
        self.emit(f' {name} = {self.constant(defaults, "defaults")} | {name}')
        self.emit(f' {is_wrong} raise KeyError')

    def number(self, type_: Primitive, at: _At) -> None:
        name, path = at
        checks = ' and '.join(f'type({name}) is not {kind.__name__}' for kind in type_.kinds)
        self.emit(f'if {checks}: raise TypeError')
        limits = self._limits(type_, path)
        if limits:
            self.emit(f'if not {limits[0]} <= {name} <= {limits[1]}: raise ValueError')
        if type_.is_float and self._must_be_finite:
            self._to_check.append(name)
        self.align(type_.size)
        self._add(type_.code, type_.size, name)

    def _limits(self, item: Primitive, path: str | None) -> tuple[str, str] | None:
        """Return the sources of the limits of numbers at a path."""
        limits = self._guards.limits if self._is_guarded and item.name != 'boolean' else {}
        if path is None or path not in limits:
            return None
        low, high = limits[path]
        return self.constant(low, 'low'), self.constant(high, 'high')

    def numbers(self, type_: Array | Sequence, item: Primitive, at: _At) -> None:
        name, path = at
        size, kinds = item.size, self.constant(item.kinds, 'kinds')
        if type_.is_bytes:
            self.emit(f'{name} = bytes_of({name})')
        elif isinstance(type_, Array):
            self.emit(f'{name} = items_of({name}, {kinds})')
        limits = self._limits(item, path)
        if limits:
            self.emit(f'check_limits({name}, {limits[0]}, {limits[1]})')
        if item.is_float and self._must_be_finite:
            self.emit(f'if not are_finite({name}): raise ValueError')
        if isinstance(type_, Array):
            count = type_.size
            self.emit(f'if len({name}) != {count}: raise ValueError')
            self.align(size)
            if type_.is_bytes:
                self._add(f'{count}s', count, name)
            else:
                self._add(f'{count}{item.code}', count * size, f'*{name}')
            return
        if not type_.is_bytes:
            self.emit(f'{name} = packed({name}, {item.code!r}, {kinds})')
        length = f'len({name})' if size == 1 else f'len({name}) // {size}'
        count_name = self._count(length, type_.bound)
        self.hold_position()
        if self.place.padding(size) != 0:
            with self.block(f'if {count_name}:'):
                self.emit_alignment(size)
        self.emit(f'add({name})')
        self.moved_by(f'len({name})')

    def _count(self, length: str, bound: int | None) -> str:
        """Write the length of a string or a sequence; return its variable."""
        count = self.fresh('n')
        self.emit(f'{count} = {length}')
        if bound is not None:
            self.emit(f'if {count} > {bound}: raise ValueError')
        self.align(4)
        self._add('I', 4, count)
        self.flush()
        return count

    def string(self, type_: String, at: _At) -> None:
        name, _ = at
        self.emit(f'if type({name}) is not str: raise TypeError')
        if type_.wide:
            self.emit(f'{name} = wide_units({name})')
            self._count(f'len({name}) // 4', type_.bound)
        else:
            self.emit(f"if '\\0' in {name}: raise ValueError")
            if type_.bound is not None:
                self.emit(f'if len({name}) > {type_.bound}: raise ValueError')
            self.emit(f"{name} = {name}.encode() + b'\\0'")
            self._count(f'len({name})', None)
        self.emit(f'add({name})')
        self.moved_by(f'len({name})')

    def items(self, type_: Array | Sequence, item: String | Message, at: _At) -> None:
        name, _ = at
        kind = f'{name}.__class__'
        self.emit(f'if {kind} is not list and {kind} is not tuple: raise TypeError')
        if isinstance(type_, Array):
            self.emit(f'if len({name}) != {type_.size}: raise ValueError')
            self.flush()
        else:
            self._count(f'len({name})', type_.bound)
        each = self.fresh()
        with self.loop(f'for {each} in {name}:', item):
            self.visit(item, (each, None))


# What the generated code calls


def _items_of(value: Any, kinds: tuple[type, ...]) -> Any:
    """Return the items of a list or an array, once their kinds are checked."""
    if value.__class__ is array and bool not in kinds:
        value = value.tolist()
    elif value.__class__ is not list and value.__class__ is not tuple:
        raise TypeError('no list')
    found = list(map(type, value))
    if found.count(kinds[0]) != len(found) and not set(kinds).issuperset(found):
        raise TypeError('an item is of another kind')
    return value


def _packed(value: Any, code: str, kinds: tuple[type, ...]) -> bytes:
    """Return the bytes of a numeric sequence."""
    if isinstance(value, array) and value.typecode == code:
        return value.tobytes()
    if len(value) > NUMBERS:
        return b''.join(_packed(piece, code, kinds) for piece in pieces(value))
    value = _items_of(value, kinds)
    return struct.pack(f'<{len(value)}{code}', *value)


def _bytes_of(value: Any) -> bytes:
    """Return the bytes of an array of bytes, which may also come as a list of integers."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    return bytes(_items_of(value, (int,)))


def _check_limits(value: Any, low: float, high: float) -> None:
    for item in value:  # min and max would be wrong about NaN
        if not low <= item <= high:
            raise ValueError('out of limits')


def _are_finite(value: Any) -> bool:
    # The sum is much faster, and finite only if all items are; that of large ones may be infinite.
    return math.isfinite(sum(value, 0.0)) or all(map(math.isfinite, value))


_NAMES = {
    'HEADER': b'\0\1\0\0',
    'wide_units': wide_units,
    'items_of': _items_of,
    'packed': _packed,
    'bytes_of': _bytes_of,
    'check_limits': _check_limits,
    'are_finite': _are_finite,
    'ZEROS': [bytes(count) for count in range(8)],
    'WRITE_ERRORS': _WRITE_ERRORS,
}
