# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Channels as sources: order, gaps, losses."""

from __future__ import annotations

import logging
import time

from servers import Recorder, all_connected, request
from support import eventually

from redis_bridge.mapping.model import ChannelSourceConfig, Heartbeat, RedisSettings
from redis_bridge.redis_io.address import Address, Timing
from redis_bridge.redis_io.channel_source import ChannelSource
from redis_bridge.redis_io.health import Health
from redis_bridge.redis_io.source import Open, Setup


def listening(endpoints, *channels, command=False):
    listeners = [Recorder() for _ in channels]
    endpoints.want([
        request(ChannelSourceConfig(channel), listener, command)
        for channel, listener in zip(channels, listeners)
    ])  # fmt: skip
    endpoints.start(dict)
    eventually(lambda: all_connected(endpoints))
    return listeners


def test_messages_come_in_order_to_all_who_listen(each_server, redis_side_at):
    endpoints = redis_side_at(each_server.url)
    first, second, other = listening(endpoints, 'c', 'c', 'd')
    with each_server.client() as db:
        for number in range(1000):
            db.publish('c', number)
        db.publish('d', b'\x00\xff')
    eventually(lambda: len(first.payloads) == len(second.payloads) == 1000 and other.payloads)
    assert first.payloads == second.payloads == [b'%d' % number for number in range(1000)]
    assert other.payloads == [b'\x00\xff']
    assert first.gaps == []


def test_what_waits_is_handed_on_as_one_batch(redis_server, db, redis_side_at):
    class Slow(Recorder):
        def receive(self, arrivals):
            self.batches.append(len(arrivals))
            super().receive(arrivals)
            eventually(lambda: self.may_go_on)

    slow = Slow()
    slow.batches, slow.may_go_on = [], False
    endpoints = redis_side_at(redis_server.url)
    endpoints.want([request(ChannelSourceConfig('c'), slow, False, 100)])
    endpoints.start(dict)
    eventually(lambda: all_connected(endpoints))
    db.publish('c', 0)
    eventually(lambda: slow.batches == [1])
    with db.pipeline(transaction=False) as pipe:
        for number in range(1, 301):
            pipe.publish('c', number)
        pipe.execute()
    slow.may_go_on = True
    eventually(lambda: len(slow.payloads) == 301)
    assert len(slow.batches) < 20
    assert slow.payloads == [b'%d' % number for number in range(301)]


def test_an_outage_is_told_once_and_leaves_a_gap(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    (heard,) = listening(endpoints, 'c')
    assert (heard.losses, heard.gaps) == (0, [])
    redis_server.kill()
    eventually(lambda: heard.losses)
    eventually(lambda: 'refused' in endpoints.states()['channels'])
    redis_server.start()
    eventually(lambda: heard.gaps == [None])
    db.publish('c', 'again')
    eventually(lambda: heard.payloads == [b'again'])
    assert heard.losses == 1


def test_a_server_that_was_never_there_is_no_loss(redis_side_at):
    endpoints = redis_side_at()
    heard = Recorder()
    endpoints.want([request(ChannelSourceConfig('c'), heard, True, 100)])
    endpoints.start(dict)
    eventually(lambda: 'refused' in endpoints.states()['writer'])
    assert (heard.losses, heard.gaps) == (0, [])


def test_a_server_that_falls_silent_is_noticed_by_our_own_pings(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url, presence=Heartbeat(ttl_ms=60_000))
    (heard,) = listening(endpoints, 'c', command=True)
    redis_server.freeze()
    eventually(lambda: heard.losses == 1, seconds=2)
    redis_server.thaw()
    eventually(lambda: heard.gaps == [None])
    db.publish('c', 'again')
    eventually(lambda: heard.payloads == [b'again'])


def test_an_idle_channel_stays_subscribed(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url, timing=Timing(ping_s=0.1, pings=10))
    (heard,) = listening(endpoints, 'c')
    pings = db.info('commandstats').get('cmdstat_ping', {}).get('calls', 0)
    eventually(lambda: db.info('commandstats')['cmdstat_ping']['calls'] > pings + 15)
    assert (heard.losses, heard.gaps) == (0, [])


def test_commands_have_a_connection_of_their_own(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    heard = [Recorder(), Recorder()]
    endpoints.want([
        request(ChannelSourceConfig('c'), listener, command)
        for listener, command in zip(heard, (False, True))
    ])  # fmt: skip
    endpoints.start(dict)
    eventually(lambda: all_connected(endpoints))
    assert db.pubsub_numsub('c') == [(b'c', 2)]
    assert {'channels', 'channels (commands)'} <= set(endpoints.states())


def test_what_was_read_before_a_pause_reaches_no_receiver(redis_server, db):
    class Gate(Open):
        number = 1

        def term(self):
            return self.number

    class Batches:
        def __init__(self, then=lambda: None):
            self.payloads: list[bytes] = []
            self.unread = 0
            self._then = then

        def receive(self, batch):
            self.payloads += batch
            self._then()

        def drop_unread(self, count):
            self.unread += count

        def gap(self, missed, why):
            pass

        def set_problem(self, text):
            pass

        def on_disconnect(self):
            pass

    def pause():
        if first.payloads == [b'1']:
            gate.number += 1  # as after a pause of the process, once the name is confirmed

    log, gate = logging.getLogger('redis_bridge.test'), Gate()
    address = Address(RedisSettings(url=redis_server.url), 'test', Timing())
    source = ChannelSource('channels', Setup(address, Health(log, address.where), gate))
    first, second = Batches(pause), Batches()
    try:
        source.want({'c': [first, second]})
        assert source.wait_until_known([first, second], time.monotonic() + 5)
        db.publish('c', 1)
        eventually(lambda: second.unread == 1)
        eventually(lambda: db.publish('c', 2) and second.payloads)
        assert first.payloads[0] == b'1'
        assert set(second.payloads) == {b'2'}
    finally:
        source.thread.close(time.monotonic() + 1)
