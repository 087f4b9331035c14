# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Reads what robots' bridges report in their heartbeats."""

from __future__ import annotations

from redis_bridge.client.calls import Calls
from redis_bridge.client.stored import pairs
from redis_bridge.protocol import keys, robot_status
from redis_bridge.protocol.robot_status import Robot


def names_of_robots(calls: Calls) -> list[str]:
    """Return the names of all robots with a heartbeat in Redis, found by SCAN."""
    found: set[bytes] = set()
    cursor = b'0'
    pattern = keys.robot_key('*')
    while True:
        cursor, batch = calls.call('SCAN', cursor, 'MATCH', pattern, 'COUNT', 1000)
        found.update(batch)
        if cursor == b'0':
            return [key.decode()[len(pattern) - 1 :] for key in sorted(found)]


def read_robot(calls: Calls, name: str) -> Robot | None:
    """Return a robot; None if no heartbeat of it is in Redis."""
    reply = calls.call('HGETALL', keys.robot_key(name))
    return robot_status.read(name, pairs(reply), calls.now()) if reply else None
