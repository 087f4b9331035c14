# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Reads what robots' bridges report in their heartbeats."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis_bridge.client.calls import Calls
from redis_bridge.protocol import names
from redis_bridge.redis_io.watching import pairs

NUMBERS = ('protocol', 'since', 'stamp', 'pid')  # fields of a robot's hash


@dataclass(frozen=True)
class Robot:
    """A robot whose heartbeat is in Redis, and what its bridge reports.

    `status` holds the other fields of the robot's hash: `host`, `pid`, `since` (seconds since
    1970), `state` (of each connection), and in `routes` what each route carries. `age` is the
    time since the last heartbeat in seconds, None if the bridge does not report it.
    """

    name: str
    boot: str | None
    protocol: int | None
    age: float | None
    status: dict[str, Any] = dataclasses.field(default_factory=dict)


def names_of_robots(calls: Calls) -> list[str]:
    """Return the names of all robots with a heartbeat in Redis, found by SCAN."""
    found: set[bytes] = set()
    cursor = b'0'
    pattern = names.robot_key('*')
    while True:
        cursor, keys = calls.call('SCAN', cursor, 'MATCH', pattern, 'COUNT', 1000)
        found.update(keys)
        if cursor == b'0':
            return [key.decode()[len(pattern) - 1 :] for key in sorted(found)]


def read_robot(calls: Calls, name: str) -> Robot | None:
    """Return a robot; None if no heartbeat of it is in Redis."""
    reply = calls.call('HGETALL', names.robot_key(name))
    return robot_of(name, pairs(reply), calls.now()) if reply else None


def robot_of(name: str, fields: Mapping[bytes, bytes], now: float) -> Robot:
    """Return the robot that a hash describes; unknown fields are passed on."""
    said = {
        key: _value(key, value.decode(errors='backslashreplace'))
        for key, value in ((key.decode(), value) for key, value in fields.items())
    }
    boot, protocol, stamp = (said.pop(key, None) for key in ('boot', 'protocol', 'stamp'))
    routes = {key: said.pop(key) for key in list(said) if key.startswith('route:')}
    said['routes'] = [routes[key] for key in sorted(routes, key=_route_order)]
    return Robot(name, boot, protocol, _age(stamp, now), said)


def _age(stamp: Any, now: float) -> float | None:
    return max(0.0, round(now - stamp, 3)) if isinstance(stamp, (int, float)) else None


def _route_order(key: str) -> tuple[int, str]:
    id_ = key.partition(':')[2]
    return (int(id_), '') if id_.isdecimal() else (sys.maxsize, id_)


def _value(key: str, text: str) -> Any:
    """Return a field of a robot's hash: a number or JSON if it is meant as such, else a string."""
    if key.partition(':')[0] in NUMBERS or text[:1] in ('{', '['):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(text)
    return text
