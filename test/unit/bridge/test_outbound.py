# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What a route to Redis lets through, holds back, encodes and counts."""

import json
import logging
import math

import msgpack
import pytest
from fakes import SERVER_TIME, FakeClock, FakeRedis
from samples import NUMBER, TWIST, number

from redis_bridge.bridge import encoders
from redis_bridge.bridge.outbound import LastValue, OutboundRoute
from redis_bridge.mapping.model import (
    ChannelSinkConfig,
    HashSinkConfig,
    KeySinkConfig,
    RosToRedis,
    StreamSinkConfig,
)
from redis_bridge.messages import cdr_write
from redis_bridge.payloads import CODECS
from redis_bridge.ports import Write
from redis_bridge.protocol.meta import Meta

LOG = logging.getLogger('test')


class Outbound:
    """A route to Redis over sinks that keep what they get, and a clock that rests."""

    def __init__(self, *sinks, message=NUMBER, mirror=None, **options):
        self.clock = FakeClock()
        self.redis = FakeRedis()
        route = RosToRedis(where='test.yaml:1', topic='/n', sinks=sinks, **options)
        self.described = []
        self.route = OutboundRoute(
            route,
            self.redis,
            self.clock.call_at,
            LOG,
            mirror=mirror,
            on_opened=lambda: self.described.append(self.route.descriptions),
            clock=self.clock,
        )
        self.sinks = [self.redis.sinks[sink.name] for sink in sinks]
        self.route.opened(message)

    def carry(self, *values):
        self.route.forward([number(value) for value in values])

    @property
    def values(self):
        return [json.loads(payload)['data'] for payload in self.sinks[0].payloads]

    @property
    def dropped(self):
        return self.route.report().dropped


KEY = KeySinkConfig('k', encoding='json')
CHANNEL = ChannelSinkConfig('c', encoding='json')


def test_every_sample_goes_to_every_sink_with_its_metadata():
    outbound = Outbound(KEY, StreamSinkConfig('s'), CHANNEL)
    outbound.carry(1.5)
    outbound.carry(2.5)
    assert outbound.values == [1.5, 2.5]
    key, stream, channel = outbound.sinks
    assert channel.payloads == key.payloads
    assert CODECS['msgpack'].unpack(stream.payloads[1]) == (
        {'data': 2.5},
        Meta('robot1/boot', 2, SERVER_TIME),
    )
    assert [write.meta for write in channel.written] == [
        Meta('robot1/boot', 1, SERVER_TIME),
        Meta('robot1/boot', 2, SERVER_TIME),
    ]


def test_a_sample_is_encoded_once_for_sinks_that_share_an_encoding():
    outbound = Outbound(KEY, CHANNEL)
    outbound.carry(1.0)
    assert outbound.sinks[0].payloads[0] is outbound.sinks[1].payloads[0]


def test_without_meta_the_payload_holds_the_fields_only():
    outbound = Outbound(KEY, StreamSinkConfig('s', encoding='json'), meta=False)
    outbound.carry(1.0)
    assert json.loads(outbound.sinks[0].payloads[0]) == {'data': 1.0}
    assert outbound.sinks[1].written == [Write(b'{"data":1.0}', None)]


def test_a_hash_gets_dotted_fields():
    outbound = Outbound(HashSinkConfig('h'), message=TWIST, fields=('linear.x', 'angular'))
    outbound.route.forward([cdr_write.writer(TWIST)({'linear': {'x': 0.5}})])
    assert outbound.sinks[0].payloads == [
        {'linear.x': b'0.5', 'angular.x': b'0.0', 'angular.y': b'0.0', 'angular.z': b'0.0'}
    ]


@pytest.mark.parametrize(
    ('encoding', 'unpack'),
    [('msgpack', msgpack.unpackb), ('json', json.loads), ('text', json.loads)],
)
@pytest.mark.parametrize('meta', [True, False])
def test_a_notice_reports_the_key_its_number_and_its_time(encoding, unpack, meta):
    outbound = Outbound(
        KEY, ChannelSinkConfig('c', encoding=encoding, send='notice'), meta=meta, max_bytes=200
    )
    outbound.carry(1.0)
    outbound.carry(2.0)
    assert [unpack(payload) for payload in outbound.sinks[1].payloads] == [
        {'key': 'k', 'seq': 1, 'stamp': SERVER_TIME},
        {'key': 'k', 'seq': 2, 'stamp': SERVER_TIME},
    ]


def test_a_notice_is_not_measured_against_the_limit_of_a_payload():
    outbound = Outbound(
        KeySinkConfig('k', encoding='text'), ChannelSinkConfig('c', send='notice'), max_bytes=5
    )
    outbound.carry(1.0)
    assert len(outbound.sinks[1].written) == 1


def test_a_key_without_metadata_is_encoded_once_even_if_it_is_mirrored(monkeypatch):
    calls = []
    encoder = encoders.CODECS['text'].encoder

    def counting(*options):
        encode = encoder(*options)
        return lambda sample, meta: calls.append(sample) or encode(sample, meta)

    monkeypatch.setattr(encoders.CODECS['text'], 'encoder', counting)
    outbound = Outbound(KeySinkConfig('k', encoding='text'), mirror=LastValue())
    outbound.carry(1.0)
    assert len(calls) == 1


def test_a_type_that_the_encoding_cannot_carry_is_an_error_of_the_route(caplog):
    outbound = Outbound(KeySinkConfig('k', encoding='text'), message=TWIST)
    outbound.route.forward([b''])
    outbound.route.set_state('open')
    assert outbound.route.report().state.startswith('error: text carries one scalar')
    assert caplog.text.count('text carries one scalar') == 1


def test_a_topic_may_change_its_type():
    outbound = Outbound(CHANNEL)
    outbound.carry(1.0)
    outbound.route.opened(TWIST)
    outbound.route.forward([cdr_write.writer(TWIST)({'linear': {'x': 0.5}})])
    assert json.loads(outbound.sinks[0].payloads[-1])['linear']['x'] == 0.5
    assert len(outbound.sinks[0].written) == 2


def test_names_are_described_once_the_type_is_known():
    outbound = Outbound(KEY, HashSinkConfig('h'))
    [described] = outbound.described
    assert [(said.name, said.kind, said.encoding) for said in described] == [
        ('k', 'key', 'json'),
        ('h', 'hash', 'text'),
    ]
    assert described[0].type.name == 'std_msgs/msg/Float64'


def test_the_state_is_that_of_the_topic_and_of_all_sinks():
    outbound = Outbound(KEY, CHANNEL)
    assert outbound.route.report().state == 'waiting for a publisher'
    outbound.route.set_state('open')
    assert outbound.route.report().state == 'open'
    for sink in outbound.sinks:
        sink.said = 'Redis: connecting: refused'
    assert outbound.route.report().state == 'Redis: connecting: refused'
    outbound.sinks[0].said = 'open'
    outbound.sinks[1].said = 'error: channel c: NOPERM'
    assert outbound.route.report().state == 'error: channel c: NOPERM'
    outbound.route.set_state('error: two types')
    assert outbound.route.report().state == 'error: channel c: NOPERM; error: two types'
    outbound.route.set_state('waiting for a publisher')
    assert outbound.route.report().state == 'error: channel c: NOPERM'


def test_the_report_sums_over_the_sinks_and_takes_the_busiest_as_carried():
    outbound = Outbound(KEY, CHANNEL, max_bytes=10)
    outbound.carry(1.0)
    outbound.redis.sink_counters['k'].carry(3, 30, 0.3)
    outbound.redis.sink_counters['k'].drop('superseded')
    outbound.redis.sink_counters['k'].count_event('rewritten', 2)
    outbound.redis.sink_counters['c'].carry(5, 50, 0.1)
    outbound.redis.sink_counters['c'].drop('superseded', 3)
    outbound.redis.sink_counters['c'].count_event('rewritten')
    report = outbound.route.report()
    assert (report.carried, report.bytes) == (5, 80)
    assert report.dropped == {'over_size': 1, 'superseded': 4}
    assert report.noted == {'rewritten': 3}
    assert (report.latency_sum_s, report.latency_count) == (pytest.approx(0.4), 8)


def test_closing_closes_the_sinks():
    outbound = Outbound(KEY, CHANNEL)
    outbound.route.close()
    assert all(sink.closed for sink in outbound.sinks)


def test_a_field_goes_out_as_a_bare_value():
    outbound = Outbound(KeySinkConfig('Temperature', encoding='text'), field='data')
    outbound.carry(21.5)
    assert outbound.sinks[0].payloads == [b'21.5']


def test_rate_limit_sends_the_newest_when_it_is_due():
    outbound = Outbound(CHANNEL, max_rate_hz=10)
    outbound.carry(0.0)
    outbound.clock.move(0.05)
    outbound.carry(1.0)
    outbound.clock.move(0.02)
    outbound.carry(2.0)
    assert outbound.values == [0.0]
    outbound.clock.move(0.05)
    assert outbound.values == [0.0, 2.0]
    assert outbound.dropped == {'over_rate': 1}


def test_rate_limit_keeps_the_rate_over_a_long_burst():
    outbound = Outbound(CHANNEL, max_rate_hz=10)
    for step in range(1000):
        outbound.carry(float(step))
        outbound.clock.move(0.01)
    outbound.clock.move(1)
    assert 100 <= len(outbound.values) <= 102
    assert outbound.values[-1] == 999.0
    assert outbound.dropped['over_rate'] == 1000 - len(outbound.values)


def test_closing_sends_the_sample_that_the_rate_held_back_and_nothing_later():
    outbound = Outbound(CHANNEL, max_rate_hz=1)
    outbound.carry(1.0)
    outbound.carry(2.0)
    outbound.route.close()
    outbound.carry(3.0)
    outbound.clock.move(5)
    assert outbound.values == [1.0, 2.0]


def test_on_change_drops_equal_values_and_renews_the_keys_life():
    outbound = Outbound(KEY, on_change=True)
    for value in (1.0, 1.0, 2.0, 2.0, 1.0):
        outbound.carry(value)
    assert outbound.values == [1.0, 2.0, 1.0]
    assert outbound.sinks[0].renewed == 2
    assert outbound.dropped == {'unchanged': 2}


def test_on_change_an_equal_value_that_redis_does_not_hold_is_not_unchanged():
    outbound = Outbound(KEY, on_change=True)
    outbound.carry(1.0)
    outbound.sinks[0].is_held = False
    outbound.carry(1.0)
    assert outbound.sinks[0].renewed == 1  # there the sink writes it again
    assert outbound.dropped == {}


def test_on_change_takes_nan_as_equal_to_nan():
    outbound = Outbound(KEY, on_change=True)
    outbound.carry(math.nan)
    outbound.carry(math.nan)
    assert len(outbound.sinks[0].written) == 1


def test_on_change_only_looks_at_the_chosen_fields():
    outbound = Outbound(CHANNEL, message=TWIST, fields=('linear.x',), on_change=True)
    write = cdr_write.writer(TWIST)
    outbound.route.forward(
        [write({'linear': {'x': 1, 'y': 1}}), write({'linear': {'x': 1, 'y': 2}})]
    )
    assert len(outbound.sinks[0].written) == 1


def test_a_value_that_returns_to_the_last_one_sent_cancels_the_one_held_back():
    outbound = Outbound(CHANNEL, on_change=True, max_rate_hz=10)
    outbound.carry(1.0)
    outbound.carry(2.0)
    outbound.carry(1.0)
    outbound.clock.move(1)
    assert outbound.values == [1.0]
    assert outbound.dropped == {'over_rate': 1, 'unchanged': 1}


def test_a_key_alone_takes_only_the_newest_of_a_batch():
    outbound = Outbound(KEY)
    outbound.carry(1.0, 2.0, 3.0)
    assert outbound.values == [3.0]
    assert outbound.dropped == {'superseded': 2}


def test_garbage_from_dds_is_counted_and_the_rest_goes_on(caplog):
    outbound = Outbound(CHANNEL)
    outbound.route.forward([b'', b'\x00\x01', number(1.0)[:-1], number(2.0)])
    assert outbound.values == [2.0]
    assert outbound.dropped == {'bad_payload': 3}
    assert len(caplog.records) == 1  # warned once, not three times


def test_what_is_too_large_is_dropped_and_counted():
    outbound = Outbound(CHANNEL, max_bytes=10)
    outbound.carry(1.0)
    assert outbound.sinks[0].written == []
    assert outbound.dropped == {'over_size': 1}


def test_accounts_balance():
    outbound = Outbound(KEY, CHANNEL, max_rate_hz=10, on_change=True)
    sent = 0
    for step in range(200):
        outbound.carry(float(step // 3))
        outbound.route.forward([b'bad'])
        sent += 2
        outbound.clock.move(0.03)
    outbound.route.close()
    assert len(outbound.sinks[1].written) + sum(outbound.dropped.values()) == sent


def test_a_mirrored_key_that_redis_lost_is_written_with_the_next_sample():
    outbound = Outbound(KeySinkConfig('k', encoding='text'), mirror=LastValue())
    outbound.carry(0.5)
    outbound.carry(0.5)
    assert outbound.sinks[0].payloads == [b'0.5']
    assert outbound.sinks[0].renewed == 1
    outbound.sinks[0].is_held = False
    outbound.carry(0.5)
    assert outbound.sinks[0].payloads == [b'0.5', b'0.5']


def test_on_change_a_mirrored_key_with_the_value_of_another_is_written():
    mirror = LastValue()
    outbound = Outbound(KeySinkConfig('k', encoding='text'), mirror=mirror, on_change=True)
    outbound.carry(0.5)
    outbound.carry(0.5)
    mirror.update(b'0.7')  # came from Redis
    outbound.carry(0.5)
    assert outbound.sinks[0].payloads == [b'0.5', b'0.5']
    assert outbound.dropped == {'unchanged': 1}
