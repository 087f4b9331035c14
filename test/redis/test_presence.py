# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The claim on a robot's name, the heartbeat and the descriptions."""

from __future__ import annotations

import time

import pytest
from servers import Recorder, all_connected, request
from support import eventually

from redis_bridge.mapping.model import SINKS, ChannelSourceConfig, Heartbeat
from redis_bridge.protocol.descriptions import NameDescription, NameInfo, TypeDescription
from redis_bridge.redis_io.side import Timing

KEY = 'redis_bridge:robot:robot1'


def server_time(db):
    seconds, micros = db.time()
    return seconds + micros / 1e6


def test_the_hash_tells_who_lives_and_how(each_server, redis_side_at):
    endpoints = redis_side_at(each_server.url)
    beats = iter(range(1000))
    endpoints.start(lambda: {'beat': str(next(beats))})
    with each_server.client() as db:
        eventually(lambda: int(db.hget(KEY, 'beat') or 0) > 2)
        said = db.hgetall(KEY)
        assert 0 < db.pttl(KEY) <= 1000
        assert endpoints.origin == f'robot1/{said[b"boot"].decode()}'
        assert said[b'protocol'] == b'1'
        assert abs(float(said[b'stamp']) - db.time()[0]) < 3
        assert endpoints.why_closed() is None
        endpoints.close()
        assert not db.exists(KEY)
        assert endpoints.why_closed() is not None


def test_fields_that_the_status_no_longer_has_are_gone(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    status = {'old': '1'}
    endpoints.start(lambda: dict(status))
    eventually(lambda: db.hget(KEY, 'old'))
    status.clear()
    status['new'] = '1'
    eventually(lambda: db.hget(KEY, 'new'))
    assert not db.hexists(KEY, 'old')


def test_a_status_that_fails_is_told_once_and_costs_no_claim(
    redis_server, db, redis_side_at, caplog
):
    endpoints = redis_side_at(redis_server.url)
    asked = []

    def status():
        asked.append(1)
        raise ZeroDivisionError('a bug')

    endpoints.start(status)
    eventually(lambda: endpoints.why_closed() is None)
    eventually(lambda: len(asked) > 20)
    assert endpoints.why_closed() is None
    assert db.hexists(KEY, 'boot')
    assert sum('a bug' in record.getMessage() for record in caplog.records) == 1


def test_a_second_holder_stays_closed_until_the_first_one_goes(
    redis_server, db, redis_side_at, caplog
):
    bridges, heard = [], []
    for _ in range(2):
        bridges.append(redis_side_at(redis_server.url))
        heard.append(Recorder())
        bridges[-1].want([request(ChannelSourceConfig('c'), heard[-1], True, 100)])
        bridges[-1].start(dict)
        eventually(lambda: bridges[0].why_closed() is None)
    first, second = bridges
    eventually(lambda: all_connected(first))
    eventually(lambda: 'held by another' in second.states()['channels (commands)'])
    assert second.why_closed() is not None
    assert db.publish('c', '1') == 1
    eventually(lambda: heard[0].payloads == [b'1'])
    first.close()
    eventually(lambda: all_connected(second))
    assert db.publish('c', '2') == 1
    eventually(lambda: heard[1].payloads == [b'2'])
    assert sum('held by another' in r.getMessage() for r in caplog.records) == 1


def test_a_claim_taken_by_another_closes_the_sources_at_once(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url, timing=Timing(ping_s=60))
    heard = Recorder()
    endpoints.want([request(ChannelSourceConfig('c'), heard, True, 100)])
    endpoints.start(dict)
    eventually(lambda: all_connected(endpoints))
    db.hset(KEY, 'boot', 'other')
    eventually(lambda: heard.losses == 1, seconds=2)
    eventually(lambda: db.publish('c', '1') == 0)
    assert endpoints.why_closed() is not None
    endpoints.close()
    assert db.hget(KEY, 'boot') == b'other'


def test_a_killed_bridge_gives_the_name_up_when_its_time_is_over(redis_server, db, redis_side_at):
    db.hset(KEY, mapping={'boot': 'dead', 'host': 'h', 'pid': '1'})
    db.pexpire(KEY, 300)
    endpoints = redis_side_at(redis_server.url)
    begun = time.monotonic()
    endpoints.start(dict)
    eventually(lambda: endpoints.why_closed() is None)
    assert time.monotonic() - begun > 0.2


def test_a_claim_that_cannot_be_renewed_ends(redis_server, proxy, redis_side_at):
    endpoints = redis_side_at(proxy.url, presence=Heartbeat(every_ms=50, ttl_ms=300))
    endpoints.want([request(ChannelSourceConfig('c'), Recorder(), True, 100)])
    endpoints.start(dict)
    eventually(lambda: all_connected(endpoints))
    proxy.stall()
    eventually(lambda: endpoints.why_closed() is not None, seconds=1)
    eventually(lambda: 'waits for the claim' in endpoints.states()['channels (commands)'])
    proxy.flow()
    eventually(lambda: endpoints.why_closed() is None)
    eventually(lambda: all_connected(endpoints))


STRING = TypeDescription('std_msgs/msg/String', 'string data', 'RIHS01_x')
TYPE_KEY = f'redis_bridge:type:{STRING.name}'
INDEX = 'redis_bridge:described:robot1'
META = 'redis_bridge:meta:'


def written(name, kind, encoding='json', field=None, type_=STRING):
    return NameDescription(name, kind, False, encoding, field, type_)


def read(name, kind, encoding='json', field=None, type_=STRING):
    return NameDescription(name, kind, True, encoding, field, type_)


def test_a_slow_link_costs_no_claim(redis_server, proxy, redis_side_at):
    proxy.delay_s = 0.1
    endpoints = redis_side_at(proxy.url, timing=Timing(), presence=Heartbeat())
    endpoints.describe([written('n', 'key')])
    endpoints.start(dict)
    with redis_server.client() as db:
        eventually(lambda: db.exists(f'{META}n'))
    term = eventually(endpoints.term)
    end = time.monotonic() + 2.5 * Heartbeat().every_ms / 1000
    while time.monotonic() < end:
        assert endpoints.term() == term
        time.sleep(0.01)


def test_descriptions_are_written_and_written_again(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    early = written('early', 'key', field='data')
    endpoints.describe([early])
    endpoints.start(dict)
    eventually(lambda: db.exists(META + 'early'))
    late = [written('late', 'key'), written('late', 'channel', 'cdr'), read('in', 'channel')]
    endpoints.describe([early, *late, written('open', 'key', type_=None)])
    string = STRING.name.encode()
    about = {b'robot': b'robot1', b'type': string, b'type_hash': b'RIHS01_x'}
    said = {
        TYPE_KEY: {b'definition': b'string data', b'type_hash': b'RIHS01_x', b'protocol': b'1'},
        META + 'early': {**about, b'key': b'json', b'field': b'data'},
        META + 'late': {**about, b'key': b'json', b'channel': b'cdr'},
        META + 'in': {
            b'robot': b'robot1', b'from_channel': b'json', b'from_type': string,
            b'from_type_hash': b'RIHS01_x', b'from_channel_demands': b'{}',
        },
        META + 'open': {},
    }  # fmt: skip

    def is_all_there():
        return all(db.hgetall(key) == fields for key, fields in said.items()) and db.exists(INDEX)

    eventually(is_all_there)
    lose = [
        redis_server.restart,
        db.flushall,
        lambda: db.delete(META + 'late'),  # an eviction
        lambda: db.delete(TYPE_KEY),
        lambda: db.hdel(META + 'late', 'channel', 'type'),  # by another bridge
    ]
    for each in lose:
        each()
        assert not is_all_there() or each == redis_server.restart
        eventually(is_all_there, seconds=2)


def test_what_another_bridge_says_of_a_name_is_not_fought_over(redis_server, db, redis_side_at):
    sides = {}
    for robot in ('robot1', 'robot2'):
        sides[robot] = redis_side_at(redis_server.url, robot)
        sides[robot].describe([read('c', 'channel'), written('c', 'key')])
        sides[robot].start(dict)
        eventually(lambda: db.hget(META + 'c', 'robot') == robot.encode())  # noqa: B023
    changes = db.info('commandstats')['cmdstat_hset']['calls']
    db.hset(META + 'c', 'stream', 'cdr')  # by a third one
    kinds = NameInfo.of(db.hgetall(META + 'c'), SINKS).kinds
    assert set(kinds) == {'key', 'channel', 'stream'}
    beats = db.info('commandstats')['cmdstat_time']['calls']
    eventually(lambda: db.info('commandstats')['cmdstat_time']['calls'] > beats + 8)
    stats = db.info('commandstats')
    # Each beat writes the robot's hash, and nothing else is written.
    assert stats['cmdstat_hset']['calls'] - changes <= stats['cmdstat_time']['calls'] - beats + 3
    sides['robot2'].describe([written('other', 'key')])
    eventually(lambda: db.exists(META + 'other'))
    # The first one still describes it.
    eventually(lambda: NameInfo.of(db.hgetall(META + 'c'), SINKS).kinds == kinds)
    assert db.hget(META + 'c', 'from_type') == STRING.name.encode()


@pytest.mark.parametrize('is_restarted', [False, True])
def test_a_route_that_changes_its_kind_or_goes_removes_its_description(
    redis_server, db, redis_side_at, is_restarted
):
    before = [read('a', 'channel'), written('a', 'key'), read('b', 'key'), written('c', 'stream')]
    endpoints = redis_side_at(redis_server.url)
    endpoints.describe(before)
    endpoints.start(dict)
    eventually(lambda: db.exists(META + 'a') and db.exists(META + 'c'))
    db.hset(META + 'b', mapping={'channel': 'cdr', 'type': 'x/msg/Y'})  # another bridge
    after = [read('a', 'stream'), written('c', 'stream', type_=None)]
    if is_restarted:
        endpoints.close()
        assert db.exists(META + 'a')  # what is stored can still be read
        endpoints = redis_side_at(redis_server.url)
        endpoints.describe(after)
        endpoints.start(dict)
    else:
        endpoints.describe(after)
    eventually(lambda: db.hget(META + 'a', 'from_stream') == b'json')
    said = NameInfo.of(db.hgetall(META + 'a'), SINKS)
    assert said.kinds == ['stream']
    assert not db.hexists(META + 'a', 'from_channel_demands')
    assert not db.hexists(META + 'a', 'type')
    assert db.hgetall(META + 'b') == {
        b'channel': b'cdr', b'type': b'x/msg/Y', b'robot': b'robot1',
    }  # fmt: skip
    assert db.hget(META + 'c', 'stream') == b'json'  # its type is only not known yet


def test_the_field_of_an_earlier_mapping_does_not_stay(redis_server, db, redis_side_at):
    for field in ('data', None):
        endpoints = redis_side_at(redis_server.url)
        endpoints.describe([written('a', 'key', field=field)])
        endpoints.start(dict)
        eventually(lambda: db.exists(META + 'a'))
        eventually(lambda: db.hexists(META + 'a', 'field') == bool(field))  # noqa: B023
        endpoints.close()


def test_a_bridge_without_the_name_leaves_the_descriptions_alone(redis_server, db, redis_side_at):
    first, second = (redis_side_at(redis_server.url) for _ in range(2))
    first.describe([written('a', 'key')])
    first.start(dict)
    eventually(lambda: db.exists(META + 'a'))
    second.describe([written('a', 'stream')])
    second.start(dict)
    eventually(lambda: second.states()['presence'] == 'connected')
    beats = db.info('commandstats')['cmdstat_time']['calls']
    eventually(lambda: db.info('commandstats')['cmdstat_time']['calls'] > beats + 8)
    assert second.why_closed() is not None
    assert db.hget(META + 'a', 'key') == b'json'
    assert not db.hexists(META + 'a', 'stream')
    first.close()
    eventually(lambda: db.hget(META + 'a', 'stream') == b'json')
    assert not db.hexists(META + 'a', 'key')


def test_the_clock_is_that_of_the_server(redis_server, db, redis_side_at, monkeypatch):
    wall = time.time
    monkeypatch.setattr(time, 'time', lambda: wall() + 86_400)  # a robot whose clock is off
    endpoints = redis_side_at(redis_server.url)
    assert endpoints.now() - wall() > 86_000
    endpoints.start(dict)
    eventually(lambda: endpoints.why_closed() is None)
    eventually(lambda: abs(endpoints.now() - server_time(db)) < 0.1)


def test_the_hash_has_the_claim_and_the_status(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    endpoints.start(lambda: {'state': '{}', 'route:0': '{}'})
    fields = {
        b'state', b'route:0', b'boot', b'protocol', b'host', b'pid', b'process',
        b'since', b'stamp', b'clock_uncertainty_ms',
    }  # fmt: skip
    eventually(lambda: set(db.hkeys(KEY)) == fields)


def test_what_stood_there_before_the_claim_is_gone(redis_server, db, redis_side_at):
    db.hset(KEY, 'route:9', 'of another')
    endpoints = redis_side_at(redis_server.url)
    endpoints.start(lambda: {'route:0': '{}'})
    eventually(lambda: endpoints.why_closed() is None)
    assert not db.hexists(KEY, 'route:9')
    assert db.hexists(KEY, 'route:0')
