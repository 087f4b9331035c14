# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What a route demands of a plain value besides its type.

`cdr_write` compiles the guards into the writer, which only notices that one is broken; the
functions here walk again, slowly, and name the guard.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from redis_bridge.errors import InterfaceError, PayloadError
from redis_bridge.messages.paths import field_at, get_at, has_at, leaves
from redis_bridge.messages.types import Array, FieldType, Message, Primitive, Sequence


@dataclass(frozen=True)
class Guards:
    """Demands on a value, by dotted path; all hold for the value before `set` replaces parts.

    A field that is left out is checked with its default.
    """

    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # for every item
    required: tuple[str, ...] = ()
    set: Mapping[str, Any] = field(default_factory=dict)  # 'now' is the time, as a message
    finite: bool = False  # neither NaN nor infinity anywhere


def check_paths(message: Message, guards: Guards) -> None:
    """Raise InterfaceError for a path that the type does not have, and for limits of no number."""
    for path in (*guards.required, *guards.set):
        field_at(message, path)
    for path in guards.limits:
        type_ = field_at(message, path)
        item = type_.item if isinstance(type_, (Array, Sequence)) else type_
        if not _is_number(item):
            inner = leaves(type_, f'{path}.') if isinstance(type_, Message) else ()
            numbers = ', '.join(at for at, leaf in inner if _is_number(leaf))
            hint = f': use {numbers}' if numbers else ''
            raise InterfaceError(f'limits need a number; {path} is {type_}{hint}')


def broken_guard(message: Message, value: Any, guards: Guards) -> PayloadError | None:
    """Return the error of the first guard that a value breaks, or None."""
    for path in guards.required:
        if not has_at(value, path):
            return PayloadError(f'{path} is required and was left out', 'missing_field')
    for path, (low, high) in guards.limits.items():
        for number in _numbers(get_at(value, path, get_at(message.default(), path))):
            if not low <= number <= high:
                text = f'{path} is {number}, allowed is {low} to {high}'
                return PayloadError(text, 'out_of_limits')
    if guards.finite and not _is_finite(value):
        return PayloadError('a number is NaN or infinite', 'not_finite')
    return None


def check_of_replaced(message: Message, guards: Guards) -> Callable[[Any], None] | None:
    """Return a function that raises ValueError if values that `set` replaces break a guard.

    None if no guard is about them.
    """

    def is_replaced(path: str) -> bool:
        return any(f'{path}.'.startswith(f'{replaced}.') for replaced in guards.set)

    about = Guards(
        {path: limits for path, limits in guards.limits.items() if is_replaced(path)},
        tuple(filter(is_replaced, guards.required)),
    )
    if not guards.set or (about == Guards() and not guards.finite):
        return None

    def check(value: Any) -> None:
        if broken_guard(message, value, about) or (
            guards.finite and not all(_is_finite(get_at(value, path)) for path in guards.set)
        ):
            raise ValueError('a guard is broken')

    return check


def _is_number(type_: FieldType) -> bool:
    return isinstance(type_, Primitive) and type_.name != 'boolean'


def _numbers(value: Any) -> Iterator[float]:
    items = value if isinstance(value, (list, tuple, array, bytes, bytearray)) else (value,)
    for item in items:
        if isinstance(item, (int, float)) and not isinstance(item, bool):
            yield item


def _is_finite(value: Any) -> bool:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, float):
            if not math.isfinite(item):
                return False
        elif isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, (list, tuple, array)):
            waiting += item
    return True
