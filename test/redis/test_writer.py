# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Sinks: order, what waits and what does not, and that no entry of a stream is lost or doubled."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from functools import partial

import pytest
import redis
from servers import Recorder, Server, all_connected, free_port, programs, request
from support import eventually

from redis_bridge.counters import Counters
from redis_bridge.mapping.model import (
    ChannelSinkConfig,
    ChannelSourceConfig,
    HashSinkConfig,
    Heartbeat,
    KeySinkConfig,
    StreamSinkConfig,
)
from redis_bridge.ports import Write
from redis_bridge.protocol.meta import Meta
from redis_bridge.redis_io import restore
from redis_bridge.redis_io.address import Timing
from redis_bridge.redis_io.replay import ReplayBuffer
from redis_bridge.redis_io.write_queue import WRITE_OVERHEAD

MANY = 2000
SOON_S = 3.0  # promised are 2 s; this machine may be busy


class Feed:
    """A sink of a test, with a numbered sample per write."""

    def __init__(self, endpoints, config):
        self.counts = Counters()
        self.sink = endpoints.open_sink(config, self.counts)
        self.endpoints = endpoints
        self.sent = 0

    def write(self, count=1):
        for _ in range(count):
            self.sent += 1
            meta = Meta(self.endpoints.origin, self.sent, self.endpoints.now())
            self.sink.write([Write(b'%d' % self.sent, meta)])

    def get(self, what):
        return self.counts.snapshot()[what]

    def is_settled(self):
        """Whether each sample was either carried or dropped for a reason."""
        said = self.counts.snapshot()
        return said['carried'] + sum(said['dropped'].values()) == self.sent


def connections(db: redis.Redis) -> set[str]:
    """Return the ids of all connections of the bridge."""
    return {one['id'] for one in db.client_list() if one['name'].startswith('redis_bridge')}


def numbers(db, name):
    return [int(fields[b'data']) for _, fields in db.xrange(name)]


def writer_of(endpoints):
    return next(iter(endpoints._writers.values()))


def started(endpoints, connected=True):
    endpoints.start(dict)
    if connected:
        eventually(lambda: all_connected(endpoints))
    return endpoints


def test_each_kind_of_sink_writes_what_plain_clients_expect(each_server, redis_side_at):
    endpoints = started(redis_side_at(each_server.url))
    counts = Counters()
    meta = Meta(endpoints.origin, 7, 12.5)
    with each_server.client() as db, db.pubsub() as heard:
        heard.subscribe('c', 'n')
        for _ in range(2):
            assert eventually(heard.get_message)['type'] == 'subscribe'
        endpoints.open_sink(KeySinkConfig('k', ttl_ms=5000), counts).write([Write(b'v', meta)])
        endpoints.open_sink(HashSinkConfig('h', ttl_ms=5000), counts).write(
            [Write({'a.b': b'1', 'c': b'2'}, meta)]
        )
        endpoints.open_sink(StreamSinkConfig('s', maxlen=10), counts).write([Write(b'e', meta)])
        endpoints.open_sink(ChannelSinkConfig('c'), counts).write([Write(b'p', meta)])
        notice = ChannelSinkConfig('n', send='notice')  # its sender encodes it
        endpoints.open_sink(notice, counts).write([Write(b'{}', meta)])
        eventually(lambda: counts.snapshot()['carried'] == 5)
        assert db.get('k') == b'v'
        assert 0 < db.pttl('k') <= 5000
        assert db.hgetall('h') == {b'a.b': b'1', b'c': b'2'}
        assert 0 < db.pttl('h') <= 5000
        [(entry_id, fields)] = db.xrange('s')
        assert fields == {
            b'data': b'e', b'origin': endpoints.origin.encode(), b'seq': b'7', b'stamp': b'12.5',
        }  # fmt: skip
        assert abs(int(entry_id.split(b'-')[0]) / 1000 - db.time()[0]) < 3
        assert eventually(heard.get_message)['data'] == b'p'
        assert eventually(heard.get_message)['data'] == b'{}'


def test_entries_and_messages_keep_their_order(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    stream = Feed(endpoints, StreamSinkConfig('s', maxlen=10 * MANY))
    channel = Feed(endpoints, ChannelSinkConfig('c'))
    started(endpoints)
    with db.pubsub() as heard:
        heard.subscribe('c')
        eventually(heard.get_message)
        for _ in range(MANY):
            stream.write()
            channel.write()
        eventually(lambda: stream.get('carried') == channel.get('carried') == MANY)
        got = [int(heard.get_message(timeout=5)['data']) for _ in range(MANY)]
    assert numbers(db, 's') == got == list(range(1, MANY + 1))


def test_of_a_key_only_the_newest_value_waits_for_the_server(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    key, short = (
        Feed(endpoints, KeySinkConfig('k')),
        Feed(endpoints, KeySinkConfig('short', ttl_ms=50)),
    )
    started(endpoints)
    redis_server.kill()
    eventually(lambda: endpoints.states()['writer'] != 'connected')
    key.write(100)
    short.write(2)
    late = time.monotonic() + 0.06
    eventually(lambda: time.monotonic() > late)
    redis_server.start()
    eventually(lambda: key.get('carried') == 1)
    assert db.get('k') == b'100'
    assert key.get('dropped') == {'superseded': 99}
    assert eventually(lambda: short.is_settled())
    assert short.get('dropped') == {'superseded': 1, 'too_old': 1}
    assert db.get('short') is None


def test_nothing_old_is_published_after_an_outage(redis_server, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    heard = Recorder()
    endpoints.want([request(ChannelSourceConfig('c'), heard, False, 100)])
    channel = Feed(endpoints, ChannelSinkConfig('c'))
    started(endpoints)
    channel.write()
    eventually(lambda: heard.payloads == [b'1'])
    redis_server.kill()
    eventually(lambda: endpoints.states()['writer'] != 'connected')
    channel.write(50)
    assert channel.get('dropped') == {'disconnected': 50}
    redis_server.start()
    eventually(lambda: all_connected(endpoints))
    channel.write()
    eventually(lambda: len(heard.payloads) > 1)
    assert heard.payloads == [b'1', b'52']
    eventually(channel.is_settled)


def test_a_frozen_server_gets_nothing_old_but_what_was_under_way(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url, timing=Timing())
    channel = Feed(endpoints, ChannelSinkConfig('c'))
    started(endpoints)
    with db.pubsub() as heard:
        heard.subscribe('c')
        eventually(heard.get_message)
        channel.write()
        eventually(lambda: channel.get('carried') == 1)
        redis_server.freeze()
        channel.write()
        eventually(lambda: writer_of(endpoints)._in_flight)
        sent_at = {}
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            channel.write()
            sent_at[channel.sent] = time.monotonic()
            time.sleep(0.01)  # the rate of the messages
        thawed_at = time.monotonic()
        redis_server.thaw()
        eventually(channel.is_settled)
        got = [int(heard.get_message(timeout=5)['data']) for _ in range(channel.get('carried'))]
    assert got[:2] == [1, 2]  # the second one was sent before anybody could know
    assert all(thawed_at - sent_at[number] < 1.0 for number in got[2:])
    assert got[2:] == list(range(got[2], channel.sent + 1))
    assert channel.get('dropped') == {'too_old': channel.sent - len(got)}


@pytest.mark.parametrize('keeps_data', [True, False])
def test_a_stream_neither_loses_nor_doubles_entries_when_the_server_is_killed(
    each_server: Server, redis_side_at, keeps_data
):
    each_server.kill()
    if keeps_data:
        each_server.options = ('--appendonly', 'yes', '--appendfsync', 'always')
    each_server.start()
    endpoints = redis_side_at(each_server.url)
    stream = Feed(endpoints, StreamSinkConfig('s', maxlen=100 * MANY))
    started(endpoints)
    stop = threading.Event()

    def feed():
        while not stop.wait(0.001):
            stream.write(5)

    thread = threading.Thread(target=feed)
    thread.start()
    for _ in range(3):
        before = stream.get('carried')
        eventually(lambda: stream.get('carried') > before + 200)  # noqa: B023
        each_server.restart()
    stop.set()
    thread.join()
    eventually(lambda: stream.get('carried') == stream.sent)
    with each_server.client() as db:
        assert numbers(db, 's') == list(range(1, stream.sent + 1))
    assert stream.get('dropped') == {}
    assert ('resent' in stream.get('noted')) or keeps_data


def test_an_older_snapshot_is_brought_up_to_date(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    stream = Feed(endpoints, StreamSinkConfig('s', maxlen=100 * MANY))
    started(endpoints)
    stream.write(1000)
    eventually(lambda: stream.get('carried') == 1000)
    db.save()
    stream.write(2000)
    eventually(lambda: stream.get('carried') == 3000)
    redis_server.restart()
    eventually(lambda: stream.get('noted').get('resent') == 2000)
    eventually(lambda: db.xlen('s') >= 3000)
    assert numbers(db, 's') == list(range(1, 3001))
    assert stream.get('carried') == 3000


def test_what_is_too_old_to_be_written_again_is_told_as_a_gap(
    redis_server, db, redis_side_at, caplog
):
    endpoints = redis_side_at(redis_server.url)
    writer_of(endpoints)._recovery.buffer = ReplayBuffer(
        seconds=1e9, size=100 * (WRITE_OVERHEAD + 4)
    )
    stream = Feed(endpoints, StreamSinkConfig('s'))
    started(endpoints)
    stream.write(1000)
    eventually(lambda: stream.get('carried') == 1000)
    redis_server.restart()
    eventually(lambda: stream.get('noted').get('gap') == 1)
    eventually(lambda: db.xlen('s') >= 100)
    kept = numbers(db, 's')
    assert kept == list(range(kept[0], 1001))
    assert any('came back without' in record.getMessage() for record in caplog.records)


def test_entries_of_long_ago_are_not_written_again_though_none_came_since(
    redis_server, db, redis_side_at
):
    redis_server.kill()
    redis_server.options = ('--appendonly', 'yes', '--appendfsync', 'always')
    redis_server.start()
    endpoints = redis_side_at(redis_server.url)
    writer = writer_of(endpoints)
    writer._recovery.buffer = ReplayBuffer(seconds=0.2)
    stream = Feed(endpoints, StreamSinkConfig('s'))
    started(endpoints)
    stream.write(100)
    eventually(lambda: stream.get('carried') == 100)
    old_at = time.monotonic() + 0.2
    db.delete('s')  # by its consumer
    eventually(lambda: writer._answered_at > old_at)
    redis_server.restart()
    eventually(lambda: stream.get('noted'))
    stream.write()
    eventually(lambda: stream.get('carried') == 101)
    assert numbers(db, 's') == [101]
    assert stream.get('noted') == {'gap': 1}


def test_an_entry_whose_reply_was_lost_is_not_written_twice(
    redis_server, db, proxy, redis_side_at
):
    endpoints = redis_side_at(proxy.url)
    stream = Feed(endpoints, StreamSinkConfig('s'))
    started(endpoints)
    for number in range(5):
        proxy.lose_reply_to(b'XADD')
        stream.write(20)
        eventually(lambda: proxy.lost_replies == number + 1)  # noqa: B023
    eventually(lambda: stream.get('carried') == 100)
    assert numbers(db, 's') == list(range(1, 101))


def test_an_id_that_another_writer_took_is_not_mistaken_for_ours(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    stream = Feed(endpoints, StreamSinkConfig('s'))
    started(endpoints)
    stream.write()
    eventually(lambda: stream.get('carried') == 1)
    far = db.time()[0] * 1000 + 3_600_000
    db.xadd('s', {'data': b'-1'}, id=f'{far}-0')
    stream.write(3)
    eventually(lambda: stream.get('carried') == 4)
    assert sorted(numbers(db, 's')) == [-1, 1, 2, 3, 4]


def test_an_entry_of_another_writer_under_our_very_id_is_not_ours(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    stream = Feed(endpoints, StreamSinkConfig('s'))
    started(endpoints)
    stream.write()
    eventually(lambda: stream.get('carried') == 1)
    [(ours, _)] = db.xrange('s')
    db.delete('s')
    db.xadd('s', {'data': b'-1'}, id=ours)
    stream.write(2)
    eventually(lambda: stream.get('carried') == 3)
    assert numbers(db, 's') == [-1, 2, 3]


def test_a_value_under_way_at_the_loss_gives_way_to_a_newer_one(
    redis_server, db, proxy, redis_side_at
):
    endpoints = redis_side_at(proxy.url, presence=Heartbeat(every_ms=1000))
    key = Feed(endpoints, KeySinkConfig('k'))
    started(endpoints)
    proxy.stall()
    key.write()
    eventually(lambda: writer_of(endpoints)._in_flight)
    key.write()
    proxy.cut()
    eventually(lambda: key.get('dropped') == {'superseded': 1})
    proxy.flow()
    eventually(lambda: key.get('carried') == 1)
    assert db.get('k') == b'2'


def own_numbers(db, name, endpoints):
    """Return the numbers of a bridge's entries in a stream that others write as well."""
    entries = [fields for _, fields in db.xrange(name)]
    origin = endpoints.origin.encode()
    return [int(fields[b'seq']) for fields in entries if fields.get(b'origin') == origin]


@pytest.mark.parametrize('faults', ['none', 'killed', 'killed, keeps its data', 'cut'])
def test_two_bridges_and_a_plain_client_may_write_one_stream(
    redis_server, db, redis_side_at, faults
):
    if faults == 'killed, keeps its data':
        redis_server.kill()
        redis_server.options = ('--appendonly', 'yes', '--appendfsync', 'always')
        redis_server.start()
    feeds = []
    for robot in ('robot1', 'robot2'):
        endpoints = redis_side_at(redis_server.url, robot, presence=Heartbeat())
        writer_of(endpoints)._recovery.buffer = ReplayBuffer(seconds=1e9)  # on a slow machine too
        feeds.append(Feed(endpoints, StreamSinkConfig('s', maxlen=100 * MANY)))
        started(endpoints)
    done = threading.Event()

    def feed(feed):
        while not done.wait(0.001):
            feed.write(3)

    def add():
        with redis_server.client() as own:
            while not done.wait(0.001):
                with contextlib.suppress(redis.RedisError):
                    own.xadd('s', {'data': b'-1'})

    threads = [threading.Thread(target=feed, args=(each,)) for each in feeds]
    threads.append(threading.Thread(target=add))
    for thread in threads:
        thread.start()
    for _ in range(3):
        had = [feed.get('carried') for feed in feeds]
        eventually(lambda: all(f.get('carried') > n + 200 for f, n in zip(feeds, had)), 30.0)  # noqa: B023
        if faults == 'cut':
            db.client_kill_filter(_type='normal')
        elif faults != 'none':
            redis_server.restart()
    done.set()
    for thread in threads:
        thread.join()
    eventually(lambda: all(feed.get('carried') == feed.sent for feed in feeds), 30.0)
    for feed in feeds:
        assert feed.get('dropped') == {}
        eventually(lambda: len(own_numbers(db, 's', feed.endpoints)) >= feed.sent)  # noqa: B023
        assert own_numbers(db, 's', feed.endpoints) == list(range(1, feed.sent + 1))


def test_entries_are_restored_behind_those_of_a_client_that_was_there_first(
    redis_server, db, proxy, redis_side_at
):
    endpoints = redis_side_at(proxy.url)
    stream = Feed(endpoints, StreamSinkConfig('s'))
    started(endpoints)
    stream.write(100)
    eventually(lambda: stream.get('carried') == 100)
    proxy.stall()
    redis_server.restart()
    db.xadd('s', {'data': b'-1'})
    proxy.flow()
    eventually(lambda: stream.get('noted') == {'resent': 100})
    assert numbers(db, 's') == [-1, *range(1, 101)]
    stream.write(10)
    redis_server.restart()
    eventually(lambda: db.xlen('s') >= 110)
    eventually(lambda: stream.get('carried') == 110)
    assert numbers(db, 's') == list(range(1, 111))


def test_entries_are_restored_under_their_ids_if_nobody_else_writes_the_stream(
    redis_server, db, redis_side_at
):
    endpoints = redis_side_at(redis_server.url)
    stream = Feed(endpoints, StreamSinkConfig('s', maxlen=100 * MANY))
    started(endpoints)
    stream.write(MANY)
    eventually(lambda: stream.get('carried') == MANY)
    before = db.xrange('s')
    redis_server.restart()
    eventually(lambda: stream.get('noted') == {'resent': MANY})
    assert db.xrange('s') == before


def test_what_was_stored_is_known_by_the_newest_entry_that_is_there(
    redis_server, db, proxy, redis_side_at
):
    endpoints = redis_side_at(proxy.url)
    stream = Feed(endpoints, StreamSinkConfig('s', maxlen=100 * MANY))
    started(endpoints)
    stream.write(1000)
    eventually(lambda: stream.get('carried') == 1000)
    ids = [entry_id for entry_id, _ in db.xrange('s')]
    db.xdel('s', *ids[:500])  # by a consumer that is done with them
    db.save()
    stream.write(1000)
    eventually(lambda: stream.get('carried') == 2000)
    proxy.stall()
    redis_server.restart()
    db.xadd('s', {'data': b'-1'})
    proxy.flow()
    eventually(lambda: stream.get('noted') == {'resent': 1000})
    assert numbers(db, 's') == [*range(501, 1001), -1, *range(1001, 2001)]


@pytest.mark.parametrize('how', ['deleted', 'flushed', 'trimmed'])
def test_what_was_deleted_on_purpose_stays_deleted(redis_server, db, redis_side_at, how):
    endpoints = redis_side_at(redis_server.url)
    stream = Feed(endpoints, StreamSinkConfig('s'))
    started(endpoints)
    stream.write(100)
    eventually(lambda: stream.get('carried') == 100)
    delete = {
        'deleted': lambda: db.delete('s'),
        'flushed': db.flushall,
        'trimmed': lambda: db.xtrim('s', maxlen=0, approximate=False),
    }
    delete[how]()
    before = connections(db)
    db.client_kill_filter(_type='normal')
    eventually(lambda: len(connections(db) - before) >= len(before))
    stream.write()
    eventually(lambda: stream.get('carried') == 101)
    assert numbers(db, 's') == [101]
    assert stream.get('noted') == {}


@pytest.mark.parametrize('others', [False, True])
def test_a_restart_with_all_data_brings_back_nothing_that_a_consumer_deleted(
    redis_server, db, proxy, redis_side_at, others
):
    redis_server.kill()
    redis_server.options = ('--appendonly', 'yes', '--appendfsync', 'always')
    redis_server.start()
    endpoints = redis_side_at(proxy.url)
    stream = Feed(endpoints, StreamSinkConfig('s'))
    started(endpoints)
    stream.write(100)
    eventually(lambda: stream.get('carried') == 100)
    db.xdel('s', *(entry_id for entry_id, _ in db.xrange('s')))
    proxy.stall()
    redis_server.restart()
    if others and 'max-deleted-entry-id' in db.xinfo_stream('s'):  # not before Redis 7.0
        db.xadd('s', {'data': b'-1'})
    proxy.flow()
    eventually(lambda: all_connected(endpoints))
    stream.write()
    eventually(lambda: stream.get('carried') == 101)
    assert numbers(db, 's')[-1:] == [101]
    assert set(numbers(db, 's')) <= {-1, 101}
    assert stream.get('noted') == {}


def test_what_the_others_pushed_out_of_a_short_stream_is_not_written_again(
    redis_server, db, proxy, redis_side_at
):
    redis_server.kill()
    redis_server.options = ('--appendonly', 'yes', '--appendfsync', 'always')
    redis_server.start()
    endpoints = redis_side_at(proxy.url)
    stream = Feed(endpoints, StreamSinkConfig('s', maxlen=10))
    started(endpoints)
    stream.write(5)
    eventually(lambda: stream.get('carried') == 5)
    for _ in range(20):
        db.xadd('s', {'data': b'-1'}, maxlen=10, approximate=False)
    redis_server.restart()
    eventually(lambda: all_connected(endpoints))
    stream.write()
    eventually(lambda: stream.get('carried') == 6)
    assert numbers(db, 's') == [*[-1] * 10, 6]
    assert stream.get('noted') == {}


def test_a_promoted_replica_gets_what_it_lacks(redis_server, db, proxy, redis_side_at, tmp_path):
    endpoints = redis_side_at(proxy.url)
    stream = Feed(endpoints, StreamSinkConfig('s'))
    started(endpoints)
    db.config_set('repl-diskless-sync-delay', 0)
    with Server(redis_server.program, tmp_path / 'replica') as replica, replica.client() as copy:
        copy.replicaof('127.0.0.1', redis_server.port)
        stream.write(50)
        eventually(lambda: stream.get('carried') == 50)
        eventually(lambda: copy.exists('s') and copy.xlen('s') == 50)
        copy.replicaof('NO', 'ONE')
        stream.write(50)
        eventually(lambda: stream.get('carried') == 100)
        proxy.lead_to(replica.port)
        eventually(lambda: stream.get('noted') == {'resent': 50})
        assert numbers(copy, 's') == list(range(1, 101))


def test_a_primary_that_was_a_replica_meanwhile_gets_what_it_lacks(
    redis_server, db, redis_side_at, tmp_path
):
    endpoints = redis_side_at(redis_server.url)
    stream = Feed(endpoints, StreamSinkConfig('s'))
    started(endpoints)
    stream.write(50)
    eventually(lambda: stream.get('carried') == 50)
    with Server(redis_server.program, tmp_path / 'other') as other, other.client() as empty:
        empty.config_set('repl-diskless-sync-delay', 0)
        db.replicaof('127.0.0.1', other.port)
        eventually(lambda: db.info('replication')['master_link_status'] == 'up')
        assert db.exists('s') == 0
        db.replicaof('NO', 'ONE')
        db.client_kill_filter(_type='normal')
        eventually(lambda: stream.get('noted') == {'resent': 50})
        assert numbers(db, 's') == list(range(1, 51))


def test_without_the_right_to_info_the_last_id_alone_decides(redis_server, db, redis_side_at):
    db.acl_setuser('default', enabled=True, nopass=True, commands=['+@all', '-info'])
    endpoints = redis_side_at(redis_server.url)
    stream = Feed(endpoints, StreamSinkConfig('s'))
    started(endpoints)
    stream.write(100)
    eventually(lambda: stream.get('carried') == 100)
    db.xtrim('s', maxlen=0, approximate=False)
    db.client_kill_filter(_type='normal')
    eventually(lambda: all_connected(endpoints))
    stream.write()
    eventually(lambda: stream.get('carried') == 101)
    assert numbers(db, 's') == [101]
    redis_server.restart()
    eventually(lambda: stream.get('noted') == {'resent': 101})
    assert numbers(db, 's') == list(range(1, 102))


def test_what_cannot_be_restored_because_another_took_the_name_is_counted(
    redis_server, db, proxy, redis_side_at
):
    endpoints = redis_side_at(proxy.url)
    stream = Feed(endpoints, StreamSinkConfig('s'))
    started(endpoints)
    stream.write(100)
    eventually(lambda: stream.get('carried') == 100)
    proxy.stall()
    redis_server.restart()
    db.set('s', 'a string')
    proxy.flow()
    eventually(lambda: stream.get('noted') == {'missed': 100})
    assert db.get('s') == b'a string'


def test_what_is_not_yet_restored_is_so_after_the_next_connection(
    redis_server, db, proxy, redis_side_at
):
    endpoints = redis_side_at(proxy.url)
    stream = Feed(endpoints, StreamSinkConfig('s'))
    started(endpoints)
    stream.write(100)
    eventually(lambda: stream.get('carried') == 100)
    proxy.stall()
    redis_server.restart()
    db.xadd('s', {'data': b'-1'})
    db.config_set('maxmemory', 1)
    proxy.flow()
    eventually(lambda: endpoints.states()['writer'].endswith('OOM'))
    before = connections(db)
    proxy.cut()
    eventually(lambda: len(connections(db) - before) >= len(before))
    db.config_set('maxmemory', 0)
    eventually(lambda: stream.get('noted') == {'resent': 100})
    assert numbers(db, 's') == [-1, *range(1, 101)]


def test_writing_never_waits_for_a_server_that_hangs(redis_server, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    feeds = [
        Feed(endpoints, StreamSinkConfig('s')), Feed(endpoints, KeySinkConfig('k')),
        Feed(endpoints, ChannelSinkConfig('c')),
    ]  # fmt: skip
    started(endpoints)
    redis_server.freeze()
    slowest = 0.0
    until = time.monotonic() + 1.5  # over the loss of the connection
    while time.monotonic() < until:
        for feed in feeds:
            begun = time.perf_counter()
            feed.write()
            slowest = max(slowest, time.perf_counter() - begun)
    redis_server.thaw()
    assert slowest < 0.9  # a wait for the network would take a second
    eventually(lambda: all(feed.is_settled() for feed in feeds))


def test_a_name_of_another_kind_is_rejected_and_the_others_go_on(
    redis_server, db, redis_side_at, caplog
):
    db.set('s', 'a string')
    endpoints = redis_side_at(redis_server.url)
    wrong, right = Feed(endpoints, StreamSinkConfig('s')), Feed(endpoints, StreamSinkConfig('t'))
    started(endpoints)
    for _ in range(20):
        wrong.write()
        right.write()
    eventually(lambda: wrong.is_settled() and right.is_settled())
    assert wrong.get('dropped') == {'refused': 20}
    assert right.get('carried') == 20
    assert sum('stream s: WRONGTYPE' in r.getMessage() for r in caplog.records) == 1
    assert wrong.sink.state().startswith('error: stream s: WRONGTYPE')
    db.delete('s')
    wrong.write()
    eventually(lambda: wrong.get('carried') == 1)
    assert wrong.sink.state() == 'open'


def test_a_full_server_is_waited_for_while_channels_go_on(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    stream, channel = (
        Feed(endpoints, StreamSinkConfig('s')),
        Feed(endpoints, ChannelSinkConfig('c')),
    )
    started(endpoints)
    db.config_set('maxmemory', 1)
    stream.write(50)
    channel.write(50)
    eventually(lambda: channel.get('carried') == 50)
    assert stream.get('carried') == 0
    assert endpoints.states()['writer'] == 'connected, but nothing is stored: OOM'
    assert stream.sink.state() == 'nothing is stored: OOM'
    assert channel.sink.state() == 'open'
    db.config_set('maxmemory', 0)
    eventually(lambda: stream.get('carried') == 50)
    assert numbers(db, 's') == list(range(1, 51))


def test_the_time_to_live_of_a_hash_never_touches_the_key_of_another(
    redis_server, db, redis_side_at
):
    db.set('robot1:battery', 'precious')
    endpoints = redis_side_at(redis_server.url)
    hash_ = Feed(endpoints, HashSinkConfig('robot1:battery', ttl_ms=2000))
    after = Feed(endpoints, ChannelSinkConfig('c'))
    started(endpoints)
    hash_.sent += 1
    hash_.sink.write([Write({'percentage': b'0.5'}, None)])
    eventually(lambda: hash_.get('dropped') == {'refused': 1})
    hash_.sink.renew()
    after.write()
    eventually(lambda: after.get('carried') == 1)  # nothing is under way any more
    assert hash_.sink.state().startswith('error: hash robot1:battery: WRONGTYPE')
    assert (db.get('robot1:battery'), db.ttl('robot1:battery')) == (b'precious', -1)
    db.delete('robot1:battery')
    hash_.sent += 1
    hash_.sink.write([Write({'percentage': b'0.5'}, None)])
    eventually(lambda: 0 < db.pttl('robot1:battery') <= 2000)


def test_a_notice_follows_a_value_that_was_stored_only(redis_server, db, redis_side_at, caplog):
    caplog.set_level(logging.INFO, 'redis_bridge.test')
    endpoints = redis_side_at(redis_server.url)
    key = Feed(endpoints, KeySinkConfig('k', ttl_ms=60_000))
    notices = Feed(endpoints, ChannelSinkConfig('n', send='notice'))

    def write() -> None:
        key.sent += 1
        then = partial(notices.write, 1)
        key.sink.write([Write(b'%d' % key.sent, None, then)])

    with db.pubsub() as heard:
        heard.subscribe('n')
        eventually(heard.get_message)
        started(endpoints)
        write()
        eventually(lambda: notices.get('carried') == 1)
        db.config_set('maxmemory', 1)
        for _ in range(5):
            write()
            key.sink.renew()
        eventually(lambda: endpoints.states()['writer'].endswith('OOM'))
        assert notices.sent == 1
        db.config_set('maxmemory', 0)
        eventually(lambda: notices.get('carried') == 2)
    assert db.get('k') == b'6'
    # One line when it begins, one when it ends, though renewals succeed in between.
    stores = [r.getMessage() for r in caplog.records if 'stores' in r.getMessage()]
    assert len(stores) == 2
    assert stores[0].startswith('Redis: stores nothing: OOM')
    assert stores[1] == 'Redis: stores again, after OOM'


def test_entries_stay_in_order_however_often_the_server_runs_out_of_memory(
    redis_server, db, redis_side_at
):
    endpoints = redis_side_at(redis_server.url)
    feed = Feed(endpoints, StreamSinkConfig('s'))
    started(endpoints)
    done = threading.Event()

    def flap() -> None:
        with redis_server.client() as own:
            while not done.is_set():
                own.config_set('maxmemory', 1)
                own.config_set('maxmemory', 0)

    flapping = threading.Thread(target=flap)
    flapping.start()
    for _ in range(300):
        feed.write(30)
    done.set()
    flapping.join()
    eventually(lambda: feed.get('carried') == feed.sent)
    assert numbers(db, 's') == list(range(1, feed.sent + 1))


def test_a_durable_stream_holds_up_no_other(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url, timing=Timing())
    durable = Feed(endpoints, StreamSinkConfig('s', durability='replicated'))
    channel = Feed(endpoints, ChannelSinkConfig('c'))
    started(endpoints)
    durable.write()  # waits for a replica that there is not
    eventually(lambda: db.exists('s'))
    channel.write()
    eventually(lambda: channel.get('carried') == 1)
    assert durable.get('carried') == 0
    eventually(lambda: durable.get('noted') == {'not_durable': 1})


def test_a_value_too_big_for_the_server_does_not_hold_up_the_others(
    redis_server, db, redis_side_at
):
    db.config_set('proto-max-bulk-len', 1 << 20)
    endpoints = redis_side_at(redis_server.url)
    big, stream = Feed(endpoints, KeySinkConfig('big')), Feed(endpoints, StreamSinkConfig('s'))
    started(endpoints)
    big.sent += 1
    big.sink.write([Write(b'x' * (32 << 20), Meta('o', 1, 0.0))])
    stream.write(100)
    eventually(lambda: big.get('dropped') == {'refused': 1})
    eventually(lambda: stream.get('carried') == 100)
    assert numbers(db, 's') == list(range(1, 101))


def test_a_replica_is_left_alone_until_it_is_a_primary(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    stream = Feed(endpoints, StreamSinkConfig('s'))
    started(endpoints)
    db.replicaof('127.0.0.1', free_port())
    stream.write(10)
    eventually(lambda: 'READONLY' in endpoints.states()['writer'])
    db.replicaof('NO', 'ONE')
    eventually(lambda: stream.get('carried') == 10)
    assert numbers(db, 's') == list(range(1, 11))


def test_a_right_that_lacks_for_one_name_stops_that_one_only(
    redis_server, db, redis_side_at, tmp_path
):
    db.execute_command(
        'ACL', 'SETUSER', 'bridge', 'on', '>pw', '~ok', '~redis_bridge:*', '&*', '+@all'
    )
    (tmp_path / 'password').write_text('pw\n')
    endpoints = redis_side_at(
        redis_server.url, username='bridge', password_file=str(tmp_path / 'password')
    )
    ok, bad = Feed(endpoints, KeySinkConfig('ok')), Feed(endpoints, KeySinkConfig('other'))
    started(endpoints)
    ok.write()
    bad.write()
    eventually(lambda: ok.get('carried') == 1 and bad.get('dropped') == {'refused': 1})
    assert ok.sink.state() == 'open'
    assert bad.sink.state().startswith('error: key other: NOPERM')
    db.execute_command('ACL', 'SETUSER', 'bridge', '~other')
    bad.write()
    eventually(lambda: bad.get('carried') == 1)
    assert bad.sink.state() == 'open'


def test_a_renewal_keeps_a_value_alive_and_brings_back_a_lost_one(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    key = Feed(endpoints, KeySinkConfig('k', ttl_ms=60_000))
    started(endpoints)
    key.write()
    eventually(lambda: key.get('carried') == 1)
    db.pexpire('k', 1000)
    key.sink.renew()
    eventually(lambda: db.pttl('k') > 1000)
    db.delete('k')
    key.sink.renew()
    assert eventually(lambda: db.get('k')) == b'1'
    assert key.get('carried') == 1


def test_a_newer_value_in_the_same_batch_as_a_renewal_stays(
    redis_server, db, proxy, redis_side_at
):
    endpoints = redis_side_at(proxy.url)
    key = Feed(endpoints, KeySinkConfig('k', ttl_ms=60_000))
    other = Feed(endpoints, ChannelSinkConfig('c'))
    started(endpoints)
    key.write()
    eventually(lambda: key.get('carried') == 1)
    db.delete('k')
    proxy.stall()
    other.write()
    eventually(lambda: writer_of(endpoints)._in_flight)
    key.sink.renew()
    key.write()
    proxy.flow()
    eventually(lambda: key.get('carried') == 2)
    eventually(lambda: key.get('noted') == {'rewritten': 1})
    other.write()
    eventually(lambda: other.get('carried') == 2)
    assert db.get('k') == b'2'


def test_fsynced_entries_survive_and_a_server_without_that_is_told_of(
    redis_server, redis_side_at, caplog
):
    if 'valkey' not in programs():
        pytest.skip('WAITAOF needs Valkey, or Redis 7.2')
    endpoints = redis_side_at(redis_server.url)
    stream = Feed(endpoints, StreamSinkConfig('s', durability='fsynced'))
    started(endpoints)
    stream.write(10)
    eventually(lambda: stream.get('carried') == 10)
    eventually(lambda: stream.get('noted').get('not_durable') == 10)
    assert any('durability fsynced' in r.getMessage() for r in caplog.records)
    redis_server.kill()
    redis_server.options = ('--appendonly', 'yes')
    redis_server.start()
    eventually(lambda: all_connected(endpoints))
    noted = stream.get('noted')['not_durable']
    stream.write(10)
    eventually(lambda: stream.get('carried') == 20)
    assert stream.get('noted')['not_durable'] <= noted + 10  # what the ring brought back aside


def test_replicated_entries_wait_for_a_replica(redis_server, db, redis_side_at, tmp_path):
    endpoints = redis_side_at(redis_server.url)
    stream = Feed(endpoints, StreamSinkConfig('s', durability='replicated'))
    started(endpoints)
    db.config_set('repl-diskless-sync-delay', 0)
    replica = Server(redis_server.program, tmp_path / 'replica')
    with replica, replica.client() as copy:
        copy.replicaof('127.0.0.1', redis_server.port)
        eventually(lambda: copy.info('replication')['master_link_status'] == 'up')
        stream.write(10)
        eventually(lambda: stream.get('carried') == 10)
        assert stream.get('noted') == {}
        assert copy.xlen('s') == 10


def test_what_waits_is_written_at_close(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    stream = Feed(endpoints, StreamSinkConfig('s', maxlen=100 * MANY))
    started(endpoints)
    stream.write(MANY)
    endpoints.close()
    assert db.xlen('s') == MANY == stream.get('carried')
    stream.write()
    assert stream.get('dropped') == {'closed': 1}


def test_what_cannot_be_written_at_close_is_counted(redis_server, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    stream, channel = (
        Feed(endpoints, StreamSinkConfig('s')),
        Feed(endpoints, ChannelSinkConfig('c')),
    )
    started(endpoints)
    redis_server.freeze()
    stream.write(100)
    channel.write(100)
    begun = time.monotonic()
    endpoints.close(flush_s=0.3)
    assert time.monotonic() - begun < 1.0
    redis_server.thaw()
    assert stream.is_settled() and channel.is_settled()


def test_a_sample_that_is_no_bytes_is_a_bug_of_the_caller(redis_side_at):
    with pytest.raises(TypeError):
        redis_side_at().open_sink(KeySinkConfig('k'), Counters()).write(
            [Write(5, Meta('o', 1, 0.0))]
        )


def test_a_notice_comes_after_the_value_that_it_announces(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    key = Feed(endpoints, KeySinkConfig('k'))
    notice = Feed(endpoints, ChannelSinkConfig('n', send='notice'))
    started(endpoints)
    with db.pubsub() as heard:
        heard.subscribe('n')
        eventually(heard.get_message)
        for _ in range(300):
            key.write()
            notice.write()
        seq = 0
        while seq < 300:
            seq = int(heard.get_message(timeout=5)['data'])
            assert int(db.get('k')) >= seq


class State:
    """A key or hash that a bridge writes, with one value in it."""

    def __init__(self, endpoints, kind='key', *, name='k', ttl_ms=None, is_mirrored=False):
        self.is_hash = kind == 'hash'
        self.name = name
        config = (HashSinkConfig if self.is_hash else KeySinkConfig)(name, ttl_ms=ttl_ms)
        self.counts = Counters()
        self.sink = endpoints.open_sink(config, self.counts, is_mirrored=is_mirrored)

    def write(self, value=b'ours'):
        self.sink.write([Write({'a': value, 'b': b'2'} if self.is_hash else value, None)])

    def read(self, db):
        if self.is_hash:
            return db.hget(self.name, 'a')
        return db.get(self.name)

    def overwrite(self, db):
        if self.is_hash:
            db.hset(self.name, 'a', 'theirs')
        else:
            db.set(self.name, 'theirs', keepttl=True)

    def get(self, what):
        return self.counts.snapshot()[what]


@pytest.fixture(params=['key', 'hash'])
def kind(request):
    return request.param


@pytest.mark.parametrize('ttl_ms', [None, 60_000])
@pytest.mark.parametrize('how', ['delete', 'flush', 'overwrite', 'restart'])
def test_a_value_that_redis_lost_comes_back_without_a_new_sample(
    redis_server, db, redis_side_at, kind, ttl_ms, how
):
    endpoints = redis_side_at(redis_server.url)
    state = State(endpoints, kind, ttl_ms=ttl_ms)
    started(endpoints)
    state.write()
    eventually(lambda: state.get('carried') == 1)
    lose = {
        'delete': lambda: db.delete('k'),
        'flush': db.flushall,
        'overwrite': lambda: state.overwrite(db),
        'restart': redis_server.restart,
    }
    lose[how]()
    eventually(lambda: state.read(db) == b'ours', seconds=SOON_S)
    eventually(lambda: state.get('noted') == {'rewritten': 1})
    assert state.get('carried') == 1  # nobody sent another sample
    assert state.get('dropped') == {}
    if ttl_ms is not None:
        eventually(lambda: 0 < db.pttl('k') < ttl_ms)  # it is no newer than before


def test_a_value_whose_time_is_over_does_not_come_back(redis_server, db, redis_side_at, kind):
    endpoints = redis_side_at(redis_server.url)
    state = State(endpoints, kind, ttl_ms=1500)
    started(endpoints)
    written = time.monotonic()
    state.write()
    eventually(lambda: state.get('carried') == 1)
    while time.monotonic() < written + 4:
        was_late = time.monotonic() > written + 3  # it lives as long again if it is written late
        assert not (db.exists('k') and was_late)
        time.sleep(0.01)
    assert state.get('noted') == {}
    assert not state.sink.holds()
    state.sink.renew()  # an equal sample
    eventually(lambda: state.read(db) == b'ours')
    eventually(lambda: state.get('carried') == 2)


def test_a_foreign_key_of_another_type_is_left_alone_until_it_is_gone(
    redis_server, db, redis_side_at, kind, caplog
):
    endpoints = redis_side_at(redis_server.url)
    state = State(endpoints, kind)
    started(endpoints)
    if kind == 'hash':
        db.set('k', 'precious')  # met by the first write
        state.write()
        eventually(lambda: state.get('dropped') == {'refused': 1})
    else:
        state.write()
        eventually(lambda: state.get('carried') == 1)
        db.delete('k')
        db.rpush('k', 'precious')
    eventually(lambda: 'WRONGTYPE' in caplog.text)
    checked = time.monotonic() + 2.5
    eventually(lambda: time.monotonic() > checked)
    assert db.type('k') == (b'string' if kind == 'hash' else b'list')
    assert caplog.text.count('WRONGTYPE Operation') == 1
    db.delete('k')
    eventually(lambda: state.read(db) == b'ours', seconds=SOON_S)
    eventually(lambda: state.get('noted') == {'rewritten': 1})
    assert state.get('carried') + state.get('dropped')['refused'] == 1


def side_with_rights(server, redis_side_at, tmp_path, *rights):
    with server.client() as db:
        db.execute_command(
            'ACL', 'SETUSER', 'bridge', 'on', '>pw', '~redis_bridge:*', '&*', '+@all', *rights
        )
    (tmp_path / 'password').write_text('pw')
    return redis_side_at(server.url, username='bridge', password_file=str(tmp_path / 'password'))


def test_a_value_without_permission_is_written_once_there_is_one(
    redis_server, db, redis_side_at, tmp_path, kind, caplog
):
    endpoints = side_with_rights(redis_server, redis_side_at, tmp_path)
    state = State(endpoints, kind)
    started(endpoints)
    state.write()
    eventually(lambda: state.get('dropped') == {'refused': 1})
    tried = time.monotonic() + 2.5
    eventually(lambda: time.monotonic() > tried)
    assert sum('NOPERM' in r.getMessage() for r in caplog.records) == 1
    db.execute_command('ACL', 'SETUSER', 'bridge', '~k')
    eventually(lambda: state.read(db) == b'ours', seconds=SOON_S)
    assert state.get('dropped') == {'refused': 1}  # tried again and again, counted once
    assert state.get('carried') == 0


def test_without_the_right_to_read_a_missing_value_comes_back(
    redis_server, db, redis_side_at, tmp_path, kind
):
    endpoints = side_with_rights(redis_server, redis_side_at, tmp_path, '%W~k')
    state = State(endpoints, kind)
    started(endpoints)
    state.write()
    eventually(lambda: state.get('carried') == 1)
    eventually(lambda: not state.sink.may_read)
    for number in (1, 2):
        db.delete('k')
        eventually(lambda: state.read(db) == b'ours', seconds=SOON_S)
        eventually(lambda: state.get('noted') == {'rewritten': number})  # noqa: B023


def test_a_mirrored_key_is_left_to_whoever_wrote_last(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    mirrored = State(endpoints, is_mirrored=True)
    other = State(endpoints, name='other')
    started(endpoints)
    for state in (mirrored, other):
        state.write()
        eventually(lambda: state.get('carried') == 1)  # noqa: B023
    for number, lose in enumerate((lambda: mirrored.overwrite(db), db.flushall)):
        lose()
        db.delete('other')
        eventually(lambda: other.get('noted') == {'rewritten': number + 1})  # noqa: B023
        rounds = time.monotonic() + 1.2
        eventually(lambda: time.monotonic() > rounds)  # noqa: B023
        assert mirrored.read(db) == (None if lose == db.flushall else b'theirs')
    assert not mirrored.sink.holds()  # so that the next sample is written, even an equal one
    mirrored.write()
    eventually(mirrored.sink.holds)


def test_two_bridges_do_not_overwrite_each_other_for_ever(redis_server, db, redis_side_at, caplog):
    states = []
    for robot in ('robot1', 'robot2'):
        endpoints = redis_side_at(redis_server.url, robot, timing=Timing(check_s=0.05))
        states.append(State(endpoints))
        started(endpoints)
        states[-1].write(robot.encode())
        eventually(lambda: states[-1].get('carried') == 1)
    eventually(lambda: 'another client writes it as well' in caplog.text)
    writes = [state.get('noted')['rewritten'] for state in states]
    assert max(writes) <= restore.OVERWRITES
    rounds = time.monotonic() + 0.5
    eventually(lambda: time.monotonic() > rounds)
    assert sum(state.get('noted')['rewritten'] for state in states) <= sum(writes) + 1
    db.delete('k')  # but what is missing comes back
    eventually(lambda: db.get('k'), seconds=SOON_S)


def test_a_large_value_is_not_read_back_while_it_rests(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    state = State(endpoints)
    started(endpoints)
    image = b'x' * (1 << 20)
    state.write(image)
    eventually(lambda: state.get('carried') == 1)
    before = db.info('stats')['total_net_output_bytes']
    rounds = time.monotonic() + 2.5
    eventually(lambda: time.monotonic() > rounds)
    assert db.info('stats')['total_net_output_bytes'] - before < 100_000
    for theirs in (image[:-1] + b'y', image[1:], image + b'x'):
        db.set('k', theirs)
        eventually(lambda: state.read(db) == image, seconds=SOON_S)


def test_a_bridge_that_lost_its_name_leaves_the_values_to_the_other(
    redis_server, db, redis_side_at
):
    endpoints = redis_side_at(redis_server.url)
    state = State(endpoints)
    started(endpoints)
    state.write()
    eventually(lambda: state.get('carried') == 1)
    db.hset('redis_bridge:robot:robot1', 'boot', 'other')
    db.persist('redis_bridge:robot:robot1')
    eventually(lambda: endpoints.why_closed() is not None)
    state.overwrite(db)
    rounds = time.monotonic() + 2.5
    eventually(lambda: time.monotonic() > rounds)
    assert state.read(db) == b'theirs'
    db.delete('redis_bridge:robot:robot1')
    eventually(lambda: state.read(db) == b'ours', seconds=SOON_S)


def test_a_foreign_key_never_gets_the_time_to_live_of_a_hash(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    sink = endpoints.open_sink(HashSinkConfig('h', ttl_ms=60_000), Counters())
    started(endpoints)
    ended = threading.Event()

    def write():
        number = 0
        while not ended.wait(0.0005):
            number += 1
            sink.write([Write({'a': b'%d' % number}, None)])

    writing = threading.Thread(target=write)
    writing.start()
    try:
        for _ in range(300):
            eventually(lambda: db.type('h') == b'hash', every=0.0001)
            assert db.pttl('h') > 0
            with db.pipeline() as pipe:
                pipe.delete('h').set('h', 'precious').execute()
            for _ in range(5):
                assert (db.get('h'), db.pttl('h')) == (b'precious', -1)
            db.delete('h')
    finally:
        ended.set()
        writing.join()


def test_a_hash_never_stays_without_its_time_to_live(redis_server, db, proxy, redis_side_at):
    endpoints = redis_side_at(proxy.url)
    sink = endpoints.open_sink(HashSinkConfig('h', ttl_ms=60_000), Counters())
    started(endpoints)
    for number in range(20):
        sink.write([Write({'a': b'%d' % number}, None)])
        db.client_kill_filter(_type='normal')
        eventually(lambda: db.hget('h', 'a') == b'%d' % number)  # noqa: B023
        assert db.pttl('h') > 0


def test_a_stream_that_is_opened_while_another_bridge_has_the_name_waits_for_nothing(
    redis_server, db, redis_side_at
):
    first, second = (redis_side_at(redis_server.url) for _ in range(2))
    for bridge in (first, second):
        bridge.start(dict)
        eventually(lambda: first.why_closed() is None)
    eventually(lambda: 'held by another' in (second.why_closed() or ''))
    counters = Counters()
    stream = second.open_sink(StreamSinkConfig('s', durability='replicated'), counters)
    stream.write([Write(b'1', Meta('o', 1, 1.0))])
    assert counters.snapshot()['dropped'] == {'closed': 1}
    first.close()
    eventually(lambda: all_connected(second) and second.why_closed() is None)
    stream.write([Write(b'2', Meta('o', 2, 2.0))])
    eventually(lambda: [fields[b'data'] for _, fields in db.xrange('s')] == [b'2'])


def test_a_writer_without_sinks_that_move_is_not_waited_for(redis_server, redis_side_at):
    side = redis_side_at(redis_server.url)
    side.open_sink(KeySinkConfig('k'), Counters())
    [writer] = side._writers.values()
    with writer._at_work:  # its server is silent
        thread = threading.Thread(target=side._spread_anew, daemon=True)
        thread.start()
        thread.join(20)
        assert not thread.is_alive()
