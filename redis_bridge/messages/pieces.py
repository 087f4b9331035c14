# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Handles long lists in pieces, so that other threads have their turn in between.

Code in C holds the interpreter's lock (GIL) from its beginning to its end. For a list of millions
of numbers that is long enough to delay a stop message.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from redis_bridge.messages.types import Array, FieldType, Message, Primitive, String

PIECE = 1000  # items; as JSON, messages of fifty numbers take about 10 ms
NUMBERS = 50_000  # in a piece of what takes nanoseconds per number

T = TypeVar('T')
FindLong = Callable[[Any, 'list[list[Any]]'], None]


class Pause:
    """An item for which an encoder in C calls Python, where the lock can change hands."""

    __slots__ = ('item',)

    def __init__(self, item: Any) -> None:
        self.item = item


def encode_with_pauses(encode: Callable[[Any], T], value: Any, find: FindLong | None) -> T:
    """Return what `encode` makes of a value; it has to take a Pause for the item in it.

    The value's long lists are used up, because to free them takes time as well, unless `encode`
    raises a ValueError.
    """
    long_lists: list[list[Any]] = []
    if find is not None:
        find(value, long_lists)
    if not long_lists:
        return encode(value)
    for items in long_lists:
        items[::PIECE] = map(Pause, items[::PIECE])
    try:
        result = encode(value)
    except ValueError:
        for items in long_lists:
            items[::PIECE] = [pause.item for pause in items[::PIECE]]
        raise
    for items in long_lists:
        while items:
            del items[-PIECE:]
    return result


def long_lists_of(type_: FieldType) -> FindLong | None:
    """Return a function that finds the long lists in a plain value; None if there can be none.

    It adds them to a list, inner ones first.
    """
    if isinstance(type_, (Primitive, String)) or type_.is_bytes:
        return None
    if isinstance(type_, Message):
        steps = [
            (field.name, find) for field in type_.fields if (find := long_lists_of(field.type))
        ]

        def in_message(value: Any, found: list[list[Any]]) -> None:
            for name, find in steps:
                if name in value:
                    find(value[name], found)

        return in_message if steps else None
    in_item = long_lists_of(type_.item)
    if isinstance(type_, Array) and type_.size <= PIECE and in_item is None:
        return None

    def in_list(value: Any, found: list[list[Any]]) -> None:
        if type(value) is not list:
            return
        if in_item is not None:
            for item in value:
                in_item(item, found)
        if len(value) > PIECE:
            found.append(value)

    return in_list


def listed(numbers: array[Any]) -> list[Any]:
    """Return an array as a list."""
    if len(numbers) <= NUMBERS:
        return numbers.tolist()
    items: list[Any] = []
    for piece in pieces(numbers):
        items += piece.tolist()
    return items


def pieces(numbers: Any) -> Iterator[Any]:
    """Yield the slices of a list, an array or bytes."""
    for at in range(0, len(numbers), NUMBERS):
        yield numbers[at : at + NUMBERS]
