# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Follows names for a client without ROS: channels, keys, hashes and new stream entries."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import redis

from redis_bridge.protocol.meta import DATA, Meta, from_entry
from redis_bridge.redis_io.address import Address, Timing
from redis_bridge.redis_io.connection import Connection, Pings
from redis_bridge.redis_io.connection_thread import ConnectionThread
from redis_bridge.redis_io.health import Health
from redis_bridge.redis_io.resp import code_of, raise_if_error
from redis_bridge.redis_io.tracking import INVALIDATE, disjoint_prefixes

WAITING = 1000  # events that may wait for who iterates; beyond, the server's buffers fill
BATCH = 100  # stream entries of one read
FULL_POLL_S = 0.2

Payload = bytes | dict[bytes, bytes]  # a dict of fields for a hash and for plain stream entries


class Event(NamedTuple):
    """What came under a name, or is stored there now, undecoded."""

    name: str
    kind: str  # channel | key | hash | stream
    payload: Payload | None  # None: the key or hash is gone
    meta: Meta | None = None  # of a stream entry
    id: str | None = None  # of a stream entry


class WatchEvent(NamedTuple):
    """What happened besides messages; `name` None means all."""

    event: str  # connected | lost | gap | unreadable | bug
    name: str | None
    text: str


def read_command(name: str, kind: str) -> tuple[str | int, ...]:
    """Return the command that reads what a key, hash or stream holds now."""
    if kind == 'stream':
        return ('XREVRANGE', name, '+', '-', 'COUNT', 1)
    return ('HGETALL' if kind == 'hash' else 'GET', name)


def stored(name: str, kind: str, reply: Any) -> Event:
    """Return what a reply to `read_command` says; its payload is None for nothing."""
    if kind == 'key':
        return Event(name, kind, reply)
    if kind == 'stream':
        return entry(name, reply[0]) if reply else Event(name, kind, None)
    return Event(name, kind, pairs(reply) or None)


def entry(name: str, reply: Sequence[Any]) -> Event:
    """Return a stream entry; its payload is all fields if there is no field `data`."""
    fields = pairs(reply[1])
    return Event(name, 'stream', fields.get(DATA, fields), from_entry(fields), reply[0].decode())


def pairs(reply: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return a dict of a flat list of keys and values."""
    return dict(zip(reply[::2], reply[1::2], strict=True))


class Watch:
    """Threads that follow names and queue what comes; connections are made again by themselves."""

    def __init__(self, address: Address, timing: Timing) -> None:
        self._address = address
        self._timing = timing
        self._queue: queue.Queue[Event | WatchEvent] = queue.Queue(WAITING)
        self._lock = threading.Lock()
        self._threads: list[ConnectionThread] = []
        self._closed = threading.Event()

    def follow(self, watched: Iterable[tuple[str, str]]) -> None:
        """Follow (name, kind) pairs too; returns once they are subscribed.

        :raises redis.RedisError: that did not come about; the names are not followed then.
        """
        watched = list(dict.fromkeys(watched))
        streams = [name for name, kind in watched if kind == 'stream']
        others = [pair for pair in watched if pair[1] != 'stream']
        roles: list[_Listening | _Streaming] = []
        if others:
            roles.append(_Listening(self, others))
        if streams:
            roles.append(_Streaming(self, streams))
        deadline = time.monotonic() + self._timing.connect_s + self._timing.reply_s
        for role in roles:
            role.thread.start()
        with self._lock:
            self._threads += [role.thread for role in roles]
        for role in roles:
            problem = role.health.first(max(0.0, deadline - time.monotonic()))
            if problem is not None:
                for other in roles:
                    other.thread.close(time.monotonic())
                raise redis.ConnectionError(problem)

    def get(self, timeout: float | None) -> Event | WatchEvent | None:
        """Return what came next, None if nothing did in time or the watch is closed."""
        end = None if timeout is None else time.monotonic() + timeout
        while not self._closed.is_set() or not self._queue.empty():
            left = 0.5 if end is None else min(0.5, end - time.monotonic())
            try:
                return self._queue.get(timeout=max(0.0, left))
            except queue.Empty:
                if end is not None and time.monotonic() >= end:
                    return None
        return None

    @property
    def closed(self) -> bool:
        """Whether the watch was closed."""
        return self._closed.is_set()

    def put(self, item: Event | WatchEvent) -> None:
        """Queue what came; waits while the queue is full, so that the server keeps the rest."""
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=FULL_POLL_S)
            except queue.Full:
                continue
            return

    def thread(self, role: str, session: Any, health: _Health) -> ConnectionThread:
        """Return a thread of this watch."""
        return ConnectionThread(role, self._address, session, health=health, timing=self._timing)

    def close(self) -> None:
        """End the threads and close their connections; closing twice is harmless."""
        self._closed.set()
        with self._lock:
            threads, self._threads = self._threads, []
        for thread in threads:
            thread.finish()
            thread.interrupt()
        for thread in threads:
            thread.close(time.monotonic() + 1.0)


class _Health(Health):
    """Turns the states of one connection into events instead of log lines."""

    def __init__(self, watch: Watch) -> None:
        super().__init__(logging.getLogger(__name__), '')
        self._watch = watch
        self._known = threading.Event()
        self._problem: str | None = None
        self._reported: str | None = None
        self.times_up = 0

    def add(self, role: str) -> None:
        """Do nothing: the role is not connected yet."""

    def mark_connected(self, role: str) -> None:
        """Report that the names are followed (again)."""
        self.times_up += 1
        self._reported = None
        if self.times_up > 1:
            self._watch.put(WatchEvent('connected', None, 'connected to Redis again'))
        self._known.set()

    def mark_disconnected(self, role: str, problem: str, *, quiet: bool = False) -> None:
        """Report why there is no connection, unless just reported."""
        if not self._known.is_set():  # the caller of `first` raises it
            self._problem = problem
            self._known.set()
        elif problem != self._reported and not quiet:
            self._reported = problem
            self._watch.put(WatchEvent('lost', None, f'no connection to Redis: {problem}'))

    def bug(self, role: str, text: str) -> None:
        """Report an internal error."""
        self._watch.put(WatchEvent('bug', None, f'internal error: {text}'))

    def first(self, seconds: float) -> str | None:
        """Return why the first attempt failed, None if it did not."""
        if not self._known.wait(seconds):
            return 'no answer'
        return self._problem


class _Listening:
    """Channels, keys and hashes: all that one subscribed connection receives."""

    def __init__(self, watch: Watch, watched: list[tuple[str, str]]) -> None:
        self._watch = watch
        self._channels = {name.encode(): name for name, kind in watched if kind == 'channel'}
        self._keys: dict[bytes, list[tuple[str, str]]] = {}
        for name, kind in watched:
            if kind != 'channel':
                self._keys.setdefault(name.encode(), []).append((name, kind))
        self._last: dict[tuple[str, str], Any] = {}
        self._refused: set[tuple[str, str]] = set()
        self.health = _Health(watch)
        self.thread = watch.thread('watch', self._session, self.health)

    def _session(self, connection: Connection) -> None:
        reader = self.thread.second_connection() if self._keys else None
        subscribed = [*self._channels]
        if reader is not None:
            # Redirected to itself, tracking cannot outlive or lose its target; BCAST needs no
            # memory of what was read.
            connection.call(
                'CLIENT',
                'TRACKING',
                'ON',
                'REDIRECT',
                connection.call('CLIENT', 'ID'),
                'BCAST',
                *(word for prefix in disjoint_prefixes(self._keys) for word in ('PREFIX', prefix)),
            )
            subscribed.append(INVALIDATE)
        connection.send([('SUBSCRIBE', *subscribed)])
        for _ in subscribed:
            raise_if_error(connection.reply())
        again = self.health.times_up > 0
        self.thread.mark_connected()
        if again:
            for name in self._channels.values():
                text = 'what was published while the connection was lost is missed'
                self._watch.put(WatchEvent('gap', name, text))
        if reader is not None:
            self._read(reader, self._keys)
        pings = Pings(self.thread.timing)
        while not self.thread.closing.is_set():
            changed: dict[bytes, None] = {}
            if connection.wait(pings.wait_s(), self.thread.waker):
                while connection.has_reply():
                    self._take(connection.reply(), changed)
                pings.heard()
            if changed and reader is not None:
                self._read(reader, changed)
            pings.tick(connection)

    def _take(self, reply: Any, changed: dict[bytes, None]) -> None:
        """Queue a message, or note which keys changed."""
        raise_if_error(reply)
        if reply[0] != b'message':
            return
        _, channel, data = reply
        if channel != INVALIDATE:
            self._watch.put(Event(self._channels[channel], 'channel', data))
        elif data is None:  # the database was flushed
            changed.update(dict.fromkeys(self._keys))
        else:
            changed.update(dict.fromkeys(name for name in data if name in self._keys))

    def _read(self, reader: Connection, changed: Iterable[bytes]) -> None:
        """Queue the keys that hold something else than when last read."""
        wanted = [pair for name in changed for pair in self._keys[name]]
        replies = reader.pipe([read_command(*pair) for pair in wanted])
        for pair, reply in zip(wanted, replies, strict=True):
            if isinstance(reply, redis.ResponseError):
                if pair not in self._refused:
                    self._refused.add(pair)
                    self._watch.put(WatchEvent('unreadable', pair[0], _refusal(reply, pair[1])))
                continue
            self._refused.discard(pair)
            now = stored(*pair, reply)
            if now.payload != self._last.get(pair):
                self._last[pair] = now.payload
                self._watch.put(now)


class _Streaming:
    """The entries that come to streams from now on."""

    def __init__(self, watch: Watch, names: list[str]) -> None:
        self._watch = watch
        self._names = {name.encode(): name for name in names}
        self._cursors: dict[bytes, bytes] = {}
        self.health = _Health(watch)
        self.thread = watch.thread('watch streams', self._session, self.health)

    def _session(self, connection: Connection) -> None:
        ends = connection.pipe([('XINFO', 'STREAM', name) for name in self._names])
        for name, reply in zip(self._names, ends, strict=True):
            end = self._end(reply)
            cursor = self._cursors.setdefault(name, end)
            if _order(end) < _order(cursor):
                self._cursors[name] = end
                text = 'the stream lost its newest entries: what comes now may have come before'
                self._watch.put(WatchEvent('gap', self._names[name], text))
        self.thread.mark_connected()
        block_ms = self.thread.timing.block_ms
        while not self.thread.closing.is_set():
            streams = (*self._cursors, *self._cursors.values())
            reply = connection.call(
                'XREAD', 'COUNT', BATCH, 'BLOCK', block_ms, 'STREAMS', *streams
            )
            for name, entries in reply or ():
                for item in entries:
                    self._watch.put(entry(self._names[name], item))
                self._cursors[name] = entries[-1][0]

    def _end(self, reply: Any) -> bytes:
        """Return the id of the last entry that ever was, from the reply of XINFO STREAM."""
        if isinstance(reply, redis.ResponseError):
            if code_of(reply) == 'ERR':  # no such key
                return b'0-0'
            raise reply
        return pairs(reply)[b'last-generated-id']


def _order(id_: bytes) -> tuple[int, int]:
    milliseconds, _, number = id_.partition(b'-')
    return int(milliseconds), int(number)


def _refusal(error: redis.ResponseError, kind: str) -> str:
    if code_of(error) == 'WRONGTYPE':
        return f'the stored value is no {"hash" if kind == "hash" else "string"}'
    return f'cannot be read: {error}'
