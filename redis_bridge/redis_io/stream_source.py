# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Streams: their entries in order, from a cursor of our own.

A cursor can be wrong in two ways that Redis does not report, so both are checked for: the
stream was trimmed beyond it before we read (entries are missed), or a server came back with less
than we had read (the cursor is ahead of the stream and would see nothing any more).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import redis

from redis_bridge.protocol.stream_ids import StreamId, id_number, id_text
from redis_bridge.redis_io.connection import Command, Connection
from redis_bridge.redis_io.replay import REPLAY_S
from redis_bridge.redis_io.resp import is_redirected, pairs, raise_if_error
from redis_bridge.redis_io.source import R, Setup, Source, SourceReceiver

COUNT = 100  # at most so many entries of a stream are asked for at once
READ_BYTES = 4 << 20  # about so much of a reply is held at once
ACK_WAIT_MS = 50  # of a blocking read of a group while entries wait to be acknowledged
REMEMBERED = 10_000
REMEMBERED_S = 2 * REPLAY_S
REMEMBERED_MOST = 100_000
LOOK_AGAIN_S = 5.0
BEHIND_S = 1.0
MAY_BEGIN_MS = 100  # how often receivers that may not begin yet are asked again


class Entry(NamedTuple):
    """One entry of a stream; `fields` is None if it was trimmed meanwhile."""

    id: bytes
    fields: list[bytes] | None

    def as_dict(self) -> dict[bytes, bytes]:
        """Return the fields by name."""
        fields = self.fields or []
        return pairs(fields)

    @property
    def size(self) -> int:
        """The bytes of all fields."""
        return sum(map(len, self.fields or ()))


class StreamReceiver(SourceReceiver, Protocol):
    """What follows one stream."""

    @property
    def start(self) -> str:
        """Where reading starts: new, last or beginning."""

    def may_begin(self) -> bool:
        """Return whether entries may be handed on already; asked until it is so."""

    def receive(self, entries: list[Entry]) -> None:
        """Take all entries that waited, oldest first."""


class Info:
    """What XINFO STREAM reports; all zero for a stream that does not exist."""

    def __init__(self, reply: Any) -> None:
        fields = {} if reply is None else pairs(reply)
        self.last = id_number(fields.get(b'last-generated-id', b'0-0'))
        first, last = fields.get(b'first-entry'), fields.get(b'last-entry')
        self.first = id_number(first[0]) if first else None
        self.entry_bytes = max([Entry(*entry).size for entry in (first, last) if entry], default=0)
        self.length: int = fields.get(b'length', 0)
        # From Redis 7.0 on; deletions by hand make the number useless for a cursor to find gaps.
        self.ever_added: int | None = fields.get(b'entries-added') if fields else 0
        self.added = self.ever_added
        if fields.get(b'max-deleted-entry-id', b'0-0') != b'0-0':
            self.added = None


def before(number: StreamId) -> StreamId:
    """Return the largest id smaller than `number`."""
    millis, count = number
    return (millis, count - 1) if count else (millis - 1, (1 << 64) - 1)


class DeliveredEntries:
    """The entries handed on lately; what a restored server holds again is not handed on twice.

    They are as many as a sink may write again: those of the last seconds, and at least
    REMEMBERED; never more than twice REMEMBERED_MOST.
    """

    def __init__(self) -> None:
        self._new: dict[bytes, int] = {}
        self._old: dict[bytes, int] = {}
        self._turned = time.monotonic()

    def add(self, entry: Entry) -> None:
        """Remember an entry."""
        self._new[entry.id] = hash(tuple(entry.fields or ()))
        count, now = len(self._new), time.monotonic()
        is_aged = now - self._turned > REMEMBERED_S
        if (count >= REMEMBERED and is_aged) or count >= REMEMBERED_MOST:
            self._old, self._new, self._turned = self._new, {}, now

    def __contains__(self, entry: Entry) -> bool:
        known = self._new.get(entry.id) or self._old.get(entry.id)
        return known is not None and known == hash(tuple(entry.fields or ()))


class Followed(Generic[R]):
    """One stream that is read for one receiver, and how far."""

    def __init__(self, name: bytes, receiver: R) -> None:
        self.name = name
        self.receiver = receiver
        self.is_readable = True
        self.seen = DeliveredEntries()


F = TypeVar('F', bound='Followed[Any]')


class StreamReading(Source[R], Generic[R, F]):
    """What cursors and groups have in common: a blocking read in turn with checks."""

    def __init__(self, role: str, setup: Setup) -> None:
        super().__init__(role, setup)
        self._applied: Mapping[bytes, Sequence[R]] = {}
        self._streams: dict[R, F] = {}
        self._count = COUNT  # asked for next; less while entries are large

    def _session(self, connection: Connection) -> None:
        self._reconcile()
        self._look(connection)
        look_at = time.monotonic() + LOOK_AGAIN_S
        block_ms = 0
        while self._goes_on():
            if self._reconcile() or time.monotonic() >= look_at:
                self._look(connection)
                look_at = time.monotonic() + LOOK_AGAIN_S
            self._read(connection, block_ms)
            if not block_ms:
                self.thread.mark_connected()
                block_ms = self._timing.block_ms

    def _reconcile(self) -> bool:
        """Follow what is wanted; return whether that changed."""
        wanted = self._wanted
        if wanted is self._applied:
            return False
        self._applied = wanted
        self._forget_unwanted()
        self._streams = {
            receiver: self._streams.get(receiver) or self._followed(name, receiver)
            for name, receivers in wanted.items()
            for receiver in receivers
        }
        return True

    def _followed(self, name: bytes, receiver: R) -> F:
        """Return what is to be known of a stream that is new here."""
        raise NotImplementedError

    def _look(self, connection: Connection) -> None:
        """Check all streams for what Redis does not report by itself."""
        raise NotImplementedError

    def _read(self, connection: Connection, block_ms: int) -> None:
        """Read once, and hand on what came."""
        raise NotImplementedError

    def _ask(
        self, connection: Connection, command: Command, block_ms: int
    ) -> Iterator[tuple[bytes, list[Entry]]]:
        """Send a reading command; yield entries by stream, as they come; raises ResponseError.

        A large reply comes in parts of about READ_BYTES, and all must be taken before the next
        command.
        """
        connection.send([command])
        deadline = time.monotonic() + block_ms / 1000 + self._timing.reply_s
        while not connection.wait(deadline - time.monotonic(), self.thread.waker):
            if block_ms > ACK_WAIT_MS and not self._goes_on():
                raise redis.ConnectionError('the read was given up')
            if time.monotonic() >= deadline:
                raise redis.ConnectionError('no reply to a blocking read')
        largest = 0
        goes_on = True
        for part in connection.reply_in_parts(READ_BYTES):
            for name, listed in raise_if_error(part) or ():
                goes_on = goes_on and self._goes_on()  # asked for each, because one may take long
                entries = [Entry(*entry) for entry in listed]
                largest = max([largest, *(entry.size for entry in entries)])
                if goes_on:  # else what was read comes again, by our cursor or as pending
                    yield name, entries
        self._count = min(2 * self._count, COUNT)
        self._limit_count(largest)

    def _limit_count(self, size: int) -> None:
        """Ask for so few entries that those of a size fit into READ_BYTES."""
        self._count = min(self._count, max(1, READ_BYTES // max(1, size)))

    def _infos(self, connection: Connection, streams: Iterable[F]) -> list[tuple[F, Info]]:
        """Ask about streams; those that cannot be read are reported, and left out.

        It is for the caller to report that others can be read, once nothing else prevents it.
        """
        streams = list(streams)
        connection.send([('XINFO', 'STREAM', stream.name) for stream in streams])
        infos = []
        for stream in streams:  # each reply holds two entries, which may be large
            reply = connection.reply()
            if is_redirected(reply):  # the next connection finds the node, or the same one later
                raise redis.ConnectionError(str(reply))
            if isinstance(reply, redis.ResponseError):
                if 'no such key' not in str(reply):
                    self._mark(stream, reply)
                    continue
                reply = None
            info = Info(reply)
            self._limit_count(info.entry_bytes)
            infos.append((stream, info))
        return infos

    def _mark(self, stream: F, error: redis.ResponseError | None) -> None:
        """Note whether a stream can be read."""
        stream.is_readable = error is None
        self._report(stream.receiver, error)


class Cursor(Followed[StreamReceiver]):
    """A stream that is read from a cursor on."""

    def __init__(self, name: bytes, receiver: StreamReceiver) -> None:
        super().__init__(name, receiver)
        self.at: StreamId = (0, 0)
        self.has_begun = False  # its place is known
        self.may_read = False
        self.read: int | None = None  # how many entries the stream ever had up to the cursor
        self.replay_until: StreamId = (0, 0)  # what was read up to here may come again
        self.is_behind = False
        self.check_at = 0.0


class StreamSource(StreamReading[StreamReceiver, Cursor]):
    """XREAD; the cursors live in memory, as the promise of `new`, `last` and `beginning` is."""

    def _followed(self, name: bytes, receiver: StreamReceiver) -> Cursor:
        return Cursor(name, receiver)

    def _look(self, connection: Connection) -> None:
        for cursor, info in self._infos(connection, self._streams.values()):
            if cursor.has_begun:
                self._check(cursor, info)
            else:
                self._begin(connection, cursor, info)
            self._mark(cursor, None)

    def _begin(self, connection: Connection, cursor: Cursor, info: Info) -> None:
        cursor.has_begun = True
        cursor.read = info.added
        if cursor.receiver.start == 'beginning':
            cursor.read = None if info.added is None else info.added - info.length
            return
        cursor.at = info.last
        if cursor.receiver.start == 'last' and info.length:
            newest = connection.call('XREVRANGE', cursor.name, id_text(info.last), '-', 'COUNT', 1)
            for entry in map(Entry._make, newest):
                cursor.at = before(id_number(entry.id))
                cursor.read = None if info.added is None else info.added - 1

    def _check(self, cursor: Cursor, info: Info) -> None:
        """Look for what was trimmed unread, and for a server that came back with less."""
        cursor.is_behind = False
        cursor.check_at = time.monotonic() + BEHIND_S
        receiver = cursor.receiver
        if info.last < cursor.at:
            receiver.gap(
                None, f'the server came back with an older state, up to {id_text(info.last)}'
            )
            cursor.replay_until = max(cursor.replay_until, cursor.at)
            cursor.at, cursor.read = info.last, info.added
        elif info.added is None or cursor.read is None:
            # All that an older server lets us see: our place itself was trimmed away.
            if cursor.at > (0, 0) and info.first is not None and cursor.at < info.first:
                receiver.gap(None, 'trimmed before they were read, perhaps')
                cursor.at = before(info.first)
        elif info.added < cursor.read and info.first is not None and cursor.at < info.first:
            if gone := info.added - info.length:
                receiver.gap(gone, 'the stream was deleted, and trimmed before they were read')
            cursor.read = gone
        else:
            gone = info.added if info.last == cursor.at else info.added - info.length
            if gone > cursor.read:
                receiver.gap(gone - cursor.read, 'trimmed before they were read')
                cursor.read = gone
            elif info.last == cursor.at:
                cursor.read = gone

    def _read(self, connection: Connection, block_ms: int) -> None:
        """Read all streams; of the cursors in one stream the first one blocks for all."""
        rounds: list[dict[bytes, Cursor]] = [{}]
        for cursor in self._streams.values():
            cursor.may_read = cursor.may_read or cursor.receiver.may_begin()
            if not cursor.may_read:
                block_ms = min(block_ms, MAY_BEGIN_MS)
            elif cursor.is_readable:
                free = next((part for part in rounds if cursor.name not in part), None)
                if free is None:
                    free = {}
                    rounds.append(free)
                free[cursor.name] = cursor
        first, *others = rounds
        if not first:
            connection.pause(block_ms / 1000, self.thread.waker)
            return
        for part in others:
            if self._read_round(connection, part, 0):
                block_ms = 0
        self._read_round(connection, first, block_ms)
        for part in others:
            self._read_round(connection, part, 0)

    def _read_round(
        self, connection: Connection, cursors: dict[bytes, Cursor], block_ms: int
    ) -> bool:
        """Read streams by one cursor each; return whether anything came."""
        if not self._goes_on():
            return False
        block: Command = ('BLOCK', block_ms) if block_ms else ()
        places = (*cursors, *(id_text(cursor.at) for cursor in cursors.values()))
        command = ('XREAD', 'COUNT', self._count, *block, 'STREAMS', *places)
        came = set()
        try:
            for name, entries in self._ask(connection, command, block_ms):
                came.add(name)
                cursor = cursors[name]
                cursor.at = id_number(entries[-1].id)
                if cursor.read is not None:
                    cursor.read += len(entries)
                cursor.is_behind = True
                self._hand_on(cursor, entries)
        except redis.ResponseError:
            self._look(connection)  # finds which one it is
            if all(cursor.is_readable for cursor in cursors.values()):
                raise
            return False
        if not self._goes_on():
            return False
        now = time.monotonic()
        behind = [
            cursor
            for name, cursor in cursors.items()
            if cursor.is_behind and (name not in came or now >= cursor.check_at)
        ]
        if behind:
            for cursor, info in self._infos(connection, behind):
                self._check(cursor, info)
        return bool(came)

    def _hand_on(self, cursor: Cursor, entries: list[Entry]) -> None:
        new = []
        for entry in entries:
            if id_number(entry.id) <= cursor.replay_until and entry in cursor.seen:
                continue
            cursor.seen.add(entry)
            new.append(entry)
        if new:
            cursor.receiver.receive(new)
