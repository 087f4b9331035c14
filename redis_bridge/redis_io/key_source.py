# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Keys and hashes: the value at the start, and each change of it.

The server names the keys that were written (see `tracking`); the values are then read over a
second connection, because a subscribed one takes no other commands. Fast writes may be seen as
one; the last one is never missed. Only a value that differs from the last one is handed on: the
server also names keys that were not written, such as one whose time to live changed, or one of
that name in another database.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import redis

from redis_bridge.redis_io.connection import Command, Connection, Pings
from redis_bridge.redis_io.resp import is_redirected, pairs
from redis_bridge.redis_io.source import RETRY_S, Setup, Source, SourceReceiver
from redis_bridge.redis_io.tracking import Tracking

READ_AT_ONCE = 500
REDIRECTED_S = 0.05  # how often a name is read again that the server does not have now
MAY_BEGIN_S = 0.1  # how often receivers that may not begin yet are asked again

Value = bytes | dict[bytes, bytes]  # a dict for a hash


class KeyReceiver(SourceReceiver, Protocol):
    """What follows one key or hash."""

    @property
    def is_hash(self) -> bool:
        """Whether the name is read as a hash."""

    @property
    def max_bytes(self) -> int | None:
        """Of a longer value (not of a hash) one byte more than this is read; None: all."""

    def may_begin(self) -> bool:
        """Return whether the first value of a session may be handed on; asked until it is so."""

    def receive(self, value: Value | None, is_initial: bool) -> None:
        """Take the value, None if it is gone; `is_initial` if it was there at the connect."""


LastValues = WeakKeyDictionary[KeyReceiver, 'Value | None']  # the last value that each one has


class KeySource(Source[KeyReceiver]):
    """Two connections that follow keys and hashes.

    :param last: what sources share that receivers may move between.
    """

    def __init__(self, role: str, setup: Setup, last: LastValues | None = None) -> None:
        super().__init__(role, setup)
        self._applied: Mapping[bytes, Sequence[KeyReceiver]] | None = None
        self._last: LastValues = WeakKeyDictionary() if last is None else last
        self._current: set[KeyReceiver] = set()  # who was handed a value in this session
        self._waiting: dict[KeyReceiver, bytes] = {}  # who may not begin yet, with the name
        self._redirected: set[bytes] = set()  # names that are, or are about to be, at another node

    def _session(self, connection: Connection) -> None:
        tracking = Tracking(connection)
        values = self.thread.connect()
        self._applied = None
        self._current.clear()
        self._redirected.clear()
        self._waiting.clear()
        self._reconcile(tracking, values)
        self.thread.mark_connected()
        pings = Pings(connection, self._timing)
        retry_at = time.monotonic() + RETRY_S
        while self._goes_on():
            self._reconcile(tracking, values)
            if time.monotonic() >= retry_at:  # a right that was given is no write to the key
                retry_at = time.monotonic() + RETRY_S
                self._read(values, self._unreadable())
            if pings.send_if_due():
                values.pipe([('PING',)])  # so that nothing on the way forgets the idle connection
            if self._redirected:
                again, self._redirected = self._redirected, set()
                self._read(values, again)
            pause_s = MAY_BEGIN_S if self._waiting else math.inf
            if pings.wait(self.thread.waker, REDIRECTED_S if self._redirected else pause_s):
                written = set(tracking.written())
                names = self._applied if None in written else written
                self._read(values, names or ())
            self._read(values, [n for r, n in self._waiting.items() if r.may_begin()])

    def _reconcile(self, tracking: Tracking, values: Connection) -> None:
        """Track what is wanted, and read what nobody has read yet."""
        wanted = self._wanted
        if wanted is self._applied:
            return
        self._applied = wanted
        receivers = self._forget_unwanted()
        self._current &= receivers
        self._redirected &= wanted.keys()
        self._waiting = {r: name for r, name in self._waiting.items() if r in receivers}
        if tracking.want(wanted):
            self._read(values, wanted)
        else:
            joined = [
                name for name, group in wanted.items() if not self._current.issuperset(group)
            ]
            self._read(values, joined)

    def _unreadable(self) -> list[bytes]:
        return [
            name
            for name, receivers in (self._applied or {}).items()
            if any(self.error_of(receiver) for receiver in receivers)
        ]

    def _read(self, connection: Connection, names: Iterable[bytes | None]) -> None:
        wanted = self._applied or {}
        readers = [
            (name, receiver)
            for name in names
            if name is not None
            for receiver in wanted.get(name, ())
        ]
        for start in range(0, len(readers), READ_AT_ONCE):
            some = readers[start : start + READ_AT_ONCE]
            replies = connection.pipe([_read_command(*reader) for reader in some])
            for (name, receiver), reply in zip(some, replies):
                if reply == b'' and receiver.max_bytes is not None:
                    reply = self._empty_or_gone(connection, name, receiver)
                if not self._goes_on():
                    return
                if is_redirected(reply):
                    self._redirected.add(name)
                elif isinstance(reply, redis.ResponseError):
                    self._report(receiver, reply)
                else:
                    self._hand_on(name, receiver, _value(receiver, reply))
                    self._report(receiver, None)

    def _empty_or_gone(self, connection: Connection, name: bytes, receiver: KeyReceiver) -> Any:
        """Read a value again that was empty: to GETRANGE a missing key is an empty one."""
        command = _read_command(name, receiver)
        replies = connection.pipe([('MULTI',), ('EXISTS', name), command, ('EXEC',)])
        for reply in replies:
            if isinstance(reply, redis.ResponseError):
                return reply
        is_there, value = replies[-1]
        return value if is_there else None

    def _hand_on(self, name: bytes, receiver: KeyReceiver, value: Value | None) -> None:
        is_initial = receiver not in self._current
        if is_initial and not receiver.may_begin():
            self._waiting[receiver] = name  # the value is read again then
            return
        self._waiting.pop(receiver, None)
        self._current.add(receiver)
        if value != self._last.get(receiver):
            self._last[receiver] = value
            receiver.receive(value, is_initial)


def _read_command(name: bytes, receiver: KeyReceiver) -> Command:
    if receiver.is_hash:
        return ('HGETALL', name)
    if receiver.max_bytes is None:
        return ('GET', name)
    # One byte more than allowed shows that there is more; no giant value is fetched.
    return ('GETRANGE', name, 0, receiver.max_bytes)


def _value(receiver: KeyReceiver, reply: Any) -> Value | None:
    """Return what a reply to the reading command says; None for nothing."""
    if receiver.is_hash:
        return pairs(reply) or None
    value: bytes | None = reply
    return value
