# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Handles long lists in pieces, so that other threads have their turn in between.

Code in C holds the interpreter's lock (GIL) from its beginning to its end. For a list of millions
of numbers that is long enough to delay a stop message.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from redis_bridge.messages.types import Array, FieldType, Message, Primitive, String

PIECE = 5000  # values; as JSON they take about 5 ms
NUMBERS = 50_000  # in a piece of what takes nanoseconds per number

T = TypeVar('T')
# Adds the long lists of a plain value, each with the number of its items that make a piece, and
# returns how many values there are in all.
LongLists = list[tuple[list[Any], int]]
FindLong = Callable[[Any, LongLists], int]


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
    long_lists: LongLists = []
    if find is not None:
        find(value, long_lists)
    if not long_lists:
        return encode(value)
    for items, piece in long_lists:
        items[::piece] = map(Pause, items[::piece])
    try:
        result = encode(value)
    except ValueError:
        for items, piece in long_lists:
            items[::piece] = [pause.item for pause in items[::piece]]
        raise
    for items, piece in long_lists:
        while items:
            del items[-piece:]
    return result


def long_lists_of(type_: FieldType) -> FindLong | None:
    """Return a function that finds the long lists in a plain value; None if there can be none.

    A list is long by the values in it, those of its items' lists as well. Inner ones come first.
    """
    if isinstance(type_, (Primitive, String)) or type_.is_bytes:
        return None
    if isinstance(type_, Message):
        return _in_message(type_)
    if isinstance(type_, Array) and _most_values(type_) <= PIECE:
        return None
    in_item = long_lists_of(type_.item)
    in_each = _most_values(type_.item)

    def in_list(value: Any, found: LongLists) -> int:
        if type(value) is not list:  # a typed array, which takes little time
            return 1
        if in_item is None:
            count = int(in_each * len(value))
        else:
            count = sum([in_item(item, found) for item in value])
        if count > PIECE:
            found.append((value, max(1, PIECE * len(value) // count)))
        return count

    return in_list


def _in_message(type_: Message) -> FindLong | None:
    steps = [(field.name, find) for field in type_.fields if (find := long_lists_of(field.type))]
    found_in = {name for name, _ in steps}
    others = int(sum(_most_values(f.type) for f in type_.fields if f.name not in found_in))

    def in_message(value: Any, found: LongLists) -> int:
        count = others
        for name, find in steps:
            if name in value:
                count += find(value[name], found)
        return count

    return in_message if steps else None


def _most_values(type_: FieldType) -> float:
    """Return how many values there can be in one of a type; without a bound it is infinity."""
    if isinstance(type_, (Primitive, String)) or type_.is_bytes:
        return 1
    if isinstance(type_, Message):
        return sum(_most_values(field.type) for field in type_.fields)
    return type_.size * _most_values(type_.item) if isinstance(type_, Array) else math.inf


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
