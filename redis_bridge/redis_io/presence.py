# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Presence: the claim on a robot's name, the heartbeat with its status, and the descriptions.

The claim is the hash itself: whose `boot` stands in it holds the name, until it is released or
its time to live ends. WATCH and MULTI make taking it atomic without a script.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable

import redis

from redis_bridge.mapping.model import Heartbeat
from redis_bridge.protocol import keys
from redis_bridge.redis_io.address import Address, Timing
from redis_bridge.redis_io.clock import Clock
from redis_bridge.redis_io.connection import Command, Connection
from redis_bridge.redis_io.connection_thread import ConnectionThread
from redis_bridge.redis_io.health import Health
from redis_bridge.redis_io.resp import code_of, raise_if_error

Status = Callable[[], 'dict[str, str]']
Commands = Callable[[bool], 'list[Command]']  # what changes the claim, given if it is ours


class Presence:
    """The thread that holds the robot's name, says that we live, and describes what we write."""

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
        timing: Timing,
    ) -> None:
        self._robot = robot
        self._key = keys.robot_key(robot)
        self._boot = boot
        self._written: set[str] = set()  # our fields of the hash
        self._heartbeat = heartbeat
        self._clock = clock
        self._log = log
        self._since = time.time()
        self._status: Status = dict
        self._status_failed = False
        self._health = health
        self._held_until = 0.0  # of the monotonic clock; our claim lives at least so long
        self._other: str | None = None  # who holds the name, if another one does
        self._on_taken: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._hashes: dict[str, dict[str, str]] = {}  # the descriptions, by key
        self._unwritten: set[str] = set()
        self._refused: set[str] = set()
        self._thread = ConnectionThread(
            'presence', address, self._session, health=health, timing=timing
        )

    def start(self, status: Status) -> None:
        """Start the thread; `status` gives the fields of each heartbeat."""
        self._status = status
        self._thread.start()

    def is_holder(self) -> bool:
        """Tell whether the robot's name is ours."""
        return time.monotonic() < self._held_until

    def why_closed(self) -> str | None:
        """Return why routes into ROS must stay closed; None if they may be open."""
        if self.is_holder():
            return None
        return self._other or f'waits for the claim on the name {self._robot}'

    def on_taken(self, callback: Callable[[], None]) -> None:
        """Have `callback` run when another bridge turns out to hold the name."""
        self._on_taken.append(callback)

    def describe(self, key: str, fields: dict[str, str]) -> None:
        """Write a description, now and after each reconnect; fields under one key add up."""
        with self._lock:
            known = self._hashes.setdefault(key, {})
            if fields.items() <= known.items():
                return
            known.update(fields)
            self._unwritten.add(key)
        self._thread.waker.set()

    def close(self, deadline: float) -> None:
        """Release the claim and end the thread."""
        self._thread.close(deadline)
        self._held_until = 0.0

    def _session(self, connection: Connection) -> None:
        with self._lock:
            self._unwritten = set(self._hashes)
        self._beat(connection)
        self._thread.mark_connected()
        due = time.monotonic() + self._heartbeat.every_ms / 1000
        while not self._thread.closing.is_set():
            self._write_descriptions(connection)
            if connection.wait(due - time.monotonic(), self._thread.waker):
                raise redis.ConnectionError(f'unexpected reply {connection.reply()!r:.60}')
            if time.monotonic() >= due:
                self._beat(connection)
                due = time.monotonic() + self._heartbeat.every_ms / 1000
        self._change(connection, lambda ours: [('DEL', self._key)])

    def _beat(self, connection: Connection) -> None:
        """Take or renew the claim, with the status of now."""
        self._clock.measure(connection)
        fields = {
            **self._told_status(),
            'boot': self._boot,
            'protocol': str(keys.PROTOCOL),
            'host': socket.gethostname(),
            'pid': str(os.getpid()),
            'since': f'{self._since:.3f}',
            'stamp': f'{self._clock.now():.3f}',
        }
        begun = time.monotonic()
        other = self._change(connection, lambda ours: self._renewal(fields, ours))
        if other is None:
            self._written = set(fields)
            self._held_until = begun + self._heartbeat.ttl_ms / 1000
            if self._other is not None:
                self._log.warning('robot %s: the name is ours now', self._robot)
                self._other = None
            return
        self._held_until = 0.0
        if self._other != other:
            self._other = other
            self._log.error('%s: routes into ROS stay closed', other)
            for callback in self._on_taken:
                callback()

    def _renewal(self, fields: dict[str, str], ours: bool) -> list[Command]:
        """Return what writes our fields and drops those that the status no longer has."""
        gone = sorted(self._written - set(fields))
        return [
            *([] if ours else [('DEL', self._key)]),
            ('HSET', self._key, *(part for pair in fields.items() for part in pair)),
            *([('HDEL', self._key, *gone)] if gone else []),
            ('PEXPIRE', self._key, self._heartbeat.ttl_ms),
        ]

    def _told_status(self) -> dict[str, str]:
        try:
            fields = self._status()
        except Exception as error:  # a bug there must not cost us the claim; it is told
            if not self._status_failed:
                self._health.bug('presence', str(error))
            self._status_failed = True
            return {}
        self._status_failed = False
        return fields

    def _change(self, connection: Connection, commands: Commands) -> str | None:
        """Change our claim in one transaction; where it is another's, say whose and do nothing."""
        while True:
            watching, owner = connection.pipe([
                ('WATCH', self._key), ('HMGET', self._key, 'boot', 'host', 'pid'),
            ])  # fmt: skip
            for reply in (watching, owner):
                raise_if_error(reply)
            boot, host, pid = ((part or b'').decode(errors='replace') for part in owner)
            if boot not in ('', self._boot):
                connection.call('UNWATCH')
                return (
                    f'the name {self._robot} is held by another bridge '
                    f'(host {host or "?"}, pid {pid or "?"})'
                )
            *queued, done = connection.pipe([('MULTI',), *commands(boot == self._boot), ('EXEC',)])
            for reply in (*queued, done):
                raise_if_error(reply)
            if done is not None:  # None: somebody wrote the hash in between
                return None

    def _write_descriptions(self, connection: Connection) -> None:
        with self._lock:
            todo = {key: dict(self._hashes[key]) for key in self._unwritten}
            self._unwritten.clear()
        try:
            replies = connection.pipe([
                ('HSET', key, *(part for pair in fields.items() for part in pair))
                for key, fields in todo.items()
            ])  # fmt: skip
        except redis.RedisError:
            with self._lock:
                self._unwritten |= set(todo)
            raise
        for key, reply in zip(todo, replies):
            if isinstance(reply, redis.ResponseError) and code_of(reply) not in self._refused:
                self._refused.add(code_of(reply))
                self._log.warning('%s: cannot be written: %s', key, self._thread.redact(reply))
