# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Keeps the stream entries acknowledged lately, for a server that comes back without them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import redis

from redis_bridge.protocol.stream_ids import FIRST, StreamId, id_number
from redis_bridge.redis_io.resp import Reply
from redis_bridge.redis_io.write_queue import WRITE_OVERHEAD, PendingWrite

REPLAY_S = 10.0
REPLAY_BYTES = 64 << 20


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
        while self._entries and (
            self._size > self._max_size or self._entries[0].acknowledged_at < now - self._seconds
        ):
            old = self._entries.popleft()
            self._size -= old.size + WRITE_OVERHEAD
            name, id_ = old.handle.name, old.entry_id or FIRST
            self._newest_evicted[name] = max(self._newest_evicted.get(name, FIRST), id_)

    def lost(self, last: Mapping[str, StreamId]) -> list[PendingWrite]:
        """Return the entries beyond the last id that the server has of each stream, in order."""
        known = [entry for entry in self._entries if entry.handle.name in last]
        lost = [e for e in known if e.entry_id is None or e.entry_id > last[e.handle.name]]
        return sorted(lost, key=lambda entry: entry.order)

    def pop_gaps(self, last: Mapping[str, StreamId]) -> list[str]:
        """Return the streams of which evicted entries are lost, each loss only once."""
        gaps = [name for name, id_ in last.items() if self._newest_evicted.get(name, FIRST) > id_]
        for name in gaps:
            del self._newest_evicted[name]
        return gaps


def last_id(info: Reply) -> StreamId | None:
    """Return the last id from a reply to XINFO STREAM; None if it has none."""
    if isinstance(info, redis.ResponseError):
        return FIRST if 'no such key' in str(info) else None
    return id_number(info[info.index(b'last-generated-id') + 1])
