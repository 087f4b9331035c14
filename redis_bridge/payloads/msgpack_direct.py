# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Compiles, per message type, a function from CDR to msgpack that makes no values between.

Numbers are the same bytes in both formats, in another order and with names and marks between them.
So a run of numbers is moved at once, with the fastest thing Python has to rearrange bytes:
`order.translate(table)` gives, for each byte of `order`, the byte of `table` at that position. The
table is a piece of the input, filled up with the constants that the output needs.

For this, numbers keep their width in msgpack: an int32 takes five bytes, whatever its value, and
a float32 is a float 32. Sequences of integers, where that would cost most, are as short as can be.
The function keeps nothing, so all routes of a type share it.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import msgpack

from redis_bridge.messages.codegen import COMPILED, ReadSource, identifier
from redis_bridge.messages.pieces import NUMBERS, pieces
from redis_bridge.messages.types import Array, Message, Primitive, Sequence, String
from redis_bridge.messages.wide_strings import wide_text

# (CDR, further entries of the map, already packed) to msgpack
ToMsgpack = Callable[[bytes, bytes], bytes]

_TABLE = 256  # bytes that `translate` looks up in
_GATHERED = 1024  # bytes of a fixed array beyond which it is handled as sequences are
_STRIDED = 256  # bytes of a sequence from which on it is cheaper to move each nth byte at once
_SHORT = 64  # bytes of a string below which it is looked up: frames and joints are always the same
_CACHED = 2048  # short strings
_MARKS = {
    'octet': b'\xcc', 'uint8': b'\xcc', 'uint16': b'\xcd', 'uint32': b'\xce', 'uint64': b'\xcf',
    'int8': b'\xd0', 'int16': b'\xd1', 'int32': b'\xd2', 'int64': b'\xd3',
    'float': b'\xca', 'double': b'\xcb',
}  # fmt: skip

# Ext codes of typed arrays, which are RFC 8746's tags: array.array's type code and byte order. We
# write little-endian.
TAGS = {
    64: ('B', 'little'), 65: ('H', 'big'), 66: ('I', 'big'), 67: ('Q', 'big'),
    69: ('H', 'little'), 70: ('I', 'little'), 71: ('Q', 'little'),
    72: ('b', 'little'), 73: ('h', 'big'), 74: ('i', 'big'), 75: ('q', 'big'),
    77: ('h', 'little'), 78: ('i', 'little'), 79: ('q', 'little'),
    81: ('f', 'big'), 82: ('d', 'big'), 85: ('f', 'little'), 86: ('d', 'little'),
}  # fmt: skip
EXT_CODES = {code: tag for tag, (code, order) in TAGS.items() if order == 'little'}


@lru_cache(COMPILED)
def to_msgpack(message: Message, typed: bool = False) -> ToMsgpack:
    """Return a function from CDR to a msgpack map; it raises PayloadError for broken CDR.

    :param typed: numeric arrays are ext values.
    """
    source = _Source(typed)
    count = len(message.fields)
    heads = source.constant((map_head(count), map_head(count + 1)), 'heads')
    source.emit(f'parts = [{heads}[extra != b""]]', 'add = parts.append')
    source.fields(message)
    source.flush()
    source.emit('add(extra)')
    return source.define('pack', 'buf, extra', "b''.join(parts)", message, _NAMES)


class _Source(ReadSource[None, None]):
    """The source of a function from CDR to msgpack; the position is that in CDR.

    `_tokens` are the bytes of the output that are not yet emitted: positions in the input, counted
    from `base`, and constants, which are negative (-1 - byte).
    """

    def __init__(self, typed: bool) -> None:
        super().__init__()
        self._typed = typed
        self._tokens: list[int] = []

    def fields(self, type_: Message) -> None:
        """Emit all fields of a message, with their names."""
        for field in type_.fields:
            self._fixed(text_head(len(field.name)) + identifier(type_, field.name).encode())
            self.visit(field.type, None)
        if not type_.fields:
            self.add_pending('x', 1)

    def _fixed(self, data: bytes) -> None:
        """Note bytes of the output that every message has."""
        self._tokens += [-1 - byte for byte in data]

    def flush(self) -> None:
        while self._tokens:
            self._emit_chunk()
        self.clear_pending()

    def _emit_chunk(self) -> None:
        """Emit what moves as many of the tokens as one table has room for."""
        low = high = next((token for token in self._tokens if token >= 0), 0)  # of the input
        constants: dict[int, int] = {}  # and their order behind the input
        taken = 0
        for token in self._tokens:
            is_new = token < 0 and token not in constants
            new_low, new_high = (
                (low, high) if token < 0 else (min(low, token), max(high, token + 1))
            )
            if new_high - new_low + len(constants) + is_new > _TABLE:
                break
            low, high = new_low, new_high
            if is_new:
                constants[token] = len(constants)
            taken += 1
        tokens, self._tokens = self._tokens[:taken], self._tokens[taken:]
        order = bytes(
            token - low if token >= 0 else high - low + constants[token] for token in tokens
        )
        fill = bytes(-1 - token for token in constants).ljust(_TABLE - (high - low), b'\0')
        if low == high:
            self.emit(f'add({self.constant(order.translate(fill), "text")})')
            return
        name, filler = self.constant(order, 'order'), self.constant(fill, 'fill')
        start = f'{self.base} + {low}' if low else self.base
        self.emit(f'add({name}.translate(buf[{start}:{self.base} + {high}] + {filler}))')

    def message(self, type_: Message, at: None) -> None:
        self._fixed(map_head(len(type_.fields)))
        self.fields(type_)

    def number(self, type_: Primitive, at: None) -> None:
        size = type_.size
        self.align(size)
        if type_.name == 'boolean':
            self.flush()
            self.emit(f'add(BOOLEANS[buf[{self.base}]])')
            self.add_pending('x', 1)
            return
        self._fixed(_MARKS[type_.name])
        self._tokens += reversed(range(self._ahead, self._ahead + size))
        self.add_pending(f'{size}x', size)

    def emit_length(self, name: str) -> None:
        self.flush()
        self.emit(f'{name}, = count(buf, {self.base})')
        self.add_pending('4x', 4)
        self.flush()

    def string(self, type_: String, at: None) -> None:
        span, count = self.take_string(type_)
        if type_.wide:
            self.emit(f'add(wide_text(buf[{span}]))')
        else:
            bound = '' if type_.bound is None else f', {type_.bound}'
            self.emit(f'add((short_text if {count} < {_SHORT} else text)(buf[{span}]{bound}))')

    def numbers(self, type_: Array | Sequence, item: Primitive, at: None) -> None:
        code, size = item.code, item.size
        is_special = self._typed or type_.is_bytes or item.name == 'boolean'
        if isinstance(type_, Array) and type_.size * size <= _GATHERED and not is_special:
            self._fixed(array_head(type_.size))
            for _ in range(type_.size):
                self.number(item, None)
            return
        span, count = self.take_numbers(type_, item)
        if type_.is_bytes:
            self.emit(f'add(bytes_head({count}))', f'add(memoryview(buf)[{span}])')
        elif item.name == 'boolean':
            self.emit(f'add(booleans(buf[{span}]))')
        elif self._typed:
            self.emit(f'add(ext_head({size} * {count}, {EXT_CODES[code]}))')
            self.emit(f'add(memoryview(buf)[{span}])')
        elif item.is_float:
            self.emit(f'add({item.name}s(buf[{span}]))')
        else:
            self.emit(f'add(integers({code!r}, buf[{span}]))')

    def items(self, type_: Array | Sequence, item: String | Message, at: None) -> None:
        if isinstance(type_, Array):
            count = str(type_.size)
            self._fixed(array_head(type_.size))
            self.flush()
        else:
            count = self.count(type_.bound)
            self.emit(f'add(array_head({count}))')
        with self.each(item, count):
            self.visit(item, None)


def _head(first: int, limit: int, mark: int, size: int, count: int) -> bytes:
    """Return what begins a value of so many items or bytes in msgpack.

    Below the limit it is one byte, `first + count`. Else it is the mark and the count in `size`
    bytes, or, if that is too short, the next mark and twice as many, up to four.
    """
    if count < limit:
        return bytes((first + count,))
    while count >> 8 * size:
        mark, size = mark + 1, 2 * size
    if size > 4:
        raise ValueError(f'{count} is too much for msgpack')
    return bytes((mark,)) + count.to_bytes(size, 'big')


map_head = partial(_head, 0x80, 16, 0xDE, 2)
array_head = partial(_head, 0x90, 16, 0xDC, 2)
text_head = partial(_head, 0xA0, 32, 0xD9, 1)
_bytes_head = partial(_head, 0, 0, 0xC4, 1)
_long_ext_head = partial(_head, 0, 0, 0xC7, 1)
_FIXED_EXT = {1: 0xD4, 2: 0xD5, 4: 0xD6, 8: 0xD7, 16: 0xD8}
_TEXT_HEADS = [text_head(count) for count in range(256)]


def _ext_head(count: int, tag: int) -> bytes:
    if count in _FIXED_EXT:
        return bytes((_FIXED_EXT[count], tag))
    return _long_ext_head(count) + bytes((tag,))


# What the generated code calls


def _text(data: bytes, bound: int | None = None) -> bytes:
    """Return a string of CDR as msgpack."""
    if not data.isascii():
        data.decode()
    text = data.partition(b'\0')[0]
    count = len(text)
    if bound is not None and count > bound and len(text.decode()) > bound:
        raise ValueError('too long')
    return (_TEXT_HEADS[count] if count < 256 else text_head(count)) + text


def _wide_text(data: bytes) -> bytes:
    text = wide_text(data).encode()
    return text_head(len(text)) + text


def _floats(mark: bytes, size: int, data: bytes) -> bytes:
    """Return numbers of CDR as a list in msgpack."""
    count = len(data) // size
    if len(data) < _STRIDED:
        table = (data + mark).ljust(_TABLE)
        return array_head(count) + _order_to_list(count, size).translate(table)
    numbers = bytearray(mark * (count * (size + 1)))
    for at in range(size):
        numbers[size - at :: size + 1] = data[at::size]
    return array_head(count) + numbers


@lru_cache(maxsize=2 * _STRIDED)
def _order_to_list(count: int, size: int) -> bytes:
    ends = range(size - 1, count * size, size)
    return bytes(at for end in ends for at in (count * size, *range(end, end - size, -1)))


def _integers(code: str, data: bytes) -> bytes:
    return _list(array(code, data), array.tolist)


def _booleans(data: bytes) -> bytes:
    return _list(data, lambda piece: [byte != 0 for byte in piece])


def _list(numbers: Any, to_list: Callable[[Any], list[Any]]) -> bytes:
    if len(numbers) <= NUMBERS:
        packed: bytes = msgpack.packb(to_list(numbers))
        return packed
    parts: list[bytes | memoryview] = [array_head(len(numbers))]
    for piece in pieces(numbers):
        parts.append(memoryview(msgpack.packb(to_list(piece)))[len(array_head(len(piece))) :])
    return b''.join(parts)


_NAMES = {
    'count': struct.Struct('<I').unpack_from,
    'array_head': array_head,
    'bytes_head': _bytes_head,
    'ext_head': _ext_head,
    'text': _text,
    'short_text': lru_cache(_CACHED)(_text),
    'wide_text': _wide_text,
    'floats': partial(_floats, _MARKS['float'], 4),
    'doubles': partial(_floats, _MARKS['double'], 8),
    'integers': _integers,
    'booleans': _booleans,
    'BOOLEANS': [b'\xc2', *[b'\xc3'] * 255],
}
