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

from redis_bridge.errors import PayloadError
from redis_bridge.messages import find_error
from redis_bridge.messages.codegen import (
    COMPILED,
    READ_ERRORS,
    Source,
    as_bytes,
    define,
    identifier,
    rounded,
)
from redis_bridge.messages.paths import field_at
from redis_bridge.messages.types import Array, Message, Primitive, Sequence, String
from redis_bridge.messages.walk import Walk

Reader = Callable[[bytes], dict[str, Any]]
Checker = Callable[[bytes], None]
# Of a value: True is all of it, False nothing, a dict some fields of a message.
Selection = bool | dict[str, 'Selection']
# What a value is in the generated source: a variable, or the fields of a message.
_Variable = str | dict[str, '_Variable']


def reader(message: Message, fields: Iterable[str] = (), typed: bool = False) -> Reader:
    """Return a function from CDR to a plain value.

    :param fields: dotted paths; only these are read, nested as in ROS. Empty: all.
    :param typed: numeric arrays come as array.array instead of lists (bytes stay bytes).
    :raises InterfaceError: a path of `fields` is unknown.
    """
    return _reader(message, tuple(fields), typed)


@lru_cache(COMPILED)
def _reader(message: Message, fields: tuple[str, ...], typed: bool) -> Reader:
    return _compile(message, _selection(message, fields), typed)


@lru_cache(COMPILED)
def checker(message: Message) -> Checker:
    """Return a function that walks through CDR and raises PayloadError if it is broken."""
    return _compile(message, False, False)


def _selection(message: Message, fields: Iterable[str]) -> Selection:
    tree: dict[str, Selection] = {}
    for path in fields:
        field_at(message, path)
        *parents, last = path.split('.')
        branch = tree
        for part in parents:
            inner = branch.setdefault(part, {})
            if not isinstance(inner, dict):
                break
            branch = inner
        else:
            branch[last] = True
    return tree or True


def _count_selected(selection: Selection) -> int:
    """Return how many whole values a selection holds."""
    if isinstance(selection, dict):
        return sum(map(_count_selected, selection.values()))
    return 1


def _compile(message: Message, selection: Selection, typed: bool) -> Callable[[bytes], Any]:
    source = _Source(selection, typed)
    value = source.message(message, selection)
    source.flush()
    text = (
        'def read(buf):\n'
        ' if buf.__class__ is not bytes:\n'
        '  buf = as_bytes(buf)\n'
        ' try:\n'
        "  if buf[:2] != b'\\0\\1': raise ValueError('no CDR header')\n"
        '  end = len(buf)\n'
        f'{source.text()}'
        f"  if {source.base} > end: raise ValueError('ends too early')\n"
        f'  return {None if selection is False else source.literal(value)}\n'
        ' except READ_ERRORS as error:\n'
        '  raise rejected(buf, error) from error\n'
    )

    def rejected(payload: bytes, error: Exception) -> PayloadError:
        return find_error.in_cdr(message, payload) or PayloadError(f'{message.name}: {error}')

    return define('read', text, message, {**_RUNTIME, **source.constants, 'rejected': rejected})


class _Source(Source, Walk[Selection, _Variable]):
    """The source of a function that reads, or only checks, CDR."""

    def __init__(self, selection: Selection, typed: bool) -> None:
        super().__init__(4)
        self._typed = typed
        self._checking = selection is False
        self._wanted = _count_selected(selection)
        self._aliases: dict[str, str] = {}

    def literal(self, value: _Variable) -> str:
        """Return the source of a value."""
        if isinstance(value, str):
            return self._aliases.get(value, value)
        return '{' + ', '.join(f'{name!r}: {self.literal(v)}' for name, v in value.items()) + '}'

    def emit_alignment(self, size: int) -> None:
        self.emit(f'o = {rounded(self.base, size)}')
        self.base = 'o'

    def flush(self) -> None:
        wanted = [(part.name, part.items) for part in self._pending if part.name]
        if wanted:
            unpack = self.constant(self._struct().unpack_from, 'unpack')
            call = f'{unpack}(buf, {self.base})'
            if all(items is None for _, items in wanted):
                self.emit(f'{"".join(f"{name}, " for name, _ in wanted)}= {call}')
            else:
                # With arrays in between, slices are faster than unpacking into variables.
                run, at = self.fresh('t'), 0
                self.emit(f'{run} = {call}')
                for name, items in wanted:
                    if items is None:
                        self._aliases[name] = f'{run}[{at}]'
                    else:
                        self._aliases[name] = f'list({run}[{at}:{at + items}])'
                    at += items or 1
        self.clear_pending()

    def message(self, type_: Message, at: Selection) -> dict[str, _Variable]:
        value = {}
        if not type_.fields:
            self.add_pending('x', None, 1)
        for field in type_.fields:
            name = identifier(type_, field.name)
            chosen = at if isinstance(at, bool) else at.get(name, False)
            item = self.visit(field.type, chosen)
            if chosen is not False:
                value[name] = item
            if chosen is True and isinstance(at, dict):
                self._wanted -= 1
            if not self._wanted:
                break  # nothing behind is asked for
        return value

    def number(self, type_: Primitive, at: Selection) -> str:
        name = self.fresh()
        self.align(type_.size)
        if at:
            self.add_pending(type_.code, name, type_.size)
        else:
            self.add_pending(f'{type_.size}x', None, type_.size)
        return name

    def fixed_numbers(self, type_: Array, item: Primitive, at: Selection) -> str:
        count, size = type_.size, type_.size * item.size
        name = self.fresh()
        self.align(item.size)
        if not at:
            self.add_pending(f'{size}x', None, size)
        elif type_.is_bytes:
            self.add_pending(f'{count}s', name, count)
        elif self._typed and item.name != 'boolean':
            self.flush()
            self.emit(f'e = {self.base} + {size}')
            self.emit('if e > end: raise ValueError("ends too early")')
            self.emit(f'{name} = array({item.code!r}, buf[{self.base}:e])')
            self.place = self.place.moved(size)
            self.moved_by(size)
        else:
            self.add_pending(f'{count}{item.code}', name, size, count)
        return name

    def _count(self, bound: int | None) -> str:
        """Read the length of a string or a sequence, and be right behind it."""
        name = self.fresh('n')
        self.align(4)
        self.add_pending('I', name, 4)
        self.flush()
        if name in self._aliases:
            self.emit(f'{name} = {self._aliases.pop(name)}')
        if bound is not None:
            self.emit(f'if {name} > {bound}: raise ValueError("over its bound")')
        return name

    def string(self, type_: String, at: Selection) -> str:
        count = self._count(type_.bound if type_.wide else None)
        name = self.fresh()
        self.emit(f'e = {self.base} + {f"4 * {count}" if type_.wide else count}')
        if at or self._checking:
            if type_.wide:
                self.emit(f'{name} = wide_text(buf[{self.base}:e])')
            else:
                self.emit(f"{name} = buf[{self.base}:e].decode().partition('\\0')[0]")
                if type_.bound is not None:
                    self.emit(f'if len({name}) > {type_.bound}: raise ValueError("too long")')
        self.emit('o = e')
        self.base, self.place = 'o', self._layout.visit(type_, self.place)
        return name

    def numbers(self, type_: Sequence, item: Primitive, at: Selection) -> str:
        code, size = item.code, item.size
        count = self._count(type_.bound)
        name = self.fresh()
        behind = self._layout.behind_numbers(item, self.place)
        # Slices are cut short where the payload ends; that `o` is then beyond the end is noticed
        # by whatever reads next, or at the very end.
        if type_.is_bytes:
            values = 'buf[{start}:e]'
        elif item.name == 'boolean':
            values = 'list(map(bool, buf[{start}:e]))'
        else:
            values = f'array({code!r}, buf[{{start}}:e])' + ('' if self._typed else '.tolist()')
        empty = f'array({code!r})' if self._typed else '[]'
        if self.place.padding(size) == 0:
            self.emit(f'e = {self.base} + {count if size == 1 else f"{size} * {count}"}')
            if at:
                self.emit(f'{name} = {values.format(start=self.base)}')
            self.emit('o = e')
        else:
            # No padding before the items of an empty sequence.
            start = rounded(self.base, size, self.place.padding(size))
            self.emit(f'if {count}:')
            self.emit(f' o = {start}')
            self.emit(f' e = o + {size} * {count}')
            if at:
                self.emit(f' {name} = {values.format(start="o")}')
            self.emit(' o = e')
            self.emit('else:')
            self.emit(f' o = {self.base}')
            if at:
                self.emit(f' {name} = {empty}')
        self.base, self.place = 'o', behind
        return name

    def items(self, type_: Array | Sequence, item: String | Message, at: Selection) -> str:
        if isinstance(type_, Array):
            count = str(type_.size)
            self.flush()
        else:
            count = self._count(type_.bound)
        behind = self._layout.behind_items(type_, item, self.place)
        # Every item takes some bytes, so that a forged length ends here and not in a long loop.
        self.emit(f'if {item.min_size} * {count} > end - {self.base}: raise ValueError("short")')
        name = self.fresh()
        self.hold_position()
        if at:
            self.emit(f'{name} = []')
        self.place = self._layout.before_each(item, self.place)
        self.enter(f'for _ in range({count}):')
        value = self.visit(item, bool(at))
        self.flush()
        if at:
            self.emit(f'{name}.append({self.literal(value)})')
        self.leave()
        self.base, self.place = 'o', behind
        return name


_RUNTIME = {
    'array': array,
    'as_bytes': as_bytes,
    'wide_text': find_error.wide_text,
    'READ_ERRORS': READ_ERRORS,
}
