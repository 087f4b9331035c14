# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Streams: their entries in order, by a cursor of our own or as a member of a consumer group.

A cursor can be wrong in two ways that Redis does not tell by itself, so both are looked for: the
stream was trimmed beyond it before we read (entries are missed), or a server came back with less
than we had read (the cursor lies ahead of the stream and would see nothing any more).
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import redis

from redis_bridge.mapping.model import StreamSourceConfig
from redis_bridge.ports import Received, Receiver
from redis_bridge.protocol import keys
from redis_bridge.protocol.meta import Meta
from redis_bridge.protocol.stream_ids import StreamId, id_number, id_text
from redis_bridge.redis_io.address import Address, Timing
from redis_bridge.redis_io.connection import Command, Connection, NoReply
from redis_bridge.redis_io.connection_thread import ConnectionThread
from redis_bridge.redis_io.health import Health
from redis_bridge.redis_io.replay import REPLAY_S
from redis_bridge.redis_io.resp import code_of, raise_if_error

COUNT = 100
REMEMBERED = 10_000
REMEMBERED_S = 2 * REPLAY_S
REMEMBERED_MOST = 100_000
LOOK_AGAIN_S = 5.0
BEHIND_S = 1.0
ACK_WAIT_MS = 50  # of a blocking read while entries may be acknowledged from other threads
WANTED_MS = 200  # how often those who want nothing are asked again
REDELIVER_S = 10.0
DEAD_MAXLEN = 10_000


class Entry(NamedTuple):
    """One entry as it stands in the stream; `fields` is None where it was trimmed meanwhile."""

    id: bytes
    fields: list[bytes] | None

    def arrival(self, done: Callable[[bool], None] | None = None) -> Received | None:
        """Return what a receiver gets; None where there is no field `data`."""
        told = dict(zip(self.fields[::2], self.fields[1::2]))
        if b'data' not in told:
            return None
        return Received(told[b'data'], _meta(told), done)


def _meta(told: dict[bytes, bytes]) -> Meta | None:
    try:
        stamp = float(told[b'stamp'])
        meta = Meta(told.get(b'origin', b'').decode(), int(told.get(b'seq', 0)), stamp)
    except (KeyError, ValueError):  # left out, or nonsense: then nothing is known
        return None
    return meta if math.isfinite(stamp) else None


class Info:
    """What XINFO STREAM tells; all zero for a stream that does not exist."""

    def __init__(self, reply: Any) -> None:
        told = {} if reply is None else dict(zip(reply[::2], reply[1::2]))
        self.last = id_number(told.get(b'last-generated-id', b'0-0'))
        first = told.get(b'first-entry')
        self.first = id_number(first[0]) if first else None
        self.length = told.get(b'length', 0)
        # From Redis 7.0 on; deletions by hand make the number useless for finding gaps.
        self.added = told.get(b'entries-added') if told else 0
        if told.get(b'max-deleted-entry-id', b'0-0') != b'0-0':
            self.added = None


def before(number: StreamId) -> StreamId:
    """Return the largest id smaller than `number`."""
    millis, count = number
    return (millis, count - 1) if count else (millis - 1, (1 << 64) - 1)


class DeliveredEntries:
    """The entries handed on lately; what a restored server holds again is not handed on twice.

    They are as many as a sink's ring may write again: those of the last seconds, and at least
    REMEMBERED; never more than twice REMEMBERED_MOST.
    """

    def __init__(self) -> None:
        self._new: dict[bytes, int] = {}
        self._old: dict[bytes, int] = {}
        self._turned = time.monotonic()

    def add(self, entry: Entry) -> None:
        """Remember an entry."""
        self._new[entry.id] = hash(tuple(entry.fields))
        count, now = len(self._new), time.monotonic()
        is_aged = now - self._turned > REMEMBERED_S
        if (count >= REMEMBERED and is_aged) or count >= REMEMBERED_MOST:
            self._old, self._new, self._turned = self._new, {}, now

    def __contains__(self, entry: Entry) -> bool:
        known = self._new.get(entry.id) or self._old.get(entry.id)
        return known is not None and known == hash(tuple(entry.fields))


class Followed:
    """One stream that is read, and how far."""

    def __init__(self, config: StreamSourceConfig, receiver: Receiver) -> None:
        self.name = config.name
        self.start = config.start
        self.receiver = receiver
        self.trouble: str | None = None  # the error that keeps it from being read
        self.seen = DeliveredEntries()
        self.told_no_data = False

    def __str__(self) -> str:
        return f'stream {self.name}'


class StreamReader:
    """One connection that reads streams, and its thread; see the two kinds below."""

    def __init__(
        self,
        role: str,
        address: Address,
        *,
        command: bool,
        health: Health,
        log: logging.Logger,
        timing: Timing,
        gate: Callable[[], str | None],
    ) -> None:
        self._command = command
        self._log = log
        self._timing = timing
        self._gate = gate
        self._streams: dict[bytes, Any] = {}
        self.thread = ConnectionThread(
            role, address, self._session,
            health=health, timing=timing, on_disconnect=self._disconnected, gate=gate,
        )  # fmt: skip

    def takes(self, config: StreamSourceConfig, command: bool) -> bool:
        """Tell whether the stream can be read along with the others here."""
        return command == self._command and config.name.encode() not in self._streams

    def _session(self, connection: Connection) -> None:
        self._prepare(connection)
        look_at = time.monotonic() + LOOK_AGAIN_S
        block_ms = 0
        while self._goes_on():
            if time.monotonic() >= look_at:
                self._look(connection)
                look_at = time.monotonic() + LOOK_AGAIN_S
            self._read(connection, block_ms)
            if not block_ms:
                self.thread.mark_connected()
                block_ms = self._timing.block_ms

    def _goes_on(self) -> bool:
        return not self.thread.closing.is_set() and self._gate() is None

    def _prepare(self, connection: Connection) -> None:
        raise NotImplementedError

    def _look(self, connection: Connection) -> None:
        raise NotImplementedError

    def _read(self, connection: Connection, block_ms: int) -> None:
        raise NotImplementedError

    def _ask(
        self, connection: Connection, command: Command, block_ms: int
    ) -> list[tuple[Any, list[Entry]]]:
        """Send a reading command; return the entries by stream; raises ResponseError."""
        connection.send([command])
        deadline = time.monotonic() + block_ms / 1000 + self._timing.reply_s
        while not connection.wait(deadline - time.monotonic(), self.thread.waker):
            if block_ms > ACK_WAIT_MS and not self._goes_on():
                return []  # the connection ends, and with it the command
            if time.monotonic() >= deadline:
                raise NoReply('no reply to a blocking read')
        reply = raise_if_error(connection.reply())
        if not self._goes_on():
            return []  # what was read comes again, by our cursor or as pending
        return [
            (self._streams[name], [Entry(*entry) for entry in entries])
            for name, entries in reply or ()
        ]

    def _infos(self, connection: Connection) -> list[tuple[Any, Info]]:
        """Ask about all streams; those that cannot be read are told of, and left out."""
        streams = list(self._streams.values())
        replies = connection.pipe([('XINFO', 'STREAM', stream.name) for stream in streams])
        infos = []
        for stream, reply in zip(streams, replies):
            if isinstance(reply, redis.ResponseError):
                if 'no such key' not in str(reply):
                    self._refused(stream, reply)
                    continue
                reply = None
            if stream.trouble is not None:
                stream.trouble = None
                self._log.info('%s: can be read', stream)
            infos.append((stream, Info(reply)))
        return infos

    def _refused(self, stream: Followed, error: redis.ResponseError) -> None:
        if stream.trouble != code_of(error):
            stream.trouble = code_of(error)
            self._log.warning('%s: cannot be read: %s', stream, self.thread.redact(error))

    def _miss(self, stream: Followed, missed: int | None, why: str) -> None:
        number = 'entries' if missed is None else f'{missed} entries'
        self._log.warning('%s: %s missed: %s', stream, number, why)
        stream.receiver.gap(missed)

    def _no_data(self, stream: Followed, entry: Entry) -> None:
        if not stream.told_no_data:
            stream.told_no_data = True
            self._log.warning(
                '%s: entry %s has no field `data` (told once)', stream, entry.id.decode()
            )
        stream.receiver.gap(1)

    def _disconnected(self) -> None:
        for stream in self._streams.values():
            stream.receiver.on_disconnect()


class Cursor(Followed):
    """A stream that is read from a cursor on."""

    def __init__(self, config: StreamSourceConfig, receiver: Receiver) -> None:
        super().__init__(config, receiver)
        self.at: StreamId | None = None
        self.read: int | None = None  # how many entries the stream ever had up to the cursor
        self.replay_until: StreamId = (0, 0)  # what was read up to here may come again
        self.is_behind = False
        self.check_at = 0.0


class CursorReader(StreamReader):
    """XREAD; the cursors live in memory, as the promise of `new`, `last` and `beginning` is."""

    def add(self, config: StreamSourceConfig, receiver: Receiver) -> None:
        """Have a receiver told the entries of a stream; before the start."""
        self._streams[config.name.encode()] = Cursor(config, receiver)

    def _prepare(self, connection: Connection) -> None:
        self._look(connection)

    def _look(self, connection: Connection) -> None:
        for stream, info in self._infos(connection):
            if stream.at is None:
                self._begin(connection, stream, info)
            else:
                self._check(stream, info)

    def _begin(self, connection: Connection, stream: Cursor, info: Info) -> None:
        stream.read = info.added
        if stream.start == 'beginning':
            stream.at = (0, 0)
            stream.read = None if info.added is None else info.added - info.length
            return
        stream.at = info.last
        if stream.start == 'last' and info.length:
            newest = connection.call('XREVRANGE', stream.name, id_text(info.last), '-', 'COUNT', 1)
            self._hand_on(stream, [Entry(*entry) for entry in newest])

    def _check(self, stream: Cursor, info: Info) -> None:
        """Look for what was trimmed unread, and for a server that came back with less."""
        stream.is_behind = False
        stream.check_at = time.monotonic() + BEHIND_S
        if info.last < stream.at:
            self._miss(stream, None, f'the server came back with an older state, '
                                     f'up to {id_text(info.last)}')  # fmt: skip
            stream.replay_until = max(stream.replay_until, stream.at)
            stream.at, stream.read = info.last, info.added
        elif info.added is None or stream.read is None:
            # All that an older server lets us see: our place itself was trimmed away.
            if stream.at > (0, 0) and info.first is not None and stream.at < info.first:
                self._miss(stream, None, 'trimmed before they were read, perhaps')
                stream.at = before(info.first)
        else:
            gone = info.added if info.last == stream.at else info.added - info.length
            if gone > stream.read:
                self._miss(stream, gone - stream.read, 'trimmed before they were read')
                stream.read = gone
            elif info.last == stream.at:
                stream.read = gone

    def _read(self, connection: Connection, block_ms: int) -> None:
        ready = [s for s in self._streams.values() if s.trouble is None]
        if not ready:
            self.thread.closing.wait(block_ms / 1000)
            return
        block = ('BLOCK', block_ms) if block_ms else ()
        places = (*(s.name for s in ready), *(id_text(s.at) for s in ready))
        try:
            answers = self._ask(
                connection, ('XREAD', 'COUNT', COUNT, *block, 'STREAMS', *places), block_ms
            )
        except redis.ResponseError:
            self._look(connection)  # finds which one it is
            if all(s.trouble is None for s in ready):
                raise
            return
        if not self._goes_on():
            return
        got = {id(stream) for stream, _ in answers}
        for stream, entries in answers:
            stream.at = id_number(entries[-1].id)
            if stream.read is not None:
                stream.read += len(entries)
            stream.is_behind = True
            self._hand_on(stream, entries)
        now = time.monotonic()
        for stream in ready:
            if stream.is_behind and (id(stream) not in got or now >= stream.check_at):
                for other, info in self._infos(connection):
                    if other is stream:
                        self._check(stream, info)

    def _hand_on(self, stream: Cursor, entries: list[Entry]) -> None:
        arrivals = []
        for entry in entries:
            if id_number(entry.id) <= stream.replay_until and entry in stream.seen:
                continue
            stream.seen.add(entry)
            arrival = entry.arrival()
            if arrival is None:
                self._no_data(stream, entry)
            else:
                arrivals.append(arrival)
        if arrivals:
            stream.receiver.receive(arrivals)


class Member(Followed):
    """A stream that is read as a member of a group."""

    def __init__(self, config: StreamSourceConfig, receiver: Receiver) -> None:
        super().__init__(config, receiver)
        self.pending_from: bytes | None = b'0-0'  # our own pending entries come first; None: done
        self.unacknowledged: dict[bytes, tuple[Entry, float]] = {}  # not yet done, and until when
        self.trimmed_told: StreamId | None = None


class GroupReader(StreamReader):
    """XREADGROUP; an entry is acknowledged once its receiver is done with it."""

    def __init__(
        self,
        role: str,
        address: Address,
        *,
        group: str,
        consumer: str,
        redeliver_s: float = REDELIVER_S,
        **shared: Any,
    ) -> None:
        super().__init__(role, address, **shared)
        self._group = group
        self._consumer = consumer
        self._redeliver_s = redeliver_s
        self._lock = threading.Lock()
        self._done: deque[tuple[Member, Entry, bool]] = deque()

    def takes(self, config: StreamSourceConfig, command: bool) -> bool:
        """Tell whether the stream can be read along with the others here."""
        return config.group == self._group and super().takes(config, command)

    def add(self, config: StreamSourceConfig, receiver: Receiver) -> None:
        """Have a receiver told the entries that the group gives us; before the start."""
        self._streams[config.name.encode()] = Member(config, receiver)

    def _session(self, connection: Connection) -> None:
        for stream in self._streams.values():
            stream.pending_from = b'0-0'
        super()._session(connection)
        self._acknowledge(connection)

    def _prepare(self, connection: Connection) -> None:
        infos = self._infos(connection)
        replies = connection.pipe([('XINFO', 'GROUPS', stream.name) for stream, _ in infos])
        for (stream, info), reply in zip(infos, replies):
            if isinstance(reply, redis.ResponseError):
                reply = []
            groups = [dict(zip(group[::2], group[1::2])) for group in reply]
            ours = next((g for g in groups if g[b'name'] == self._group.encode()), None)
            if ours is None:
                self._create(connection, stream)
            else:
                self._check(stream, info, ours)

    def _create(self, connection: Connection, stream: Member) -> None:
        """Create the group at the stream's beginning: what is there is work to be done."""
        try:
            connection.call('XGROUP', 'CREATE', stream.name, self._group, '0', 'MKSTREAM')
        except redis.ResponseError as error:
            if code_of(error) != 'BUSYGROUP':
                self._refused(stream, error)
        stream.pending_from = None

    def _check(self, stream: Member, info: Info, group: dict[bytes, Any]) -> None:
        """Look for entries that were trimmed before the group was given them."""
        delivered = id_number(group[b'last-delivered-id'])
        if info.first is None or not (0, 0) < delivered < info.first:
            return
        read = group.get(b'entries-read')
        missed = None
        if read is not None and info.added is not None:
            missed = info.added - info.length - read
        if missed != 0 and stream.trimmed_told != delivered:
            stream.trimmed_told = delivered
            self._miss(stream, missed, 'trimmed before they were read')

    def _look(self, connection: Connection) -> None:
        self._prepare(connection)
        now = time.monotonic()
        for stream in self._streams.values():
            # What nobody was done with for long is read, and handed on, again.
            with self._lock:
                stale = [i for i, (_, until) in stream.unacknowledged.items() if until < now]
                for number in stale:
                    del stream.unacknowledged[number]
            if stale:
                stream.pending_from = b'0-0'

    def _read(self, connection: Connection, block_ms: int) -> None:
        self._acknowledge(connection)
        ready = [
            stream
            for stream in self._streams.values()
            if stream.trouble is None
            and len(stream.unacknowledged) < COUNT
            and stream.receiver.has_subscribers()
        ]
        if not ready:
            if connection.wait(min(block_ms, WANTED_MS) / 1000, self.thread.waker):
                raise redis.ConnectionError(f'unexpected reply {connection.reply()!r:.60}')
            return
        pending = [stream for stream in ready if stream.pending_from is not None]
        for stream in pending:
            for _, entries in self._ask_group(connection, [stream], 0):
                self._hand_on_pending(stream, entries)
        fresh = [stream for stream in ready if stream.pending_from is None]
        if fresh:
            for stream, entries in self._ask_group(
                connection, fresh, self._block_ms(block_ms, ready)
            ):
                self._hand_on(stream, entries)
        self._acknowledge(connection)

    def _block_ms(self, longest_ms: int, ready: list[Member]) -> int:
        """Return for how long a read may block while other things may become due."""
        if any(stream.pending_from is not None for stream in ready):
            return 0
        with self._lock:
            if self._done or any(stream.unacknowledged for stream in self._streams.values()):
                return min(longest_ms, ACK_WAIT_MS)
        return longest_ms if len(ready) == len(self._streams) else min(longest_ms, WANTED_MS)

    def _ask_group(
        self, connection: Connection, streams: list[Member], block_ms: int
    ) -> list[tuple[Member, list[Entry]]]:
        block = ('BLOCK', block_ms) if block_ms else ()
        places = (*(s.name for s in streams), *(s.pending_from or '>' for s in streams))
        command = (
            'XREADGROUP', 'GROUP', self._group, self._consumer, 'COUNT', COUNT, *block,
            'STREAMS', *places,
        )  # fmt: skip
        try:
            return self._ask(connection, command, block_ms)
        except redis.ResponseError as error:
            if code_of(error) == 'NOGROUP':
                for stream in streams:
                    self._miss(stream, None, 'the stream or its group was deleted')
            self._prepare(connection)
            if code_of(error) != 'NOGROUP' and all(s.trouble is None for s in streams):
                raise
            return []

    def _hand_on_pending(self, stream: Member, entries: list[Entry]) -> None:
        """Hand on again what we had been given before and were not done with."""
        stream.pending_from = entries[-1].id if entries else None
        self._hand_on(
            stream, [entry for entry in entries if entry.id not in stream.unacknowledged]
        )

    def _hand_on(self, stream: Member, entries: list[Entry]) -> None:
        arrivals = []
        until = time.monotonic() + self._redeliver_s
        for entry in entries:
            if entry.fields is None:
                self._miss(stream, 1, f'{entry.id.decode()} was trimmed before it was done')
                self._done.append((stream, entry, True))
                continue
            if entry in stream.seen:  # done before; the server came back without knowing
                self._done.append((stream, entry, True))
                continue
            with self._lock:
                stream.unacknowledged[entry.id] = (entry, until)
            arrival = entry.arrival(self._when_done(stream, entry))
            if arrival is None:
                self._no_data(stream, entry)
                self._note_done(stream, entry, False)
            else:
                arrivals.append(arrival)
        if arrivals:
            stream.receiver.receive(arrivals)

    def _when_done(self, stream: Member, entry: Entry) -> Callable[[bool], None]:
        return lambda good: self._note_done(stream, entry, good)

    def _note_done(self, stream: Member, entry: Entry, good: bool) -> None:
        """Queue an acknowledgement; called from the receiver's thread, whichever that is."""
        with self._lock:
            if stream.unacknowledged.pop(entry.id, None) is None:
                return
            self._done.append((stream, entry, good))
        self.thread.waker.set()

    def _acknowledge(self, connection: Connection) -> None:
        """Tell the server what is done; kept until it has replied."""
        while self._done:
            some = [self._done[i] for i in range(min(len(self._done), COUNT))]
            commands: list[Command] = []
            for stream, entry, good in some:
                if not good:
                    commands.append((
                        'XADD', keys.dead_stream(stream.name), 'MAXLEN', '~', DEAD_MAXLEN, '*',
                        *entry.fields, 'id', entry.id,
                    ))  # fmt: skip
                commands.append(('XACK', stream.name, self._group, entry.id))
            replies = connection.pipe(commands)
            for reply in replies:
                if isinstance(reply, redis.ResponseError):
                    self._log.warning('group %s: %s', self._group, self.thread.redact(reply))
            for stream, entry, _ in some:
                self._done.popleft()
                if entry.fields is not None:
                    stream.seen.add(entry)
