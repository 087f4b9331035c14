# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Keys that are watched: the value at the start, and each change of it.

The server tells which keys were written (CLIENT TRACKING in broadcasting mode, redirected to the
very connection that asked for it, which needs no setting of the server); the values are then read
over a second connection, since a subscribed one takes no other commands. Fast writes may so be
seen as one; the last one is never missed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import redis

from redis_bridge.mapping.model import KeySourceConfig
from redis_bridge.ports import Received, Receiver
from redis_bridge.redis_io.address import Address, Timing
from redis_bridge.redis_io.connection import Command, Connection, Pings
from redis_bridge.redis_io.connection_thread import ConnectionThread
from redis_bridge.redis_io.health import Health
from redis_bridge.redis_io.resp import code_of, raise_if_error

INVALIDATE = b'__redis__:invalidate'
READ_AT_ONCE = 500


@dataclass
class Watched:
    """One key, and who wants to know of it."""

    receivers: list[tuple[Receiver, bool]]  # and whether it takes what stands at a connect
    max_bytes: int
    last: bytes | None = None
    trouble: str | None = None


class KeyWatcher:
    """Two connections that follow keys, and the thread that reads them.

    Where `every_write` stands, a value written again unchanged counts as news, as it does for
    commands: what repeats keeps the robot moving. A renewed time to live cannot be told from that.
    """

    def __init__(
        self,
        role: str,
        address: Address,
        *,
        every_write: bool,
        health: Health,
        log: logging.Logger,
        timing: Timing,
        gate: Callable[[], str | None],
    ) -> None:
        self._every_write = every_write
        self._log = log
        self._timing = timing
        self._gate = gate
        self._keys: dict[bytes, Watched] = {}
        self.thread = ConnectionThread(
            role, address, self._session,
            health=health, timing=timing, on_disconnect=self._disconnected, gate=gate,
        )  # fmt: skip

    def add(self, config: KeySourceConfig, receiver: Receiver, max_bytes: int) -> None:
        """Have a receiver told the values of a key; before the start."""
        watched = self._keys.setdefault(config.name.encode(), Watched([], 0))
        watched.receivers.append((receiver, config.initial == 'publish'))
        watched.max_bytes = max(watched.max_bytes, max_bytes)

    def _session(self, connection: Connection) -> None:
        self._track(connection)
        values = self.thread.second_connection()
        self._read(values, self._keys, at_connect=True)
        self.thread.mark_connected()
        pings = Pings(self._timing)
        while not self.thread.closing.is_set() and self._gate() is None:
            if pings.wait_s() == 0:
                values.call('PING')  # so that nothing on the way forgets the idle connection
            pings.tick(connection)
            if connection.wait(pings.wait_s(), self.thread.waker):
                names = self._written(connection)
                pings.heard()
                self._read(values, names)

    def _track(self, connection: Connection) -> None:
        number = connection.call('CLIENT', 'ID')
        prefixes = [part for name in without_overlap(self._keys) for part in ('PREFIX', name)]
        connection.call('CLIENT', 'TRACKING', 'ON', 'REDIRECT', number, 'BCAST', *prefixes)
        connection.call('SUBSCRIBE', INVALIDATE)

    def _written(self, connection: Connection) -> Iterable[bytes]:
        """Return our keys among those that the waiting messages name."""
        names: dict[bytes, None] = {}
        while True:
            reply = raise_if_error(connection.reply())
            if reply[0] == b'message':
                # None: the whole database was flushed.
                names.update(dict.fromkeys(self._keys if reply[2] is None else reply[2]))
            if not connection.has_reply():
                return [name for name in names if name in self._keys]

    def _read(
        self, connection: Connection, names: Iterable[bytes], *, at_connect: bool = False
    ) -> None:
        names = list(names)
        for start in range(0, len(names), READ_AT_ONCE):
            some = names[start : start + READ_AT_ONCE]
            values = connection.pipe([self._get(name) for name in some])
            for name, value in zip(some, values):
                if value == b'':
                    value = self._empty_or_gone(connection, name)
                if isinstance(value, redis.ResponseError):
                    self._complain(name, value)
                else:
                    self._keys[name].trouble = None
                    self._tell(self._keys[name], value, at_connect)

    def _get(self, name: bytes) -> Command:
        # One byte more than may come tells that there is more; no giant value is fetched.
        return ('GETRANGE', name, 0, self._keys[name].max_bytes)

    def _empty_or_gone(
        self, connection: Connection, name: bytes
    ) -> bytes | redis.ResponseError | None:
        """Read a value again that was empty: GETRANGE does not tell a key that is missing."""
        *queued, done = connection.pipe([('MULTI',), ('EXISTS', name), self._get(name), ('EXEC',)])
        for reply in (*queued, done):
            if isinstance(reply, redis.ResponseError):
                return reply
        there, value = done
        return value if there else None

    def _tell(self, watched: Watched, value: bytes | None, at_connect: bool) -> None:
        is_new = value != watched.last or (self._every_write and not at_connect)
        watched.last = value
        if value is None or not is_new:
            return
        for receiver, takes_initial in watched.receivers:
            if takes_initial or not at_connect:
                receiver.receive([Received(value)])

    def _complain(self, name: bytes, error: redis.ResponseError) -> None:
        watched = self._keys[name]
        if watched.trouble != code_of(error):
            watched.trouble = code_of(error)
            self._log.warning(
                'key %s: %s', name.decode(errors='replace'), self.thread.redact(error)
            )

    def _disconnected(self) -> None:
        for watched in self._keys.values():
            for receiver, _ in watched.receivers:
                receiver.on_disconnect()


def without_overlap(names: Iterable[bytes]) -> list[bytes]:
    """Return the names but those that begin with another one; Redis refuses such prefixes."""
    kept: list[bytes] = []
    for name in sorted(names):
        if not kept or not name.startswith(kept[-1]):
            kept.append(name)
    return kept
