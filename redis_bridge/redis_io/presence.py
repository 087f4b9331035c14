# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Presence: the heartbeat that keeps the claim on a robot's name, with status and descriptions."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Collection

import redis

from redis_bridge.mapping.model import Heartbeat
from redis_bridge.protocol import keys, robot_status
from redis_bridge.protocol.descriptions import NameDescription
from redis_bridge.redis_io.address import Address
from redis_bridge.redis_io.claim import Claim
from redis_bridge.redis_io.clock import Clock
from redis_bridge.redis_io.connection import Connection
from redis_bridge.redis_io.connection_thread import ConnectionThread
from redis_bridge.redis_io.descriptions import Descriptions
from redis_bridge.redis_io.health import Health
from redis_bridge.redis_io.resp import code_of

Status = Callable[[], 'dict[str, str]']
PAUSE_S = 0.05  # after descriptions have changed, because many topics are found one by one


class Presence:
    """The thread that holds the robot's name and writes its hash and the descriptions.

    It calls `on_beat` whenever it has asked for the name, with success or without.
    """

    def __init__(
        self,
        robot: str,
        boot: str,
        heartbeat: Heartbeat,
        address: Address,
        clock: Clock,
        *,
        health: Health,
        log: logging.Logger,
        on_beat: Callable[[], None],
    ) -> None:
        self._robot = robot
        self._boot = boot
        self._every_s = heartbeat.every_ms / 1000
        self._claim = Claim(keys.robot_key(robot), boot, heartbeat.ttl_ms)
        self._clock = clock
        self._health = health
        self._log = log
        self._on_beat = on_beat
        self._since = time.time()
        self._status: Status = dict
        self._status_failed = False
        self._descriptions = Descriptions(robot, self._report_denied)
        self._denied: set[str] = set()  # codes of errors that were logged
        self._thread = ConnectionThread('presence', address, self._session, health=health)

    def start(self, status: Status) -> None:
        """Start the thread; `status` gives the fields of each heartbeat."""
        self._status = status
        self._thread.start()

    def is_holder(self) -> bool:
        """Return whether the robot's name is ours."""
        return self._claim.is_held()

    def why_closed(self) -> str | None:
        """Return why routes into ROS must stay closed; None if they may be open."""
        if self._claim.is_held():
            return None
        other = self._claim.other
        if other is None:
            return f'waits for the claim on the name {self._robot}'
        return (
            f'the name {self._robot} is held by another bridge '
            f'(host {other.host or "?"}, pid {other.pid or "?"})'
        )

    def describe(self, descriptions: Collection[NameDescription]) -> None:
        """Describe exactly these names from now on, while the robot's name is ours."""
        self._descriptions.want(descriptions)
        self._thread.waker.set()

    def close(self, deadline: float) -> None:
        """Release the claim and end the thread."""
        self._thread.close(deadline)
        self._claim.end()

    def _session(self, connection: Connection) -> None:
        self._beat(connection)
        self._thread.mark_connected()
        self._descriptions.forget()
        due = time.monotonic() + self._every_s
        while not self._thread.closing.is_set():
            if self._claim.is_held() and self._descriptions.apply(connection):
                self._thread.closing.wait(PAUSE_S)
            connection.pause(due - time.monotonic(), self._thread.waker)
            if time.monotonic() >= due:
                self._beat(connection)
                if self._claim.is_held():
                    self._descriptions.heal(connection)
                due = time.monotonic() + self._every_s
        self._claim.release(connection)

    def _beat(self, connection: Connection) -> None:
        """Take or renew the claim, with the status of now."""
        self._clock.measure(connection)
        fields = {
            **self._current_status(),
            **robot_status.claim_fields(
                self._boot,
                socket.gethostname(),
                os.getpid(),
                self._since,
                self._clock.now(),
                self._clock.uncertainty_s(),
            ),
        }
        before = self._claim.other
        self._claim.take(connection, fields)
        other = self._claim.other
        if other != before:
            if other is None:
                self._log.warning('robot %s: the name is ours now', self._robot)
            else:
                self._log.error('%s: routes into ROS stay closed', self.why_closed())
        self._on_beat()

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
        """Log that a description cannot be written; each reason once."""
        if code_of(error) not in self._denied:
            self._denied.add(code_of(error))
            self._log.warning('%s: cannot be written: %s', key, self._thread.redact(error))
