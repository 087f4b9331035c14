# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Keys as sources: what is stored, each change, and what an outage hides."""

from __future__ import annotations

import pytest
from servers import Recorder, all_connected, request
from support import eventually

from redis_bridge.mapping.model import KeySourceConfig
from redis_bridge.redis_io import route_receivers
from redis_bridge.redis_io.tracking import disjoint_prefixes


def watching(endpoints, *configs, command=False, max_bytes=1 << 20):
    listeners = [Recorder() for _ in configs]
    endpoints.want([
        request(config, listener, command, max_bytes)
        for config, listener in zip(configs, listeners)
    ])  # fmt: skip
    endpoints.start(dict)
    eventually(lambda: all_connected(endpoints))
    return listeners


def settled(db, listener, name, marker=b'end'):
    """Write a last value and return all that came before it."""
    db.set(name, marker)
    eventually(lambda: listener.payloads[-1:] == [marker])
    return listener.payloads[:-1]


def test_the_value_is_read_at_the_start_and_on_each_change(each_server, redis_side_at):
    with each_server.client() as db:
        db.set('k', 'there')
        endpoints = redis_side_at(each_server.url)
        first, second = watching(
            endpoints, KeySourceConfig('k'), KeySourceConfig('k', initial='skip')
        )
        eventually(lambda: first.payloads == [b'there'])
        db.set('k', 'new')
        eventually(lambda: second.payloads == [b'new'])
        assert first.payloads == [b'there', b'new']


def test_what_is_there_at_the_start_waits_for_a_subscriber(redis_server, db, redis_side_at):
    db.mset({'k': '1', 'skipped': '1', 'other': '1'})
    endpoints = redis_side_at(redis_server.url)
    waiting, skipped, other = Recorder(wants=False), Recorder(wants=False), Recorder()
    endpoints.want([
        request(KeySourceConfig('k'), waiting),
        request(KeySourceConfig('skipped', initial='skip'), skipped),
        request(KeySourceConfig('other'), other),
    ])  # fmt: skip
    endpoints.start(dict)
    eventually(lambda: other.payloads == [b'1'])
    db.mset({'k': '2', 'skipped': '2', 'other': '2'})
    eventually(lambda: other.payloads == [b'1', b'2'])
    eventually(lambda: skipped.payloads == [b'2'])
    assert waiting.payloads == []
    waiting.wants = True
    eventually(lambda: waiting.payloads == [b'2'])
    waiting.wants = False  # the subscriber goes, as it may in ROS
    db.set('k', '3')
    eventually(lambda: waiting.payloads == [b'2', b'3'])


def test_what_is_there_at_the_start_is_handed_on_if_nobody_subscribes(
    redis_server, db, redis_side_at, monkeypatch
):
    monkeypatch.setattr(route_receivers, 'SUBSCRIBED_WITHIN_S', 0.3)
    db.set('k', '1')
    endpoints = redis_side_at(redis_server.url)
    heard = Recorder(wants=False)
    endpoints.want([request(KeySourceConfig('k'), heard)])
    endpoints.start(dict)
    eventually(lambda: heard.payloads == [b'1'])


def test_the_last_of_many_fast_writes_is_never_missed(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    listeners = watching(endpoints, *(KeySourceConfig(f'k{number}') for number in range(20)))
    with db.pipeline(transaction=False) as pipe:
        for round_ in range(100):
            for number in range(20):
                pipe.set(f'k{number}', round_)
        pipe.execute()
    eventually(lambda: all(listener.payloads[-1:] == [b'99'] for listener in listeners))


def test_a_value_that_did_not_change_is_no_news(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    (heard,) = watching(endpoints, KeySourceConfig('k'))
    db.set('k', '1')
    eventually(lambda: heard.payloads == [b'1'])
    db.set('k', '1')
    db.pexpire('k', 60_000)
    assert settled(db, heard, 'k') == [b'1']


TOUCHES = {
    'flush of another database': lambda db, other: other.flushdb(),
    'same key in another database': lambda db, other: other.set('k', '0'),
    'expire': lambda db, other: db.expire('k', 60),
    'persist': lambda db, other: (db.expire('k', 60), db.persist('k')),
    'rename': lambda db, other: (db.rename('k', 'away'), db.rename('away', 'k')),
    'delete': lambda db, other: (db.delete('k'), db.set('k', '1.5')),
    'same value': lambda db, other: db.set('k', '1.5'),
}


@pytest.mark.parametrize('initial', ['publish', 'skip'])
@pytest.mark.parametrize('touch', TOUCHES.values(), ids=TOUCHES)
def test_a_command_counts_only_if_its_payload_is_another(
    redis_server, db, redis_side_at, touch, initial
):
    db.set('k', '1.5')
    endpoints = redis_side_at(redis_server.url)
    heard, marker = watching(
        endpoints, KeySourceConfig('k', initial), KeySourceConfig('marker'), command=True
    )
    with redis_server.client(db=5) as other:
        for number in range(5):
            touch(db, other)
            db.set('marker', number)
            eventually(lambda: marker.payloads[-1:] == [b'%d' % number])  # noqa: B023
    assert settled(db, heard, 'k') == [b'1.5'] * (initial == 'publish')


def test_a_command_that_differs_each_time_counts_each_time(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    (heard,) = watching(endpoints, KeySourceConfig('k'), command=True)
    for number in range(1, 6):
        db.set('k', f'forward {number}')
        eventually(lambda: len(heard.payloads) == number)  # noqa: B023


def test_a_swapped_database_is_noticed_with_the_next_write(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    heard, marker = watching(
        endpoints, KeySourceConfig('k'), KeySourceConfig('marker'), command=True
    )
    db.set('k', '1')
    eventually(lambda: heard.payloads == [b'1'])
    with redis_server.client(db=5) as other:
        other.set('k', '2')
    db.swapdb(0, 5)
    db.set('marker', 'end')
    eventually(lambda: marker.payloads == [b'end'])
    db.expire('k', 60)
    eventually(lambda: heard.payloads == [b'1', b'2'])


def test_a_value_that_vanishes_publishes_nothing_and_may_come_back(
    redis_server, db, redis_side_at
):
    endpoints = redis_side_at(redis_server.url)
    (heard,) = watching(endpoints, KeySourceConfig('k'))
    db.set('k', '1')
    eventually(lambda: heard.payloads == [b'1'])
    db.pexpire('k', 20)
    eventually(lambda: db.get('k') is None)
    db.flushall()
    db.set('k', '2')
    eventually(lambda: len(heard.payloads) == 2)
    db.delete('k')
    db.set('k', '')
    eventually(lambda: heard.payloads == [b'1', b'2', b''])


def test_a_value_that_comes_and_goes_is_never_seen_as_an_empty_one(
    redis_server, db, redis_side_at
):
    endpoints = redis_side_at(redis_server.url)
    (heard,) = watching(endpoints, KeySourceConfig('k'))
    for number in range(300):
        db.set('k', number)
        db.delete('k')
    settled(db, heard, 'k')
    assert b'' not in heard.payloads


def test_a_flush_and_the_write_after_it_are_seen(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    (heard,) = watching(endpoints, KeySourceConfig('k'))
    db.set('k', '1')
    eventually(lambda: heard.payloads == [b'1'])
    with db.pipeline() as pipe:
        pipe.flushall()
        pipe.set('k', '2')
        pipe.execute()
    eventually(lambda: heard.payloads == [b'1', b'2'])


def test_after_an_outage_only_what_differs_is_news(redis_server, db, proxy, redis_side_at):
    endpoints = redis_side_at(proxy.url)
    db.mset({'same': '1', 'other': '1', 'skipped': '1'})
    same, other, skipped = watching(
        endpoints,
        KeySourceConfig('same'),
        KeySourceConfig('other'),
        KeySourceConfig('skipped', initial='skip'),
    )
    eventually(lambda: same.payloads == other.payloads == [b'1'])
    proxy.stall()
    eventually(lambda: same.losses == 1)
    db.mset({'same': '1', 'other': '2', 'skipped': '2'})
    proxy.flow()
    eventually(lambda: other.payloads == [b'1', b'2'])
    assert settled(db, same, 'same') == [b'1']
    assert settled(db, skipped, 'skipped') == []


def test_names_that_begin_alike_are_told_apart(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    short, long, longest = watching(
        endpoints, KeySourceConfig('k'), KeySourceConfig('k:a'), KeySourceConfig('k:a:b')
    )
    db.mset({'k:x': '0', 'k': '1', 'k:a': '2', 'k:a:b': '3'})
    eventually(lambda: longest.payloads == [b'3'])
    assert (short.payloads, long.payloads) == ([b'1'], [b'2'])


@pytest.mark.parametrize(
    ('names', 'prefixes'),
    [
        ([b'b', b'a'], [b'a', b'b']),
        ([b'k:a', b'k', b'ka', b'l'], [b'k', b'l']),
        ([b'k:a', b'k:b', b'k:ab'], [b'k:a', b'k:b']),
    ],
)
def test_prefixes_never_overlap(names, prefixes):
    assert disjoint_prefixes(names) == prefixes


def test_of_a_giant_value_only_so_much_is_read_that_its_size_shows(
    redis_server, db, redis_side_at
):
    endpoints = redis_side_at(redis_server.url)
    (heard,) = watching(endpoints, KeySourceConfig('k'), max_bytes=100)
    db.set('k', b'x' * 1_000_000)
    eventually(lambda: heard.payloads)
    assert [len(payload) for payload in heard.payloads] == [101]


def test_a_key_of_another_kind_is_told_of_and_hides_no_other(
    redis_server, db, redis_side_at, caplog
):
    db.hset('h', 'field', 'value')
    endpoints = redis_side_at(redis_server.url)
    _, heard = watching(endpoints, KeySourceConfig('h'), KeySourceConfig('k'))
    db.hset('h', 'field', 'other')
    db.set('k', '1')
    eventually(lambda: heard.payloads == [b'1'])
    assert (
        sum('key h: cannot be read: WRONGTYPE' in record.getMessage() for record in caplog.records)
        == 1
    )


def test_a_thousand_keys_are_followed(redis_server, db, redis_side_at):
    names = [f'many:{number}' for number in range(1000)]
    db.mset(dict.fromkeys(names, '0'))
    endpoints = redis_side_at(redis_server.url)
    listeners = watching(endpoints, *map(KeySourceConfig, names))
    eventually(lambda: all(listener.payloads for listener in listeners))
    db.mset(dict.fromkeys(names, '1'))
    eventually(lambda: all(listener.payloads == [b'0', b'1'] for listener in listeners))
