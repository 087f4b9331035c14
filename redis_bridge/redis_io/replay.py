# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Finds what a server that came back has lost of the streams, and writes it again.

A server that was not started anew has lost nothing: what is gone was deleted on purpose. Any
other may lack what it took last, and others may have written to it before us.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import redis

from redis_bridge.protocol.meta import entry_fields
from redis_bridge.protocol.stream_ids import FIRST, StreamId, id_number, id_text
from redis_bridge.redis_io.connection import Connection
from redis_bridge.redis_io.handle import PendingWrite
from redis_bridge.redis_io.info import parse_info
from redis_bridge.redis_io.resp import Moved, Reply, code_of, is_redirected, pairs
from redis_bridge.redis_io.write_queue import (
    BATCH_BYTES,
    BATCH_COMMANDS,
    WRITE_OVERHEAD,
    WriteQueue,
)

REPLAY_S = 10.0
REPLAY_BYTES = 64 << 20
OWN_ID_ATTEMPTS = 3  # to restore entries under their ids, while others write the stream


class ReplayBuffer:
    """The entries acknowledged lately, bounded by their age and their size."""

    def __init__(self, seconds: float = REPLAY_S, size: int = REPLAY_BYTES) -> None:
        self._seconds = seconds
        self._max_size = size
        self._size = 0
        self._entries: deque[PendingWrite] = deque()
        self._newest_evicted: dict[str, StreamId] = {}  # by stream

    def add(self, entry: PendingWrite, now: float) -> None:
        """Keep an acknowledged entry; evict those that are too old or too many."""
        self._entries.append(entry)
        self._size += entry.size + WRITE_OVERHEAD
        self.evict(now)

    def evict(self, now: float) -> None:
        """Let go of the entries that are too old or too many."""
        while self._entries and (
            self._size > self._max_size or self._entries[0].acknowledged_at < now - self._seconds
        ):
            old = self._entries.popleft()
            self._size -= old.size + WRITE_OVERHEAD
            self._newest_evicted[old.handle.name] = old.entry_id or FIRST

    def take(self, name: str) -> list[PendingWrite]:
        """Give away the entries of a stream, in their order."""
        taken = [entry for entry in self._entries if entry.handle.name == name]
        self._entries = deque(entry for entry in self._entries if entry.handle.name != name)
        self._size -= sum(entry.size + WRITE_OVERHEAD for entry in taken)
        self._newest_evicted.pop(name, None)
        return taken

    def adopt(self, entries: Iterable[PendingWrite]) -> None:
        """Keep entries that another buffer gave away."""
        both = sorted([*self._entries, *entries], key=lambda entry: entry.acknowledged_at)
        self._entries = deque(both)
        self._size = sum(entry.size + WRITE_OVERHEAD for entry in both)

    def by_stream(self) -> dict[str, list[PendingWrite]]:
        """Return all entries, those of a stream in their order."""
        streams: dict[str, list[PendingWrite]] = {}
        for entry in self._entries:
            streams.setdefault(entry.handle.name, []).append(entry)
        return streams

    def newest_evicted(self, name: str) -> StreamId | None:
        """Return the id of the newest entry of a stream that is not here any more."""
        return self._newest_evicted.get(name)

    def forget_evicted(self, name: str) -> None:
        """Have no evicted entries of a stream, because their loss was reported."""
        self._newest_evicted.pop(name, None)


class StreamState(NamedTuple):
    """What XINFO STREAM reports, as far as it shows what became of an entry."""

    last: StreamId = FIRST  # the largest id ever
    first: StreamId = FIRST  # of the oldest entry that is there
    length: int = 0
    deleted: StreamId = FIRST  # the largest id that XDEL deleted; from Redis 7.0 on

    @classmethod
    def of(cls, info: Reply) -> StreamState | None:
        """Return the state from a reply; None if it has none."""
        if isinstance(info, redis.ResponseError):
            is_gone = 'no such key' in str(info) or code_of(info) == 'WRONGTYPE'
            return cls() if is_gone else None
        fields = pairs(info)
        first = fields.get(b'first-entry')
        return cls(
            id_number(fields[b'last-generated-id']),
            id_number(first[0]) if first else FIRST,
            fields[b'length'],
            id_number(fields.get(b'max-deleted-entry-id', b'0-0')),
        )

    def would_trim(self, entry_id: StreamId, maxlen: int) -> bool:
        """Return whether so many newer entries are there that this one is not kept."""
        return self.length >= maxlen and entry_id < self.first


class Recovery:
    """Knows the server and the entries that it took, and what is to be written again."""

    def __init__(self, queue: WriteQueue, log: logging.Logger) -> None:
        self._queue = queue
        self._log = log
        self._server: Server | None = None  # of the connection before
        self._is_complete = True  # nothing was left to be written again
        self.buffer = ReplayBuffer()

    def acknowledge(self, written: list[PendingWrite], now: float) -> None:
        """Settle writes that the server took; keep the entries of streams among them."""
        for write in written:
            if write.entry_id is not None and write.acknowledged_at:
                write.handle.counters.count_event('resent')
        for write in self._queue.settle(written, now):
            if write.entry_id is not None:
                self.buffer.add(write, now)

    def on_disconnect(self, unfinished: Sequence[PendingWrite], answered_at: float) -> None:
        """Put back what was under way; keep what the server took shortly before it went silent.

        However long no entries came, none that is too old then is written again: its consumer may
        have deleted its stream long ago.
        """
        self._is_complete = self._queue.disconnect(unfinished) and self._is_complete
        if self._is_complete:  # else some of the old ones are still to be written again
            self.buffer.evict(answered_at)

    def find_lost(self, connection: Connection) -> list[PendingWrite]:
        """Return the entries that the server has lost, as far as they need new ids.

        Those that can keep their ids are written here. What cannot be restored is counted.
        """
        server = _server(connection)
        is_same = server is not None and server == self._server and self._is_complete
        streams = self._queue.streams()
        replies = connection.pipe([('XINFO', 'STREAM', name) for name in streams])
        known = {} if is_same else self.buffer.by_stream()
        if not is_same:
            for write in self._queue.unanswered():
                known.setdefault(write.handle.name, []).append(write)
        left: list[PendingWrite] = []
        for (name, ids), reply in zip(streams.items(), replies):
            if is_redirected(reply) and not isinstance(reply, Moved):  # it will know, later
                raise redis.ConnectionError(str(reply))
            state = StreamState.of(reply)
            if state is None:  # its writes will show the reason
                continue
            ids.advance(state.last)
            if not is_same:
                entries = sorted(known.get(name, ()), key=lambda write: write.order)
                left += self._restore(connection, name, entries, state, server is not None)
        self._server, self._is_complete = server, True
        return left

    def _restore(
        self,
        connection: Connection,
        name: str,
        entries: list[PendingWrite],
        state: StreamState,
        can_search: bool,
    ) -> list[PendingWrite]:
        """Write the lost ones of a stream's entries under their ids; return those that cannot.

        Consumers go on by the ids. They are kept as long as nobody else writes the stream.
        """
        stored = _stored(connection, entries, state, can_search)
        if stored == 0:
            self._note_gap(connection, name, state, can_search)
        lost = _lost(entries[stored:], state)
        if not lost:
            return []
        last, attempts = state.last, OWN_ID_ATTEMPTS
        while lost and attempts:
            watching, info = connection.pipe([('WATCH', name), ('XINFO', 'STREAM', name)])
            now = StreamState.of(info)
            if now is None or isinstance(watching, redis.ResponseError):
                break
            if now.last != last:
                lost = _lost(entries[_stored(connection, entries, now, can_search) :], now)
            batch = _in_order(lost, now.last)
            if not batch:
                break
            *_, ended = connection.pipe(
                [('MULTI',), *(entry.command() for entry in batch), ('EXEC',)]
            )
            last = now.last
            if ended is None:  # others changed the stream
                attempts -= 1
                continue
            if not isinstance(ended, list) or any(
                isinstance(reply, redis.ResponseError) for reply in ended
            ):
                break
            self.acknowledge(batch, time.monotonic())
            lost, last = lost[len(batch) :], batch[-1].entry_id or last
        connection.pipe([('UNWATCH',)])
        for entry in lost:
            entry.entry_id = None
        return lost

    def _note_gap(
        self, connection: Connection, name: str, state: StreamState, can_search: bool
    ) -> None:
        """Count once that entries are lost which are too old to be written again."""
        newest = self.buffer.newest_evicted(name)
        if newest is None:
            return
        handles = self._queue.handles(name)
        if newest <= state.last:
            if not can_search or newest in (state.last, state.deleted):
                return
            if any(state.would_trim(newest, handle.maxlen) for handle in handles):
                return
            number = id_text(newest)
            if connection.pipe([('XRANGE', name, number, number)])[0] != []:
                return
        self.buffer.forget_evicted(name)
        self._log.warning(
            'stream %s: the server came back without entries that are too old to be written '
            'again (up to %s)', name, id_text(newest),
        )  # fmt: skip
        for handle in handles:
            handle.counters.count_event('gap')


Server = tuple[bytes, bytes]  # what identifies its data


def _server(connection: Connection) -> Server | None:
    """Return the server's run and the history that it holds; None if it does not report them.

    A server that was a replica in between has the same run, and the data of another.
    """
    run, history = (
        parse_info(info) for info in connection.pipe([('INFO', 'server'), ('INFO', 'replication')])
    )
    if b'run_id' not in run:
        return None
    return run[b'run_id'], history.get(b'master_replid', b'')


def count_stored(
    connection: Connection, entries: Sequence[PendingWrite], state: StreamState
) -> int:
    """Return how many of a stream's entries, in their order, the server has taken.

    The newest one that it has counts for all before it, which may have been trimmed or deleted
    since: a server that lost something lacks what came last.
    """
    candidates = [
        (count, entry)
        for count, entry in enumerate(entries, 1)
        if entry.entry_id is not None and entry.entry_id <= state.last
    ]
    while candidates:
        asked: list[tuple[int, PendingWrite]] = []
        size = 0
        while candidates and len(asked) < BATCH_COMMANDS and size < BATCH_BYTES:
            asked.append(candidates.pop())
            size += asked[-1][1].size
        numbers = [id_text(entry.entry_id or FIRST) for _, entry in asked]
        found = connection.pipe([
            ('XRANGE', entry.handle.name, number, number)
            for (_, entry), number in zip(asked, numbers)
        ])  # fmt: skip
        for (count, entry), reply in zip(asked, found):
            if _is_taken(entry, reply, state):
                return count
    return 0


def _is_taken(entry: PendingWrite, found: Reply, state: StreamState) -> bool:
    """Return whether the server has an entry, or had it last, by what is under its id."""
    if not isinstance(found, list) or not isinstance(entry.payload, bytes):
        return False
    if found:
        return bool(found[0][1] == entry_fields(entry.payload, entry.meta))
    return entry.entry_id in (state.last, state.deleted)


def _stored(
    connection: Connection, entries: list[PendingWrite], state: StreamState, can_search: bool
) -> int:
    """Return how many entries are stored; of an unknown server by their ids alone."""
    if can_search:
        return count_stored(connection, entries, state)
    ids = [entry.entry_id for entry in entries]
    return max((n for n, id_ in enumerate(ids, 1) if id_ and id_ <= state.last), default=0)


def _lost(missing: Iterable[PendingWrite], state: StreamState) -> list[PendingWrite]:
    """Return which missing entries are to be written again; the queue has the unanswered."""
    return [
        entry
        for entry in missing
        if entry.acknowledged_at
        and not (entry.entry_id and state.would_trim(entry.entry_id, entry.handle.maxlen))
    ]


def _in_order(lost: list[PendingWrite], last: StreamId) -> list[PendingWrite]:
    """Return the next entries, no more than a batch, that the server takes under their ids."""
    batch: list[PendingWrite] = []
    size = 0
    for entry in lost:
        if entry.entry_id is None or entry.entry_id <= last:
            break
        if len(batch) == BATCH_COMMANDS or size >= BATCH_BYTES:
            break
        batch.append(entry)
        size += entry.size
        last = entry.entry_id
    return batch


def count_event(event: str, writes: Iterable[PendingWrite]) -> None:
    """Count an event once per write, each at its sink."""
    for handle, count in Counter(write.handle for write in writes).items():
        handle.counters.count_event(event, count)
