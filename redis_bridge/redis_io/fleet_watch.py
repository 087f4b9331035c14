# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Follows the roster: the last change of each robot, then each change as it is published.

What was published while the connection was lost is found by comparison with the hash, and so is
a robot that is gone though nobody was left to report it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import redis

from redis_bridge.protocol import fleet, keys
from redis_bridge.protocol.fleet import LOST, ONLINE, RobotEvent
from redis_bridge.redis_io.address import Address
from redis_bridge.redis_io.clock import Clock
from redis_bridge.redis_io.connection import Command, Connection
from redis_bridge.redis_io.connection_thread import ConnectionThread
from redis_bridge.redis_io.health import Health
from redis_bridge.redis_io.resp import Reply, pairs

COMPARE_S = 2.0
GONE_S = 6.0  # for which a robot may be missing, because the server has lost its data
BATCH = 1000


class FleetWatch:
    """A thread that calls `on_event` with what happens to robots, while it is wanted."""

    def __init__(
        self,
        role: str,
        address: Address,
        health: Health,
        on_event: Callable[[RobotEvent], None],
    ) -> None:
        self._role = role
        self._address = address
        self._health = health
        self._on_event = on_event
        self._is_wanted = False
        self._clock = Clock()
        self._changes = Changes()
        self._thread: ConnectionThread | None = None  # from when it is first wanted

    def want(self, is_wanted: bool) -> None:
        """See `ports.RosterWatch`."""
        if self._is_wanted == is_wanted:
            return
        self._is_wanted = is_wanted
        self._changes = Changes()
        if self._thread is None:
            self._thread = thread = ConnectionThread(
                self._role,
                self._address,
                lambda connection: self._session(thread, connection),
                health=self._health,
                is_idle=lambda: not self._is_wanted,
            )
            thread.start()
        self._thread.waker.set()

    def is_current(self) -> bool:
        """See `ports.RosterWatch`."""
        return self._thread is not None and self._health.state(self._role) == 'connected'

    def close(self, deadline: float) -> None:
        """End the thread; closing twice is harmless."""
        if self._thread is not None:
            self._thread.finish()
            self._thread.interrupt()
            self._thread.close(deadline)

    def _session(self, thread: ConnectionThread, connection: Connection) -> None:
        reads = thread.connect()  # one that is subscribed cannot
        channel = connection.at(keys.FLEET)
        channel.call('SUBSCRIBE', keys.FLEET)
        self._compare(channel, reads)
        thread.mark_connected()
        compare_at = time.monotonic() + COMPARE_S
        while self._is_wanted and not thread.closing.is_set():
            if time.monotonic() >= compare_at:
                self._compare(channel, reads)
                compare_at = time.monotonic() + COMPARE_S
            if channel.wait(compare_at - time.monotonic(), thread.waker):
                self._read(channel)

    def _compare(self, connection: Connection, reads: Connection) -> None:
        with contextlib.suppress(redis.exceptions.NoPermissionError):
            self._clock.measure(reads)
        now = self._clock.now()
        entries, runs_out = read_roster(reads.pipe, now)
        connection.send([('PING',)])
        while not self._read(connection):  # what was published before it was read
            pass
        for event in self._changes.compare(entries, runs_out, now, time.monotonic()):
            self._on_event(event)

    def _read(self, connection: Connection) -> bool:
        """Take what was published; return whether the answer to a ping was among it."""
        is_answered = False
        for reply in connection.replies(BATCH):
            if not isinstance(reply, tuple):
                is_answered = True
            elif (event := fleet.event_of(reply[1])) and self._changes.take(event):
                self._on_event(event)
        return is_answered


class Changes:
    """What a watcher knows of each robot, so that it learns each change once; without I/O."""

    def __init__(self) -> None:
        self._last: dict[str, RobotEvent] = {}
        self._missing_since: dict[str, float] = {}  # monotonic

    def take(self, event: RobotEvent) -> bool:
        """Take a change; return whether it is new."""
        last = self._last.get(event.robot)
        if last is not None and event.stamp <= last.stamp:
            return False
        self._last[event.robot] = event
        return True

    def compare(
        self,
        entries: Mapping[str, RobotEvent],
        overdue: Collection[str],
        now: float,
        monotonic: float,
    ) -> Iterator[RobotEvent]:
        """Yield what the roster has that is new, oldest first, and robots that are gone.

        :param overdue: robots that are online in the roster, but whose claim is gone.
        """
        for event in sorted(entries.values(), key=lambda event: event.stamp):
            if event.robot not in overdue and self.take(event):
                yield event
        for robot, last in list(self._last.items()):
            if robot in entries and robot not in overdue:
                self._missing_since.pop(robot, None)
            elif last.event != ONLINE:
                if robot not in entries:
                    del self._last[robot]
            elif monotonic - self._missing_since.setdefault(robot, monotonic) >= GONE_S:
                del self._missing_since[robot], self._last[robot]  # so that it may come back
                yield last.then(LOST, now)


def read_roster(
    pipe: Callable[[Sequence[Command]], list[Reply]], now: float
) -> tuple[dict[str, RobotEvent], dict[str, float]]:
    """Return the last change of each robot, and the robots that are online without a claim.

    Of these it returns since when (seconds since 1970).

    :raises redis.ResponseError: the roster cannot be read.
    """
    [found] = pipe([('HGETALL', keys.FLEET)])
    if isinstance(found, redis.ResponseError):
        raise found
    entries = {
        robot: event
        for robot, event in fleet.events_of(pairs(found)).items()
        if fleet.is_listed(event, now)
    }
    online = [event.robot for event in entries.values() if event.event == ONLINE]
    claims = pipe([('EXISTS', keys.robot_key(robot)) for robot in online])
    gone = [robot for robot, is_there in zip(online, claims) if is_there == 0]
    scores = pipe([('ZSCORE', keys.FLEET_DUE, robot) for robot in gone])
    since = (float(s) if isinstance(s, bytes) else now for s in scores)
    return entries, dict(zip(gone, since))
