# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Compiles, per message type, functions that read or check CDR.

Plain values are dicts, lists, numbers, strings and bytes. The functions keep nothing, so all
routes of a type share them.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from redis_bridge.messages.codegen import COMPILED, ReadSource, identifier
from redis_bridge.messages.paths import child, field_at
from redis_bridge.messages.pieces import listed
from redis_bridge.messages.types import Array, Message, Primitive, Sequence, String
from redis_bridge.messages.wide_strings import wide_text

Reader = Callable[[bytes], dict[str, Any]]
Checker = Callable[[bytes], int]
# Of a value: True is all of it, False nothing, the path of a message some of its fields.
_Choice = bool | str


def reader(message: Message, fields: Iterable[str] = (), typed: bool = False) -> Reader:
    """Return a function from CDR to a plain value.

    :param fields: dotted paths; only these are read, nested as in ROS. Empty: all.
    :param typed: numeric arrays come as array.array instead of lists (bytes stay bytes).
    :raises InterfaceError: a path of `fields` is unknown.
    """
    return _reader(message, tuple(fields), typed)


@lru_cache(COMPILED)
def _reader(message: Message, fields: tuple[str, ...], typed: bool) -> Reader:
    for path in fields:
        field_at(message, path)
    return _compile(message, '' if fields else True, fields, typed)


@lru_cache(COMPILED)
def checker(message: Message) -> Checker:
    """Return a function from CDR to the position of its end; PayloadError if it is broken."""
    return _compile(message, False, (), False)


def _compile(
    message: Message, choice: _Choice, fields: Iterable[str], typed: bool
) -> Callable[[bytes], Any]:
    source = _Source(fields, typed, choice is False)
    value = source.visit(message, choice)
    source.flush()
    result = str(source.base) if choice is False else value
    return source.define('read', 'buf', result, message, _NAMES)


class _Source(ReadSource[_Choice, str]):
    """The source of a function that reads, or only checks, CDR.

    A visit returns the source of the value, which is valid once nothing is pending any more.
    """

    def __init__(self, fields: Iterable[str], typed: bool, is_check: bool) -> None:
        super().__init__()
        self._typed = typed
        self._is_check = is_check
        self._fields = {*fields}
        self._left = {
            path for path in fields if not any(path.startswith(f'{other}.') for other in fields)
        }
        self._run = self.fresh('t')  # the values of the next struct
        self._taken = 0  # how many these are

    def _value(self, code: str, size: int, count: int | None = None) -> str:
        """Read a value, or a list of so many, with the next struct; return its source."""
        start = self._taken
        self._taken += count or 1
        self.add_pending(code, size)
        if count is None:
            return f'{self._run}[{start}]'
        return f'list({self._run}[{start}:{self._taken}])'

    def _skip(self, size: int) -> str:
        self.add_pending(f'{size}x', size)
        return ''

    def flush(self) -> None:
        if self._taken:
            unpack = self.constant(self._struct().unpack_from, 'unpack')
            self.emit(f'{self._run} = {unpack}(buf, {self.base})')
            self._run, self._taken = self.fresh('t'), 0
        self.clear_pending()

    def emit_length(self, name: str) -> None:
        value = self._value('I', 4)
        self.flush()
        self.emit(f'{name} = {value}')

    def message(self, type_: Message, at: _Choice) -> str:
        entries = []
        if not type_.fields:
            self._skip(1)
        for field in type_.fields:
            name = identifier(type_, field.name)
            path = child(at, name) if isinstance(at, str) else ''
            choice = at if isinstance(at, bool) else self._choice(path)
            value = self.visit(field.type, choice)
            if choice is not False:
                entries.append(f'{name!r}: {value}')
            self._left.discard(path)
            if self._fields and not self._left:
                break  # nothing behind is asked for
        return '{' + ', '.join(entries) + '}'

    def _choice(self, path: str) -> _Choice:
        if path in self._fields:
            return True
        return path if any(other.startswith(f'{path}.') for other in self._fields) else False

    def number(self, type_: Primitive, at: _Choice) -> str:
        self.align(type_.size)
        return self._value(type_.code, type_.size) if at else self._skip(type_.size)

    def numbers(self, type_: Array | Sequence, item: Primitive, at: _Choice) -> str:
        is_typed = self._typed and item.name != 'boolean'
        if isinstance(type_, Array) and not (at and is_typed and not type_.is_bytes):
            count, size = type_.size, type_.size * item.size
            self.align(item.size)
            if not at:
                return self._skip(size)
            if type_.is_bytes:
                return self._value(f'{count}s', count)
            return self._value(f'{count}{item.code}', size, count)
        span, _ = self.take_numbers(type_, item)
        if not at:
            return ''
        name = self.fresh()
        if type_.is_bytes:
            self.emit(f'{name} = buf[{span}]')
        elif item.name == 'boolean':
            self.emit(f'{name} = [byte != 0 for byte in buf[{span}]]')
        else:
            self.emit(f'{name} = array({item.code!r}, buf[{span}])')
            if not is_typed:
                self.emit(f'{name} = listed({name})')
        return name

    def string(self, type_: String, at: _Choice) -> str:
        span, _ = self.take_string(type_)
        if not at and not self._is_check:
            return ''
        name = self.fresh()
        if type_.wide:
            self.emit(f'{name} = wide_text(buf[{span}])')
        else:
            self.emit(f"{name} = buf[{span}].decode().partition('\\0')[0]")
            if type_.bound is not None:
                self.emit(f'if len({name}) > {type_.bound}: raise ValueError("too long")')
        return name

    def items(self, type_: Array | Sequence, item: String | Message, at: _Choice) -> str:
        if isinstance(type_, Array):
            count = str(type_.size)
            self.flush()
        else:
            count = self.count(type_.bound)
        name = self.fresh()
        if at:
            self.emit(f'{name} = []')
        with self.each(item, count):
            value = self.visit(item, bool(at))
            self.flush()
            if at:
                self.emit(f'{name}.append({value})')
        return name


_NAMES = {'array': array, 'listed': listed, 'wide_text': wide_text}
