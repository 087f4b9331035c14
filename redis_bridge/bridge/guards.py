# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What an inbound route demands of the values that it publishes."""

from __future__ import annotations

from typing import Any

from redis_bridge.errors import PayloadError
from redis_bridge.mapping.model import RedisToRos
from redis_bridge.messages import cdr_write
from redis_bridge.messages.guards import Guards
from redis_bridge.messages.paths import field_at, set_at
from redis_bridge.messages.types import Message


def guards_of(route: RedisToRos) -> Guards:
    """Return what a route demands of a value."""
    finite = bool(route.limits or route.stop)
    return Guards(route.limits, tuple(route.required), route.set, finite)


def check_paths(route: RedisToRos, message: Message) -> None:
    """Raise if a route names fields that its type does not have, or values that do not fit."""
    for path in (*route.limits, *route.required, *([route.field] if route.field else [])):
        field_at(message, path)
    trial: dict[str, Any] = {}
    for path, value in route.set.items():
        field_at(message, path)
        set_at(trial, path, {'sec': 0, 'nanosec': 0} if value == 'now' else value)
    write = cdr_write.writer(message)
    for name, value in (
        ('set', trial),
        ('stop.message', route.stop.message if route.stop else {}),
    ):
        try:
            write(value)
        except PayloadError as error:
            raise PayloadError(f'{name}: {error}') from None
