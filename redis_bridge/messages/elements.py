# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Compiles, per message type, functions that split a list of messages in CDR, and that join one.

Each element becomes a message of its own. Where it begins in the list decides on its padding, so
that it is copied as `cdr_copy` explains.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from redis_bridge.messages.cdr_copy import HEADER, NAMES, UNREACHED, CopySource, Marked
from redis_bridge.messages.codegen import COMPILED
from redis_bridge.messages.types import Message, Sequence, String


class Elements(NamedTuple):
    """Both functions for a type; they raise PayloadError for broken CDR.

    Only as much is checked as they need.
    """

    split: Callable[[bytes], list[tuple[bytes, bytes]]]  # keys, and elements as CDR
    join: Callable[[Collection[bytes]], bytes]


@lru_cache(COMPILED)
def elements(message: Message, key: str) -> Elements | None:
    """Return the functions for a type; None if it is no list of messages with a string `key`.

    Such a type has nothing but one sequence.
    """
    type_ = message.fields[0].type if len(message.fields) == 1 else None
    if not isinstance(type_, Sequence) or type_.bound is not None:
        return None
    if not isinstance(type_.item, Message):
        return None
    item = _marked(type_.item, key)
    if item is None:
        return None
    list_type = replace(message, fields=(replace(message.fields[0], type=Sequence(item)),))
    split = _Split(item)
    split.emit('found = []')
    split.visit(list_type, UNREACHED)
    move = _compile_move(item)

    def join(parts: Collection[bytes]) -> bytes:
        joined = [HEADER, len(parts).to_bytes(4, 'little')]
        at = 8
        for part in parts:
            body = move(part, at - 4) if at & 7 != 4 else part[4:]
            joined.append(body)
            at += len(body)
        return b''.join(joined)

    return Elements(split.define('split', 'buf', 'found', message, NAMES), join)


def _marked(item: Message, key: str) -> Message | None:
    """Return a type with a mark on its string of a name; None if there is no such string."""
    fields = tuple(
        replace(field, type=Marked(bound=field.type.bound))
        if field.name == key and isinstance(field.type, String) and not field.type.wide
        else field
        for field in item.fields
    )
    return None if fields == item.fields else replace(item, fields=fields)


def _compile_move(item: Message) -> Callable[[bytes, int], bytes]:
    """Return a function from CDR to the bytes behind its header, for another position.

    It takes how many bytes further on they get.
    """
    source = CopySource()
    source.in_step = 1
    source.emit('parts = []', 'add = parts.append', 'c = 4')
    source.visit(item, 1)
    source.flush()
    source.emit('add(buf[c:])')
    return source.define('move', 'buf, d', "b''.join(parts)", item, NAMES)


class _Split(CopySource):
    """The source of a function that finds the elements of a list."""

    def __init__(self, item: Message) -> None:
        super().__init__()
        self._item = item

    def message(self, type_: Message, at: int) -> None:
        if type_ is not self._item:
            super().message(type_, at)
            return
        self.emit('parts = [HEADER]', 'add = parts.append', 'c = o', 'd = 4 - o')
        self.in_step = 1
        super().message(type_, at)
        self.flush()
        self.emit('add(buf[c:o])', "found.append((key, b''.join(parts)))")

    def string(self, type_: String, at: int) -> None:
        span, _ = self.take_string(type_)
        if isinstance(type_, Marked):
            self.emit(f'key = buf[{span}]')
