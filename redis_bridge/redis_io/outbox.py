# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The way out: one queue and one thread that write what all sinks are given to Redis.

ROS threads only append to the queue, and give way for a moment where its writer falls behind. What
may wait, and what becomes of it when Redis is away, is a matter of the kind of sink:

======== ================= =============================================== ======================
kind     promise           waits                                           Redis is away
======== ================= =============================================== ======================
key,hash the latest value  one value; a newer one takes its place          kept until its ttl_ms
stream   at least once     in order, with an id from the first sending on  kept
channel  at most once      while connected                                 dropped at once
======== ================= =============================================== ======================

A write is never repeated blindly. A stream's entries carry ids that we chose, so that the server
refuses to take one twice; and those acknowledged lately are kept in a ring, from which they are
written again where a server that came back has lost them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import redis

from redis_bridge.counters import Counters
from redis_bridge.mapping.model import SinkConfig
from redis_bridge.redis_io.address import Address, Timing
from redis_bridge.redis_io.clock import Clock
from redis_bridge.redis_io.connection import Command, Connection
from redis_bridge.redis_io.connection_thread import ConnectionThread
from redis_bridge.redis_io.health import Health
from redis_bridge.redis_io.resp import code_of
from redis_bridge.redis_io.sinks import (
    SINKS,
    Item,
    NoticeWriter,
    OutboxSink,
    StreamId,
    StreamLog,
    StreamWriter,
    id_text,
    last_id,
)

BATCH_COMMANDS = 512
BATCH_BYTES = 1 << 20
# How long who puts gives way, once a batch, to a writer that is behind. Python may let a thread
# wait 5 ms for the interpreter wherever it calls the system: beside an executor without a pause,
# the writer would fall back further and further, and what was converted for it be dropped.
GIVE_WAY_S = 0.002
ITEM_OVERHEAD = 200  # bytes that a waiting item takes beside its payload, roughly
RING_S = 10.0
# A server that finds a value too big (proto-max-bulk-len) may only close the connection. So that
# one value does not keep all others from being written, a big one is not tried for ever.
BIG_BYTES = 256 << 10
BIG_LOSSES = 3
DURABLE_MS = 1000  # how long a batch may wait for its replica or its fsync

# The server cannot now, but will; what was refused is written again.
RETRY = {
    'OOM', 'READONLY', 'BUSY', 'MISCONF', 'NOREPLICAS', 'MASTERDOWN', 'CLUSTERDOWN', 'TRYAGAIN',
}  # fmt: skip
HINTS = {
    'WRONGTYPE': 'another kind of key has this name; delete it, or choose another name',
    'NOPERM': 'the Redis user lacks a right; see ACL LOG on the server',
    'OOM': 'the server is out of memory; raise maxmemory or lower maxlen and ttl_ms',
    'MISCONF': 'the server cannot save to its disk; see its log',
    'READONLY': 'this server is a replica; give the address of the primary',
    'NOREPLICAS': 'the server waits for replicas (min-replicas-to-write)',
}
DURABLE_COMMANDS: dict[str, Command] = {
    'replicated': ('WAIT', 1, DURABLE_MS),
    'fsynced': ('WAITAOF', 1, 0, DURABLE_MS),
}


class Ring:
    """The entries of streams acknowledged lately, for a server that comes back without them."""

    def __init__(self, seconds: float, size: int) -> None:
        self._seconds = seconds
        self._max_size = size
        self._size = 0
        self._items: deque[Item] = deque()

    def add(self, item: Item, now: float) -> None:
        """Keep an entry, and let go of those that are too old or too many."""
        self._items.append(item)
        self._size += item.size + ITEM_OVERHEAD
        while self._size > self._max_size or self._items[0].acked < now - self._seconds:
            old = self._items.popleft()
            self._size -= old.size + ITEM_OVERHEAD
            if old.id is not None:
                old.sink.entries.evicted = max(old.sink.entries.evicted, old.id)
            if not self._items:
                break

    def since(self, last: dict[StreamLog, StreamId]) -> list[Item]:
        """Return the entries beyond the last ones that the server has."""
        return [
            item
            for item in self._items
            if item.sink.entries in last and (item.id is None or item.id > last[item.sink.entries])
        ]


class Outbox:
    """The queue of all sinks, and the thread that writes it."""

    def __init__(
        self,
        address: Address,
        clock: Clock,
        health: Health,
        log: logging.Logger,
        timing: Timing,
        *,
        max_count: int = 10_000,
        max_bytes: int = 64 << 20,
        ring_s: float = RING_S,
        ring_bytes: int = 64 << 20,
    ) -> None:
        self.clock = clock
        self._log = log
        self._timing = timing
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._lock = threading.Lock()  # over what stands in the next paragraph
        self._stored: deque[Item] = deque()  # for keys, hashes and streams
        self._events: deque[Item] = deque()  # for channels, and renewals: not worth keeping
        self._bytes = 0
        self._order = 0
        self._connected = False
        self._closed = False
        self._asleep = False  # whether the thread must be woken
        self._took = threading.Event()  # since somebody gave way last, the thread took a batch

        self._streams: dict[str, StreamLog] = {}
        self._ring = Ring(ring_s, ring_bytes)
        self._restore: deque[Item] = deque()  # of the ring: to be written again
        self._flight: deque[Item] = deque()  # sent, not yet answered
        self._undecided: list[Item] = []  # answered, and to be written again
        self._held_until = 0.0  # while the server refuses to store anything
        self._hold_s = timing.retry_first_s
        self._trouble: str | None = None
        self._not_durable: set[str] = set()
        self._callbacks: list[Callable[[bool], None]] = []
        self._was_connected = False
        self._thread = ConnectionThread(
            'writer', address, self._session, health=health, timing=timing
        )

    # --- for the bridge's threads ---------------------------------------------------------------
    def sink(self, config: SinkConfig, counts: Counters, notice_key: str | None) -> OutboxSink:
        """Return the sink for a configuration."""
        if getattr(config, 'send', 'payload') == 'notice':
            if notice_key is None:
                raise ValueError(f'channel {config.name}: a notice needs the key it tells of')
            return NoticeWriter(self, config, counts, notice_key)
        return SINKS[type(config)](self, config, counts)

    def entries_of(self, name: str, counts: Counters) -> StreamLog:
        """Return the ids of a stream, shared by all that write it; `counts` is one writer's."""
        with self._lock:
            entries = self._streams.setdefault(name, StreamLog())
            entries.counts.append(counts)
            return entries

    def on_connected(self, callback: Callable[[bool], None]) -> None:
        """Have `callback(again)` run after each connect, in the writing thread."""
        self._callbacks.append(callback)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def trouble(self) -> str | None:
        """Return why the server stores nothing, though it is connected; None if it does."""
        return self._trouble

    def put(self, items: Sequence[Item]) -> None:
        """Queue items of one sink by its rules; of one that keeps the latest it is one item."""
        sink = items[0].sink
        is_renewal = items[0].payload is None
        with self._lock:
            if self._closed:
                dropped = [(item, 'closed') for item in items]
            elif (sink.is_event or is_renewal) and not self._connected:
                dropped = [(item, 'disconnected') for item in items]
            elif sink.waiting is not None and not is_renewal:
                self._replace(sink.waiting, items[0])
                dropped = [(items[0], 'superseded')] + self._shed()
            else:
                for item in items:
                    self._append(item)
                dropped = self._shed()
            must_wake, self._asleep = self._asleep, False
            is_behind = len(self._stored) + len(self._events) > BATCH_COMMANDS
        if must_wake:
            self._thread.waker.set()
        elif is_behind and self._took.is_set():
            self._took.clear()
            self._took.wait(GIVE_WAY_S)
        for item, reason in dropped:
            _drop(item, reason)

    def close(self, flush_s: float) -> None:
        """Write what waits, for so long; drop the rest; end the thread."""
        with self._lock:
            self._closed = True
            connected = self._connected
        # Where there is no connection now, there is little hope for one.
        self._thread.close(time.monotonic() + (flush_s if connected else min(flush_s, 0.2)))
        with self._lock:
            left = [*self._stored, *self._events]
            self._stored.clear()
            self._events.clear()
            self._bytes = 0
        for item in left:
            _drop(item, 'closed')

    # --- under the lock -------------------------------------------------------------------------
    def _append(self, item: Item) -> None:
        self._order += 1
        item.order = self._order
        self._bytes += item.size + ITEM_OVERHEAD
        if item.sink.is_event or item.payload is None:
            self._events.append(item)
        else:
            self._stored.append(item)
            if item.sink.keeps_latest:
                item.sink.waiting = item

    def _replace(self, old: Item, new: Item) -> None:
        """Let `new` take the place of `old` in the queue; `new` becomes the one given up."""
        self._bytes += new.size - old.size
        old.payload, new.payload = new.payload, old.payload
        old.size, new.size = new.size, old.size
        old.acked, new.acked = new.acked, old.acked
        old.put, old.meta, old.losses = new.put, new.meta, 0

    def _remove_oldest(self, stored: bool = True) -> Item | None:
        """Take the oldest item off the queue, or off that of events alone."""
        queue = self._events
        if stored and self._stored and (not queue or self._stored[0].order < queue[0].order):
            queue = self._stored
        if not queue:
            return None
        item = queue.popleft()
        self._bytes -= item.size + ITEM_OVERHEAD
        if item.sink.waiting is item:
            item.sink.waiting = None
        return item

    def _shed(self) -> list[tuple[Item, str]]:
        """Keep the queue within its bounds; return what was given up for it."""
        shed = []
        while (
            self._bytes > self._max_bytes
            or len(self._stored) + len(self._events) > self._max_count
        ):
            shed.append((self._remove_oldest(), 'outbox_full'))
        return shed

    def _put_back(self, items: Iterable[Item]) -> list[tuple[Item, str]]:
        """Queue again, in front, what was sent in vain; return what is given up."""
        dropped = []
        for item in sorted(items, key=lambda item: item.order, reverse=True):
            if item.acked and isinstance(item.sink, StreamWriter):
                if self._connected:
                    self._restore.appendleft(item)
                continue  # else the ring has it, and the next connection will tell
            if item.payload is None or item.sink.is_event:
                dropped.append((item, 'disconnected'))
            elif item.sink.waiting is not None:
                dropped.append((item, 'superseded'))
            else:
                self._stored.appendleft(item)
                self._bytes += item.size + ITEM_OVERHEAD
                if item.sink.keeps_latest:
                    item.sink.waiting = item
        return dropped + self._shed()

    # --- the writing thread ---------------------------------------------------------------------
    def _session(self, connection: Connection) -> None:
        self.clock.measure(connection)
        self._look_at_streams(connection)
        with self._lock:
            self._connected = True
        self._thread.mark_connected()
        try:
            again, self._was_connected = self._was_connected, True
            for callback in self._callbacks:
                callback(again)
            self._write_all(connection)
        finally:
            self._come_back()

    def _write_all(self, connection: Connection) -> None:
        ping_at = time.monotonic() + self._timing.ping_s
        while True:
            batch = self._take()
            if batch:
                self._write(connection, batch)
                ping_at = time.monotonic() + self._timing.ping_s
            elif self._thread.closing.is_set():
                return
            elif time.monotonic() >= ping_at:
                connection.call('PING')
                ping_at = time.monotonic() + self._timing.ping_s
            else:
                self._sleep(connection, ping_at)

    def _sleep(self, connection: Connection, until: float) -> None:
        """Wait until something is put, something is due, or the server goes away."""
        now = time.monotonic()
        with self._lock:
            held = self._held_until > now
            if self._events or (not held and self._stored) or self._thread.closing.is_set():
                return
            self._asleep = True
        if self._held_until > now:
            until = min(until, self._held_until)
        if connection.wait(until - now, self._thread.waker):
            raise redis.ConnectionError(f'unexpected reply {connection.reply()!r:.60}')
        with self._lock:
            self._asleep = False

    def _take(self) -> list[Item]:
        """Take the next batch off the queue."""
        batch: list[Item] = []
        size = 0
        held = self._held_until > time.monotonic()
        while self._restore and not held and len(batch) < BATCH_COMMANDS and size < BATCH_BYTES:
            batch.append(self._restore.popleft())
            size += batch[-1].size
        with self._lock:
            while len(batch) < BATCH_COMMANDS and size < BATCH_BYTES:
                item = self._remove_oldest(stored=not held)
                if item is None:
                    break
                batch.append(item)
                size += item.size
        self._took.set()
        return batch

    def _write(self, connection: Connection, batch: list[Item]) -> None:
        """Send a batch, and decide on each item by its replies."""
        now = time.monotonic()
        commands: list[Command] = []
        replies: deque[int] = deque()  # how many belong to each item in flight
        durable: dict[str, Command] = {}
        for item in batch:
            if now - item.put > item.sink.longest_s:
                _drop(item, 'too_old')
                continue
            add = item.sink.commands(item)
            commands += add
            replies.append(len(add))
            self._flight.append(item)
            if item.sink.durability != 'memory':
                durable[item.sink.durability] = DURABLE_COMMANDS[item.sink.durability]
        taken: list[Item] = []
        doubtful: list[Item] = []
        retry: str | None = None
        try:
            connection.send([*commands, *durable.values()])
            while self._flight:
                answers = [connection.reply() for _ in range(replies.popleft())]
                item = self._flight.popleft()
                error = _error_in(answers)
                if error is None:
                    taken.append(item)
                    if item.payload is None and answers[0] == 0:
                        self._write_last_again(item.sink)
                elif 'equal or smaller' in str(error) and item.id is not None:
                    doubtful.append(item)
                    self._undecided.append(item)
                elif code_of(error) in RETRY and not item.sink.is_event:
                    retry = self._hold(error)
                    self._undecided.append(item)
                else:
                    self._refuse(item, error)
            for how in durable:
                self._check_durability(how, connection.reply(), taken)
            for item in doubtful:
                if self._is_stored(connection, item):
                    self._undecided.remove(item)
                    taken.append(item)
        finally:
            self._acknowledge(taken)
        if retry is None and any(not item.sink.is_event for item in taken):
            self._release()
        if self._undecided:
            again, self._undecided = self._undecided, []
            with self._lock:
                dropped = self._put_back(again)
            for item, reason in dropped:
                _drop(item, reason)
        if retry == 'READONLY':
            raise redis.ConnectionError(f'READONLY: {HINTS["READONLY"]}')

    def _come_back(self) -> None:
        """Sort what was under way when the connection ended: kept, or given up."""
        for item in self._flight:
            item.losses += 1
        too_big = [i for i in self._flight if i.losses >= BIG_LOSSES and i.size >= BIG_BYTES]
        back = [*self._undecided, *(item for item in self._flight if item not in too_big)]
        self._flight.clear()
        self._undecided.clear()
        self._restore.clear()
        with self._lock:
            self._connected = False
            self._asleep = False
            events = [(item, 'disconnected') for item in self._events]
            self._bytes -= sum(item.size + ITEM_OVERHEAD for item in self._events)
            self._events.clear()
            dropped = self._put_back(back)
        for item, reason in [*events, *dropped]:
            _drop(item, reason)
        for item in too_big:
            _drop(item, 'refused')
            self._log.warning(
                '%s: %d bytes given up, as %d connections ended while they were under way',
                item.sink, item.size, item.losses,
            )  # fmt: skip

    # --- what replies mean ----------------------------------------------------------------------
    def _acknowledge(self, items: list[Item]) -> None:
        now = time.monotonic()
        totals: dict[OutboxSink, list[float]] = {}
        for item in items:
            sink = item.sink
            if sink.trouble is not None:
                sink.trouble = None
                self._log.info('%s: is written again', sink)
            if item.payload is None:
                continue
            if sink.keeps_latest:
                sink.last = item
            first_time = not item.acked
            item.acked = now
            if not first_time:
                continue
            total = totals.setdefault(sink, [0, 0, 0.0])
            total[0] += 1
            total[1] += item.size
            total[2] += now - item.put
            if item.id is not None:
                self._ring.add(item, now)
        for sink, (count, size, latency_s) in totals.items():
            sink.counts.carry(int(count), int(size), latency_s)

    def _write_last_again(self, sink: OutboxSink) -> None:
        """Write a value again that was to be renewed, but is gone from the server."""
        with self._lock:
            if sink.waiting is None and sink.last is not None:
                again = Item(
                    sink, sink.last.payload, sink.last.meta, sink.last.size, time.monotonic()
                )
                again.acked = sink.last.acked  # it was counted then
                self._append(again)
        sink.counts.count_event('rewritten')

    def _refuse(self, item: Item, error: redis.ResponseError) -> None:
        code = code_of(error)
        if item.sink.trouble != code:
            item.sink.trouble = code
            hint = HINTS.get(code, 'nothing is written there')
            self._log.warning('%s: %s (%s)', item.sink, self._thread.redact(error), hint)
        _drop(item, 'refused')

    def _hold(self, error: redis.ResponseError) -> str:
        """Stop writing anything but events for a moment."""
        code = code_of(error)
        if self._trouble != code:
            self._trouble = code
            text = self._thread.redact(error)
            self._log.warning('Redis stores nothing: %s (%s)', text, HINTS.get(code, code))
        if self._held_until <= time.monotonic():
            self._held_until = time.monotonic() + self._hold_s
            self._hold_s = min(2 * self._hold_s, self._timing.retry_max_s)
        return code

    def _release(self) -> None:
        if self._trouble is not None:
            self._log.info('Redis stores again, after %s', self._trouble)
        self._trouble = None
        self._hold_s = self._timing.retry_first_s

    def _check_durability(self, how: str, reply: Any, taken: list[Item]) -> None:
        failed = isinstance(reply, redis.ResponseError)
        reached = 0 if failed else reply[0] if isinstance(reply, list) else reply
        if reached >= 1:
            if how in self._not_durable:
                self._not_durable.remove(how)
                self._log.info('streams with durability %s: kept again', how)
            return
        if how not in self._not_durable:
            self._not_durable.add(how)
            reason = self._thread.redact(reply) if failed else f'not within {DURABLE_MS} ms'
            self._log.warning('streams with durability %s: not kept: %s', how, reason)
        for sink, count in Counter(
            item.sink for item in taken if item.sink.durability == how
        ).items():
            sink.counts.count_event('not_durable', count)

    # --- streams --------------------------------------------------------------------------------
    def _look_at_streams(self, connection: Connection) -> None:
        """Find what the server has lost since, and have it written again."""
        with self._lock:
            streams = dict(self._streams)
        replies = connection.pipe([('XINFO', 'STREAM', name) for name in streams])
        found: dict[StreamLog, StreamId] = {}
        for (name, entries), reply in zip(streams.items(), replies):
            last = last_id(reply)
            if last is None:  # its writes will tell why
                continue
            found[entries] = last
            if entries.evicted > last:
                self._log.warning(
                    'stream %s: the server came back without entries that are too old to be '
                    'written again (after %s)', name, id_text(last),
                )  # fmt: skip
                entries.evicted = (0, 0)
                for counts in entries.counts:
                    counts.count_event('gap')
            entries.last = max(entries.last, last)
        missing = self._ring.since(found)
        for sink, count in Counter(item.sink for item in missing).items():
            sink.counts.count_event('resent', count)
        self._restore = deque(sorted(missing, key=lambda item: item.order))

    def _is_stored(self, connection: Connection, item: Item) -> bool:
        """Tell whether the server has an entry that it refuses as not new; else renew its id."""
        name, number = item.sink.name, id_text(item.id)
        found, info = connection.pipe(
            [('XRANGE', name, number, number), ('XINFO', 'STREAM', name)]
        )
        if isinstance(found, list) and found and found[0][1] == item.sink.fields(item):
            return True
        # Another writer came in between.
        last = last_id(info)
        if last is None:
            self._undecided.remove(item)
            self._refuse(item, info)
        else:
            item.sink.entries.last = max(item.sink.entries.last, last)
            item.id = None
        return False


def _error_in(answers: list[Any]) -> redis.ResponseError | None:
    for answer in answers:
        if isinstance(answer, redis.ResponseError):
            return answer
    return None


def _drop(item: Item, reason: str) -> None:
    """Count an item that is given up, unless it was counted as carried before."""
    if item.payload is not None and not item.acked:
        item.sink.counts.drop(reason)
