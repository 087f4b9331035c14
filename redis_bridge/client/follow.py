# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Follows names over the sources, and queues what comes."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Generic, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import redis

from redis_bridge.client.stored import Event, entry
from redis_bridge.errors import PayloadError
from redis_bridge.redis_io.channel_source import ChannelReceiver, ChannelSource, ShardedSource
from redis_bridge.redis_io.health import Health
from redis_bridge.redis_io.key_source import KeyReceiver, KeySource, LastValues, Value
from redis_bridge.redis_io.source import R, Setup
from redis_bridge.redis_io.spread import Spread
from redis_bridge.redis_io.stream_source import Entry, StreamReceiver, StreamSource
from redis_bridge.redis_io.topology import Topology

WAITING = 1000  # events that may wait for the consumer; beyond, the server's buffers fill
CHECK_S = 0.02

Pair = tuple[str, str]  # a name, and the kind that it is followed as

E = TypeVar('E')


class Notice(NamedTuple):
    """An event of a watch besides its messages."""

    event: str  # connected | lost | gap | late | bad_payload | unreadable | bug
    name: str | None  # None: all names
    text: str
    missed: int | None = None  # number of messages missed in a gap, if known

    def __str__(self) -> str:
        return self.text if self.name is None else f'{self.name}: {self.text}'


class Follower:
    """Follows names until it is closed; lost connections are restored.

    :param only_latest: of the events of a name and kind that wait, only the newest is kept, and
        nothing waits for the consumer.
    """

    def __init__(
        self, topology: Topology, only_latest: bool = False, *, is_sharded: bool = False
    ) -> None:
        self._queue = Queue[Event](_pair if only_latest else None)
        self._health = health = QueueHealth(self._queue)
        timing = topology.address.timing
        self._connect_s = timing.connect_s + timing.reply_s
        last: LastValues = WeakKeyDictionary()
        channel_source = ShardedSource if is_sharded else ChannelSource
        self._channels = _Feed[ChannelReceiver](
            Spread(
                'channels', topology.node_of,
                lambda role, at: channel_source(role, Setup(at, health)),
            )
        )  # fmt: skip
        self._keys = _Feed[KeyReceiver](
            Spread(
                'keys', topology.node_of,
                lambda role, at: KeySource(role, Setup(at, health), last),
            )
        )  # fmt: skip
        self._streams = _Feed[StreamReceiver](
            Spread(
                'streams', topology.reader_of,
                lambda role, at: StreamSource(role, Setup(at, health)),
            )
        )  # fmt: skip
        topology.on_change(self._spread_anew)

    def follow(self, watched: Iterable[Pair]) -> None:
        """Follow (name, kind) pairs too, which are not followed yet; returns once all are read.

        :raises redis.RedisError: Redis cannot be reached, or a channel or stream cannot be read.
        :raises PayloadError: a kind cannot be watched.
        """
        channels: dict[Pair, ChannelReceiver] = {}
        keys: dict[Pair, KeyReceiver] = {}
        streams: dict[Pair, StreamReceiver] = {}
        for name, kind in watched:
            if kind == 'channel':
                channels[name, kind] = _Channel(self._queue, name, kind)
            elif kind == 'stream':
                streams[name, kind] = _Stream(self._queue, name, kind)
            elif kind in ('key', 'hash'):
                keys[name, kind] = _Key(self._queue, name, kind)
            else:
                raise PayloadError(f'{name!r} is a {kind}, which this client cannot watch')
        with self._queue.unbounded():  # or sources that wait for the consumer would not react
            errors = [
                *self._channels.follow(channels, self._wait),
                *self._streams.follow(streams, self._wait),
            ]
            self._keys.follow(keys, self._wait)  # one that cannot be read is a notice
        if errors:
            raise errors[0]

    def leave(self, pairs: Collection[Pair]) -> None:
        """Follow these no more; what already waits of them may still come."""
        for feed in (self._channels, self._keys, self._streams):
            feed.leave(pairs)

    def get(self, timeout: float | None) -> Event | Notice | None:
        """Return what came next, None if nothing did in time or the follower is closed."""
        return self._queue.get(timeout)

    @property
    def closed(self) -> bool:
        """Whether the follower was closed."""
        return self._queue.closed

    def close(self) -> None:
        """End the threads and close their connections; closing twice is harmless."""
        self._queue.close()
        feeds = (self._channels, self._keys, self._streams)
        for feed in feeds:
            feed.source.want({})  # or it would read from the nodes that join a cluster later
        threads = [thread for feed in feeds for thread in feed.source.threads()]
        for thread in threads:
            thread.finish()
            thread.interrupt()
        for thread in threads:
            thread.close(time.monotonic() + 1.0)

    def _spread_anew(self) -> None:
        for feed in (self._channels, self._keys, self._streams):
            feed.source.spread_anew()

    def _wait(self, source: Spread[R], receivers: Sequence[R]) -> None:
        """Wait until each receiver is read or has a problem; raises redis.ConnectionError."""
        deadline = time.monotonic() + self._connect_s
        while not source.wait_until_known(receivers, time.monotonic() + CHECK_S):
            problem = next(filter(None, map(self._health.failure, source.roles())), None)
            if problem is None and time.monotonic() >= deadline:
                problem = 'no answer'
            if problem is not None:
                raise redis.ConnectionError(problem)


class _Feed(Generic[R]):
    """The sources of one kind, and who reads what there."""

    def __init__(self, source: Spread[R]) -> None:
        self.source = source
        self._receivers: Mapping[Pair, R] = {}

    def follow(
        self,
        joining: Mapping[Pair, R],
        wait: Callable[[Spread[R], Sequence[R]], None],
    ) -> list[redis.ResponseError]:
        """Follow names too; return why some cannot be read. If it raises, none is followed."""
        if not joining:
            return []
        before = self._receivers
        self._want({**before, **joining})
        receivers = list(joining.values())
        try:
            wait(self.source, receivers)
        except redis.RedisError:
            self._want(before)
            raise
        return [error for receiver in receivers if (error := self.source.error_of(receiver))]

    def leave(self, pairs: Collection[Pair]) -> None:
        """Follow these no more."""
        if not self._receivers.keys().isdisjoint(pairs):
            self._want({pair: r for pair, r in self._receivers.items() if pair not in pairs})

    def _want(self, receivers: Mapping[Pair, R]) -> None:
        self._receivers = receivers
        by_name: dict[str, list[R]] = {}
        for (name, _), receiver in receivers.items():
            by_name.setdefault(name, []).append(receiver)
        self.source.want(by_name)


class Queue(Generic[E]):
    """What came and was not consumed yet: events and notices; thread-safe.

    :param key: an event replaces the one with the same key that still waits, and waits for no
        room; None: all are kept.
    """

    def __init__(self, key: Callable[[E], object] | None = None) -> None:
        self._key = key
        self._items: OrderedDict[object, E | Notice] = OrderedDict()
        self._counter = itertools.count()
        self._changed = threading.Condition()
        self._is_bounded = True
        self.closed = False

    def put(self, item: E | Notice) -> None:
        """Add an item; events wait while the queue is full, so that the server keeps the rest."""
        with self._changed:
            if self._key is None or isinstance(item, Notice):
                key: object = next(self._counter)
            else:
                key = self._key(item)
            if self._key is None and not isinstance(item, Notice):
                self._changed.wait_for(self._has_room)
            if not self.closed:
                self._items[key] = item
                self._changed.notify_all()

    def get(self, timeout: float | None) -> E | Notice | None:
        """Return the next item, None if none came in time or the queue is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self.closed, timeout)
            if not self._items:
                return None
            self._changed.notify_all()
            return self._items.popitem(last=False)[1]

    @contextmanager
    def unbounded(self) -> Iterator[None]:
        """Let nobody wait for room meanwhile."""
        self._set(is_bounded=False)
        try:
            yield
        finally:
            self._set(is_bounded=True)

    def close(self) -> None:
        """Take nothing more."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def _has_room(self) -> bool:
        return self.closed or not self._is_bounded or len(self._items) < WAITING

    def _set(self, *, is_bounded: bool) -> None:
        with self._changed:
            self._is_bounded = is_bounded
            self._changed.notify_all()


def _pair(event: Event) -> Pair:
    return event.name, event.kind


class QueueHealth(Health):
    """Queues notices about the connections instead of logging."""

    def __init__(self, queue: Queue[E]) -> None:
        super().__init__(logging.getLogger(__name__), '')
        self._queue = queue
        self._is_lost = False

    def log_connected(self) -> None:
        """Queue that all connections are there again."""
        if self._is_lost:
            self._queue.put(Notice('connected', None, 'connected to Redis again'))
        self._is_lost = False

    def log_problem(self, role: str, problem: str) -> None:
        """Queue why a connection is missing, once per outage."""
        if not self._is_lost:
            self._queue.put(Notice('lost', None, f'no connection to Redis: {problem}'))
        self._is_lost = True

    def bug(self, role: str, text: str) -> None:
        """Queue an internal error."""
        self._queue.put(Notice('bug', None, f'internal error: {text}'))


class _Receiver:
    """Queues what a source reports of one name as one kind."""

    def __init__(self, queue: Queue[Event], name: str, kind: str) -> None:
        self._queue = queue
        self._name = name
        self._kind = kind

    def gap(self, missed: int | None, why: str) -> None:
        """See `source.SourceReceiver`."""
        text = f'missed {"some" if missed is None else missed}: {why}'
        self._queue.put(Notice('gap', self._name, text, missed))

    def set_problem(self, text: str | None) -> None:
        """See `source.SourceReceiver`."""
        if text is not None:
            self._queue.put(Notice('unreadable', self._name, f'cannot be read: {text}'))

    def on_disconnect(self) -> None:
        """See `source.SourceReceiver`; a notice for all names comes from the health."""

    def may_begin(self) -> bool:
        """See `key_source.KeyReceiver` and `stream_source.StreamReceiver`."""
        return True


class _Channel(_Receiver):
    def receive(self, batch: list[bytes]) -> None:
        for payload in batch:
            self._queue.put(Event(self._name, self._kind, payload))

    def drop_unread(self, count: int) -> None:
        """Ignore what nobody waits for any more; a client has no gate."""


class _Key(_Receiver):
    max_bytes = None

    @property
    def is_hash(self) -> bool:
        return self._kind == 'hash'

    def receive(self, value: Value | None, is_initial: bool) -> None:
        self._queue.put(Event(self._name, self._kind, value))

    def set_problem(self, text: str | None) -> None:
        if text is not None and text.startswith('WRONGTYPE'):
            text = f'the stored value is no {"hash" if self.is_hash else "string"}'
            self._queue.put(Notice('unreadable', self._name, text))
        else:
            super().set_problem(text)


class _Stream(_Receiver):
    start = 'new'

    def receive(self, entries: list[Entry]) -> None:
        for id_, fields in entries:
            self._queue.put(entry(self._name, id_, fields or ()))
