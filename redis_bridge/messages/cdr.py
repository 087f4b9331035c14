# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Compiles, per message type, functions that read, write and check CDR.

How they are generated, and what CDR looks like, stands in `compiling`. Plain values are described
in `interfaces`: dicts, lists, numbers, strings, bytes. The functions keep nothing, so all routes
of a type share them.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from redis_bridge.errors import PayloadError
from redis_bridge.messages import find_error
from redis_bridge.messages.codegen import (
    BIG,
    COMPILED,
    HEADERS,
    LITTLE,
    NATIVE,
    READ_FAULTS,
    START,
    Pending,
    Source,
    as_bytes,
    define,
    identifier,
    least,
    rounded,
    stride,
)
from redis_bridge.messages.types import (
    PRIMITIVES,
    Array,
    FieldType,
    Message,
    Primitive,
    Sequence,
    String,
    default_of_field,
    field_at,
    is_bytes,
)

Reader = Callable[[bytes], dict]
Writer = Callable[[dict], bytes]
Checker = Callable[[bytes], None]

_HEADER = b'\0\1\0\0'
_WRITE_FAULTS = (struct.error, ValueError, OverflowError, TypeError, KeyError)


def reader(message: Message, fields: Iterable[str] = (), typed: bool = False) -> Reader:
    """Return a function from CDR, in either byte order, to a plain value.

    :param fields: dotted paths; only these are read, nested as in ROS. Empty: all.
    :param typed: numeric arrays come as array.array instead of lists (bytes stay bytes).
    :raises InterfaceError: a path of `fields` is unknown.
    """
    return _reader(message, tuple(fields), typed)


@lru_cache(COMPILED)
def _reader(message: Message, fields: tuple[str, ...], typed: bool) -> Reader:
    return _compile_reader(message, _selection(message, fields), typed)


@lru_cache(COMPILED)
def checker(message: Message) -> Checker:
    """Return a function that walks CDR whole and raises PayloadError where it is broken."""
    return _compile_reader(message, False, False)


@lru_cache(COMPILED)
def writer(message: Message) -> Writer:
    """Return a function from a plain value to CDR, little-endian.

    Fields that are left out get their defaults. Everything else is checked: names, kinds, ranges,
    lengths and bounds. Integers pass for floats; booleans and floats do not pass for integers.
    Padding is zero, since bytes sent to Redis must not carry pieces of the process's memory.
    """
    source = _WriterSource()
    source.message(message, 'value')
    source.flush()
    source.emit("return b''.join(parts)")
    body = source.text()
    text = (
        'def write(value):\n'
        ' try:\n'
        '  parts = []\n'
        '  add = parts.append\n'
        f'{body}'
        ' except WRITE_FAULTS as fault:\n'
        '  raise refused(value, fault) from fault\n'
    )

    def refused(value: Any, fault: Exception) -> PayloadError:
        return find_error.in_value(message, value) or PayloadError(f'{message.name}: {fault}')

    return define('write', text, message, {**_RUNTIME, **source.constants, 'refused': refused})


# Selections: True for all of a value, False for nothing, a dict for some fields of a message.
_Selection = bool | dict


def _selection(message: Message, fields: Iterable[str]) -> _Selection:
    tree: dict = {}
    for path in fields:
        field_at(message, path)
        *parents, last = path.split('.')
        branch: _Selection = tree
        for part in parents:
            branch = branch.setdefault(part, {})
            if branch is True:
                break
        else:
            branch[last] = True
    return tree or True


def _selected(selection: _Selection) -> int:
    """Return how many whole values a selection holds."""
    if isinstance(selection, dict):
        return sum(_selected(branch) for branch in selection.values())
    return 1


def _compile_reader(message: Message, selection: _Selection, typed: bool) -> Reader:
    def refused(payload: bytes, fault: Exception) -> PayloadError:
        return find_error.in_cdr(message, payload) or PayloadError(f'{message.name}: {fault}')

    def compile_for(order: str, other: Reader) -> Reader:
        source = _ReaderSource(order, selection, typed)
        value = source.message(message, selection)
        source.flush()
        source.emit(f'if {source.base} > end: raise ValueError("ends too early")')
        source.emit('return' if selection is False else f'return {source.literal(value)}')
        body = source.text()
        text = (
            'def read(buf):\n'
            ' if buf.__class__ is not bytes:\n'
            '  buf = as_bytes(buf)\n'
            ' try:\n'
            f'  if buf[:2] != {HEADERS[order]!r}:\n'
            '   return other(buf)\n'
            '  end = len(buf)\n'
            f'{body}'
            ' except READ_FAULTS as fault:\n'
            '  raise refused(buf, fault) from fault\n'
        )
        names = {**_RUNTIME, **source.constants, 'refused': refused, 'other': other}
        return define('read', text, message, names)

    def no_cdr(payload: bytes) -> dict:
        raise ValueError('no CDR header')

    big: list[Reader] = []

    def read_big(payload: bytes) -> dict:
        if not big:  # hardly ever met, so compiled only then
            big.append(compile_for(BIG, no_cdr))
        return big[0](payload)

    return compile_for(LITTLE, read_big)


# What a value is in the generated source: a variable, or the fields of a message.
_Value = str | dict


class _ReaderSource(Source):
    """The source of a function that reads, or only checks, CDR."""

    def __init__(self, order: str, selection: _Selection, typed: bool) -> None:
        super().__init__(order, 4)
        self._typed = typed
        self._checking = selection is False
        self._wanted = _selected(selection)
        self._aliases: dict[str, str] = {}

    def literal(self, value: _Value) -> str:
        if isinstance(value, str):
            return self._aliases.get(value, value)
        return '{' + ', '.join(f'{name!r}: {self.literal(v)}' for name, v in value.items()) + '}'

    def emit_alignment(self, size: int) -> None:
        self.emit(f'o = {rounded(self.base, size)}')
        self.base = 'o'

    def flush(self) -> None:
        wanted = [part for part in self._pending if part.name]
        if wanted:
            unpack = self.constant(self._struct().unpack_from, 'unpack')
            call = f'{unpack}(buf, {self.base})'
            if all(part.items is None for part in wanted):
                self.emit(f'{"".join(f"{part.name}, " for part in wanted)}= {call}')
            else:
                # With arrays in between, slices are faster than unpacking into variables.
                run, at = self.fresh('t'), 0
                self.emit(f'{run} = {call}')
                for part in wanted:
                    if part.items is None:
                        self._aliases[part.name] = f'{run}[{at}]'
                    else:
                        self._aliases[part.name] = f'list({run}[{at}:{at + part.items}])'
                    at += part.items or 1
        self._settle()

    def message(self, type_: Message, selection: _Selection) -> dict:
        value = {}
        if not type_.fields:
            self.pend('x', None, 1)
        for field in type_.fields:
            name = identifier(type_, field.name)
            chosen = selection if isinstance(selection, bool) else selection.get(name, False)
            item = self._any(field.type, chosen)
            if chosen is not False:
                value[name] = item
            if chosen is True and isinstance(selection, dict):
                self._wanted -= 1
            if not self._wanted:
                break  # nothing behind is asked for
        return value

    def _any(self, type_: FieldType, selection: _Selection) -> _Value:
        if isinstance(type_, Message):
            return self.message(type_, selection)
        if isinstance(type_, Primitive):
            return self._number(type_, bool(selection))
        if isinstance(type_, String):
            return self._string(type_, bool(selection))
        if isinstance(type_.item, Primitive):
            if isinstance(type_, Array):
                return self._number_array(type_.item, type_.size, bool(selection))
            return self._number_sequence(type_, bool(selection))
        return self._items(type_, bool(selection))

    def _number(self, type_: Primitive, keep: bool) -> str:
        code, size = PRIMITIVES[type_.name]
        name = self.fresh()
        self.align(size)
        self.pend(code if keep else f'{size}x', name if keep else None, size)
        return name

    def _number_array(self, item: Primitive, count: int, keep: bool) -> str:
        code, size = PRIMITIVES[item.name]
        name = self.fresh()
        self.align(size)
        if not keep:
            self.pend(f'{count * size}x', None, count * size)
        elif is_bytes(Array(item, count)):
            self.pend(f'{count}s', name, count)
        elif self._typed and item.name != 'boolean':
            self.flush()
            self.emit(f'e = {self.base} + {count * size}')
            self.emit('if e > end: raise ValueError("ends too early")')
            self.emit(f'{name} = {self._array(code, self.base)}')
            self.place = self.place.moved(count * size)
            self.moved_by(count * size)
        else:
            self.pend(f'{count}{code}', name, count * size, count)
        return name

    def _array(self, code: str, start: int | str) -> str:
        function = 'array' if self._order == NATIVE else 'swapped'
        return f'{function}({code!r}, buf[{start}:e])'

    def _count(self, bound: int | None) -> str:
        """Read the length of a string or a sequence, and be right behind it."""
        name = self.fresh('n')
        self.align(4)
        self.pend('I', name, 4)
        self.flush()
        if name in self._aliases:
            self.emit(f'{name} = {self._aliases.pop(name)}')
        if bound is not None:
            self.emit(f'if {name} > {bound}: raise ValueError("over its bound")')
        return name

    def _string(self, type_: String, keep: bool) -> str:
        count = self._count(type_.bound if type_.wide else None)
        name = self.fresh()
        self.emit(f'e = {self.base} + {f"4 * {count}" if type_.wide else count}')
        if keep or self._checking:
            if type_.wide:
                self.emit(f'{name} = wide_text(buf[{self.base}:e], {self._order!r})')
            else:
                self.emit(f"{name} = buf[{self.base}:e].decode().partition('\\0')[0]")
                if type_.bound is not None:
                    self.emit(f'if len({name}) > {type_.bound}: raise ValueError("too long")')
        self.emit('o = e')
        self.base, self.place = 'o', self._layout.behind(type_, self.place)
        return name

    def _number_sequence(self, type_: Sequence, keep: bool) -> str:
        code, size = PRIMITIVES[type_.item.name]
        count = self._count(type_.bound)
        name = self.fresh()
        behind = self._layout.behind_items(type_, self.place)
        # Slices are cut short where the payload ends; that `o` is then beyond the end is noticed
        # by whatever reads next, or at the very end.
        if is_bytes(type_):
            values = 'buf[{start}:e]'
        elif type_.item.name == 'boolean':
            values = 'list(map(bool, buf[{start}:e]))'
        else:
            values = self._array(code, '{start}') + ('' if self._typed else '.tolist()')
        empty = f'array({code!r})' if self._typed else '[]'
        if self.place.padding(size) == 0:
            self.emit(f'e = {self.base} + {count if size == 1 else f"{size} * {count}"}')
            if keep:
                self.emit(f'{name} = {values.format(start=self.base)}')
            self.emit('o = e')
        else:
            # No padding before the items of an empty sequence.
            start = rounded(self.base, size, self.place.padding(size))
            self.emit(f'if {count}:')
            self.emit(f' o = {start}')
            self.emit(f' e = o + {size} * {count}')
            if keep:
                self.emit(f' {name} = {values.format(start="o")}')
            self.emit(' o = e')
            self.emit('else:')
            self.emit(f' o = {self.base}')
            if keep:
                self.emit(f' {name} = {empty}')
        self.base, self.place = 'o', behind
        return name

    def _items(self, type_: Array | Sequence, keep: bool) -> str:
        """Read an array or sequence of strings or messages."""
        item = type_.item
        if isinstance(type_, Array):
            count: int | str = type_.size
            self.flush()
        else:
            count = self._count(type_.bound)
        behind = self._layout.behind_items(type_, self.place)
        # Every item takes some bytes, so that a forged length ends here and not in a long loop.
        self.emit(f'if {least(item)} * {count} > end - {self.base}: raise ValueError("too short")')
        name = self.fresh()
        packed = None if self._typed and _has_arrays(item) else stride(item)
        self.hold_position()
        if packed is not None:
            self._packed_items(item, packed, count, name, keep)
        else:
            self._looped_items(item, count, name, keep)
        self.base, self.place = 'o', behind
        return name

    def _packed_items(
        self, item: Message, packed: tuple[int, int], count: int | str, name: str, keep: bool
    ) -> None:
        size, alignment = packed
        if self.place.padding(alignment) != 0:
            start = rounded('o', alignment, self.place.padding(alignment))
            self.emit(f'if {count}: o = {start}')
        self.emit(f'e = o + {size} * {count}')
        if keep:
            self.place = START
            value = self.message(item, True)
            names = ''.join(f'{part.name}, ' for part in self._pending if part.name)
            unpack = self.constant(self._struct().iter_unpack, 'unpack')
            self._pending, self._ahead = [], 0
            self.emit(f'{name} = [{self.literal(value)} for {names}in {unpack}(buf[o:e])]')
        self.emit('o = e')

    def _looped_items(
        self, item: String | Message, count: int | str, name: str, keep: bool
    ) -> None:
        if keep:
            self.emit(f'{name} = []')
        self.place = self._layout.before_each(item, self.place)
        self.enter(f'for _ in range({count}):')
        value = self._any(item, keep)
        self.flush()
        if keep:
            self.emit(f'{name}.append({self.literal(value)})')
        self.leave()


def _has_arrays(type_: FieldType) -> bool:
    if isinstance(type_, Message):
        return any(_has_arrays(field.type) for field in type_.fields)
    return isinstance(type_, (Array, Sequence))


class _WriterSource(Source):
    """The source of a function that checks a plain value and writes CDR."""

    def __init__(self) -> None:
        super().__init__(LITTLE, 0)
        self._pending = [Pending('4s', 'HEADER')]
        self._ahead = 4

    def emit_alignment(self, size: int) -> None:
        # `o` counts the header's 4 bytes, which only matter to 8.
        self.emit(f'p = {"4 - o" if size == 8 else "-o"} & {size - 1}')
        self.emit('if p: add(ZEROS[p]); o += p')

    def flush(self) -> None:
        if self._pending:
            values = ', '.join(
                part.name if part.items is None else f'*{part.name}'
                for part in self._pending
                if part.name
            )
            pack = self.constant(self._struct().pack, 'pack')
            self.emit(f'add({pack}({values}))')
        self._settle()

    def message(self, type_: Message, name: str) -> None:
        self.emit(f'if {name}.__class__ is not dict: raise TypeError')
        count = len(type_.fields)
        if count:
            defaults = self.constant(
                {
                    field.name: {} if isinstance(field.type, Message) else default_of_field(field)
                    for field in type_.fields
                },
                'defaults',
            )
            self.emit(f'if len({name}) != {count}: {name} = {defaults} | {name}')
        # With the right number of fields, an unknown one means that a known one is missing.
        self.emit(f'if len({name}) != {count}: raise KeyError')
        if not count:
            self.pend('x', None, 1)
        for field in type_.fields:
            variable = self.fresh()
            self.emit(f'{variable} = {name}[{identifier(type_, field.name)!r}]')
            self._any(field.type, variable)

    def _any(self, type_: FieldType, name: str) -> None:
        if isinstance(type_, Message):
            self.message(type_, name)
        elif isinstance(type_, Primitive):
            self._number(type_, name)
        elif isinstance(type_, String):
            self._string(type_, name)
        elif isinstance(type_.item, Primitive):
            if isinstance(type_, Array):
                self._number_array(type_.item, type_.size, name)
            else:
                self._number_sequence(type_, name)
        else:
            self._items(type_, name)

    def _number(self, type_: Primitive, name: str) -> None:
        code, size = PRIMITIVES[type_.name]
        if type_.name == 'boolean':
            self.emit(f'if {name} is not True and {name} is not False: raise TypeError')
        elif type_.name in ('float', 'double'):
            self.emit(f'if type({name}) is not float and type({name}) is not int: raise TypeError')
        else:
            self.emit(f'if type({name}) is not int: raise TypeError')
        self.align(size)
        self.pend(code, name, size)

    def _number_array(self, item: Primitive, count: int, name: str) -> None:
        code, size = PRIMITIVES[item.name]
        self.align(size)
        if is_bytes(Array(item, count)):
            self.emit(f'{name} = bytes_of({name})')
            self.emit(f'if len({name}) != {count}: raise ValueError')
            self.pend(f'{count}s', name, count)
        else:
            self.emit(f'{name} = items_of({name}, {_kinds(item)})')
            self.emit(f'if len({name}) != {count}: raise ValueError')
            self.pend(f'{count}{code}', name, count * size, count)

    def _count(self, name: str, bound: int | None) -> None:
        if bound is not None:
            self.emit(f'if {name} > {bound}: raise ValueError')
        self.align(4)
        self.pend('I', name, 4)
        self.flush()

    def _string(self, type_: String, name: str) -> None:
        count = self.fresh('n')
        self.emit(f'if type({name}) is not str: raise TypeError')
        if type_.wide:
            self.emit(f'{name} = wide_units({name})')
            self.emit(f'{count} = len({name}) // 4')
            self._count(count, type_.bound)
        else:
            self.emit(f"if '\\0' in {name}: raise ValueError")
            if type_.bound is not None:
                self.emit(f'if len({name}) > {type_.bound}: raise ValueError')
            self.emit(f"{name} = {name}.encode() + b'\\0'")
            self.emit(f'{count} = len({name})')
            self._count(count, None)
        self.emit(f'add({name})')
        self.moved_by(f'len({name})')
        self.place = self._layout.behind(type_, self.place)

    def _number_sequence(self, type_: Sequence, name: str) -> None:
        code, size = PRIMITIVES[type_.item.name]
        count = self.fresh('n')
        if is_bytes(type_):
            self.emit(f'{name} = bytes_of({name})')
        else:
            self.emit(f'{name} = packed({name}, {code!r}, {_kinds(type_.item)})')
        self.emit(f'{count} = len({name})' + (f' // {size}' if size > 1 else ''))
        self._count(count, type_.bound)
        behind = self._layout.behind_items(type_, self.place)
        self.hold_position()
        if self.place.padding(size) != 0:
            self.enter(f'if {count}:')
            self.emit_alignment(size)
            self.leave()
        self.emit(f'add({name})')
        self.moved_by(f'len({name})')
        self.place = behind

    def _items(self, type_: Array | Sequence, name: str) -> None:
        item = type_.item
        kind = f'{name}.__class__'
        self.emit(f'if {kind} is not list and {kind} is not tuple: raise TypeError')
        count = self.fresh('n')
        self.emit(f'{count} = len({name})')
        if isinstance(type_, Array):
            self.emit(f'if {count} != {type_.size}: raise ValueError')
            self.flush()
        else:
            self._count(count, type_.bound)
        behind = self._layout.behind_items(type_, self.place)
        self.hold_position()
        self.place = self._layout.before_each(item, self.place)
        each = self.fresh()
        self.enter(f'for {each} in {name}:')
        self._any(item, each)
        self.flush()
        self.leave()
        self.base, self.place = 'o', behind


def _kinds(item: Primitive) -> str:
    return {'boolean': 'BOOLS', 'float': 'NUMBERS', 'double': 'NUMBERS'}.get(item.name, 'INTEGERS')


# What the generated code calls


def _swapped(code: str, data: bytes) -> array:
    """Return an array of numbers whose byte order is not the machine's."""
    numbers = array(code, data)
    numbers.byteswap()
    return numbers


def _items_of(value: Any, kinds: frozenset[type]) -> Any:
    """Return the items of a list or an array, once their kinds are checked."""
    if value.__class__ is array and kinds is not _BOOLS:
        value = value.tolist()
    elif value.__class__ is not list and value.__class__ is not tuple:
        raise TypeError('no list')
    if not kinds.issuperset(map(type, value)):
        raise TypeError('an item is of another kind')
    return value


def _packed(value: Any, code: str, kinds: frozenset[type]) -> bytes:
    """Return the bytes of a numeric sequence, little-endian."""
    if value.__class__ is array and value.typecode == code and NATIVE == LITTLE:
        return value.tobytes()
    value = _items_of(value, kinds)
    return struct.pack(f'<{len(value)}{code}', *value)


def _bytes_of(value: Any) -> bytes:
    """Return the bytes of an array of bytes, which may also come as a list of integers."""
    if value.__class__ is bytes:
        return value
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    return bytes(_items_of(value, _INTEGERS))


_BOOLS = frozenset({bool})
_INTEGERS = frozenset({int})
_NUMBERS = frozenset({float, int})
_RUNTIME = {
    'array': array,
    'swapped': _swapped,
    'as_bytes': as_bytes,
    'wide_text': find_error.wide_text,
    'wide_units': find_error.wide_units,
    'items_of': _items_of,
    'packed': _packed,
    'bytes_of': _bytes_of,
    'BOOLS': _BOOLS,
    'INTEGERS': _INTEGERS,
    'NUMBERS': _NUMBERS,
    'HEADER': _HEADER,
    'ZEROS': [bytes(count) for count in range(8)],
    'READ_FAULTS': READ_FAULTS,
    'WRITE_FAULTS': _WRITE_FAULTS,
}
