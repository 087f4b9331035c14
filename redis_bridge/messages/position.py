# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What is known of positions in CDR beforehand.

Most alignments are known; only after strings and sequences the padding has to be
computed while a function runs.
"""

from __future__ import annotations

from typing import NamedTuple

from redis_bridge.messages.types import Array, FieldType, Message, Primitive, Sequence, String
from redis_bridge.messages.walk import Walk


class Alignment(NamedTuple):
    """A position of which `position % modulus == rest` is known, counted from the header's end."""

    modulus: int
    rest: int

    def padding(self, size: int) -> int | None:
        """Return the bytes to the next multiple of `size`, None if that is not known."""
        return -self.rest % size if self.modulus >= size else None

    def aligned(self, size: int) -> Alignment:
        """Return the next multiple of `size`."""
        padding = self.padding(size)
        return Alignment(size, 0) if padding is None else self.moved(padding)

    def moved(self, count: int) -> Alignment:
        """Return the position `count` bytes further on."""
        return Alignment(self.modulus, (self.rest + count) % self.modulus)

    def meet(self, other: Alignment) -> Alignment:
        """Return what is known of a position that is either of two."""
        modulus = min(self.modulus, other.modulus)
        while (self.rest - other.rest) % modulus:
            modulus //= 2
        return Alignment(modulus, self.rest % modulus)


START = Alignment(8, 0)
_UNKNOWN = Alignment(1, 0)


class Layout(Walk[Alignment, Alignment]):
    """What is known of the position behind a value; remembered, because loops ask repeatedly."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, Alignment], Alignment] = {}

    def visit(self, type_: FieldType, at: Alignment) -> Alignment:
        """Return what is known of the position behind a value that begins at `at`."""
        key = (id(type_), at)
        if key not in self._known:
            self._known[key] = super().visit(type_, at)
        return self._known[key]

    def number(self, type_: Primitive, at: Alignment) -> Alignment:
        return at.aligned(type_.size).moved(type_.size)

    def string(self, type_: String, at: Alignment) -> Alignment:
        return Alignment(4, 0) if type_.wide else _UNKNOWN

    def message(self, type_: Message, at: Alignment) -> Alignment:
        for field in type_.fields:
            at = self.visit(field.type, at)
        return at if type_.fields else at.moved(1)

    def numbers(self, type_: Array | Sequence, item: Primitive, at: Alignment) -> Alignment:
        if isinstance(type_, Array):
            return at.aligned(item.size).moved(item.size * type_.size)
        return _behind_length(at).meet(Alignment(item.size, 0))

    def items(self, type_: Array | Sequence, item: String | Message, at: Alignment) -> Alignment:
        if isinstance(type_, Array):
            return self.visit(item, self.before_each(item, at))
        at = _behind_length(at)
        return at.meet(self.visit(item, self.before_each(item, at)))

    def before_each(self, item: String | Message, at: Alignment) -> Alignment:
        """Return what is known of the position before each of several items."""
        while (met := at.meet(self.visit(item, at))) != at:
            at = met
        return at


def _behind_length(at: Alignment) -> Alignment:
    return at.aligned(4).moved(4)
