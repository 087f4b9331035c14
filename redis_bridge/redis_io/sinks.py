# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The kinds of sinks: what each writes to Redis, and what may become of a write that waits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import redis

from redis_bridge import codecs
from redis_bridge.counts import Counts
from redis_bridge.endpoints import Meta
from redis_bridge.redis_io.connection import Command
from redis_bridge.routes import ChannelSink, HashSink, KeySink, SinkConfig, StreamSink

if TYPE_CHECKING:
    from redis_bridge.redis_io.outbox import Outbox

StreamId = tuple[int, int]


class Item:
    """One sample on its way to one sink."""

    __slots__ = ('acked', 'id', 'losses', 'meta', 'order', 'payload', 'put', 'sink', 'size')

    def __init__(self, sink: OutboxSink, payload: Any, meta: Meta | None, size: int) -> None:
        self.sink = sink
        self.payload = payload  # None: only the time to live is to be renewed
        self.meta = meta
        self.size = size  # of the payload
        self.put = time.monotonic()
        self.order = 0  # counts up as items are queued
        self.id: StreamId | None = None  # of a stream's entry, from its first sending on
        self.acked = 0.0  # when the server took it, if it did
        self.losses = 0  # how many connections ended while it was under way


class OutboxSink:
    """What all sinks have in common; see `endpoints.Sink`."""

    kind = ''
    keeps_latest = False
    is_event = False

    def __init__(self, outbox: Outbox, config: SinkConfig, counts: Counts) -> None:
        self.name = config.name
        self.counts = counts
        self.waiting: Item | None = None  # of a sink that keeps the latest: what is not yet sent
        self.trouble: str | None = None  # the error that its writes meet now
        self._outbox = outbox

    def __str__(self) -> str:
        return f'{self.kind} {self.name}'

    def write(self, payload: Any, meta: Meta | None) -> None:
        """Queue one sample; never waits for the network."""
        self._outbox.put(Item(self, payload, meta, len(payload)))

    def renew(self) -> None:
        """Renew the time to live; only keys and hashes have one."""

    def commands(self, item: Item) -> list[Command]:
        """Return what writes an item."""
        raise NotImplementedError

    def is_too_old(self, item: Item, now: float) -> bool:
        """Tell whether an item has waited for too long to be written."""
        return False


class LatestSink(OutboxSink):
    """A key or a hash: of what waits, only the newest value is written."""

    keeps_latest = True

    def __init__(self, outbox: Outbox, config: KeySink | HashSink, counts: Counts) -> None:
        super().__init__(outbox, config, counts)
        self.ttl_ms = config.ttl_ms
        self.last: Item | None = None  # what the server took last

    def renew(self) -> None:
        """Queue a renewal of the time to live, if there is one and no value waits anyway."""
        if self.ttl_ms is not None and self.waiting is None:
            self._outbox.put(Item(self, None, None, 0))

    def is_too_old(self, item: Item, now: float) -> bool:
        """Tell whether the value would have expired while it waited."""
        return self.ttl_ms is not None and now - item.put > self.ttl_ms / 1000

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

    kind = KeySink.kind

    def set_commands(self, payload: bytes) -> list[Command]:
        """Return the SET, which replaces the time to live too."""
        if self.ttl_ms is None:
            return [('SET', self.name, payload)]
        return [('SET', self.name, payload, 'PX', self.ttl_ms)]


class HashWriter(LatestSink):
    """HSET of the last value's fields."""

    kind = HashSink.kind

    def write(self, payload: dict[str, bytes], meta: Meta) -> None:
        """Queue the fields of one sample."""
        size = sum(len(field) + len(value) for field, value in payload.items())
        self._outbox.put(Item(self, payload, meta, size))

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

    kind = ChannelSink.kind
    is_event = True

    def commands(self, item: Item) -> list[Command]:
        """Return the PUBLISH."""
        return [('PUBLISH', self.name, item.payload)]


class NoticeWriter(ChannelWriter):
    """PUBLISH of word that a key is new; comes after the key's SET, as it is queued after it."""

    def __init__(self, outbox: Outbox, config: ChannelSink, counts: Counts, key: str) -> None:
        super().__init__(outbox, config, counts)
        self._key = key
        self._encoding = 'msgpack' if config.encoding == 'msgpack' else 'json'

    def write(self, payload: None, meta: Meta) -> None:
        """Queue a notice of the sample."""
        notice = {'key': self._key, 'seq': meta.seq, 'stamp': meta.stamp}
        super().write(codecs.pack(self._encoding, notice), meta)


class StreamLog:
    """The ids given out for one stream, whichever sinks write it."""

    def __init__(self) -> None:
        self.last: StreamId = (0, 0)
        self.evicted: StreamId = (0, 0)  # the newest that the ring no longer holds
        self.counts: list[Counts] = []

    def next_id(self, now_ms: int) -> StreamId:
        """Return an id larger than all before."""
        self.last = max((now_ms, 0), (self.last[0], self.last[1] + 1))
        return self.last


class StreamWriter(OutboxSink):
    """XADD."""

    kind = StreamSink.kind

    def __init__(self, outbox: Outbox, config: StreamSink, counts: Counts) -> None:
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
    KeySink: KeyWriter,
    HashSink: HashWriter,
    StreamSink: StreamWriter,
    ChannelSink: ChannelWriter,
}
