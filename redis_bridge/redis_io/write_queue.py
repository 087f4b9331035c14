# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What waits to be written to Redis, by the rules of each kind of sink.

======== ================= =============================================== ======================
kind     promise           waits                                           Redis is away
======== ================= =============================================== ======================
key,hash the latest value  one value; a newer one takes its place          kept until its ttl_ms
stream   at least once     in order, with an id from the first attempt on  kept
channel  at most once      while connected, for max_wait_ms at most        dropped at once
======== ================= =============================================== ======================

The queue is bounded, except for latest values, of which there are no more than sinks. If it is
full, messages of channels are given up before entries of streams, and of these those of the sink
that takes the most room.

Producers put and the writer takes; neither waits for the network. All that is given up is counted
by its reason.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from weakref import WeakValueDictionary

from redis_bridge.counters import Counters
from redis_bridge.mapping.model import SinkConfig, StreamSinkConfig
from redis_bridge.ports import Write, size_of
from redis_bridge.protocol.stream_ids import IdSource
from redis_bridge.redis_io.handle import Handle, PendingWrite

BATCH_COMMANDS = 512
BATCH_BYTES = 1 << 20
# Longest time a producer yields, once per batch, to a writer that has fallen behind. Python may
# let a thread wait 5 ms for the interpreter wherever it calls the system: beside an executor
# without a pause, the writer would fall back further and further, and what was converted for it
# would be dropped.
YIELD_S = 0.002
WRITE_OVERHEAD = 200  # bytes that a waiting write takes beside its payload, roughly


class WriteQueue:
    """The waiting writes of all sinks; thread-safe, without a thread or a connection.

    `wake` is called when something was put while the writer sleeps. `state_of` returns
    'open', or why no writes of a sink are sent.
    """

    def __init__(
        self,
        wake: Callable[[], None],
        state_of: Callable[[Handle], str] = lambda handle: 'open',
        *,
        max_count: int = 10_000,
        max_bytes: int = 64 << 20,
    ) -> None:
        self.state_of = state_of
        self._wake = wake
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._lock = threading.Lock()  # over all below
        self._open: set[Handle] = set()
        self._ids: WeakValueDictionary[str, IdSource] = WeakValueDictionary()  # by stream
        self._kept: deque[PendingWrite] = deque()  # over an outage
        self._transient: deque[PendingWrite] = deque()  # at most once, and renewals
        self._again: deque[PendingWrite] = deque()  # entries that the server has lost
        self._waiting: dict[Handle, None] = {}  # sinks with writes that count for the bounds
        self._count = 0  # of these writes
        self._bytes = 0
        self._order = 0
        self._is_connected = False
        self._is_closed = False
        self._is_standby = False
        self._is_asleep = False  # the writer must be woken
        self._batch_taken = threading.Event()  # since a producer yielded last

    def __len__(self) -> int:
        return sum(write.order > 0 for queue in (self._kept, self._transient) for write in queue)

    @property
    def size(self) -> int:
        """Return the bytes that waiting writes take, roughly, without latest values."""
        return self._bytes

    # --- sinks ----------------------------------------------------------------------------------
    def open(self, config: SinkConfig, counters: Counters, *, is_mirrored: bool = False) -> Handle:
        """Return a new handle; all that write one stream share its ids."""
        with self._lock:
            is_stream = isinstance(config, StreamSinkConfig)
            ids = self._ids.setdefault(config.name, IdSource()) if is_stream else None
            handle = Handle(self, config, counters, ids, is_mirrored)
            self._open.add(handle)
        return handle

    def release(self, handle: Handle) -> None:
        """Give a handle back; what waits is still written."""
        with self._lock:
            self._open.discard(handle)

    def opened(self) -> list[Handle]:
        """Return the open handles."""
        with self._lock:
            return list(self._open)

    def move(self, handle: Handle, other: WriteQueue) -> None:
        """Give a handle to another queue, with what waits; nothing of it may be under way.

        Both locks are held, or what is put meanwhile would come before what waits. For that, no
        two threads may move handles at once.
        """
        with self._lock, other._lock:
            self._open.discard(handle)
            waiting = [dataclasses.replace(write) for write in handle.writes]
            while handle.writes:
                taken = handle.writes[0]
                self._remove(taken)
                taken.order = 0  # its queue passes over it
            handle.is_renewing = False
            for write in self._transient:
                if write.handle is handle:
                    write.order = 0
            lost = [write for write in self._again if write.handle is handle]
            self._again = deque(write for write in self._again if write.handle is not handle)
            handle.queue = other
            other._adopt(handle, waiting, lost)
        other._wake()

    def streams(self) -> dict[str, IdSource]:
        """Return the ids of all streams that are open or have entries on their way."""
        with self._lock:
            return dict(self._ids)

    def handles(self, name: str) -> list[Handle]:
        """Return the open handles of a stream."""
        with self._lock:
            return [h for h in self._open if h.ids is not None and h.name == name]

    def unanswered(self) -> list[PendingWrite]:
        """Return the entries that wait and were sent before, so that they may be stored."""
        with self._lock:
            return [w for w in self._kept if w.order and w.entry_id is not None]

    # --- producers ------------------------------------------------------------------------------
    def put(self, handle: Handle, writes: Sequence[Write], *, flush: bool = True) -> None:
        """Queue writes of one sink, oldest first; yields to a writer that has fallen behind.

        :param flush: as in `ports.Sink.write`.
        """
        if handle.keeps_latest and len(writes) > 1:
            handle.counters.drop('superseded', len(writes) - 1)
            writes = writes[-1:]
        now = time.monotonic()
        self._put(
            handle,
            [
                PendingWrite(handle, load, meta, size_of(load), now, then)
                for load, meta, then in writes
            ],
            flush=flush,
        )

    def flush(self) -> None:
        """Wake the writer if it sleeps while writes wait."""
        with self._lock:
            must_wake = self._is_asleep and bool(self._kept or self._transient)
            self._is_asleep = self._is_asleep and not must_wake
        if must_wake:
            self._wake()

    def renew(self, handle: Handle) -> bool:
        """Take a sample that equals the last one; return False if it counts as a write.

        If the server holds the value, only its time to live is renewed. A hash is written again
        for that, which fails if the key is another's by now. Before the server has taken a value,
        nothing is renewed: the key may be another's.
        """
        now = time.monotonic()
        with self._lock:
            last = handle.writes[0] if handle.writes else handle.last
            is_held = not handle.writes and not handle.is_lost
            handle.valid_at = now
        if handle.is_mirrored and not is_held:
            return True  # its route looks whether it `holds`; what was written last may be old
        if not is_held:
            if last is None:  # the server cannot take it
                handle.counters.drop('refused')
            else:
                payload, meta, size, then = last.payload, last.meta, last.size, last.then
                self._put(handle, [PendingWrite(handle, payload, meta, size, now, then)])
            return False
        if handle.ttl_ms is not None and last is not None and not handle.is_renewing:
            if not handle.expires_apart:
                self._put(handle, [PendingWrite(handle, None, None, 0, now)])
            else:
                self._put(handle, [_again(last, now)])
        return True

    def _put(self, handle: Handle, writes: list[PendingWrite], *, flush: bool = True) -> None:
        with self._lock:
            is_ours = handle.queue is self  # else it was moved just now
            if is_ours:
                self._accept(handle, writes)
            must_wake = is_ours and flush and self._is_asleep
            self._is_asleep = self._is_asleep and not must_wake
            is_behind = len(self._kept) + len(self._transient) > BATCH_COMMANDS
        if not is_ours:
            handle.queue._put(handle, writes, flush=flush)
        elif must_wake:
            self._wake()
        elif is_behind and self._batch_taken.is_set():
            self._batch_taken.clear()
            self._batch_taken.wait(YIELD_S)

    # --- the writer -----------------------------------------------------------------------------
    def connect(self, lost: Iterable[PendingWrite]) -> None:
        """Take events too from now on; `lost` is to be written again first."""
        with self._lock:
            self._is_connected = True
            self._again = deque(lost)

    def disconnect(self, unfinished: Iterable[PendingWrite]) -> bool:
        """Drop what is not kept over an outage; `unfinished` was taken and not settled.

        Return whether nothing was left that the server had lost before.
        """
        with self._lock:
            self._is_connected = self._is_asleep = False
            while write := self._take_oldest(is_paused=True):
                write.drop('disconnected')
            moved = self._put_back(unfinished)
            is_restored = not self._again
            self._again.clear()  # the replay buffer has them, and the next connection decides
        _hand_back(moved)
        return is_restored

    def take(self, *, is_paused: bool = False) -> list[PendingWrite]:
        """Take the next batch, in a pause only what is not kept; drop what waited too long."""
        now = time.monotonic()
        batch: list[PendingWrite] = []
        size = 0
        with self._lock:
            while len(batch) < BATCH_COMMANDS and size < BATCH_BYTES:
                is_again = bool(self._again) and not is_paused
                write = self._again.popleft() if is_again else self._take_oldest(is_paused)
                if write is None:
                    break
                if now - write.queued_at > write.handle.max_wait_s:
                    write.drop('too_old')
                    self._note_lost(write)
                else:
                    batch.append(write)
                    size += write.size
        self._batch_taken.set()
        return batch

    def put_back(self, writes: Iterable[PendingWrite]) -> None:
        """Queue again, in front and in their order, what was taken and is to be tried again."""
        with self._lock:
            moved = self._put_back(writes)
        _hand_back(moved)

    def settle(self, written: Iterable[PendingWrite], now: float) -> list[PendingWrite]:
        """Count writes that the server took; return those that it took for the first time.

        What depends on their success follows them: notices.
        """
        first: list[PendingWrite] = []
        totals: dict[Handle, list[PendingWrite]] = {}
        for write in written:
            handle = write.handle
            if write.payload is None:
                continue
            if handle.keeps_latest:
                if write.is_again and handle.is_lost:
                    handle.counters.count_event('rewritten')
                handle.last, handle.is_lost = write, False
                handle.valid_at = max(handle.valid_at, write.queued_at)
            if not write.acknowledged_at and not write.is_again:
                first.append(write)
                totals.setdefault(handle, []).append(write)
            write.acknowledged_at = now
            if write.then is not None:
                self._batch_taken.clear()  # the writer must not yield to itself
                write.then()
                write.then = None
        for handle, writes in totals.items():
            latency_s = now * len(writes) - sum(write.queued_at for write in writes)
            handle.counters.carry(len(writes), sum(write.size for write in writes), latency_s)
        return first

    def lose(self, write: PendingWrite, *, for_good: bool = False) -> None:
        """Note that the server rejected a value; it is tried again unless that is hopeless."""
        with self._lock:
            self._note_lost(write)
            if for_good and write.handle.keeps_latest:
                write.handle.last = None

    def write_again(self, handle: Handle) -> None:
        """Queue the last value again, which the server does not hold, unless a newer one waits.

        It is not valid for any longer than before. A mirrored key is left to its last writer: only
        the next sample is written again.
        """
        with self._lock:
            handle.is_lost = True
            last = handle.last
            if last is None or handle.writes or handle.is_mirrored or handle.queue is not self:
                return
            if not handle.has_expired(time.monotonic()):
                self._append(handle, [_again(last, handle.valid_at)])

    def resting(self, rest_s: float) -> list[Handle]:
        """Return the open sinks whose last value the server should have, and had for a while."""
        now = time.monotonic()
        resting = []
        with self._lock:
            for handle in self._open:
                if handle.last is None or handle.writes:
                    continue
                if handle.has_expired(now):
                    handle.is_lost = True  # so that an equal sample is written
                elif now - handle.last.acknowledged_at >= rest_s:
                    resting.append(handle)
        return resting

    def sleep(self, *, is_paused: bool = False) -> bool:
        """Return whether nothing can be taken; then the next put wakes the writer."""
        with self._lock:
            self._is_asleep = not self._transient and (is_paused or not self._kept)
            return self._is_asleep

    def stand_by(self, is_standby: bool) -> None:
        """Keep the latest values only, until it is our turn, or all again."""
        with self._lock:
            self._is_standby = is_standby
            waiting = []
            while is_standby and (write := self._take_oldest()):
                if write.handle.keeps_latest:
                    waiting.append(write)
                else:
                    write.drop('closed')
            self._put_back(waiting)

    def close(self) -> bool:
        """Take nothing more; return whether what waits can be written."""
        with self._lock:
            self._is_closed = True
            return self._is_connected

    def clear(self) -> None:
        """Drop what waits."""
        with self._lock:
            for lost in self._again:
                lost.handle.counters.count_event('missed')
            while write := self._take_oldest():
                write.drop('closed')

    # --- under the lock -------------------------------------------------------------------------
    def _accept(self, handle: Handle, writes: list[PendingWrite]) -> None:
        is_closed = self._is_closed or (self._is_standby and not handle.keeps_latest)
        if is_closed or not (self._is_connected or writes[0].is_kept()):
            for write in writes:
                write.drop('closed' if is_closed else 'disconnected')
        elif handle.keeps_latest and handle.writes and writes[0].payload is not None:
            self._replace(handle.writes[0], writes[0])
        else:
            self._append(handle, writes)

    def _adopt(
        self, handle: Handle, waiting: list[PendingWrite], lost: list[PendingWrite]
    ) -> None:
        """Take over a handle of another queue."""
        self._open.add(handle)
        if handle.ids is not None:
            self._ids.setdefault(handle.name, handle.ids)
        for write in waiting:
            if self._is_connected or write.is_kept():
                self._append(handle, [write])
            else:
                write.drop('disconnected')
        self._again.extend(lost)

    def _append(self, handle: Handle, writes: list[PendingWrite]) -> None:
        for write in writes:
            self._order += 1
            write.order = self._order
        (self._kept if writes[0].is_kept() else self._transient).extend(writes)
        if writes[0].payload is None:
            handle.is_renewing = True
        else:
            handle.writes += writes
            self._add(handle, writes)
            self._drop_excess()

    def _add(self, handle: Handle, writes: Sequence[PendingWrite]) -> None:
        """Count writes that wait from now on."""
        size = sum(write.size for write in writes) + len(writes) * WRITE_OVERHEAD
        handle.size += size
        if not handle.keeps_latest:
            self._waiting[handle] = None
            self._count += len(writes)
            self._bytes += size

    def _note_lost(self, write: PendingWrite) -> None:
        handle = write.handle
        if handle.keeps_latest and write.payload is not None:
            handle.last, handle.is_lost = write, True
            handle.valid_at = max(handle.valid_at, write.queued_at)

    def _replace(self, waiting: PendingWrite, new: PendingWrite) -> None:
        """Let a newer value take the place of one that waits."""
        waiting.drop('superseded')
        waiting.handle.size += new.size - waiting.size
        waiting.payload, waiting.meta, waiting.size = new.payload, new.meta, new.size
        waiting.queued_at, waiting.then = new.queued_at, new.then
        waiting.acknowledged_at, waiting.failed_attempts = new.acknowledged_at, 0
        waiting.is_again = new.is_again

    def _take_oldest(self, is_paused: bool = False) -> PendingWrite | None:
        while True:
            queue, kept = self._transient, self._kept
            if not is_paused and kept and (not queue or kept[0].order < queue[0].order):
                queue = kept
            if not queue:
                return None
            write = queue.popleft()
            if write.order:  # else it was given up
                self._remove(write)
                return write

    def _remove(self, write: PendingWrite) -> None:
        """Count a write that does not wait any more; it is the oldest of its sink."""
        handle = write.handle
        if write.payload is None:
            handle.is_renewing = False
            return
        handle.writes.popleft()
        handle.size -= write.size + WRITE_OVERHEAD
        if not handle.keeps_latest:
            self._count -= 1
            self._bytes -= write.size + WRITE_OVERHEAD
            if not handle.writes:
                del self._waiting[handle]

    def _drop_excess(self) -> None:
        """Keep the queue within its bounds."""
        while self._bytes > self._max_bytes or self._count > self._max_count:
            best_effort = [handle for handle in self._waiting if handle.at_most_once]
            largest = max(best_effort or self._waiting, key=lambda handle: handle.size)
            oldest = largest.writes[0]
            self._remove(oldest)
            oldest.drop('outbox_full')
            oldest.order = 0  # its queue passes over it

    def _put_back(self, writes: Iterable[PendingWrite]) -> list[PendingWrite]:
        """Queue writes again; return those of handles that were moved meanwhile, newest first."""
        moved = []
        for write in sorted(writes, key=lambda write: write.order, reverse=True):
            handle = write.handle
            if handle.queue is not self:
                moved.append(write)
            elif write.acknowledged_at and handle.ids is not None:
                self._again.appendleft(write)
            elif not write.is_kept():
                write.drop('disconnected')
            elif handle.keeps_latest and handle.writes:
                write.drop('superseded')
            else:
                self._kept.appendleft(write)
                handle.writes.appendleft(write)
                self._add(handle, [write])
        self._drop_excess()
        return moved


def _hand_back(moved: Iterable[PendingWrite]) -> None:
    """Queue writes, newest first, again where their handles are now."""
    for write in moved:
        write.handle.queue.put_back([write])


def _again(last: PendingWrite, valid_at: float) -> PendingWrite:
    """Return a value that was written or rejected, to be written once more."""
    return dataclasses.replace(last, queued_at=valid_at, failed_attempts=0, is_again=True)
