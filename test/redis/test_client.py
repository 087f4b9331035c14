# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The client without ROS, against a real server."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import subprocess
import sys
import threading
import time

import msgpack
import pytest
import redis
from support import eventually

import redis_bridge
from redis_bridge.client.follow import WAITING, Follower
from redis_bridge.errors import InterfaceError, NotFoundError, PayloadError, RedisError
from redis_bridge.mapping.model import ChannelSinkConfig, Heartbeat, KeySinkConfig, RedisSettings
from redis_bridge.messages import cdr_write
from redis_bridge.messages.definition import definition_text, parse_definition, type_hash
from redis_bridge.payloads import CODECS
from redis_bridge.payloads.hash_fields import hash_encoder
from redis_bridge.ports import Write
from redis_bridge.protocol import keys
from redis_bridge.protocol.descriptions import NameDescription, TypeDescription
from redis_bridge.protocol.fleet import RobotEvent
from redis_bridge.protocol.meta import Meta
from redis_bridge.redis_io.address import Address, Timing
from redis_bridge.redis_io.clock import Clock
from redis_bridge.redis_io.side import RedisSide
from redis_bridge.redis_io.topology import OneServer

INNER = """\
float64 a
float64[3] v
"""
SAMPLE = parse_definition(
    'demo_msgs/msg/Sample',
    f"""\
float64 x
float32[] ranges
uint8[] data
string text
int64 big
bool ok
demo_msgs/Inner inner
{'=' * 80}
MSG: demo_msgs/Inner
{INNER}""",
)
SCALAR = parse_definition('std_msgs/msg/Float64', 'float64 data\n')
TEXT = parse_definition('std_msgs/msg/String', 'string data\n')

VALUE = {
    'x': 1.5,
    'ranges': [0.5, math.inf, 2.0],
    'data': b'\x00\xff\x10',
    'text': 'Grüße 12',
    'big': 2**60 + 1,
    'ok': True,
    'inner': {'a': -0.25, 'v': [1.0, 2.0, 3.0]},
}
META = Meta('robot1/0a0b', 7, 1234.5)
WHOLE = [name for name, codec in CODECS.items() if not codec.one_scalar]
TYPED = [name for name, codec in CODECS.items() if codec.carries_arrays]


@pytest.fixture
def client(redis_server):
    with redis_bridge.Client(redis_server.url) as client:
        yield client


def describe(db, message, name, **kinds):
    """Say of a name what a bridge says; `kinds` as `key='json'` or `from_channel='cdr'`."""
    db.hset(
        keys.type_key(message.name),
        mapping={
            'definition': definition_text(message),
            'type_hash': type_hash(message),
            'protocol': '1',
        },
    )
    db.hset(keys.meta_key(name), mapping={'type': message.name, 'robot': 'robot1', **kinds})


def encoded(encoding, value=VALUE, message=SAMPLE, meta=META, **options):
    """Return the payload that a bridge makes of a message."""
    encode = CODECS[encoding].encoder(message, **options)
    return encode(cdr_write.writer(message)(value), meta)


def plain(value):
    """Return a value with typed arrays as lists."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value.tolist() if hasattr(value, 'typecode') else value


# --- register ----------------------------------------------------------------------------------
def test_what_is_registered_is_in_the_registry_until_it_is_not(db, client):
    client.register('key', 'robot9:speed')
    client.register('stream', 'robot9:log')
    client.register('key', 'robot9:speed')
    assert db.hgetall(keys.NAMES) == {
        b'key:robot9:speed': client.origin.encode(),
        b'stream:robot9:log': client.origin.encode(),
    }
    client.unregister('key', 'robot9:speed')
    client.unregister('key', 'unknown')
    assert db.hkeys(keys.NAMES) == [b'stream:robot9:log']


@pytest.mark.parametrize(
    ('kind', 'name', 'text'),
    [
        ('channel', 'a', "kind: expected one of key, stream, lease, queue, got 'channel'"),
        ('hash', 'a', 'expected one of key, stream'),
        ('key', '', 'expected a name'),
        ('key', 'redis_bridge:names', 'belong to the bridge itself'),
    ],
)
def test_what_cannot_be_registered_raises(db, client, kind, name, text):
    for call in (client.register, client.unregister):
        with pytest.raises(PayloadError, match=text):
            call(kind, name)
    assert not db.exists(keys.NAMES)


# --- get ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ('encoding', 'options'),
    [(name, {}) for name in WHOLE] + [(name, {'arrays': 'typed'}) for name in TYPED],
)
def test_get_returns_the_same_value_in_every_encoding(db, client, encoding, options):
    describe(db, SAMPLE, 'robot1:sample', key=encoding)
    db.set('robot1:sample', encoded(encoding, **options))
    assert plain(client.get('robot1:sample')) == VALUE
    assert client.read('robot1:sample').meta == (META if CODECS[encoding].carries_meta else None)


def test_get_returns_text_as_the_scalar_that_it_is(db, client):
    describe(db, SCALAR, 'Temperature', key='text')
    db.set('Temperature', '21.5')
    assert client.get('Temperature') == 21.5
    describe(db, TEXT, 'word', key='text')
    db.set('word', '21.5')
    assert client.get('word') == '21.5'


@pytest.mark.parametrize('field', ['x', 'inner.a'])
def test_get_returns_a_field_that_the_bridge_names(db, client, field):
    describe(db, SAMPLE, 'one', key='text', field=field)
    db.set('one', '-0.5')
    assert client.get('one') == -0.5


def test_get_returns_a_hash_as_the_map_it_was_written_from(db, client):
    describe(db, SAMPLE, 'robot1:battery', hash='text')
    fields = hash_encoder(SAMPLE)(cdr_write.writer(SAMPLE)(VALUE))
    db.hset('robot1:battery', mapping=fields)
    assert plain(client.get('robot1:battery')) == VALUE


@pytest.mark.parametrize('encoding', WHOLE)
def test_get_returns_the_last_entry_of_a_stream(db, client, encoding):
    describe(db, SAMPLE, 'log', stream=encoding)
    db.xadd('log', {'data': b'old'})
    id_ = db.xadd(
        'log', {'data': encoded(encoding, meta=None), 'origin': 'r/1', 'seq': 3, 'stamp': 1.25}
    )
    update = client.read('log')
    assert plain(update.value) == VALUE
    assert update == ('log', 'stream', update.value, Meta('r/1', 3, 1.25), id_.decode())


@pytest.mark.parametrize(
    ('payload', 'value'),
    [
        (b'hello', 'hello'),
        ('Grüße'.encode(), 'Grüße'),
        (b'21.5', '21.5'),
        (b'{"a": [1, 2]}', {'a': [1, 2]}),
        (b' [1, "x"]', [1, 'x']),
        (b'{not json', '{not json'),
        (b'\xff\x00', b'\xff\x00'),
        (b'', ''),
    ],
)
def test_get_guesses_what_a_plain_client_wrote(db, client, payload, value):
    db.set('plain', payload)
    assert client.get('plain') == value
    assert client.get_raw('plain') == payload


def test_get_reads_plain_hashes_and_streams(db, client):
    db.hset('h', mapping={'a.b': '1', 'c': '{"d": 2}'})
    db.xadd('s', {'word': 'hello'})
    assert client.get('h') == {'a.b': '1', 'c': {'d': 2}}
    assert client.get('s') == {'word': 'hello'}


def test_get_of_a_missing_name_is_a_clear_key_error(db, client):
    with pytest.raises(NotFoundError, match=r"^no key, hash or stream named 'nothing' is known$"):
        client.get('nothing')
    with pytest.raises(KeyError):
        client.get('nothing')
    describe(db, SAMPLE, 'only:sent', channel='json')
    with pytest.raises(NotFoundError, match=r'is a channel.*watch it'):
        client.get('only:sent')


def test_get_rejects_kinds_that_no_bridge_uses(db, client):
    db.zadd('ranks', {'a': 1})
    with pytest.raises(PayloadError, match=r"'ranks' is a zset"):
        client.get('ranks')


def test_get_says_which_payload_cannot_be_decoded(db, client):
    describe(db, SAMPLE, 'robot1:sample', key='msgpack')
    db.set('robot1:sample', b'\xc1')
    with pytest.raises(PayloadError, match=r"^key 'robot1:sample': "):
        client.get('robot1:sample')


def test_cdr_of_another_version_of_the_type_is_rejected(db, client):
    describe(db, SAMPLE, 'robot1:sample', key='cdr', type_hash='RIHS01_' + 64 * '0')
    db.set('robot1:sample', encoded('cdr'))
    with pytest.raises(InterfaceError, match='two versions'):
        client.get('robot1:sample')


@pytest.mark.parametrize(
    ('fields', 'text'),
    [
        ({'protocol': '2'}, 'protocol 2'),
        ({'type_hash': 'RIHS01_' + 64 * '0'}, 'is inconsistent'),
        ({'definition': 'float64 x y z'}, 'line 1'),
    ],
)
def test_cdr_needs_a_description_that_is_whole(db, client, fields, text):
    describe(db, SAMPLE, 'robot1:sample', key='cdr')
    db.set('robot1:sample', encoded('cdr'))
    db.hset(keys.type_key(SAMPLE.name), mapping=fields)
    with pytest.raises(InterfaceError, match=text):
        client.get('robot1:sample')
    db.delete(keys.type_key(SAMPLE.name))
    with pytest.raises(InterfaceError, match='no bridge describes'):
        client.get('robot1:sample')


def test_json_is_read_without_a_description_too(db, client):
    db.hset(keys.meta_key('j'), mapping={'type': 'unknown_msgs/msg/X', 'key': 'json'})
    db.set('j', b'{"x": 1, "_meta": {"origin": "a/b", "seq": 1, "stamp": 2.0}}')
    assert client.read('j') == ('j', 'key', {'x': 1}, Meta('a/b', 1, 2.0), None)


def test_get_reads_what_the_bridges_redis_side_writes(redis_server, client):
    endpoints = RedisSide(
        RedisSettings(redis_server.url),
        'robot9',
        log=logging.getLogger('test'),
        presence=Heartbeat(),
    )
    type_ = TypeDescription(SAMPLE.name, definition_text(SAMPLE), type_hash(SAMPLE))
    endpoints.describe([NameDescription('r9:sample', 'key', False, 'cdr', None, type_)])
    sink = endpoints.open_sink(KeySinkConfig('r9:sample', 'cdr'), redis_bridge.counters.Counters())
    endpoints.start(lambda: {'state': json.dumps({'writer': 'connected'})})
    try:
        sink.write([Write(encoded('cdr'), META)])

        def described():
            try:
                return client.get('r9:sample')
            except NotFoundError:
                return None

        assert plain(eventually(lambda: isinstance(described(), dict) and described())) == VALUE
        robot = eventually(lambda: client.robots())[0]
        assert (robot.name, f'robot9/{robot.boot}') == ('robot9', endpoints.origin)
        assert robot.protocol == keys.PROTOCOL
        assert 0 <= robot.age < 5
        assert robot.status['state'] == {'writer': 'connected'}
    finally:
        endpoints.close()


# --- publish -----------------------------------------------------------------------------------
def subscribed(db, *channels):
    pubsub = db.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe(*channels)
    eventually(lambda: all(count for _, count in db.pubsub_numsub(*channels)))
    return pubsub


def received(pubsub):
    return eventually(lambda: pubsub.get_message(timeout=0.1))['data']


@pytest.mark.parametrize('encoding', WHOLE)
def test_publish_sends_what_the_bridge_that_reads_expects(db, client, encoding):
    describe(db, SAMPLE, 'robot1:in', from_channel=encoding)
    pubsub = subscribed(db, 'robot1:in')
    before = time.time()
    assert client.publish('robot1:in', VALUE) == 1
    assert client.publish('robot1:in', {'x': 2}) == 1
    first, second = (CODECS[encoding].decoder(SAMPLE)(received(pubsub)) for _ in range(2))
    assert plain(first[0]) == VALUE
    assert second[0]['x'] == 2
    if CODECS[encoding].carries_meta:
        assert second[0] == {'x': 2}  # what is left out stays out: the reader has its defaults
        assert [meta.seq for _, meta in (first, second)] == [1, 2]
        assert first[1].origin == client.origin
        assert first[1].origin.startswith('client/')
        assert abs(first[1].stamp - before) < 2
    pubsub.close()


def test_publish_is_json_if_no_bridge_describes_the_name(db, client):
    pubsub = subscribed(db, 'free')
    client.publish('free', {'a': 1})
    sent = json.loads(received(pubsub))
    assert sent['a'] == 1
    assert sent['_meta']['origin'] == client.origin
    client.publish('free', {'a': 1}, encoding='msgpack')
    assert msgpack.unpackb(received(pubsub))['a'] == 1
    pubsub.close()


def test_publish_to_a_key_and_to_a_stream(db, client):
    describe(db, SCALAR, 'learning_rate', from_key='text')
    assert client.publish('learning_rate', 0.001) == 1
    assert db.get('learning_rate') == b'0.001'
    describe(db, TEXT, 'tasks', from_stream='json')
    client.publish('tasks', {'data': 'a'})
    client.publish('tasks', {'data': 'b'})
    entries = [fields for _, fields in db.xrange('tasks')]
    assert [json.loads(fields[b'data']) for fields in entries] == [{'data': 'a'}, {'data': 'b'}]
    assert [fields[b'seq'] for fields in entries] == [b'1', b'2']
    assert entries[0][b'origin'] == client.origin.encode()
    assert abs(float(entries[0][b'stamp']) - time.time()) < 2


def test_publish_finds_the_kind_by_what_is_stored(db, client):
    db.set('k', 'x')
    db.xadd('s', {'data': 'x'})
    assert client.target('k').kind == 'key'
    assert client.target('s').kind == 'stream'
    assert client.target('nothing').kind == 'channel'
    assert client.target('nothing', kind='key').kind == 'key'


def test_publish_to_a_name_that_takes_no_messages_is_an_error(db, client):
    db.rpush('queue', 'a')
    with pytest.raises(PayloadError, match=r"^'queue' is a list in Redis"):
        client.publish('queue', 'b')
    assert client.publish('queue', 'b', kind='channel') == 0


@pytest.mark.parametrize('encoding', WHOLE)
@pytest.mark.parametrize(
    ('value', 'where'),
    [
        ({'y': 1.0}, 'y'),
        ({'inner': {'a': 'high'}}, 'inner.a'),
        ({'inner': {'v': [1.0, 2.0]}}, 'inner.v'),
        ({'big': 2**63}, 'big'),
        ({'ok': 1}, 'ok'),
        ({'text': 5}, 'text'),
    ],
)
def test_publish_finds_errors_before_sending(db, client, encoding, value, where):
    describe(db, SAMPLE, 'robot1:in', from_key=encoding)
    with pytest.raises(PayloadError, match=where.replace('.', r'\.')):
        client.publish('robot1:in', value)
    assert not db.exists('robot1:in')


@pytest.mark.parametrize('value', [None, 'hello', 5, [1, 2], ''])
@pytest.mark.parametrize('encoding', WHOLE)
def test_publish_of_no_map_to_a_route_of_whole_messages_is_an_error(db, client, encoding, value):
    describe(db, SAMPLE, 'robot1:in', from_key=encoding)
    with pytest.raises(PayloadError, match='expected a map of'):
        client.publish('robot1:in', value)
    assert not db.exists('robot1:in')


def test_publish_of_a_map_whose_names_are_no_strings_is_an_error(client):
    with pytest.raises(PayloadError, match='expected a string as name of an entry, got 1'):
        client.publish('x', {'a': [{1: 'x'}]}, encoding='msgpack')


@pytest.mark.parametrize('encoding', WHOLE)
def test_publish_takes_the_scalars_of_numpy(db, client, encoding):
    numpy = pytest.importorskip('numpy')
    describe(db, SAMPLE, 'robot1:in', from_key=encoding)
    value = {
        'x': numpy.float32(0.5),
        'big': numpy.int64(7),
        'ok': numpy.bool_(True),
        'ranges': [numpy.float64(1.5)],
        'inner': {'a': numpy.float64(2)},
    }
    client.publish('robot1:in', value)
    got = plain(client.get('robot1:in'))
    given = {'x': 0.5, 'big': 7, 'ok': True, 'ranges': [1.5]}
    assert {name: got[name] for name in given} == given
    assert got['inner']['a'] == 2.0


DEMANDS = [
    ({'limits': {'big': [0, 5]}}, {'big': 6}, r'big is 6, allowed is 0\.0 to 5\.0'),
    ({'required': ['big']}, {}, 'big is required and was left out'),
    ({'finite': True}, {'x': float('nan')}, 'NaN or infinite'),
    ({'max_bytes': 20}, {'big': 1, 'text': 'x' * 40}, 'max_bytes 20'),
]


@pytest.mark.parametrize('kind', ['channel', 'key', 'stream'])
@pytest.mark.parametrize('encoding', WHOLE)
@pytest.mark.parametrize(('demands', 'value', 'text'), DEMANDS, ids=[str(d[0]) for d in DEMANDS])
def test_publish_rejects_what_the_bridge_will_reject(
    db, client, kind, encoding, demands, value, text
):
    fields = {f'from_{kind}': encoding, f'from_{kind}_demands': json.dumps(demands)}
    describe(db, SAMPLE, 'robot1:in', **fields)
    with pytest.raises(PayloadError, match=text):
        client.publish('robot1:in', value)
    assert not db.exists('robot1:in')
    describe(db, SAMPLE, 'robot1:free', **{f'from_{kind}': encoding, f'from_{kind}_demands': '{}'})
    client.publish('robot1:free', value)


def test_publish_holds_a_bare_field_to_its_limits(db, client):
    limits = json.dumps({'limits': {'big': [0, 5]}})
    for encoding in ('text', 'json', 'msgpack'):
        describe(
            db, SAMPLE, encoding,
            from_key=encoding, from_type=SAMPLE.name, from_field='big', from_key_demands=limits,
        )  # fmt: skip
        client.publish(encoding, 5)
        with pytest.raises(PayloadError, match='big is 6'):
            client.publish(encoding, 6)


def test_publish_checks_scalars_as_text(db, client):
    describe(db, SCALAR, 'learning_rate', from_key='text')
    with pytest.raises(PayloadError):
        client.publish('learning_rate', 'fast')
    with pytest.raises(PayloadError):
        client.publish('learning_rate', {'data': 1.0})
    client.publish('learning_rate', '1e-3')
    assert client.get('learning_rate') == 0.001


def test_publish_of_a_bare_field_is_checked_if_the_bridge_names_it(db, client):
    describe(db, SAMPLE, 'x', from_key='json', from_field='inner.a')
    with pytest.raises(PayloadError, match=r'inner\.a'):
        client.publish('x', 'high')
    client.publish('x', 0.5)
    assert db.get('x') == b'0.5'
    assert client.get('x') == 0.5


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        ({'kind': 'list'}, 'kind: expected one of'),
        ({'encoding': 'xml'}, 'encoding: expected one of'),
        ({'encoding': 'cdr'}, 'message type'),
        ({'encoding': 'cdr', 'type': 'no_msgs/msg/No'}, 'no bridge describes'),
    ],
)
def test_publish_says_what_it_cannot_do(client, options, text):
    with pytest.raises(redis_bridge.errors.BridgeError, match=text):
        client.publish('somewhere', {}, **options)


def test_publish_does_not_touch_the_names_of_the_bridge_itself(client):
    with pytest.raises(PayloadError, match='belong to the bridge'):
        client.publish('redis_bridge:robot:robot1', {}, kind='key')


def test_publish_asks_for_the_kind_if_there_are_two(db, client):
    describe(db, SAMPLE, 'both', from_key='json', from_channel='json')
    with pytest.raises(PayloadError, match=r'read as (key and as channel|channel and as key)'):
        client.publish('both', {})
    client.publish('both', {'x': 1}, kind='key')
    assert db.exists('both')


# --- watch -------------------------------------------------------------------------------------
def test_watch_sees_channels_keys_hashes_and_streams(db, client):
    describe(db, SAMPLE, 'c', channel='msgpack')
    describe(db, SAMPLE, 'k', key='json')
    describe(db, SAMPLE, 'h', hash='text')
    describe(db, SAMPLE, 's', stream='cdr')
    db.set('k', encoded('json'))
    db.xadd('s', {'data': b'of before'})
    with client.watch('c', 'k', 'h', 's') as watch:
        assert plain(watch.wait(5)) == ('k', 'key', VALUE, META, None)  # what is stored
        db.publish('c', encoded('msgpack'))
        assert plain(watch.wait(5)) == ('c', 'channel', VALUE, META, None)
        db.hset('h', mapping=hash_encoder(SAMPLE)(cdr_write.writer(SAMPLE)(VALUE)))
        update = watch.wait(5)
        assert (update.name, update.kind, plain(update.value)) == ('h', 'hash', VALUE)
        id_ = db.xadd('s', {'data': encoded('cdr'), 'origin': 'r/1', 'seq': 1, 'stamp': 2.5})
        update = watch.wait(5)
        assert plain(update.value) == VALUE
        assert update[3:] == (Meta('r/1', 1, 2.5), id_.decode())


def test_watch_yields_each_change_of_a_key_and_its_end(db, client):
    db.set('k', 'a')
    db.set('kk', 'beside')  # a name that begins with another
    with client.watch('k', 'kk') as watch:
        assert {watch.wait(5)[:3], watch.wait(5)[:3]} == {
            ('k', 'key', 'a'), ('kk', 'key', 'beside'),
        }  # fmt: skip
        db.set('k', 'a')  # no change
        db.set('k', 'b')
        assert watch.wait(5)[:3] == ('k', 'key', 'b')
        db.delete('k')
        assert watch.wait(5)[:3] == ('k', 'key', None)
        db.set('k', 'c')
        assert watch.wait(5)[:3] == ('k', 'key', 'c')
        db.flushall()
        assert {watch.wait(5)[:3], watch.wait(5)[:3]} == {('k', 'key', None), ('kk', 'key', None)}
        assert watch.wait(0.05) is None


def test_watch_takes_what_is_published_right_after_it_was_made(db, client):
    for number in range(20):
        with client.watch(f'c{number}') as watch:
            db.publish(f'c{number}', 'x')
            assert next(watch).value == 'x'


def test_watch_of_several_kinds_under_one_name_sees_them_all(db, client):
    describe(db, TEXT, 'both', channel='text', key='text')
    with client.watch('both') as watch:
        db.set('both', 'kept')
        db.publish('both', 'sent')
        assert {watch.wait(5)[:3] for _ in range(2)} == {
            ('both', 'key', 'kept'), ('both', 'channel', 'sent'),
        }  # fmt: skip
    with client.watch('both', kind='channel') as watch:
        db.set('both', 'other')
        db.publish('both', 'sent')
        assert watch.wait(5)[:3] == ('both', 'channel', 'sent')


def test_watch_learns_what_a_bridge_says_later(db, client):
    with client.watch('late') as watch:
        db.publish('late', b'{"x": 1}')
        assert watch.wait(5)[:3] == ('late', 'channel', {'x': 1})
        describe(db, SAMPLE, 'late', channel='msgpack', key='cdr')
        db.set('late', encoded('cdr'))
        update = watch.wait(5)
        assert (update.kind, plain(update.value)) == ('key', VALUE)
        db.publish('late', encoded('msgpack'))
        assert plain(watch.wait(5).value) == VALUE


def test_watch_follows_a_bridge_that_changes_its_encoding(db, client):
    describe(db, SAMPLE, 'c', channel='json')
    with client.watch('c') as watch:
        db.publish('c', encoded('json'))
        assert plain(watch.wait(5).value) == VALUE
        describe(db, SAMPLE, 'c', channel='msgpack')
        db.publish('c', encoded('msgpack', meta=META._replace(seq=META.seq + 1)))
        assert plain(watch.wait(5).value) == VALUE


def test_watch_reports_gaps_by_the_senders_numbers(db, client):
    describe(db, TEXT, 'c', channel='json')
    notices = []
    with client.watch('c', on_notice=notices.append) as watch:
        for origin, seq in (('a/1', 1), ('b/1', 9), ('a/1', 2), ('a/1', 5), ('a/2', 1)):
            meta = {'origin': origin, 'seq': seq, 'stamp': 1.0}
            db.publish('c', json.dumps({'data': 'x', '_meta': meta}))
            assert watch.wait(5).meta.seq == seq
    assert [(notice.event, notice.name, notice.missed) for notice in notices] == [('gap', 'c', 2)]


def test_watch_says_what_it_cannot_decode_and_goes_on(db, client):
    describe(db, SAMPLE, 'c', channel='msgpack')
    notices = []
    with client.watch('c', on_notice=notices.append) as watch:
        db.publish('c', b'\xc1 no msgpack')
        db.publish('c', encoded('msgpack'))
        assert plain(watch.wait(5).value) == VALUE
    assert [(notice.event, notice.name) for notice in notices] == [('bad_payload', 'c')]


def test_watch_can_leave_payloads_as_they_are(db, client):
    describe(db, SAMPLE, 'c', channel='msgpack')
    with client.watch('c', raw=True) as watch:
        db.publish('c', b'\xc1')
        assert watch.wait(5).value == b'\xc1'


def test_watch_comes_back_after_the_server_was_killed(redis_server, client):
    db = redis_server.client()
    db.set('k', 'before')
    db.xadd('s', {'data': 'x'})
    notices = []
    with client.watch('c', 'k', 's', on_notice=notices.append) as watch:
        assert watch.wait(5).value == 'before'
        redis_server.kill()
        db.close()
        eventually(lambda: not watch.wait(0.05) and [n for n in notices if n.event == 'lost'])
        redis_server.restart()
        db = redis_server.client()
        eventually(
            lambda: not watch.wait(0.05) and [n.event for n in notices].count('connected') == 1
        )
        assert [n.event for n in notices].count('lost') == 1
        gaps = {notice.name for notice in notices if notice.event == 'gap'}
        assert gaps == {'c', 's'}  # the server kept nothing, so the stream's end is lost too
        db.set('k', 'after')
        assert eventually(lambda: watch.wait(1))[:3] == ('k', 'key', 'after')
        db.publish('c', 'again')
        assert watch.wait(5)[:3] == ('c', 'channel', 'again')
        db.xadd('s', {'data': 'y'})
        assert watch.wait(5)[:3] == ('s', 'stream', 'y')
    db.close()


def test_a_name_that_joins_is_followed_though_nobody_reads_what_waits(redis_server, db):
    address = Address(RedisSettings(redis_server.url), 'test', Timing())
    follower = Follower(OneServer(address))
    with contextlib.closing(follower):
        follower.follow([('c', 'channel')])
        count = WAITING + 500
        for number in range(count):
            db.publish('c', number)
        follower.follow([('d', 'channel'), ('k', 'key')])
        db.publish('d', 'joined')
        got = [follower.get(5) for _ in range(count + 1)]
    assert [event.payload for event in got if event.name == 'c'] == [
        b'%d' % number for number in range(count)
    ]
    assert [event.payload for event in got if event.name == 'd'] == [b'joined']


def test_watch_names_the_name_that_it_cannot_read_and_goes_on(db, client):
    db.xadd('s1', {'data': 'x'})
    db.xadd('s2', {'data': 'x'})
    db.set('k', 'x')
    notices = []
    with client.watch('s1', 's2', 'k', 'c', on_notice=notices.append, raw=True) as watch:
        assert watch.wait(5).value == b'x'
        for name in ('s1', 'k'):
            db.delete(name)
            db.sadd(name, 'of another kind')
        eventually(lambda: not watch.wait(0.05) and {n.name for n in notices} == {'s1', 'k'})
        db.publish('c', 'y')
        assert watch.wait(5)[:3] == ('c', 'channel', b'y')
        db.xadd('s2', {'data': 'z'})
        assert watch.wait(5)[:3] == ('s2', 'stream', b'z')
    assert {(notice.event, notice.name) for notice in notices} == {
        ('unreadable', 's1'),
        ('unreadable', 'k'),
    }
    assert 'k: the stored value is no string' in {str(notice) for notice in notices}


def test_watch_rejects_another_kind_than_the_stored_one(db, client):
    db.set('k', 'x')
    with pytest.raises(PayloadError, match="'k' is a key, not a stream"):
        client.watch('k', kind='stream')


def test_a_closed_client_ends_its_watches_and_their_threads(redis_server):
    before = threading.active_count()
    client = redis_bridge.Client(redis_server.url)
    watch = client.watch('c', 's', kind='channel')
    done = threading.Event()
    thread = threading.Thread(target=lambda: (list(watch), done.set()))
    thread.start()
    client.close()
    client.close()
    assert done.wait(5)
    thread.join(5)
    eventually(lambda: threading.active_count() <= before)


def test_many_watches_leave_no_connections_behind(db, client):
    db.xadd('s', {'data': 'x'})
    db.set('k', 'x')
    for _ in range(10):
        client.watch('c', 'k', 's').close()
    eventually(lambda: len(db.client_list()) <= 2)


# --- robots ------------------------------------------------------------------------------------
def test_robots_are_listed_with_what_they_report(db, client):
    assert client.robots() == []
    seconds, _ = db.time()
    route = {'route': '/odom -> key r:odom', 'carried': 3, 'dropped': {'over_rate': 1}}
    for name in ('robot2', 'robot1'):
        db.hset(
            keys.robot_key(name),
            mapping={
                'boot': '12e4', 'protocol': '1', 'host': '007', 'since': '12.5',
                'stamp': seconds - 2, 'state': '{"writer": "connected"}',
                'route:10': '{"route": "last"}', 'route:0': json.dumps(route),
            },
        )  # fmt: skip
    db.hset('redis_bridge:robotics', 'boot', 'x')
    first, second = client.robots()
    assert (first.name, second.name) == ('robot1', 'robot2')
    assert (first.boot, first.protocol) == ('12e4', 1)
    assert 1 <= first.age < 10
    assert first.status == {
        'host': '007',
        'since': 12.5,
        'state': {'writer': 'connected'},
        'routes': [route, {'route': 'last'}],
    }
    assert client.status('robot2') == first.status
    with pytest.raises(NotFoundError, match="'robot3'"):
        client.robot('robot3')


def test_a_robot_that_reports_little_is_listed_too(db, client):
    db.hset(keys.robot_key('robot1'), 'state', '{broken')
    robot = client.robot('robot1')
    assert (robot.boot, robot.protocol, robot.age) == (None, None, None)
    assert robot.status == {'state': '{broken', 'routes': []}


def event(kind, robot, stamp, boot='b'):
    return RobotEvent(kind, robot, 'h', boot, stamp)


def enter(db, *events):
    """Leave robots in the roster, and the claims of those that are online."""
    for each in events:
        db.hset(keys.FLEET, each.robot, each.to_json())
        if each.event == 'online':
            db.hset(keys.robot_key(each.robot), 'boot', each.boot)


def test_a_watch_of_robots_begins_with_the_roster(db, client):
    now = db.time()[0]
    lost, new, old = (
        event('lost', 'r2', now - 1),
        event('online', 'r1', now),
        event('lost', 'r', 1),
    )
    enter(db, new, lost, old)
    assert client.roster() == [new, lost]
    with client.watch_robots() as watch:
        assert [next(watch), next(watch)] == [lost, new]
        change = event('offline', 'r1', now + 1)
        for payload in (new.to_json(), 'nonsense', change.to_json(), change.to_json()):
            assert db.publish(keys.FLEET, payload) == 1
        assert watch.wait(5) == change
        assert watch.wait(0.1) is None
    assert list(watch) == []
    client.close()


def test_what_changed_while_the_connection_was_lost_is_found(db, redis_server, client):
    now = db.time()[0]
    enter(db, event('online', 'r1', now), event('online', 'r2', now + 0.1))
    notices = []
    with client.watch_robots(on_notice=notices.append) as watch:
        assert {next(watch).robot, next(watch).robot} == {'r1', 'r2'}
        redis_server.restart()
        enter(db, event('online', 'r1', now), event('online', 'r2', now + 1, 'b2'))
        assert watch.wait(10) == event('online', 'r2', now + 1, 'b2')
        assert watch.wait(0.2) is None
    assert [notice.event for notice in notices] == ['lost', 'connected']


def test_a_robot_that_nobody_reports_is_lost_all_the_same(db, client, monkeypatch):
    monkeypatch.setattr('redis_bridge.redis_io.fleet_watch.COMPARE_S', 0.1)
    monkeypatch.setattr('redis_bridge.redis_io.fleet_watch.GONE_S', 0.5)
    now = db.time()[0]
    first = [event('online', 'r1', now), event('online', 'r2', now + 0.1)]
    enter(db, *first)
    with client.watch_robots() as watch:
        assert [next(watch), next(watch)] == first
        db.delete(keys.robot_key('r1'))  # no bridge was left
        gone = watch.wait(5)
        assert (gone.event, gone.robot, gone.boot) == ('lost', 'r1', 'b')
        enter(db, first[0])  # the server had lost it, and its bridge comes back
        assert watch.wait(5) == first[0]
        db.flushall()
        enter(db, first[0])
        gone = watch.wait(5)
        assert (gone.event, gone.robot) == ('lost', 'r2')
        assert watch.wait(0.7) is None


def test_a_watch_of_robots_ends_with_its_client(db, client):
    watch = client.watch_robots()
    ended = threading.Thread(target=lambda: list(watch))
    ended.start()
    client.close()
    ended.join(5)
    assert not ended.is_alive()


def test_a_roster_that_is_denied_is_an_error(db, redis_server):
    db.execute_command('ACL', 'SETUSER', 'eve', 'on', '>pw', '~*', '+@all', 'resetchannels')
    with (
        redis_bridge.Client(f'redis://eve:pw@127.0.0.1:{redis_server.port}/0') as client,
        pytest.raises(RedisError, match='channel'),
    ):
        client.watch_robots()


# --- connection --------------------------------------------------------------------------------
def test_an_unreachable_server_is_a_clear_error():
    with (
        redis_bridge.Client('redis://:sesame@127.0.0.1:1/0') as client,
        pytest.raises(RedisError, match=r'^Redis at 127\.0\.0\.1:1: .*refused') as failure,
    ):
        client.get('x')
    assert 'sesame' not in str(failure.value)


def test_a_wrong_password_is_tried_once_and_not_shown(db, redis_server, tmp_path):
    db.execute_command('ACL', 'SETUSER', 'ann', 'on', '>sesame', 'allcommands', 'allkeys')
    path = tmp_path / 'password'
    path.write_text('wrong-word\n')
    with redis_bridge.Client(redis_server.url, username='ann', password_file=str(path)) as client:
        with pytest.raises(RedisError) as failure:
            client.get('x')
        assert 'wrong-word' not in str(failure.value)
        log = db.execute_command('ACL', 'LOG')
        assert len(log) == 1
        path.write_text('sesame\n')
        with pytest.raises(NotFoundError):
            client.get('x')


def test_a_connection_that_the_server_closed_is_made_anew(db, client):
    db.set('k', 'x')
    assert client.get('k') == 'x'
    for connection in db.client_list():
        if connection['name'] == 'redis_bridge:client':
            db.client_kill_filter(_id=connection['id'])
    assert client.get('k') == 'x'


def test_what_the_user_may_not_do_is_a_clear_error(db, redis_server, tmp_path):
    db.execute_command(
        'ACL', 'SETUSER', 'bob', 'on', '>sesame', '~mine', '~redis_bridge:*', '&*', '+@all'
    )
    path = tmp_path / 'password'
    path.write_text('sesame')
    with redis_bridge.Client(redis_server.url, username='bob', password_file=str(path)) as client:
        client.publish('mine', 'x', kind='key', encoding='text')
        with pytest.raises(RedisError, match='denies'):
            client.publish('yours', 'x', kind='key', encoding='text')


def test_several_threads_may_share_a_client(db, client):
    describe(db, SCALAR, 'n', from_stream='json')
    threads = [
        threading.Thread(target=lambda: [client.publish('n', {'data': 1}) for _ in range(50)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = [int(fields[b'seq']) for _, fields in db.xrange('n')]
    assert numbers == list(range(1, 201))


def test_importing_the_package_imports_neither_redis_nor_ros():
    code = (
        'import sys, redis_bridge; print(redis_bridge.__version__);'
        "assert not {'redis', 'rclpy', 'yaml', 'msgpack'} & set(sys.modules);"
        'redis_bridge.Client;'
        "assert 'rclpy' not in sys.modules; assert 'Client' in dir(redis_bridge)"
    )
    subprocess.run([sys.executable, '-c', code], check=True, timeout=30)


def test_the_channel_sink_and_a_watch_agree(redis_server, db, client):
    endpoints = RedisSide(
        RedisSettings(redis_server.url),
        'robot9',
        log=logging.getLogger('test'),
        presence=Heartbeat(),
    )
    sink = endpoints.open_sink(
        ChannelSinkConfig('r9:c', 'msgpack'), redis_bridge.counters.Counters()
    )
    type_ = TypeDescription(SAMPLE.name, definition_text(SAMPLE), type_hash(SAMPLE))
    endpoints.describe([NameDescription('r9:c', 'channel', False, 'msgpack', None, type_)])
    endpoints.start(dict)
    try:
        eventually(lambda: db.exists(keys.meta_key('r9:c')))
        eventually(lambda: endpoints.states().get('writer') == 'connected')
        with client.watch('r9:c') as watch:
            sink.write([Write(encoded('msgpack'), META)])
            assert plain(watch.wait(5)) == ('r9:c', 'channel', VALUE, META, None)
    finally:
        endpoints.close()


def test_errors_of_redis_py_do_not_leak(redis_server, client):
    client.now()
    redis_server.kill()
    with pytest.raises(RedisError) as failure:
        client.get('x')
    assert not isinstance(failure.value, redis.RedisError)
    redis_server.restart()
    with pytest.raises(NotFoundError):
        client.get('x')


def test_without_permission_for_time_stamps_are_by_the_local_clock(db, redis_server, tmp_path):
    db.execute_command(
        'ACL', 'SETUSER', 'eve', 'on', '>sesame', '~*', '&*', '+@all', '-time'
    )  # fmt: skip
    path = tmp_path / 'password'
    path.write_text('sesame')
    with redis_bridge.Client(redis_server.url, username='eve', password_file=str(path)) as client:
        client.publish('k', {'a': 1}, kind='key')
        assert abs(client.read('k').meta.stamp - time.time()) < 2


class SteppedTime:
    """A connection to a server whose clock is set back after a while."""

    step_s = 0

    def __init__(self, connection):
        self._connection = connection

    def call(self, *command):
        seconds, micros = self._connection.call(*command)
        return [b'%d' % (int(seconds) - self.step_s), micros]


def test_a_clock_that_is_set_back_is_followed_within_about_a_second(db, client, monkeypatch):
    measure = Clock.measure
    monkeypatch.setattr(Clock, 'measure', lambda clock, c: measure(clock, SteppedTime(c)))

    def ahead_s():
        client.publish('k', {}, kind='key')
        return client.read('k').meta.stamp - time.time()

    assert abs(ahead_s()) < 1
    monkeypatch.setattr(SteppedTime, 'step_s', 3600)
    set_back = time.monotonic()
    eventually(lambda: ahead_s() < -3500, every=0.05)
    assert time.monotonic() - set_back < 1.0 + 0.5  # and what the machine takes


def test_a_watch_that_was_closed_is_forgotten_by_its_client(client):
    for _ in range(3):
        client.watch('c').close()
    assert client._opened == []


def test_a_scalar_that_a_bridge_describes_with_its_field_is_read_as_that(
    redis_side_at, redis_server, client
):
    endpoints = redis_side_at(redis_server.url)
    type_ = TypeDescription(SAMPLE.name, definition_text(SAMPLE), type_hash(SAMPLE))
    endpoints.describe(
        [
            NameDescription('Temperature', 'key', False, 'text', 'x', type_),
            NameDescription('gain', 'key', True, 'json', 'inner.a', type_),
        ]
    )
    endpoints.start(dict)
    client.publish('Temperature', 21.5, kind='key', encoding='text')
    eventually(lambda: client.get('Temperature') == 21.5)
    eventually(lambda: client.target('gain').field == 'inner.a')
    with pytest.raises(PayloadError, match=r'inner\.a'):
        client.publish('gain', 'high', kind='key')


# -- what a page of a whole fleet needs -----------------------------------------------------------
def test_a_watch_that_delivers_the_latest_skips_what_waits_and_reports_no_gap(client, db):
    notices = []
    with client.watch(
        'a', 'b', kind='channel', deliver='latest', on_notice=notices.append
    ) as watch:
        for i in range(3 * WAITING):  # more than would wait otherwise
            db.publish('a', json.dumps({'n': i, '_meta': {'origin': 'x', 'seq': i, 'stamp': 1.0}}))
        db.publish('b', '{"n": 0}')
        found = {}
        count = 0
        while 'b' not in found or found.get('a') != {'n': 3 * WAITING - 1}:
            update = watch.wait(5.0)
            assert update is not None, found
            found[update.name] = update.value
            count += 1
        assert count < WAITING
    assert notices == []


def test_a_watch_can_want_other_names_and_keeps_its_connections(client, db):
    before = db.info('clients')['connected_clients']
    with client.watch('a', kind='channel') as watch:
        connections = db.info('clients')['connected_clients'] - before
        db.set('k', '1')
        watch.want([('a', 'channel'), ('b', 'channel'), ('k', 'key')])
        assert watch.wait(5.0).value == '1'
        for name in 'ab':
            db.publish(name, f'"{name}"')
        assert {watch.wait(5.0).name for _ in 'ab'} == {'a', 'b'}
        watch.want([('b', 'channel')])
        eventually(lambda: db.publish('a', '1') == 0)
        db.set('k', '2')
        db.publish('b', '2')
        assert watch.wait(5.0) == redis_bridge.client.decode.Update('b', 'channel', '2')
        assert watch.wait(0.1) is None
        assert watch.kinds('a') == [] and watch.kinds('b') == ['channel']
        now = db.info('clients')['connected_clients'] - before
        assert now <= connections + 3  # of the keys: two, and perhaps the client's own


def test_robots_are_found_by_name_without_scan(client, db):
    for robot in ('r1', 'r2'):
        db.hset(keys.robot_key(robot), mapping={'boot': 'b', 'protocol': '1'})
    db.execute_command('CONFIG', 'RESETSTAT')
    assert [robot.name for robot in client.robots(['r2', 'r3'])] == ['r2']
    assert 'cmdstat_scan' not in db.info('commandstats')


def test_what_bridges_write_and_read_is_listed_by_robot(client, db):
    describe(db, SAMPLE, 'r1:odom', key='json', channel='msgpack')
    describe(db, SAMPLE, 'r1:goal', from_channel='json', from_type=TEXT.name)
    db.hset(keys.described_key('r1'), 'names', '{"r1:odom": ["key"], "r1:goal": ["from_channel"]}')
    found = client.described(['r1', 'r2'])
    assert found.keys() == {'r1', 'r2'} and found['r2'] == {}
    assert found['r1']['r1:odom'].written_as.keys() == {'key', 'channel'}
    assert found['r1']['r1:goal'].read_as['channel'].type == TEXT.name


def test_leases_are_listed_with_their_holders_and_who_waits(client, db, redis_server):
    assert client.leases() == []
    with redis_bridge.Client(redis_server.url) as other:
        waiting = threading.Thread(target=lambda: acquire(other.lease('dock', ttl_ms=500)))
        with client.lease('dock', ttl_ms=500):
            waiting.start()
            eventually(lambda: client.leases()[0].waiting == 1)
            (lease,) = client.leases()
            assert (lease.name, lease.holder) == ('dock', client.origin) and lease.host
        waiting.join()
    eventually(lambda: client.leases() == [('dock', None, '', 0)])
    client.unregister('lease', 'dock')
    assert client.leases() == []


def acquire(lease):
    with lease:
        pass


def test_a_lease_that_may_not_be_listed_is_held_nevertheless(db, redis_server):
    db.execute_command(
        'ACL', 'SETUSER', 'ann', 'on', '>pw', '~redis_bridge:lease:*', '+@all',
    )  # fmt: skip
    with redis_bridge.Client(redis_server.url.replace('//', '//ann:pw@')) as client:
        with client.lease('dock', ttl_ms=500, timeout_s=10) as lease:
            assert lease.held
    assert not db.exists(keys.NAMES)


def test_queues_are_listed_once_they_are_used(client):
    client.queue('tasks').put({'n': 1})
    assert client.queues() == ['tasks']


class TwoNames:
    """One server as two nodes of a cluster, of which the second one joins."""

    def __init__(self, settings):
        self.addresses = [Address(settings, 'test', Timing()) for _ in range(2)]
        self.address = self.quick = self.addresses[0]
        self.reactions = []

    def node_of(self, name):
        return self.address

    reader_of = node_of

    def on_change(self, react):
        self.reactions.append(react)

    def move(self):
        self.address = self.addresses[1]
        for react in self.reactions:
            react()


def test_a_closed_watch_reads_nothing_from_a_node_that_joins(redis_server, db):
    topology = TwoNames(RedisSettings(redis_server.url))
    follower = Follower(topology)
    follower.follow([('c', 'channel'), ('s', 'stream'), ('k', 'key')])
    before = threading.active_count()
    follower.close()
    topology.move()
    assert threading.active_count() == before - 3
    eventually(lambda: db.pubsub_numsub('c') == [(b'c', 0)])


def test_sharded_channels_need_a_cluster_or_they_would_reach_no_bridge(redis_server):
    with pytest.raises(RedisError, match=r'redis\.sharded_pubsub: needs a redis\+cluster:// url'):
        redis_bridge.Client(redis_server.url, sharded_pubsub=True)
