# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The kinds of sinks: what each writes to Redis, and what may become of a write that waits."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import redis

from redis_bridge.counters import Counters
from redis_bridge.mapping.model import (
    ChannelSinkConfig,
    HashSinkConfig,
    KeySinkConfig,
    SinkConfig,
    StreamSinkConfig,
)
from redis_bridge.payloads import codecs
from redis_bridge.ports import Write
from redis_bridge.protocol.meta import Meta
from redis_bridge.redis_io.connection import Command, pack_prefix

if TYPE_CHECKING:
    from redis_bridge.redis_io.outbox import Outbox

StreamId = tuple[int, int]


class Item:
    """One sample on its way to one sink."""

    __slots__ = ('acked', 'id', 'losses', 'meta', 'order', 'payload', 'put', 'sink', 'size')

    def __init__(
        self, sink: OutboxSink, payload: Any, meta: Meta | None, size: int, put: float
    ) -> None:
        self.sink = sink
        self.payload = payload  # None: only the time to live is to be renewed
        self.meta = meta
        self.size = size  # of the payload
        self.put = put  # when, by the monotonic clock
        self.order = 0  # counts up as items are queued
        self.id: StreamId | None = None  # of a stream's entry, from its first sending on
        self.acked = 0.0  # when the server took it, if it did
        self.losses = 0  # how many connections ended while it was under way


class OutboxSink:
    """What all sinks have in common; see `endpoints.Sink`."""

    kind = ''
    keeps_latest = False
    is_event = False
    durability = 'memory'
    longest_s = math.inf  # that a value may wait before it is too old to be written

    def __init__(self, outbox: Outbox, config: SinkConfig, counts: Counters) -> None:
        self.name = config.name
        self.counts = counts
        self.waiting: Item | None = None  # of a sink that keeps the latest: what is not yet sent
        self.trouble: str | None = None  # the error that its writes meet now
        self._outbox = outbox

    def __str__(self) -> str:
        return f'{self.kind} {self.name}'

    def write(self, samples: Sequence[Write]) -> None:
        """Queue samples, oldest first; never waits for the network."""
        now = time.monotonic()
        self._outbox.put(
            [Item(self, payload, meta, self.size_of(payload), now) for payload, meta in samples]
        )

    def renew(self) -> None:
        """Renew the time to live; only keys and hashes have one."""

    def close(self) -> None:
        """Release the name; what is queued is still written."""

    def commands(self, item: Item) -> list[Command]:
        """Return what writes an item."""
        raise NotImplementedError

    def size_of(self, payload: Any) -> int:
        """Return the bytes of a payload."""
        return len(payload)


class LatestSink(OutboxSink):
    """A key or a hash: of what waits, only the newest value is written."""

    keeps_latest = True

    def __init__(
        self, outbox: Outbox, config: KeySinkConfig | HashSinkConfig, counts: Counters
    ) -> None:
        super().__init__(outbox, config, counts)
        self.ttl_ms = config.ttl_ms
        if self.ttl_ms is not None:  # it would have expired meanwhile
            self.longest_s = self.ttl_ms / 1000
        self.last: Item | None = None  # what the server took last

    def write(self, samples: Sequence[Write]) -> None:
        """Queue the newest of the samples."""
        if len(samples) > 1:
            self.counts.drop('superseded', len(samples) - 1)
            samples = samples[-1:]
        super().write(samples)

    def renew(self) -> None:
        """Queue a renewal of the time to live, if there is one and no value waits anyway."""
        if self.ttl_ms is not None and self.waiting is None:
            self._outbox.put([Item(self, None, None, 0, time.monotonic())])

    def commands(self, item: Item) -> list[Command]:
        """Return the write, or the renewal."""
        if item.payload is None:
            return [('PEXPIRE', self.name, self.ttl_ms)]
        return self.set_commands(item.payload)

    def set_commands(self, payload: Any) -> list[Command]:
        """Return what writes a value."""
        raise NotImplementedError


class KeyWriter(LatestSink):
    """SET of the last value."""

    kind = KeySinkConfig.kind

    def __init__(self, outbox: Outbox, config: KeySinkConfig, counts: Counters) -> None:
        super().__init__(outbox, config, counts)
        self._options: Command = () if self.ttl_ms is None else ('PX', self.ttl_ms)
        self._prefix = pack_prefix(('SET', self.name), 3 + len(self._options))

    def set_commands(self, payload: bytes) -> list[Command]:
        """Return the SET, which replaces the time to live too."""
        return [(self._prefix, payload, *self._options)]


class HashWriter(LatestSink):
    """HSET of the last value's fields."""

    kind = HashSinkConfig.kind

    def size_of(self, payload: dict[str, bytes]) -> int:
        """Return the bytes of all names and values."""
        return sum(len(field) + len(value) for field, value in payload.items())

    def set_commands(self, payload: dict[str, bytes]) -> list[Command]:
        """Return one HSET, and what renews the time to live."""
        commands: list[Command] = [
            ('HSET', self.name, *(part for pair in payload.items() for part in pair))
        ]
        if self.ttl_ms is not None:
            commands.append(('PEXPIRE', self.name, self.ttl_ms))
        return commands


class ChannelWriter(OutboxSink):
    """PUBLISH."""

    kind = ChannelSinkConfig.kind
    is_event = True

    def __init__(self, outbox: Outbox, config: ChannelSinkConfig, counts: Counters) -> None:
        super().__init__(outbox, config, counts)
        self._prefix = pack_prefix(('PUBLISH', self.name), 3)

    def commands(self, item: Item) -> list[Command]:
        """Return the PUBLISH."""
        return [(self._prefix, item.payload)]


class NoticeWriter(ChannelWriter):
    """PUBLISH of word that a key is new; comes after the key's SET, as it is queued after it."""

    def __init__(
        self, outbox: Outbox, config: ChannelSinkConfig, counts: Counters, key: str
    ) -> None:
        super().__init__(outbox, config, counts)
        self._key = key
        self._encoding = 'msgpack' if config.encoding == 'msgpack' else 'json'

    def write(self, samples: Sequence[Write]) -> None:
        """Queue a notice of each sample."""
        super().write([(self._notice(meta), meta) for _, meta in samples])

    def _notice(self, meta: Meta) -> bytes:
        notice = {'key': self._key, 'seq': meta.seq, 'stamp': meta.stamp}
        return codecs.pack(self._encoding, notice)


class StreamLog:
    """The ids given out for one stream, whichever sinks write it."""

    def __init__(self) -> None:
        self.last: StreamId = (0, 0)
        self.evicted: StreamId = (0, 0)  # the newest that the ring no longer holds
        self.counts: list[Counters] = []

    def next_id(self, now_ms: int) -> StreamId:
        """Return an id larger than all before."""
        self.last = max((now_ms, 0), (self.last[0], self.last[1] + 1))
        return self.last


class StreamWriter(OutboxSink):
    """XADD."""

    kind = StreamSinkConfig.kind

    def __init__(self, outbox: Outbox, config: StreamSinkConfig, counts: Counters) -> None:
        super().__init__(outbox, config, counts)
        self.entries = outbox.entries_of(config.name, counts)
        self.durability = config.durability
        self._maxlen = config.maxlen

    def commands(self, item: Item) -> list[Command]:
        """Return the XADD, with the same id each time."""
        if item.id is None:
            item.id = self.entries.next_id(int(self._outbox.clock.now() * 1000))
        trim = ('MAXLEN', '~', self._maxlen)
        return [('XADD', self.name, *trim, id_text(item.id), *self.fields(item))]

    @staticmethod
    def fields(item: Item) -> list[bytes]:
        """Return the entry's fields and values in turn."""
        meta = item.meta
        fields = [b'data', item.payload]
        if meta is not None:
            fields += [
                b'origin', meta.origin.encode(),
                b'seq', b'%d' % meta.seq,
                b'stamp', repr(meta.stamp).encode(),
            ]  # fmt: skip
        return fields


def id_text(number: StreamId) -> str:
    """Return an id as Redis writes it."""
    return f'{number[0]}-{number[1]}'


def id_number(text: bytes) -> StreamId:
    """Return an id as something that compares."""
    millis, _, count = text.partition(b'-')
    return int(millis), int(count or 0)


def last_id(info: Any) -> StreamId | None:
    """Return the last id from a reply to XINFO STREAM; None if that says nothing."""
    if isinstance(info, redis.ResponseError):
        return (0, 0) if 'no such key' in str(info) else None
    return id_number(info[info.index(b'last-generated-id') + 1])


SINKS: dict[type, type[OutboxSink]] = {
    KeySinkConfig: KeyWriter,
    HashSinkConfig: HashWriter,
    StreamSinkConfig: StreamWriter,
    ChannelSinkConfig: ChannelWriter,
}
