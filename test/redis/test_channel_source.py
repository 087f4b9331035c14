# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Channels as sources: order, gaps, losses."""

from __future__ import annotations

from servers import Recorder, all_connected, request
from support import eventually

from redis_bridge.mapping.model import ChannelSourceConfig, Heartbeat


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
    endpoints = redis_side_at(redis_server.url)
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
