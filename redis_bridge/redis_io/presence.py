# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Presence: the heartbeat that keeps the claim on a robot's name, with all that goes with it."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Collection

import redis

from redis_bridge.log_once import LogOnChange
from redis_bridge.mapping.model import Heartbeat
from redis_bridge.protocol import keys, robot_status
from redis_bridge.protocol.descriptions import NameDescription
from redis_bridge.redis_io.address import Address
from redis_bridge.redis_io.claim import Claim, Holder
from redis_bridge.redis_io.clock import Clock
from redis_bridge.redis_io.connection import Connection
from redis_bridge.redis_io.connection_thread import ConnectionThread
from redis_bridge.redis_io.descriptions import Descriptions
from redis_bridge.redis_io.health import Health
from redis_bridge.redis_io.process import own_process
from redis_bridge.redis_io.resp import code_of
from redis_bridge.redis_io.roster import Roster

Status = Callable[[], 'dict[str, str]']
RETRY_MAX_S = 1.0  # a living holder is back before others take its name
PAUSE_S = 0.05  # after descriptions have changed, because many topics are found one by one


class Presence:
    """The thread that holds the robot's name and writes its hash, the roster, the descriptions.

    It calls `on_change` when the name has become ours, also after a moment in which it was not,
    and when it has become another's. Without the name, the status is written under our origin.
    """

    def __init__(
        self,
        robot: str,
        boot: str,
        heartbeat: Heartbeat,
        leases: Collection[str],
        address: Address,
        clock: Clock,
        *,
        health: Health,
        log: logging.Logger,
        on_change: Callable[[], None],
    ) -> None:
        self._robot = robot
        self._boot = boot
        self._every_s = heartbeat.every_ms / 1000
        spare_key = keys.robot_key(f'{robot}/{boot}')
        self._claim = Claim(
            keys.robot_key(robot), boot, spare_key, heartbeat, address.timing.retry_max_s
        )
        self._host = socket.gethostname()
        ttl_s = heartbeat.ttl_ms / 1000
        self._roster = Roster(robot, boot, self._host, ttl_s, clock, self._report_denied)
        self._process = own_process()
        self._clock = clock
        self._health = health
        self._log = log
        self._on_change = on_change
        self._known: tuple[int | None, Holder | None] = (None, None)  # when it called that last
        self._rejects = LogOnChange(log, f'robot {robot}')
        self._since = time.time()
        self._status: Status = dict
        self._status_failed = False
        self._descriptions = Descriptions(robot, leases, self._report_denied)
        self._denied: set[tuple[str, bool]] = set()  # codes of errors, and whether of the roster
        self._thread = ConnectionThread(
            'presence', address, self._session, health=health, retry_max_s=RETRY_MAX_S
        )

    def start(self, status: Status) -> None:
        """Start the thread; `status` gives the fields of each heartbeat."""
        self._status = status
        self._thread.start()

    def term(self) -> int | None:
        """See `source.Gate`."""
        return self._claim.term()

    def why_closed(self) -> str | None:
        """See `source.Gate`."""
        if self._claim.term() is not None:
            return None
        if self._claim.other is not None:
            return self._why_other(self._claim.other)
        text = f'waits for the claim on the name {self._robot}'
        rejected = self._why_rejected()
        return f'{text}: {rejected}' if rejected else text

    def is_standby(self) -> bool:
        """Return whether another bridge holds the name."""
        return self._claim.other is not None

    def state(self) -> str:
        """Return 'connected', or why the heartbeat is not written."""
        state = self._health.state('presence')
        rejected = self._why_rejected()
        return f'connected, but {rejected}' if state == 'connected' and rejected else state

    def _why_other(self, other: Holder) -> str:
        return (
            f'the name {self._robot} is held by another bridge (host {other.host or "?"}, pid '
            f'{other.pid or "?"}); start this one with another --robot'
        )

    def _why_rejected(self) -> str:
        error = self._claim.rejected
        return '' if error is None else f'the server rejects writes: {self._thread.redact(error)}'

    def describe(self, descriptions: Collection[NameDescription]) -> None:
        """Describe exactly these names from now on, while the robot's name is ours."""
        self._descriptions.want(descriptions)
        self._thread.waker.set()

    def close(self, deadline: float) -> None:
        """Release the claim and end the thread."""
        self._thread.close(deadline)
        self._claim.end()

    def _session(self, connection: Connection) -> None:
        self._descriptions.forget()
        beat_at = 0.0
        after_beat: list[Callable[[Connection], None]] = []
        while not self._thread.closing.is_set():
            look_at = time.monotonic() + self._claim.look_every_s
            is_due = not after_beat and time.monotonic() >= beat_at
            if is_due or self._claim.look(connection):
                self._beat(connection)
                beat_at = time.monotonic() + self._every_s
                after_beat = [self._descriptions.heal, self._roster.beat]
            self._report_changes()
            self._thread.mark_connected()
            if self._claim.term() is None:  # nothing else, so that the claim's watch goes on
                after_beat = []
            elif after_beat:  # one at a time, because on a slow link each takes long
                self._tend(connection, after_beat.pop(0))
                continue
            else:
                self._tend(connection, self._look_after)
            connection.pause(min(look_at, beat_at) - time.monotonic(), self._thread.waker)
        if self._claim.release(connection):
            self._roster.leave(connection)

    def _tend(self, connection: Connection, work: Callable[[Connection], None]) -> None:
        """Do what the claim does not depend on: of a cluster, another node may be away."""
        try:
            work(connection)
        except (redis.ConnectionError, redis.TimeoutError):
            if not connection.lose_broken():
                raise

    def _look_after(self, connection: Connection) -> None:
        """Report robots that are lost, describe names."""
        self._roster.look(connection, accepts_writes=self._claim.rejected is None)
        if self._descriptions.apply(connection):
            self._thread.closing.wait(PAUSE_S)

    def _beat(self, connection: Connection) -> None:
        """Take or renew the claim, with the status of now."""
        self._tend(connection, self._clock.measure)
        fields = {
            **self._current_status(),
            **robot_status.claim_fields(
                self._boot,
                self._host,
                os.getpid(),
                self._process,
                self._since,
                self._clock.now(),
                self._clock.uncertainty_s(),
            ),
        }
        self._claim.take(connection, fields)

    def _report_changes(self) -> None:
        """Log whose the name is and what the server rejects, where that has changed."""
        term, other = self._claim.term(), self._claim.other
        if (term, other) != self._known:
            (old_term, old_other), self._known = self._known, (term, other)
            if other is not None and other != old_other:
                self._log.error('%s: all its routes stay closed', self._why_other(other))
            elif term is not None and old_other is not None:
                self._log.warning('robot %s: the name is ours now', self._robot)
            if other is not None or term not in (None, old_term):
                self._on_change()
        rejected = self._why_rejected()
        if rejected:
            effect = 'the name stays ours' if term is not None else 'nobody can take the name'
            self._rejects.update(f'{rejected}; {effect}', logging.WARNING)
        else:
            self._rejects.update('the server accepts writes')

    def _current_status(self) -> dict[str, str]:
        try:
            fields = self._status()
        except Exception as error:  # a bug there must not cost us the claim; it is logged
            if not self._status_failed:
                self._health.bug('presence', str(error))
            self._status_failed = True
            return {}
        self._status_failed = False
        return fields

    def _report_denied(self, key: str, error: redis.ResponseError) -> None:
        """Log that a description or the roster cannot be written; each reason once."""
        reason = code_of(error), key == keys.FLEET
        if reason not in self._denied:
            self._denied.add(reason)
            self._log.warning('%s: cannot be written: %s', key, self._thread.redact(error))
