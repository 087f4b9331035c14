# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Generates the source of functions that copy CDR while the lengths of strings in it change.

Padding depends on the position. Where a value moves by anything but a multiple of eight bytes, the
padding behind it is made anew. All bytes between are copied in slices. Once the copy is in step
again and nothing else changes, the rest is one slice, however long it is.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from redis_bridge.messages.codegen import ReadSource, rounded
from redis_bridge.messages.position import Alignment
from redis_bridge.messages.types import (
    Array,
    Field,
    FieldType,
    Message,
    Primitive,
    Sequence,
    String,
)
from redis_bridge.messages.walk import Walk

HEADER = b'\0\1\0\0'
# What generated code calls.
NAMES: dict[str, Any] = {
    'count': struct.Struct('<I').unpack_from,
    'ZEROS': [bytes(size) for size in range(8)],
    'HEADER': HEADER,
}

UNREACHED = 16  # more than any copy can be in step


@dataclass(frozen=True)
class Marked(String):
    """A string that a function does more with than to copy it."""


def mark(message: Message, is_marked: Callable[[str], bool]) -> Message:
    """Return a type with the strings marked that are in fields of some names, at any depth."""

    def marked(field: Field) -> Field:
        type_ = field.type
        if isinstance(type_, String) and not type_.wide and is_marked(field.name):
            return replace(field, type=Marked(bound=type_.bound))
        if isinstance(type_, Message):
            return replace(field, type=mark(type_, is_marked))
        if isinstance(type_, (Array, Sequence)) and isinstance(type_.item, Message):
            return replace(field, type=replace(type_, item=mark(type_.item, is_marked)))
        return field

    return replace(message, fields=tuple(map(marked, message.fields)))


class CopySource(ReadSource[int, None]):
    """The source of a function that copies CDR from `buf` with `add`.

    In the function, `c` is up to where `buf` is copied so far, and what is at the position `o`
    has its copy at `o + d`. `in_step` is a number of which `d` is known to be a multiple.

    A visit is given the greatest alignment of all that follows the value, UNREACHED if something
    there is marked. What need not be looked at any more is not visited.
    """

    def __init__(self) -> None:
        super().__init__()
        self.in_step = 8

    def visit(self, type_: FieldType, at: int) -> None:
        if max(_NEED.visit(type_, None), at) > self.in_step:
            super().visit(type_, at)

    def flush(self) -> None:
        self.clear_pending()

    def align(self, size: int) -> None:
        if self.in_step >= size:
            super().align(size)
            return
        self.flush()
        self.hold_position()
        self.emit(
            f'if d & {size - 1}:',
            ' add(buf[c:o])',
            f' p = {4 if size == 8 else 0} - o - d & {size - 1}',
            ' add(ZEROS[p])',
            f' c = {rounded("o", size)}',
            ' d += o + p - c',
        )
        self.emit_alignment(size)
        self.place, self.in_step = Alignment(size, 0), size

    def emit_length(self, name: str) -> None:
        self.flush()
        self.emit(f'{name}, = count(buf, {self.base})')
        self._pass_bytes(4)
        self.flush()

    def _pass_bytes(self, size: int) -> None:
        self.add_pending(f'{size}x', size)

    def message(self, type_: Message, at: int) -> None:
        if not type_.fields:
            self._pass_bytes(1)
        needs = [_NEED.visit(field.type, None) for field in type_.fields]
        behind = [*accumulate(reversed(needs), max, initial=at)][-2::-1]
        for field, need in zip(type_.fields, behind):
            self.visit(field.type, need)

    def number(self, type_: Primitive, at: int) -> None:
        self.align(type_.size)
        self._pass_bytes(type_.size)

    def string(self, type_: String, at: int) -> None:
        self.take_string(type_)

    def numbers(self, type_: Array | Sequence, item: Primitive, at: int) -> None:
        self._pass_block(type_, item.size, item.size)

    def items(self, type_: Array | Sequence, item: String | Message, at: int) -> None:
        block = _block(item)
        if block is not None:
            self._pass_block(type_, *block)
            return
        if isinstance(type_, Array):
            count = str(type_.size)
            self.flush()
        else:
            count = self.count(type_.bound)
        if has_marks(item):
            self.in_step = 1
        in_step = self.in_step
        with self.each(item, count):
            self.visit(item, UNREACHED)
        self.in_step = in_step

    def _pass_block(self, type_: Array | Sequence, alignment: int, size: int) -> None:
        """Move over items that follow one another without padding."""
        if isinstance(type_, Array):
            self.align(alignment)
            self._pass_bytes(type_.size * size)
            return
        count = self.count(type_.bound)
        if self.in_step < alignment or self.place.padding(alignment) != 0:
            in_step = self.in_step  # as it stays if there are no items
            self.hold_position()
            with self.block(f'if {count}:'):
                self.align(alignment)
                self.flush()
            self.in_step = in_step
        self.take(f'{size} * {count}')


class _Need(Walk[None, int]):
    """The greatest alignment in a type, UNREACHED if something in it is marked."""

    def number(self, type_: Primitive, at: None) -> int:
        return type_.size

    def string(self, type_: String, at: None) -> int:
        return UNREACHED if isinstance(type_, Marked) else 4

    def message(self, type_: Message, at: None) -> int:
        return max((self.visit(field.type, None) for field in type_.fields), default=1)

    def numbers(self, type_: Array | Sequence, item: Primitive, at: None) -> int:
        return item.size if isinstance(type_, Array) else max(4, item.size)

    def items(self, type_: Array | Sequence, item: String | Message, at: None) -> int:
        need = self.visit(item, None)
        return need if isinstance(type_, Array) else max(4, need)


class _End(Walk[int, int]):
    """The position behind a value that begins at a position, as far as that is fixed.

    Raises ValueError where it is not.
    """

    def number(self, type_: Primitive, at: int) -> int:
        return at + -at % type_.size + type_.size

    def string(self, type_: String, at: int) -> int:
        raise ValueError('its length may vary')

    def message(self, type_: Message, at: int) -> int:
        for field in type_.fields:
            at = self.visit(field.type, at)
        return at if type_.fields else at + 1

    def numbers(self, type_: Array | Sequence, item: Primitive, at: int) -> int:
        if isinstance(type_, Sequence):
            raise ValueError('its length may vary')
        return at + -at % item.size + type_.size * item.size

    def items(self, type_: Array | Sequence, item: String | Message, at: int) -> int:
        raise ValueError('it is not looked at here')


_NEED, _END = _Need(), _End()


def has_marks(type_: FieldType) -> bool:
    """Return whether something in a type is marked."""
    return _NEED.visit(type_, None) == UNREACHED


def _block(item: String | Message) -> tuple[int, int] | None:
    """Return alignment and size of items that are all laid out alike; None of others."""
    need = _NEED.visit(item, None)
    try:
        size = _END.visit(item, 0)
    except ValueError:
        return None
    # Else the place of an item would decide on the padding within it, or before the next one.
    return None if size % need or _alignment(item) != need else (need, size)


def _alignment(type_: FieldType) -> int:
    """Return that of the first number in a value of fixed size."""
    if isinstance(type_, Array):
        return _alignment(type_.item)
    if isinstance(type_, Message) and type_.fields:
        return _alignment(type_.fields[0].type)
    return _NEED.visit(type_, None)
