# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Hypothesis strategies for plain values of any message type, and an independent CDR encoder."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from redis_bridge.messages.types import (
    NANOSECONDS,
    TIMES,
    Array,
    FieldType,
    Message,
    Primitive,
    Sequence,
    String,
)

TEXT = st.text(st.characters(exclude_characters='\0', exclude_categories=['Cs']), max_size=12)
# Wide strings hold UTF-16; NUL may stand in them, since their length is written beside them.
WIDE_TEXT = st.text(st.characters(exclude_categories=['Cs']), max_size=12)


def numbers(name: str) -> st.SearchStrategy:
    """Return values of a primitive type, its extremes and the odd floats often among them."""
    if name == 'boolean':
        return st.booleans()
    if name in ('float', 'double'):
        return st.floats(width=32 if name == 'float' else 64)
    low, high = Primitive(name).integers or (0, 0)
    return st.integers(low, high) | st.sampled_from([low, high, 0, high - 1])


def plain_values(message: Message, longest: int = 3) -> st.SearchStrategy:
    """Return whole plain values of a message type."""
    return _plain_values(lambda: message, longest)  # hypothesis would print the whole type


@st.composite
def _plain_values(draw: Any, type_of: Callable[[], Message], longest: int) -> dict:
    """Draw a plain value.

    Big types have thousands of fields, more than hypothesis can draw one by one. So it draws some
    values of each kind, and the seed of a generator that spreads them over the fields.
    """
    pools: dict[Any, list] = {}
    spread = random.Random(draw(st.integers(0, 2**32)))

    def pick(type_: Primitive | String) -> Any:
        if type_ not in pools:
            values = numbers(type_.name) if isinstance(type_, Primitive) else strings(type_)
            pools[type_] = draw(st.lists(values, min_size=1, max_size=6))
        return spread.choice(pools[type_])

    def build(type_: FieldType) -> Any:
        if isinstance(type_, Message):
            value = {field.name: build(field.type) for field in type_.fields}
            if type_.name in TIMES:
                value['nanosec'] %= NANOSECONDS
            return value
        if not isinstance(type_, (Array, Sequence)):
            return pick(type_)
        count = (
            type_.size
            if isinstance(type_, Array)
            else spread.randint(0, longest if type_.bound is None else min(longest, type_.bound))
        )
        items = [build(type_.item) for _ in range(count)]
        return bytes(items) if type_.is_bytes else items

    return build(type_of())


def strings(type_: String) -> st.SearchStrategy:
    """Return strings that fit the bound."""
    text = WIDE_TEXT if type_.wide else TEXT
    if type_.bound is None:
        return text
    return text.map(lambda value: value[: type_.bound // 2 if type_.wide else type_.bound])


def same(left: Any, right: Any) -> bool:
    """Tell whether two values are equal in value and kind; NaN equals NaN, -0.0 only itself."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[name], right[name]) for name in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float):
        both_nan = left != left and right != right
        return both_nan or struct.pack('d', left) == struct.pack('d', right)
    return left == right


def encode_cdr(message: Message, value: dict, padding: bytes = b'\0') -> bytes:
    """Return CDR, one field after the other; padding may be any byte."""
    out = bytearray()

    def align(size: int) -> None:
        out.extend(padding * (-len(out) % size))

    def write(type_: FieldType, item: Any) -> None:
        if isinstance(type_, Primitive):
            code, size = type_.code, type_.size
            align(size)
            out.extend(struct.pack('<' + code, item))
        elif isinstance(type_, String):
            align(4)
            if type_.wide:
                units = struct.unpack(
                    f'<{len(item.encode("utf-16-le")) // 2}H', item.encode('utf-16-le')
                )
                out.extend(struct.pack(f'<I{len(units)}I', len(units), *units))
            else:
                data = item.encode() + b'\0'
                out.extend(struct.pack('<' + 'I', len(data)) + data)
        elif isinstance(type_, Message):
            for field in type_.fields:
                write(field.type, item[field.name])
            if not type_.fields:
                out.extend(padding)
        else:
            if isinstance(type_, Sequence):
                align(4)
                out.extend(struct.pack('<' + 'I', len(item)))
            for part in item:
                write(type_.item, part)

    write(message, value)
    return b'\0\1\0\0' + bytes(out)


# Bytes of a serialized message to be changed, behind its header: where, and into what.
CHANGES = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=4)


def changed(cdr: bytes, changes: list[tuple[int, int]]) -> bytes:
    """Return a serialized message with some of its bytes changed."""
    payload = bytearray(cdr)
    for at, byte in changes:
        payload[4 + at % (len(payload) - 4)] = byte
    return bytes(payload)
