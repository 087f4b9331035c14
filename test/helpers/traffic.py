# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Numbered messages through a Redis side, both ways, and the checks of what became of them."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import redis
from servers import Recorder, Server, all_connected, plain_client, request
from support import eventually

from redis_bridge import Client
from redis_bridge.counters import Counters
from redis_bridge.errors import RedisError
from redis_bridge.mapping.model import (
    ChannelSinkConfig,
    ChannelSourceConfig,
    KeySinkConfig,
    KeySourceConfig,
    StreamSinkConfig,
    StreamSourceConfig,
)
from redis_bridge.ports import Write
from redis_bridge.protocol.meta import GapFinder, Meta, take_meta, with_meta
from redis_bridge.redis_io.side import RedisSide

FLOW = 20  # messages that come out of everything that works
PUBLISHED_AS = {'channel': 'channel', 'stream': 'stream', 'key': 'key', 'group': 'stream'}


class Out:
    """A sink with numbered samples, as routes write them: those of a channel have metadata."""

    def __init__(self, side: RedisSide, config: Any) -> None:
        self.name = config.name
        self._kind = config.kind
        self.counters = Counters()
        self._side = side
        self._sink = side.open_sink(config, self.counters)

    def write(self, number: int) -> None:
        """Write a number."""
        meta = Meta(self._side.origin, number, self._side.now())
        payload: bytes | dict[str, bytes] = b'%d' % number
        if self._kind == 'channel':
            payload = json.dumps(with_meta({'n': number}, meta)).encode()
        elif self._kind == 'hash':
            payload = {'n': b'%d' % number}
        self._sink.write([Write(payload, meta)])

    def carried(self) -> int:
        """Return how many are written."""
        return self.counters.snapshot()['carried']

    def dropped(self) -> int:
        """Return how many were dropped."""
        return sum(self.counters.snapshot()['dropped'].values())


class Timed(Recorder):
    """A receiver that notes when each number came; it drops and counts as `InboundRoute` does."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._is_channel = kind == 'channel'
        self._counts_each = kind in ('channel', 'stream')
        self._order = GapFinder()
        self.numbers: list[int] = []
        self.at: list[float] = []

    def receive(self, arrivals: list[Any]) -> None:
        """See `ports.Receiver`."""
        super().receive(arrivals)
        for arrival in arrivals:
            value = json.loads(arrival.payload)
            meta = arrival.meta or take_meta(value)
            if self._is_channel and self._order.is_late(meta):
                continue
            if self._counts_each and (missed := self._order.missed(meta)):
                self.gap(missed)
            self.numbers.append(value['n'])
            self.at.append(time.monotonic())


class Heard:
    """What a client's watch of a channel yields."""

    def __init__(self, client: Client, name: str) -> None:
        self.numbers: list[int] = []
        self.notices: list[Any] = []
        self._watch = client.watch(name, kind='channel', on_notice=self.notices.append)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        for update in self._watch:
            self.numbers.append(update.value['n'])

    def close(self) -> None:
        """End the watch."""
        self._watch.close()
        self._thread.join()


class Lane:
    """A name of each kind, and what goes through it; it knows nothing of other lanes.

    :param name_of: from the name of a lane alone to a name that lies where it shall.
    :param is_sharded: its channels are, in a cluster.
    """

    def __init__(
        self, side: RedisSide, url: str, name_of: Callable[[str], str], is_sharded: bool
    ) -> None:
        self.client = Client(url, sharded_pubsub=is_sharded)
        self.outs = [
            Out(side, config)
            for config in (
                StreamSinkConfig(name_of('out:s'), encoding='json'),
                StreamSinkConfig(name_of('out:r'), encoding='json', durability='replicated'),
                KeySinkConfig(name_of('out:k'), encoding='json'),
                ChannelSinkConfig(name_of('out:c'), encoding='json', is_sharded=is_sharded),
            )
        ]
        self.sources = {
            'channel': ChannelSourceConfig(name_of('in:c')),
            'stream': StreamSourceConfig(name_of('in:s'), 'new'),
            'key': KeySourceConfig(name_of('in:k')),
            'group': StreamSourceConfig(name_of('in:g'), 'group', 'g'),
        }
        self.ins = {kind: Timed(kind) for kind in self.sources}
        self.heard = Heard(self.client, name_of('out:c'))
        self.sent = 0
        self.acknowledged: dict[str, list[int]] = {kind: [] for kind in self.ins}
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._write, self._publish)]

    def names(self) -> list[str]:
        """Return all names."""
        return [out.name for out in self.outs] + [each.name for each in self.sources.values()]

    def start(self) -> None:
        """Send from now on."""
        for thread in self._threads:
            thread.start()

    def _write(self) -> None:
        while not self._ended.wait(0.01):
            self.sent += 1
            for out in self.outs:
                out.write(self.sent)

    def _publish(self) -> None:
        number = 0
        while not self._ended.wait(0.01):
            number += 1
            for kind, source in self.sources.items():
                value = {'n': number}
                try:
                    heard = self.client.publish(source.name, value, kind=PUBLISHED_AS[kind])
                except RedisError:
                    continue
                if heard:
                    self.acknowledged[kind].append(number)

    def counts(self) -> list[int]:
        """Return how many messages came out of everything."""
        return [
            *(len(each.numbers) for each in self.ins.values()),
            *(out.carried() for out in self.outs),
            len(self.heard.numbers),
        ]

    def end(self) -> None:
        """Send no more."""
        self._ended.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def close(self) -> None:
        """End all threads."""
        self.end()
        self.heard.close()
        self.client.close()

    def longest_pauses_s(self, since: float) -> dict[str, float]:
        """Return the longest time without arrivals that ended after a moment, by kind."""
        return {
            kind: round(max(
                later - earlier
                for earlier, later in zip(each.at, each.at[1:])
                if later > since
            ), 2)
            for kind, each in self.ins.items()
        }  # fmt: skip

    def check(self, db: Any) -> None:
        """Check all numbers against what is stored by now."""
        memory, replicated, key, channel = self.outs
        everything = list(range(1, self.sent + 1))
        for out in (memory, replicated):  # restored from what the bridge remembers
            eventually(lambda out=out: self.sent in stored(db, out.name))
            numbers = stored(db, out.name)
            again = sorted(number for number, times in Counter(numbers).items() if times > 1)
            assert not steps_back(numbers), (out.name, steps_back(numbers), again)
            assert numbers == everything, (out.name, set(everything) - set(numbers))
            assert out.dropped() == 0
        eventually(lambda: db.get(key.name) == b'%d' % self.sent)
        heard = self.heard.numbers
        eventually(lambda: heard[-1] == self.sent)
        assert not steps_back(heard), steps_back(heard)
        if len(heard) + channel.dropped() < self.sent:
            assert 'gap' in [notice.event for notice in self.heard.notices]
        for kind, each in self.ins.items():
            last = self.acknowledged[kind][-1]
            eventually(lambda each=each, last=last: each.numbers[-1] >= last)
            missing = set(self.acknowledged[kind]) - set(each.numbers)
            if kind == 'key':  # it may step back to what the new primary has
                assert all(one != other for one, other in zip(each.numbers, each.numbers[1:]))
            else:
                assert not steps_back(each.numbers), (kind, steps_back(each.numbers))
            assert kind in ('key', 'group') or not missing or each.gaps, (kind, missing)
        group = self.sources['group'].name
        there = {json.loads(fields[b'data'])['n'] for _, fields in db.xrange(group)}
        assert there <= set(self.ins['group'].numbers)


class Traffic:
    """Lanes of one Redis side, with messages all the time."""

    def __init__(
        self,
        side: RedisSide,
        url: str,
        names: Sequence[Callable[[str], str]] = (str,),
        *,
        is_sharded: bool = False,
    ) -> None:
        eventually(lambda: side.why_closed() is None)
        self.side = side
        with contextlib.ExitStack() as opened:
            self.lanes = [
                opened.enter_context(contextlib.closing(Lane(side, url, name_of, is_sharded)))
                for name_of in names
            ]
            side.want([
                request(config, lane.ins[kind])
                for lane in self.lanes
                for kind, config in lane.sources.items()
            ])  # fmt: skip
            eventually(lambda: all_connected(side))
            for lane in self.lanes:
                lane.start()
            self._opened = opened.pop_all()

    def flows(self, within_s: float, lanes: Sequence[Lane] = ()) -> None:
        """Wait until something new comes out of everything, or of some lanes."""

        def counts() -> list[int]:
            return [count for lane in lanes or self.lanes for count in lane.counts()]

        before = counts()
        eventually(
            lambda: all(count > was + FLOW for count, was in zip(counts(), before)), within_s
        )

    def end(self) -> None:
        """Send no more."""
        for lane in self.lanes:
            lane.end()

    def close(self) -> None:
        """End all threads."""
        self._opened.close()

    def check(self, db: Any) -> None:
        """Check all numbers against what is stored by now."""
        for lane in self.lanes:
            lane.check(db)


class Commander:
    """Publishes numbers to a channel all the time, and ignores errors."""

    def __init__(self, url: str, channel: str) -> None:
        self._client = Client(url)
        self._channel = channel
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def _send(self) -> None:
        number = 0
        while not self._ended.wait(0.01):
            number += 1
            with contextlib.suppress(RedisError):
                self._client.publish(self._channel, number, kind='channel', encoding='text')

    def close(self) -> None:
        """Publish no more."""
        self._ended.set()
        self._thread.join()
        self._client.close()


def steps_back(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Return the neighbours that do not ascend."""
    return [(one, other) for one, other in zip(numbers, numbers[1:]) if one >= other]


def stored(db: redis.Redis, name: str) -> list[int]:
    """Return the numbers in a stream."""
    return [int(fields[b'data']) for _, fields in db.xrange(name)]


def bridge_connections(server: Server) -> list[str]:
    """Return the names of the connections that bridges have to a server."""
    with plain_client(server) as db:
        names = [one['name'] for one in db.client_list()]
    return [name for name in names if name.startswith('redis_bridge:')]
