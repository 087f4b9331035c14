# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Reads what robots' bridges report in their heartbeats, and follows who comes and goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import redis

from redis_bridge.client.calls import Calls
from redis_bridge.client.follow import CHECK_S, Notice, Queue, QueueHealth
from redis_bridge.errors import RedisError
from redis_bridge.mapping.model import SINKS
from redis_bridge.protocol import keys, robot_status
from redis_bridge.protocol.descriptions import NameInfo, marks_of
from redis_bridge.protocol.fleet import LOST, RobotEvent
from redis_bridge.protocol.robot_status import Robot
from redis_bridge.redis_io.connection import Connection
from redis_bridge.redis_io.fleet_watch import FleetWatch, read_roster
from redis_bridge.redis_io.resp import code_of, pairs

_ROLE = 'roster'
_BATTERY = 'sensor_msgs/msg/BatteryState'
_KINDS = ('key', 'hash')  # that have a value now


def read_robots(
    calls: Calls, names: Iterable[str] | None, notify: Callable[[Notice], None]
) -> list[Robot]:
    """Return the robots of these names with a heartbeat in Redis; None: all, found by SCAN.

    A name that cannot be read is reported, and hides no other. If none can be read, the error is
    raised.
    """
    found = _robot_keys(calls) if names is None else _keys_of(names)
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


def last_events(calls: Calls) -> list[RobotEvent]:
    """Return the last change of each robot, by name."""
    entries, overdue = read_roster(calls.pipe, calls.now())
    for robot, since in overdue.items():
        entries[robot] = entries[robot].then(LOST, since)
    return [entries[robot] for robot in sorted(entries)]


def described(calls: Calls, robots: Iterable[str]) -> dict[str, dict[str, NameInfo]]:
    """Return what the bridges of these robots write and read: by robot, then by Redis name."""
    asked = list(robots)
    listed = calls.pipe([('HGET', keys.described_key(robot), 'names') for robot in asked])
    names = [
        (robot, name)
        for robot, text in zip(asked, listed)
        for name in marks_of((text or b'').decode(errors='replace'))
    ]
    metas = calls.pipe([('HGETALL', keys.meta_key(name)) for _, name in names])
    found: dict[str, dict[str, NameInfo]] = {robot: {} for robot in asked}
    for (robot, name), meta in zip(names, metas):
        found[robot][name] = NameInfo.of(pairs(meta), SINKS)
    return found


def battery_names(calls: Calls, robots: Iterable[str]) -> list[tuple[str, str]]:
    """Return robots with the name of the key or hash that has the state of their battery."""
    return [
        (robot, name)
        for robot, names in described(calls, robots).items()
        for name, info in names.items()
        if _is_battery(info)
    ]


def _is_battery(info: NameInfo) -> bool:
    return any(
        written.type == _BATTERY and written.field in (None, 'percentage')
        for kind, written in info.written_as.items()
        if kind in _KINDS
    )


class RobotWatch:
    """An endless iterator of changes of the roster, made by `Client.watch_robots`."""

    def __init__(
        self,
        calls: Calls,
        on_notice: Callable[[Notice], None],
        on_close: Callable[[RobotWatch], None],
    ) -> None:
        self._notify = on_notice
        self._on_close = on_close
        self._queue = Queue[RobotEvent]()
        health = QueueHealth(self._queue)
        self._source = FleetWatch(_ROLE, calls.address, health, self._queue.put)
        timing = calls.address.timing
        deadline = time.monotonic() + timing.connect_s + timing.reply_s
        self._source.want(True)
        while not self._source.is_current():
            problem = health.failure(_ROLE)
            if problem is None and time.monotonic() >= deadline:
                problem = 'no answer'
            if problem is not None:
                self.close()
                raise calls.error(redis.ConnectionError(problem))
            time.sleep(CHECK_S)

    def __iter__(self) -> RobotWatch:
        return self

    def __next__(self) -> RobotEvent:
        event = self.wait(None)
        if event is None:
            raise StopIteration
        return event

    def __enter__(self) -> RobotWatch:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """End the watch; iterating ends too. Closing twice is harmless."""
        self._queue.close()
        self._source.close(time.monotonic() + 1.0)
        self._on_close(self)

    def wait(self, seconds: float | None) -> RobotEvent | None:
        """Return the next change; None if none comes in time, or the watch is closed."""
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            item = self._queue.get(None if end is None else max(0.0, end - time.monotonic()))
            if not isinstance(item, Notice):
                return item
            self._notify(item)


def _keys_of(names: Iterable[str]) -> list[bytes]:
    return sorted({keys.robot_key(name).encode() for name in names})


def _robot_keys(calls: Calls) -> list[bytes]:
    return calls.use(_scan)


def _scan(connection: Connection) -> list[bytes]:
    found: set[bytes] = set()
    for part in connection.parts():
        cursor = b'0'
        while True:
            scan = ('SCAN', cursor, 'MATCH', keys.robot_key('*'), 'COUNT', 1000)
            cursor, batch = part.call(*scan)
            found.update(batch)
            if cursor == b'0':
                break
    return sorted(found)


def _why(calls: Calls, error: redis.ResponseError) -> str:
    """Return why a robot's name cannot be read."""
    if code_of(error) == 'WRONGTYPE':
        return 'this is no robot: the stored value is no hash'
    return f'cannot be read: {calls.error(error)}'
