# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Reads what robots' bridges report in their heartbeats."""

from __future__ import annotations

from collections.abc import Callable

import redis

from redis_bridge.client.calls import Calls
from redis_bridge.client.follow import Notice
from redis_bridge.errors import RedisError
from redis_bridge.protocol import keys, robot_status
from redis_bridge.protocol.robot_status import Robot
from redis_bridge.redis_io.resp import code_of, pairs


def read_robots(calls: Calls, notify: Callable[[Notice], None]) -> list[Robot]:
    """Return all robots with a heartbeat in Redis, by name; they are found by SCAN.

    A name that cannot be read is reported, and hides no other. If none can be read, the error is
    raised.
    """
    found = _robot_keys(calls)
    robots = []
    problem: RedisError | None = None
    for key, reply in zip(found, calls.replies([('HGETALL', key) for key in found])):
        name = key.decode(errors='backslashreplace').removeprefix(keys.robot_key(''))
        if isinstance(reply, redis.ResponseError):
            if code_of(reply) != 'WRONGTYPE':
                problem = calls.error(reply)
            notify(Notice('unreadable', name, _why(calls, reply)))
        elif reply:  # else it has expired meanwhile
            robots.append(robot_status.read(name, pairs(reply), calls.now()))
    if problem is not None and not robots:
        raise problem
    return robots


def read_robot(calls: Calls, name: str) -> Robot | None:
    """Return a robot; None if no heartbeat of it is in Redis."""
    (reply,) = calls.replies([('HGETALL', keys.robot_key(name))])
    if isinstance(reply, redis.ResponseError):
        raise RedisError(f'{name}: {_why(calls, reply)}')
    return robot_status.read(name, pairs(reply), calls.now()) if reply else None


def _robot_keys(calls: Calls) -> list[bytes]:
    found: set[bytes] = set()
    cursor = b'0'
    while True:
        cursor, batch = calls.call('SCAN', cursor, 'MATCH', keys.robot_key('*'), 'COUNT', 1000)
        found.update(batch)
        if cursor == b'0':
            return sorted(found)


def _why(calls: Calls, error: redis.ResponseError) -> str:
    """Return why a robot's name cannot be read."""
    if code_of(error) == 'WRONGTYPE':
        return 'this is no robot: the stored value is no hash'
    return f'cannot be read: {calls.error(error)}'
