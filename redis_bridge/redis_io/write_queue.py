# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What waits to be written to Redis, by the rules of each kind of sink.

======== ================= =============================================== ======================
kind     promise           waits                                           Redis is away
======== ================= =============================================== ======================
key,hash the latest value  one value; a newer one takes its place          kept until its ttl_ms
stream   at least once     in order, with an id from the first attempt on  kept
channel  at most once      while connected                                 dropped at once
======== ================= =============================================== ======================

The facts of the sink's configuration decide, not its kind. Producers put and the writer takes;
neither waits for the network. All that is given up is counted by its reason.
"""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

from redis_bridge.counters import Counters
from redis_bridge.mapping.model import SinkConfig
from redis_bridge.ports import Payload, Write
from redis_bridge.protocol.meta import Meta
from redis_bridge.protocol.stream_ids import IdSource, StreamId
from redis_bridge.redis_io.commands import SINK_COMMANDS, renewal
from redis_bridge.redis_io.connection import Command

BATCH_COMMANDS = 512
BATCH_BYTES = 1 << 20
# Longest time a producer yields, once per batch, to a writer that has fallen behind. Python may
# let a thread wait 5 ms for the interpreter wherever it calls the system: beside an executor
# without a pause, the writer would fall back further and further, and what was converted for it
# would be dropped.
YIELD_S = 0.002
WRITE_OVERHEAD = 200  # bytes that a waiting write takes beside its payload, roughly


class Handle:
    """One sink: how its writes wait, and what becomes of them; see `ports.Sink`.

    Nothing else holds its state: it goes with the last reference to the handle or to its writes.
    """

    def __init__(
        self, queue: WriteQueue, config: SinkConfig, counters: Counters, ids: IdSource | None
    ) -> None:
        self.name = config.name
        self.counters = counters
        self.ids = ids  # of a stream
        self.keeps_latest = not config.is_event
        self.is_stored = config.redis_type is not None
        self.at_most_once = config.at_most_once
        self.durability = config.durability
        # A value that waited longer would have expired.
        self.max_wait_s = math.inf if config.ttl_ms is None else config.ttl_ms / 1000
        self.commands = SINK_COMMANDS[type(config)](config)
        self.renewals = renewal(config.name, config.ttl_ms)
        self.waiting: PendingWrite | None = None  # if only the latest is kept
        self.last: PendingWrite | None = None  # what the server took last, likewise
        self._label = f'{config.kind} {config.name}'
        self._queue = queue

    def __str__(self) -> str:
        return self._label

    def write(self, writes: Sequence[Write]) -> None:
        self._queue.put(self, writes)

    def renew(self) -> None:
        self._queue.renew(self)

    def close(self) -> None:
        self._queue.release(self)


@dataclass(eq=False, slots=True)
class PendingWrite:
    """One payload on its way to one sink."""

    handle: Handle
    payload: Payload | None  # None: only the time to live is to be renewed
    meta: Meta | None
    size: int  # of the payload
    queued_at: float  # monotonic seconds
    order: int = 0  # counts up as writes are queued
    entry_id: StreamId | None = None  # of a stream, from the first attempt on
    acknowledged_at: float = 0.0  # when the server took it, if it did
    failed_attempts: int = 0  # connections that ended while it was under way

    def commands(self) -> list[Command]:
        """Return what carries it out."""
        if self.payload is None:
            return self.handle.renewals
        return self.handle.commands.write(self.payload, self.meta, self.entry_id)

    def is_kept(self) -> bool:
        """Return whether it waits while Redis is away or stores nothing."""
        return not self.handle.at_most_once and self.payload is not None

    def drop(self, reason: str) -> None:
        """Count it as given up, unless it was counted as carried before."""
        if self.payload is not None and not self.acknowledged_at:
            self.handle.counters.drop(reason)


def _size(payload: Payload) -> int:
    """Return the bytes of a payload; of a hash those of all names and values."""
    if isinstance(payload, dict):
        return sum(len(field) + len(value) for field, value in payload.items())
    return len(payload)


class WriteQueue:
    """The waiting writes of all sinks; thread-safe, without a thread or a connection.

    `wake` is called when something was put while the writer sleeps.
    """

    def __init__(
        self, wake: Callable[[], None], *, max_count: int = 10_000, max_bytes: int = 64 << 20
    ) -> None:
        self._wake = wake
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._lock = threading.Lock()  # over all below
        self._open: set[Handle] = set()
        self._ids: WeakValueDictionary[str, IdSource] = WeakValueDictionary()  # by stream
        self._kept: deque[PendingWrite] = deque()
        self._not_kept: deque[PendingWrite] = deque()
        self._again: deque[PendingWrite] = deque()  # entries that the server has lost
        self.size = 0  # bytes that waiting writes take, roughly
        self._order = 0
        self._is_connected = False
        self._is_closed = False
        self._is_asleep = False  # the writer must be woken
        self._batch_taken = threading.Event()  # since a producer yielded last

    def __len__(self) -> int:
        return len(self._kept) + len(self._not_kept)

    # --- sinks ----------------------------------------------------------------------------------
    def open(self, config: SinkConfig, counters: Counters) -> Handle:
        """Return a new handle; all that write one stream share its ids."""
        with self._lock:
            is_stream = config.redis_type == 'stream'
            ids = self._ids.setdefault(config.name, IdSource()) if is_stream else None
            handle = Handle(self, config, counters, ids)
            self._open.add(handle)
        return handle

    def release(self, handle: Handle) -> None:
        """Give a handle back; what waits is still written."""
        with self._lock:
            self._open.discard(handle)

    def streams(self) -> dict[str, IdSource]:
        """Return the ids of all streams that are open or have entries on their way."""
        with self._lock:
            return dict(self._ids)

    def handles(self, name: str) -> list[Handle]:
        """Return the open handles of a stream."""
        with self._lock:
            return [h for h in self._open if h.ids is not None and h.name == name]

    # --- producers ------------------------------------------------------------------------------
    def put(self, handle: Handle, writes: Sequence[Write]) -> None:
        """Queue writes of one sink, oldest first; yields to a writer that has fallen behind."""
        if handle.keeps_latest and len(writes) > 1:
            handle.counters.drop('superseded', len(writes) - 1)
            writes = writes[-1:]
        now = time.monotonic()
        new = [PendingWrite(handle, load, meta, _size(load), now) for load, meta in writes]
        self._put(handle, new)

    def renew(self, handle: Handle) -> None:
        """Queue a renewal of the time to live, if there is one and no value waits anyway."""
        if handle.renewals and handle.waiting is None:
            self._put(handle, [PendingWrite(handle, None, None, 0, time.monotonic())])

    def _put(self, handle: Handle, writes: list[PendingWrite]) -> None:
        with self._lock:
            for write in writes:
                if self._is_closed:
                    write.drop('closed')
                elif not self._is_connected and not write.is_kept():
                    write.drop('disconnected')
                elif handle.waiting is not None and write.payload is not None:
                    self._replace(handle.waiting, write)
                else:
                    self._append(write)
            self._drop_oldest()
            must_wake, self._is_asleep = self._is_asleep, False
            is_behind = len(self._kept) + len(self._not_kept) > BATCH_COMMANDS
        if must_wake:
            self._wake()
        elif is_behind and self._batch_taken.is_set():
            self._batch_taken.clear()
            self._batch_taken.wait(YIELD_S)

    # --- the writer -----------------------------------------------------------------------------
    def connect(self, lost: Iterable[PendingWrite]) -> None:
        """Take all writes from now on; `lost` is to be written again first."""
        with self._lock:
            self._is_connected = True
            self._again = deque(lost)

    def disconnect(self, unfinished: Iterable[PendingWrite]) -> None:
        """Drop what is not kept over an outage; `unfinished` was taken and not settled."""
        with self._lock:
            self._is_connected = self._is_asleep = False
            while self._not_kept:
                self._pop(self._not_kept).drop('disconnected')
            self._put_back(unfinished)
            self._again.clear()  # the replay buffer has them, and the next connection decides

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
                else:
                    batch.append(write)
                    size += write.size
        self._batch_taken.set()
        return batch

    def put_back(self, writes: Iterable[PendingWrite]) -> None:
        """Queue again, in front and in their order, what was taken and is to be tried again."""
        with self._lock:
            self._put_back(writes)

    def settle(self, written: Iterable[PendingWrite], now: float) -> list[PendingWrite]:
        """Count writes that the server took; return those that it took for the first time."""
        first: list[PendingWrite] = []
        totals: dict[Handle, list[PendingWrite]] = {}
        for write in written:
            if write.payload is None:
                continue
            if write.handle.keeps_latest:
                write.handle.last = write
            if not write.acknowledged_at:
                first.append(write)
                totals.setdefault(write.handle, []).append(write)
            write.acknowledged_at = now
        for handle, writes in totals.items():
            latency_s = now * len(writes) - sum(write.queued_at for write in writes)
            handle.counters.carry(len(writes), sum(write.size for write in writes), latency_s)
        return first

    def write_again(self, handle: Handle) -> None:
        """Queue the last value again, which is gone from the server, unless a newer one waits."""
        with self._lock:
            if handle.waiting is None and handle.last is not None:
                now = time.monotonic()
                self._append(dataclasses.replace(handle.last, queued_at=now, failed_attempts=0))
        handle.counters.count_event('rewritten')

    def sleep(self, *, is_paused: bool = False) -> bool:
        """Return whether nothing can be taken; then the next put wakes the writer."""
        with self._lock:
            self._is_asleep = not self._not_kept and (is_paused or not self._kept)
            return self._is_asleep

    def close(self) -> bool:
        """Take nothing more; return whether what waits can be written."""
        with self._lock:
            self._is_closed = True
            return self._is_connected

    def clear(self) -> None:
        """Drop what is left after the end."""
        with self._lock:
            while (write := self._take_oldest()) is not None:
                write.drop('closed')

    # --- under the lock -------------------------------------------------------------------------
    def _append(self, write: PendingWrite) -> None:
        self._order += 1
        write.order = self._order
        self.size += write.size + WRITE_OVERHEAD
        if not write.is_kept():
            self._not_kept.append(write)
        else:
            self._kept.append(write)
            if write.handle.keeps_latest:
                write.handle.waiting = write

    def _replace(self, waiting: PendingWrite, new: PendingWrite) -> None:
        """Let a newer value take the place of one that waits."""
        waiting.drop('superseded')
        self.size += new.size - waiting.size
        waiting.payload, waiting.meta, waiting.size = new.payload, new.meta, new.size
        waiting.queued_at = new.queued_at
        waiting.acknowledged_at, waiting.failed_attempts = 0.0, 0

    def _take_oldest(self, is_paused: bool = False) -> PendingWrite | None:
        kept, not_kept = self._kept, self._not_kept
        if not is_paused and kept and (not not_kept or kept[0].order < not_kept[0].order):
            return self._pop(kept)
        return self._pop(not_kept) if not_kept else None

    def _pop(self, queue: deque[PendingWrite]) -> PendingWrite:
        write = queue.popleft()
        self.size -= write.size + WRITE_OVERHEAD
        if write.handle.waiting is write:
            write.handle.waiting = None
        return write

    def _drop_oldest(self) -> None:
        """Keep the queue within its bounds."""
        while self.size > self._max_bytes or len(self) > self._max_count:
            oldest = self._take_oldest()
            if oldest is None:
                break
            oldest.drop('outbox_full')

    def _put_back(self, writes: Iterable[PendingWrite]) -> None:
        for write in sorted(writes, key=lambda write: write.order, reverse=True):
            handle = write.handle
            if write.acknowledged_at and handle.ids is not None:
                self._again.appendleft(write)
            elif not write.is_kept():
                write.drop('disconnected')
            elif handle.waiting is not None:
                write.drop('superseded')
            else:
                self._kept.appendleft(write)
                self.size += write.size + WRITE_OVERHEAD
                if handle.keeps_latest:
                    handle.waiting = write
        self._drop_oldest()
