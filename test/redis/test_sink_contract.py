# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What every kind of sink promises, over the table of commands."""

from __future__ import annotations

import pytest
from servers import all_connected
from support import eventually

from redis_bridge.counters import Counters
from redis_bridge.mapping.model import HashSinkConfig, StreamSinkConfig
from redis_bridge.ports import Write
from redis_bridge.protocol.meta import Meta
from redis_bridge.redis_io.commands import SINK_COMMANDS


@pytest.fixture(params=SINK_COMMANDS, ids=lambda config: config.kind)
def config(request):
    return request.param('name')


def payload(config, number):
    text = b'%d' % number
    return {'number': text} if isinstance(config, HashSinkConfig) else text


def numbers(db, heard, config):
    """Return the numbers that plain clients find, oldest first."""
    if config.kind == 'channel':
        got = iter(lambda: heard.get_message(ignore_subscribe_messages=True, timeout=0.2), None)
        return [int(message['data']) for message in got]
    if isinstance(config, StreamSinkConfig):
        return [int(fields[b'data']) for _, fields in db.xrange('name')]
    value = {'key': db.get, 'hash': lambda name: db.hget(name, 'number')}[config.kind]('name')
    return [] if value is None else [int(value)]


class Sink:
    """A sink of a started Redis side, and the numbers written to it."""

    def __init__(self, side, config):
        self.config = config
        self.counters = Counters()
        self.sent = 0
        self._side = side
        self._sink = side.open_sink(config, self.counters)
        self.renew, self.close = self._sink.renew, self._sink.close

    def write(self, count):
        batch = []
        for _ in range(count):
            self.sent += 1
            meta = Meta(self._side.origin, self.sent, self._side.now())
            batch.append(Write(payload(self.config, self.sent), meta))
        self._sink.write(batch)

    def is_settled(self):
        counts = self.counters.snapshot()
        return counts['carried'] + sum(counts['dropped'].values()) == self.sent


@pytest.fixture
def sink(redis_server, redis_side_at, config):
    side = redis_side_at(redis_server.url)
    made = Sink(side, config)
    side.start(dict)
    eventually(lambda: all_connected(side))
    return made


@pytest.fixture
def heard(db):
    with db.pubsub() as pubsub:
        pubsub.subscribe('name')
        eventually(pubsub.get_message)
        yield pubsub


def test_events_all_arrive_in_order_and_of_state_the_newest(sink, db, heard):
    sink.write(1)
    sink.write(20)
    eventually(sink.is_settled)
    assert numbers(db, heard, sink.config) == ([*range(1, 22)] if sink.config.is_event else [21])


def test_every_write_is_carried_or_dropped_for_a_reason(sink, redis_server):
    sink.write(3)
    eventually(sink.is_settled)
    redis_server.kill()
    sink.write(3)
    redis_server.start()
    sink.write(3)
    eventually(sink.is_settled)


def test_what_waits_while_redis_is_away_is_kept_but_for_a_channel(sink, redis_server, db, heard):
    redis_server.kill()
    sink.write(2)
    dropped = sink.counters.snapshot()['dropped']
    redis_server.start()
    eventually(sink.is_settled)
    if sink.config.kind == 'channel':
        assert set(dropped) <= {'disconnected'}
        assert sink.counters.snapshot()['carried'] == 0
    else:
        kept = [1, 2] if sink.config.is_event else [2]
        eventually(lambda: numbers(db, heard, sink.config) == kept)


def test_what_is_queued_is_still_written_when_the_sink_closes(sink, db, heard):
    sink.write(1)
    sink.close()
    eventually(sink.is_settled)
    assert numbers(db, heard, sink.config) == [1]


def test_a_renewal_without_a_time_to_live_changes_nothing(sink, db, heard):
    sink.write(1)
    eventually(sink.is_settled)
    sink.renew()
    sink.write(1)
    eventually(sink.is_settled)
    assert numbers(db, heard, sink.config)[-1] == 2
