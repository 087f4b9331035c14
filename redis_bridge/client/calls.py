# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The connection over which a client sends single commands."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import redis

from redis_bridge.errors import RedisError
from redis_bridge.mapping.model import RedisSettings
from redis_bridge.redis_io.address import Address, Timing
from redis_bridge.redis_io.clock import Clock
from redis_bridge.redis_io.connection import Command, Connection
from redis_bridge.redis_io.resp import Reply, is_readonly, is_redirected
from redis_bridge.redis_io.topology import topology_of

LOG = logging.getLogger('redis_bridge.client')
CLOCK_FRESH_S = 1.0

T = TypeVar('T')


class Calls:
    """Sends commands, each one once; opens the connection when needed.

    Several threads may share it. All methods raise RedisError if Redis cannot be reached or
    answers with an error.
    """

    def __init__(self, settings: RedisSettings, timing: Timing = Timing()) -> None:  # noqa: B008
        self._make_topology = partial(topology_of, settings, 'redis_bridge:client', timing, LOG)
        self.topology = self._make_topology()
        self.is_sharded = settings.sharded_pubsub
        self._lock = threading.RLock()
        self._connection: Connection | None = None
        self._clock = Clock()
        self._clock_read_at = -CLOCK_FRESH_S

    def close(self) -> None:
        """Close the connection; the next call opens it again."""
        with self._lock:
            self._hang_up()
            self.address.close(time.monotonic())
            self.topology = self._make_topology()

    @property
    def address(self) -> Address:
        """What leads to all names."""
        return self.topology.address

    def call(self, *command: Any) -> Reply:
        """Send a command and return its reply."""
        return self.pipe([command])[0]

    def pipe(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands at once and return their replies."""
        replies = self.replies(commands)
        for reply in replies:
            if isinstance(reply, redis.ResponseError):
                raise self.error(reply)
        return replies

    def replies(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands at once and return their replies; those of denied ones are errors."""
        with self._lock:
            replies = self.use(lambda connection: connection.pipe(commands))
            if any(map(is_readonly, replies)):
                self._hang_up()  # another server may be the primary now
        return replies

    def now(self) -> float:
        """Return the Redis server's time in seconds, from its TIME at most 1 s ago."""
        with self._lock:
            if time.monotonic() - self._clock_read_at >= CLOCK_FRESH_S:
                self.use(self._measure)
                self._clock_read_at = time.monotonic()
            return self._clock.now()

    def error(self, error: Exception) -> RedisError:
        """Return the error of redis-py as one of this package, without secrets."""
        denied = ' denies it' if isinstance(error, redis.exceptions.NoPermissionError) else ''
        return RedisError(f'Redis at {self.address.where}{denied}: {self.address.redact(error)}')

    def _measure(self, connection: Connection) -> None:
        # Without permission for TIME, use the local clock.
        with contextlib.suppress(redis.exceptions.NoPermissionError):
            self._clock.measure(connection)

    def use(self, use: Callable[[Connection], T], at: str | None = None) -> T:
        """Return what a function returns that has the connection for itself meanwhile.

        :param at: the name that it uses, for transactions.
        """
        with self._lock:
            try:
                if self._connection is not None and _is_stale(self._connection):
                    self._hang_up()
                if self._connection is None:
                    self._connection = self.address.open()
                    self._connection.connect()
                    self._clock_read_at = -CLOCK_FRESH_S
                return use(self._connection if at is None else self._connection.at(at))
            except BaseException as error:
                # After Ctrl-C an outstanding reply would be taken for the next one's.
                self._hang_up()
                if isinstance(error, (redis.RedisError, OSError)):
                    raise self.error(error) from error
                raise

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def is_connection_loss(error: RedisError) -> bool:
    """Return whether a call failed because Redis cannot be reached; it may be tried again."""
    cause = error.__cause__
    is_lost = isinstance(cause, (redis.ConnectionError, redis.TimeoutError, OSError))
    return is_lost or is_redirected(cause)


def _is_stale(connection: Connection) -> bool:
    """Return whether the server has closed the connection since its last use."""
    with contextlib.suppress(redis.RedisError, OSError):
        return connection.has_reply()
    return True
