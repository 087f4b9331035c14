# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A bridge's part in the roster: it reports its own robot, and other robots that are lost.

Each bridge that has its name looks for robots whose time is over, which mostly costs one command.
WATCH and MULTI let one of them report a loss, and only if the robot is not in the roster again.
The claim on a robot's name decides whether it is there; the roster only follows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection

import redis

from redis_bridge.protocol import fleet, keys
from redis_bridge.protocol.fleet import LOST, OFFLINE, ONLINE, RobotEvent
from redis_bridge.protocol.robot_status import OWNER
from redis_bridge.redis_io.claim import REJECTS_ALL
from redis_bridge.redis_io.clock import Clock
from redis_bridge.redis_io.connection import Command, Connection
from redis_bridge.redis_io.resp import Reply, code_of, pairs

LOOK_S = 0.4
LOST_AT_ONCE = 100


class Roster:
    """The roster as one bridge keeps it; used by the thread that holds the robot's name.

    `on_error` is called, again and again, with what the server denies.
    """

    def __init__(
        self,
        robot: str,
        boot: str,
        host: str,
        ttl_s: float,
        clock: Clock,
        on_error: Callable[[str, redis.ResponseError], None],
    ) -> None:
        self._robot = robot
        self._boot = boot
        self._host = host
        self._ttl_s = ttl_s
        self._clock = clock
        self._on_error = on_error
        self._entry: RobotEvent | None = None  # our own, as long as it is in the roster
        self._renewed_at = -math.inf  # monotonic, as are the next ones
        self._looked_at = -math.inf
        self._quiet_until = 0.0

    def beat(self, connection: Connection) -> None:
        """Renew our own entry, after the heartbeat of a claim that is ours."""
        now = time.monotonic()
        if now - self._renewed_at > fleet.KEPT_S / 2:
            self._entry = None  # that we were lost may have been forgotten meanwhile
        self._renewed_at = now
        due = ('ZADD', keys.FLEET_DUE, f'{self._clock.now() + self._ttl_s:.3f}', self._robot)
        replies = connection.pipe([due, ('HGET', keys.FLEET, self._robot)])
        if self._accepted(replies):
            found = replies[1]
            if self._entry is None or found != self._entry.to_json().encode():
                self._enter(connection)

    def look(self, connection: Connection, *, accepts_writes: bool) -> None:
        """Report robots whose time is over, every `LOOK_S` at most.

        None of them is reported before it could have come back: after a time in which we did not
        look, because then the others may have had no connection either, or were stopped as we
        were; and after one in which the server rejected writes.
        """
        now = time.monotonic()
        if not accepts_writes or now - self._looked_at > self._ttl_s / 2:
            self._quiet_until = now + self._ttl_s
        elif now - self._looked_at < LOOK_S:
            return
        self._looked_at = now
        if now >= self._quiet_until:
            [found] = replies = connection.pipe([
                ('ZRANGEBYSCORE', keys.FLEET_DUE, '-inf', f'{self._clock.now():.3f}',
                 'LIMIT', 0, LOST_AT_ONCE),
            ])  # fmt: skip
            if self._accepted(replies) and found:
                self._report_lost(connection, found)

    def leave(self, connection: Connection) -> None:
        """Report that we left in order, after the release of the claim."""
        if self._entry is not None:
            event = self._entry.then(OFFLINE, self._clock.now())
            self._entry = None
            self._executed(connection, _changes([event], gone=[self._robot]))

    def _enter(self, connection: Connection) -> None:
        """Put ourselves into the roster; the next beat does, if our claim changes meanwhile.

        The roster itself is not watched, or of a fleet that starts at once few would succeed.
        While our claim is there, nobody else writes our entry; who has it after us writes its own.
        """
        robot_key = keys.robot_key(self._robot)
        at = connection.at(keys.FLEET)
        watched = connection.watchable(keys.FLEET, [robot_key.encode()])
        replies = [
            *at.pipe([('WATCH', *watched)] if watched else []),
            *connection.pipe([('HGET', robot_key, OWNER), ('HGETALL', keys.FLEET)]),
        ]
        *_, owner, found = replies
        if not self._accepted(replies) or owner != self._boot.encode():
            at.call('UNWATCH')
            return
        now = self._clock.now()
        roster = fleet.events_of(pairs(found))
        previous = roster.get(self._robot)
        entry, reported = self._next(previous, now)
        old = [name for name, event in roster.items() if not fleet.is_listed(event, now)]
        commands = _changes(reported, stored=[entry])
        if old:
            commands.append(('HDEL', keys.FLEET, *old))
        if self._executed(connection, commands):
            self._entry = entry

    def _next(
        self, previous: RobotEvent | None, now: float
    ) -> tuple[RobotEvent, list[RobotEvent]]:
        """Return our entry from now on, and the changes to report, by the last one of our robot.

        Nothing has changed if there is none though we were online: then the server has lost it.
        """
        is_ours = previous is not None and (previous.event, previous.boot) == (ONLINE, self._boot)
        if is_ours and previous is not None:
            return previous, []
        if previous is None and self._entry is not None:
            return self._entry, []
        reported = []
        if previous is not None and previous.event == ONLINE:  # its bridge ended, and we came
            previous = previous.then(LOST, now)
            reported.append(previous)
        stamp = fleet.stamp_after(previous, now)
        entry = RobotEvent(ONLINE, self._robot, self._host, self._boot, stamp)
        return entry, [*reported, entry]

    def _report_lost(self, connection: Connection, robots: Collection[bytes]) -> None:
        """Report those whose claim is gone, unless another bridge does or they come back."""
        at = connection.at(keys.FLEET)
        claims = [keys.robot_key('').encode() + robot for robot in robots]
        look: list[Command] = [('EXISTS', claim) for claim in claims]
        watched = connection.watchable(keys.FLEET, claims)
        connection.pipe(look)  # so that what ran out is deleted before it is watched
        replies = at.pipe([('WATCH', keys.FLEET, *watched), ('HMGET', keys.FLEET, *robots)])
        exist = connection.pipe(look)
        if not self._accepted([*replies, *exist]):
            at.call('UNWATCH')
            return
        _, found = replies
        gone = [robot for robot, is_there in zip(robots, exist) if not is_there]
        entries = fleet.events_of(dict(zip(robots, found)))
        now = self._clock.now()
        lost = [
            entry.then(LOST, now)
            for entry in entries.values()
            if entry.event == ONLINE and entry.robot.encode() in gone
        ]
        if gone:
            self._executed(connection, _changes(lost, gone=gone))
        else:
            at.call('UNWATCH')

    def _executed(self, connection: Connection, commands: Collection[Command]) -> bool:
        """Carry out what was decided on; return False if somebody changed it meanwhile."""
        replies = connection.at(keys.FLEET).pipe([('MULTI',), *commands, ('EXEC',)])
        return self._accepted(replies) and replies[-1] is not None

    def _accepted(self, replies: Collection[Reply]) -> bool:
        """Return whether the server took all."""
        error = next((r for r in replies if isinstance(r, redis.ResponseError)), None)
        if error is not None and code_of(error) not in REJECTS_ALL:  # which the claim reports
            self._on_error(keys.FLEET, error)
        return error is None


def _changes(
    reported: Collection[RobotEvent],
    *,
    stored: Collection[RobotEvent] | None = None,
    gone: Collection[str] | Collection[bytes] = (),
) -> list[Command]:
    """Return what publishes changes and stores them, or instead of them those in `stored`."""
    return [
        *([('ZREM', keys.FLEET_DUE, *gone)] if gone else []),
        *(
            ('HSET', keys.FLEET, event.robot, event.to_json())
            for event in (reported if stored is None else stored)
        ),
        *(('PUBLISH', keys.FLEET, event.to_json()) for event in reported),
    ]
