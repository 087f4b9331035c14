# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Checks what an inbound route allows, around the decoder and the CDR writer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from redis_bridge.errors import PayloadError
from redis_bridge.mapping.model import RedisToRos
from redis_bridge.messages import cdr, types
from redis_bridge.messages.types import Message
from redis_bridge.payloads import codecs
from redis_bridge.protocol.meta import Meta

Decode = Callable[[bytes], tuple[Any, Meta | None]]
ToCdr = Callable[[Any], bytes]


def inbound(
    route: RedisToRos, message: Message, now: Callable[[], tuple[int, int]]
) -> tuple[Decode, ToCdr]:
    """Return what decodes a payload, and what checks its value and makes CDR of it."""
    decode = codecs.decoder(message, route.encoding, field=route.field)
    write = cdr.writer(message)
    limits = [
        (path, low, high, types.default_of(types.field_at(message, path)))
        for path, (low, high) in route.limits.items()
    ]
    must_be_finite = bool(route.limits or route.stop)

    def to_cdr(value: Any) -> bytes:
        for path in route.required:
            if not _has(value, path):
                raise PayloadError(f'{path} is required and was left out', 'missing_field')
        for path, low, high, default in limits:
            for number in _numbers_at(value, path.split('.'), default):
                if not low <= number <= high:
                    raise PayloadError(
                        f'{path} is {number}, allowed is {low} to {high}', 'out_of_limits'
                    )
        if must_be_finite and not _is_finite(value):
            raise PayloadError('a number is NaN or infinite', 'not_finite')
        for path, setting in route.set.items():
            if setting == 'now':
                sec, nanosec = now()
                setting = {'sec': sec, 'nanosec': nanosec}
            set_at(value, path, setting)
        return write(value)

    return decode, to_cdr


def _has(value: Any, path: str) -> bool:
    for part in path.split('.'):
        if not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return True


def set_at(value: dict[str, Any], path: str, setting: Any) -> None:
    """Set the field at a dotted path, making the maps on the way; PayloadError if one is none."""
    *parents, last = path.split('.')
    for part in parents:
        value = value.setdefault(part, {})
        if not isinstance(value, dict):
            raise PayloadError(f'{path}: expected a map at {part}, got {value!r}')
    value[last] = setting


def _numbers_at(value: Any, path: list[str], default: Any) -> Iterable[float]:
    """Yield the numbers at a path, of every item where it leads through arrays."""
    if isinstance(value, (list, tuple)) or hasattr(value, 'typecode'):
        for item in value:
            yield from _numbers_at(item, path, default)
    elif path:
        if isinstance(value, dict):
            yield from _numbers_at(value.get(path[0], default), path[1:], default)
        elif value is default:
            yield from _numbers_at(default, [], default)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, (list, tuple)) or hasattr(value, 'typecode'):
        return all(map(_is_finite, value))
    return True


def check_paths(route: RedisToRos, message: Message) -> None:
    """Raise if a route names fields that its type does not have, or values that do not fit."""
    for path in (*route.limits, *route.required, *([route.field] if route.field else [])):
        types.field_at(message, path)
    trial: dict[str, Any] = {}
    for path, value in route.set.items():
        types.field_at(message, path)
        set_at(trial, path, {'sec': 0, 'nanosec': 0} if value == 'now' else value)
    write = cdr.writer(message)
    for name, value in (
        ('set', trial),
        ('stop.message', route.stop.message if route.stop else {}),
    ):
        try:
            write(value)
        except PayloadError as error:
            raise PayloadError(f'{name}: {error}') from None
