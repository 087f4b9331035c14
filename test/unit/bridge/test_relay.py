# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What a running route lets through, holds back, drops and counts."""

import json
import logging
import math

import pytest
from fakes import FakeClock, MemoryPublisher, MemorySink

from redis_bridge.bridge.dead_man import DeadMan
from redis_bridge.bridge.relay import InwardRelay, LastValue, OutwardRelay
from redis_bridge.counters import Counters
from redis_bridge.mapping.model import (
    ChannelSinkConfig,
    ChannelSourceConfig,
    HashSinkConfig,
    KeySinkConfig,
    KeySourceConfig,
    RedisToRos,
    RosToRedis,
    Stop,
    StreamSinkConfig,
    StreamSourceConfig,
)
from redis_bridge.messages import cdr
from redis_bridge.messages.types import Field, Message, Primitive, Sequence, String
from redis_bridge.payloads import codecs
from redis_bridge.ports import Received
from redis_bridge.protocol.meta import Meta

LOG = logging.getLogger('test')
DOUBLE = Primitive('double')
NUMBER = Message('std_msgs/msg/Float64', (Field('data', DOUBLE),))
VECTOR = Message('geometry_msgs/msg/Vector3', tuple(Field(axis, DOUBLE) for axis in 'xyz'))
TWIST = Message('geometry_msgs/msg/Twist', (Field('linear', VECTOR), Field('angular', VECTOR)))
TIME = Message(
    'builtin_interfaces/msg/Time',
    (Field('sec', Primitive('int32')), Field('nanosec', Primitive('uint32'))),
)
HEADER = Message('std_msgs/msg/Header', (Field('stamp', TIME), Field('frame_id', String())))
STAMPED = Message(
    'geometry_msgs/msg/TwistStamped', (Field('header', HEADER), Field('twist', TWIST))
)
JOINTS = Message('test/msg/Joints', (Field('position', Sequence(DOUBLE)),))
SERVER_TIME = 1_700_000_000.0


def number(value: float) -> bytes:
    return cdr.writer(NUMBER)({'data': value})


class Outward:
    """An outward relay over sinks that keep what they get, and a clock that stands."""

    def __init__(self, *sinks, message=NUMBER, mirror=None, **options):
        self.clock = FakeClock()
        self.sinks = [MemorySink() for _ in sinks]
        self.counts = Counters()
        self.route = RosToRedis(where='test.yaml:1', topic='/n', sinks=sinks, **options)
        self.relay = OutwardRelay(
            self.route,
            message,
            list(zip(sinks, self.sinks)),
            origin='robot1/boot',
            now=lambda: SERVER_TIME,
            timers=self.clock,
            counts=self.counts,
            log=LOG,
            mirror=mirror,
            clock=self.clock,
        )

    def carry(self, *values):
        self.relay.forward([number(value) for value in values])

    @property
    def values(self):
        return [json.loads(payload)['data'] for payload in self.sinks[0].payloads]

    @property
    def dropped(self):
        return self.counts.snapshot()['dropped']


KEY = KeySinkConfig('k', encoding='json')
CHANNEL = ChannelSinkConfig('c', encoding='json')


def test_every_sample_goes_to_every_sink_with_its_metadata():
    outward = Outward(KEY, StreamSinkConfig('s'), CHANNEL)
    outward.carry(1.5)
    outward.carry(2.5)
    assert outward.values == [1.5, 2.5]
    key, stream, channel = outward.sinks
    assert channel.payloads == key.payloads
    assert codecs.unpack('msgpack', stream.payloads[1]) == (
        {'data': 2.5},
        Meta('robot1/boot', 2, SERVER_TIME),
    )
    assert [meta for _, meta in channel.written] == [
        Meta('robot1/boot', 1, SERVER_TIME),
        Meta('robot1/boot', 2, SERVER_TIME),
    ]


def test_a_sample_is_encoded_once_for_sinks_that_share_an_encoding():
    outward = Outward(KEY, CHANNEL)
    outward.carry(1.0)
    assert outward.sinks[0].payloads[0] is outward.sinks[1].payloads[0]


def test_without_meta_the_payload_holds_the_fields_only():
    outward = Outward(KEY, StreamSinkConfig('s', encoding='json'), meta=False)
    outward.carry(1.0)
    assert json.loads(outward.sinks[0].payloads[0]) == {'data': 1.0}
    assert outward.sinks[1].written == [(b'{"data":1.0}', None)]


def test_a_hash_gets_dotted_fields():
    outward = Outward(HashSinkConfig('h'), message=TWIST, fields=('linear.x', 'angular'))
    outward.relay.forward([cdr.writer(TWIST)({'linear': {'x': 0.5}})])
    assert outward.sinks[0].payloads == [
        {'linear.x': b'0.5', 'angular.x': b'0.0', 'angular.y': b'0.0', 'angular.z': b'0.0'}
    ]


def test_a_notice_carries_no_payload():
    outward = Outward(KEY, ChannelSinkConfig('c', send='notice'))
    outward.carry(1.0)
    assert outward.sinks[1].payloads == [None]


def test_a_field_goes_out_as_a_bare_value():
    outward = Outward(KeySinkConfig('Temperature', encoding='text'), field='data')
    outward.carry(21.5)
    assert outward.sinks[0].payloads == [b'21.5']


def test_rate_limit_sends_the_newest_when_it_is_due():
    outward = Outward(CHANNEL, max_rate_hz=10)
    outward.carry(0.0)
    outward.clock.move(0.05)
    outward.carry(1.0)
    outward.clock.move(0.02)
    outward.carry(2.0)
    assert outward.values == [0.0]
    outward.clock.move(0.05)
    assert outward.values == [0.0, 2.0]
    assert outward.dropped == {'over_rate': 1}


def test_rate_limit_keeps_the_rate_over_a_long_burst():
    outward = Outward(CHANNEL, max_rate_hz=10)
    for step in range(1000):
        outward.carry(float(step))
        outward.clock.move(0.01)
    outward.clock.move(1)
    assert 100 <= len(outward.values) <= 102
    assert outward.values[-1] == 999.0
    assert outward.dropped['over_rate'] == 1000 - len(outward.values)


def test_closing_sends_the_sample_that_the_rate_held_back_and_nothing_later():
    outward = Outward(CHANNEL, max_rate_hz=1)
    outward.carry(1.0)
    outward.carry(2.0)
    outward.relay.close()
    outward.carry(3.0)
    outward.clock.move(5)
    assert outward.values == [1.0, 2.0]


def test_on_change_drops_equal_values_and_renews_the_keys_life():
    outward = Outward(KEY, on_change=True)
    for value in (1.0, 1.0, 2.0, 2.0, 1.0):
        outward.carry(value)
    assert outward.values == [1.0, 2.0, 1.0]
    assert outward.sinks[0].renewed == 2
    assert outward.dropped == {'unchanged': 2}


def test_on_change_takes_nan_as_equal_to_nan():
    outward = Outward(KEY, on_change=True)
    outward.carry(math.nan)
    outward.carry(math.nan)
    assert len(outward.sinks[0].written) == 1


def test_on_change_only_looks_at_the_chosen_fields():
    outward = Outward(CHANNEL, message=TWIST, fields=('linear.x',), on_change=True)
    write = cdr.writer(TWIST)
    outward.relay.forward(
        [write({'linear': {'x': 1, 'y': 1}}), write({'linear': {'x': 1, 'y': 2}})]
    )
    assert len(outward.sinks[0].written) == 1


def test_a_value_that_returns_to_the_last_one_sent_cancels_the_one_held_back():
    outward = Outward(CHANNEL, on_change=True, max_rate_hz=10)
    outward.carry(1.0)
    outward.carry(2.0)
    outward.carry(1.0)
    outward.clock.move(1)
    assert outward.values == [1.0]
    assert outward.dropped == {'over_rate': 1, 'unchanged': 1}


def test_a_key_alone_takes_only_the_newest_of_a_batch():
    outward = Outward(KEY)
    outward.carry(1.0, 2.0, 3.0)
    assert outward.values == [3.0]
    assert outward.dropped == {'superseded': 2}


def test_garbage_from_dds_is_counted_and_the_rest_goes_on(caplog):
    outward = Outward(CHANNEL)
    outward.relay.forward([b'', b'\x00\x01', number(1.0)[:-1], number(2.0)])
    assert outward.values == [2.0]
    assert outward.dropped == {'bad_payload': 3}
    assert len(caplog.records) == 1  # warned once, not three times


def test_what_is_too_large_is_dropped_and_counted():
    outward = Outward(CHANNEL, max_bytes=10)
    outward.carry(1.0)
    assert outward.sinks[0].written == []
    assert outward.dropped == {'over_size': 1}


def test_a_reconnect_writes_keys_again_but_no_events():
    outward = Outward(KEY, CHANNEL)
    outward.carry(1.0)
    outward.relay.rewrite()
    assert len(outward.sinks[0].written) == 2
    assert len(outward.sinks[1].written) == 1


def test_a_reconnect_does_not_revive_a_key_that_is_past_its_life():
    outward = Outward(KeySinkConfig('k', encoding='json', ttl_ms=1000))
    outward.carry(1.0)
    outward.clock.move(0.5)
    outward.relay.rewrite()
    assert len(outward.sinks[0].written) == 2
    outward.clock.move(0.6)
    outward.relay.rewrite()
    assert len(outward.sinks[0].written) == 2


def test_accounts_balance():
    outward = Outward(KEY, CHANNEL, max_rate_hz=10, on_change=True)
    sent = 0
    for step in range(200):
        outward.carry(float(step // 3))
        outward.relay.forward([b'bad'])
        sent += 2
        outward.clock.move(0.03)
    outward.relay.close()
    assert outward.counts.snapshot()['carried'] + sum(outward.dropped.values()) == sent


class Inward:
    """An inward relay over a publisher that keeps what it gets."""

    def __init__(self, message=NUMBER, source=ChannelSourceConfig('c'), mirror=None, **options):
        self.clock = FakeClock()
        self.counts = Counters()
        self.publisher = MemoryPublisher(message)
        options.setdefault('encoding', 'json')
        self.route = RedisToRos(
            where='test.yaml:1', source=source, topic='/n', type=message.name, **options
        )
        dead_man = self.route.stop and DeadMan(
            self.route.stop,
            lambda: self.publisher.publish(cdr.writer(message)({})),
            self.counts,
            self.clock,
            LOG,
            topic='/n',
            clock=self.clock,
        )
        self.relay = InwardRelay(
            self.route,
            self.publisher,
            origin='robot1/boot',
            now=lambda: SERVER_TIME,
            ros_now=lambda: (12, 34),
            counts=self.counts,
            log=LOG,
            dead_man=dead_man,
            mirror=mirror,
            mirror_body=mirror and codecs.encoder(message, self.route.encoding),
            clock=self.clock,
        )

    def carry(self, *payloads):
        self.relay.receive([Received(_bytes(payload)) for payload in payloads])

    @property
    def values(self):
        read = cdr.reader(self.publisher.message)
        return [read(message) for message in self.publisher.published]

    @property
    def dropped(self):
        return self.counts.snapshot()['dropped']


def _bytes(payload):
    return payload if isinstance(payload, bytes) else json.dumps(payload).encode()


def meta(origin='other/boot', seq=1, age_s=0.0):
    return {'origin': origin, 'seq': seq, 'stamp': SERVER_TIME - age_s}


def test_what_comes_in_is_published_in_order():
    inward = Inward()
    inward.carry({'data': 1}, {'data': 2.5}, {})
    assert inward.values == [{'data': 1.0}, {'data': 2.5}, {'data': 0.0}]


@pytest.mark.parametrize(
    'payload',
    [
        b'',
        b'not json',
        b'\xff\xfe',
        [],
        {'data': 'x'},
        {'data': True},
        {'daat': 1},
        {'data': {'data': 1}},
        {'data': 1, '_meta': 5},
        {'data': 1, '_meta': {'origin': 5, 'seq': 1, 'stamp': 1}},
    ],
)
def test_bad_payloads_are_refused_counted_and_warned_about(payload, caplog):
    inward = Inward()
    inward.carry(payload, {'data': 7})
    assert inward.values == [{'data': 7.0}]
    assert inward.dropped == {'bad_payload': 1}
    assert 'channel c -> /n: dropped a sample, bad_payload: ' in caplog.text


def test_a_payload_over_the_limit_is_refused_before_it_is_read():
    inward = Inward(max_bytes=20)
    inward.carry({'data': 1}, b' ' * 21)
    assert inward.values == [{'data': 1.0}]
    assert inward.dropped == {'over_size': 1}


def test_own_messages_are_dropped_by_origin_and_others_are_not():
    inward = Inward()
    inward.carry(
        {'data': 1, '_meta': meta('robot1/boot')},
        {'data': 1, '_meta': meta('robot1/former')},
        {'data': 1, '_meta': meta('robot2/boot')},
        {'data': 1},
    )
    assert len(inward.values) == 3
    assert inward.dropped == {'own_origin': 1}


def test_a_gap_in_the_sequence_is_counted_per_origin():
    inward = Inward()
    inward.carry(
        {'data': 1, '_meta': meta('a/1', 1)},
        {'data': 1, '_meta': meta('b/1', 10)},
        {'data': 1, '_meta': meta('a/1', 2)},
        {'data': 1, '_meta': meta('a/1', 5)},
        {'data': 1, '_meta': meta('b/1', 11)},
    )
    assert inward.counts.snapshot()['noted'] == {'gap': 1, 'missed': 2}


def test_age_limits_refuse_the_old_the_unstamped_and_the_future():
    inward = Inward(max_age_ms=200)
    inward.carry(
        {'data': 1, '_meta': meta(age_s=0.19)},
        {'data': 2, '_meta': meta(age_s=0.21)},
        {'data': 3},
        {'data': 4, '_meta': meta(age_s=-0.5)},
    )
    assert inward.values == [{'data': 1.0}]
    assert inward.dropped == {'too_old': 1, 'unstamped': 1, 'from_future': 1}


def test_a_stamp_that_is_no_number_is_never_young_enough():
    inward = Inward(max_age_ms=200)
    for stamp in (math.nan, math.inf, -math.inf, 'NaN', None, True, [1]):
        inward.carry({'data': 1, '_meta': {**meta(), 'stamp': stamp}})
    assert inward.values == []


def test_unstamped_accept_lets_plain_clients_command():
    inward = Inward(max_age_ms=200, unstamped='accept')
    inward.carry({'data': 1}, {'data': 2, '_meta': meta(age_s=5)})
    assert inward.values == [{'data': 1.0}]


def test_the_stamp_of_a_stream_entry_counts_for_its_age():
    inward = Inward(max_age_ms=200, source=StreamSourceConfig('s'))
    inward.relay.receive(
        [
            Received(b'{"data": 1}', Meta('x/1', 1, SERVER_TIME - 9)),
            Received(b'{"data": 2}', Meta('x/1', 2, SERVER_TIME)),
        ]
    )
    assert inward.values == [{'data': 2.0}]


def test_deliver_latest_takes_the_newest_of_what_waits():
    inward = Inward(deliver='latest')
    inward.carry({'data': 1}, {'data': 2}, {'data': 3})
    assert inward.values == [{'data': 3.0}]
    assert inward.dropped == {'superseded': 2}


def test_limits_refuse_what_lies_outside_and_what_is_not_finite():
    inward = Inward(TWIST, limits={'linear.x': (-0.5, 0.5), 'angular.z': (-1.0, 1.0)})
    inward.carry(
        {'linear': {'x': 0.5}, 'angular': {'z': -1}},
        {'linear': {'x': 0.51}},
        {'angular': {'z': 2}},
        {'linear': {'x': 'NaN'}},
        {'linear': {'y': 'Infinity'}},
    )
    assert len(inward.values) == 1
    assert inward.dropped == {'out_of_limits': 3, 'not_finite': 1}


def test_a_field_left_out_must_be_within_its_limits_too():
    inward = Inward(TWIST, limits={'linear.x': (0.1, 0.5)})
    inward.carry({}, {'linear': {}}, {'linear': {'x': 0.2}})
    assert len(inward.values) == 1
    assert inward.dropped == {'out_of_limits': 2}


def test_limits_hold_for_every_item_of_an_array():
    inward = Inward(JOINTS, limits={'position': (-3.0, 3.0)})
    inward.carry({'position': [1, 2, 3]}, {'position': [1, 4]}, {'position': []}, {})
    assert len(inward.values) == 3


def test_numbers_of_typed_arrays_and_of_cdr_are_limited_too():
    inward = Inward(JOINTS, limits={'position': (-3.0, 3.0)}, encoding='msgpack')
    import array

    inward.carry(codecs.pack('msgpack', {'position': array.array('d', [9.0])}, arrays='typed'))
    assert inward.dropped == {'out_of_limits': 1}
    inward = Inward(NUMBER, limits={'data': (0.0, 1.0)}, encoding='cdr')
    inward.carry(number(0.5), number(2.0), number(math.nan))
    assert inward.values == [{'data': 0.5}]


def test_required_fields_must_be_given():
    inward = Inward(TWIST, required=('linear.x',))
    inward.carry({'linear': {'x': 0}}, {'linear': {'y': 0}}, {}, {'linear': 3})
    assert len(inward.values) == 1
    assert inward.dropped == {'missing_field': 3}


def test_set_puts_values_and_the_ros_time():
    inward = Inward(STAMPED, set={'header.stamp': 'now', 'header.frame_id': 'map'})
    inward.carry({'twist': {'linear': {'x': 1}}}, {'header': {'frame_id': 'elsewhere'}})
    assert [value['header'] for value in inward.values] == [
        {'stamp': {'sec': 12, 'nanosec': 34}, 'frame_id': 'map'}
    ] * 2


def test_set_on_a_header_that_is_no_map_is_a_bad_payload():
    inward = Inward(STAMPED, set={'header.stamp': 'now'})
    inward.carry({'header': 5})
    assert inward.dropped == {'bad_payload': 1}


def test_a_bare_value_fills_the_field():
    inward = Inward(field='data', encoding='text')
    inward.carry(b'0.001', b'fast')
    assert inward.values == [{'data': 0.001}]
    assert inward.dropped == {'bad_payload': 1}


def test_cdr_is_walked_before_it_passes():
    inward = Inward(encoding='cdr')
    good = number(3.0)
    inward.carry(good, good[:-1], b'', b'\x00\x07\x00\x00' + good[4:])
    assert inward.publisher.published == [good]
    assert inward.dropped == {'bad_payload': 3}


def test_refused_commands_do_not_keep_the_dead_man_quiet():
    inward = Inward(TWIST, stop=Stop(after_ms=500, repeat=1), limits={'linear.x': (-0.5, 0.5)})
    inward.carry({'linear': {'x': 0.4}})
    for _ in range(4):
        inward.clock.move(0.2)
        inward.carry({'linear': {'x': 9}})
    assert [value['linear']['x'] for value in inward.values] == [0.4, 0.0]
    assert inward.counts.snapshot()['noted'] == {'stop': 1}


def test_a_lost_connection_stops_the_robot_that_was_commanded():
    inward = Inward(TWIST, stop=Stop(after_ms=500, repeat=1))
    inward.relay.on_disconnect()
    assert inward.values == []
    inward.carry({'linear': {'x': 0.4}})
    inward.relay.on_disconnect()
    assert [value['linear']['x'] for value in inward.values] == [0.4, 0.0]


def test_nothing_is_published_after_closing():
    inward = Inward()
    inward.relay.close()
    inward.carry({'data': 1})
    assert inward.values == []
    assert not inward.relay.has_subscribers()


def test_group_entries_are_done_after_publishing_and_given_up_when_bad():
    inward = Inward(source=StreamSourceConfig('s', start='group', group='g'))
    done = []
    inward.relay.receive(
        [
            Received(payload, acknowledge=lambda good, n=n: done.append((n, good)))
            for n, payload in enumerate([b'{"data": 1}', b'bad', b'{"data": 2}'])
        ]
    )
    assert sorted(done) == [(0, True), (1, False), (2, True)]
    assert len(inward.values) == 2


def test_group_entries_stay_open_while_subscribers_have_not_acknowledged():
    inward = Inward(source=StreamSourceConfig('s', start='group', group='g'))
    inward.publisher.acknowledges = False
    done = []
    inward.relay.receive([Received(b'{"data": 1}', acknowledge=done.append)])
    assert done == []
    assert inward.counts.snapshot()['noted'] == {'unacked': 1}


def test_group_entries_that_are_refused_are_kept_as_dead_and_echoes_are_not():
    inward = Inward(source=StreamSourceConfig('s', start='group', group='g'), max_age_ms=100)
    done = []
    metas = [Meta('x/1', 1, SERVER_TIME - 9), None, Meta('robot1/boot', 1, SERVER_TIME)]
    inward.relay.receive(
        [
            Received(b'{"data": 1}', meta, lambda good, n=n: done.append((n, good)))
            for n, meta in enumerate(metas)
        ]
    )
    assert done == [(0, False), (1, False), (2, True)]


def test_a_bug_costs_one_sample_and_is_logged(caplog):
    inward = Inward(source=StreamSourceConfig('s', start='group', group='g'))
    done = []
    inward.publisher.publish = lambda message: 1 / 0
    inward.relay.receive([Received(b'{"data": 1}', acknowledge=done.append)])
    assert done == [False]
    assert inward.dropped == {'internal_error': 1}
    assert 'ZeroDivisionError' in caplog.text


def test_a_command_that_comes_while_closing_stays_in_its_group():
    inward = Inward(
        TWIST, source=StreamSourceConfig('s', start='group', group='g'), stop=Stop(after_ms=500)
    )
    inward.relay._dead_man.close()
    done = []
    inward.relay.receive([Received(b'{}', acknowledge=done.append)])
    assert done == []
    assert inward.dropped == {'closed': 1}


def test_groups_are_only_read_while_someone_subscribes():
    inward = Inward()
    assert inward.relay.has_subscribers()
    inward.publisher.subscribers = 0
    assert not inward.relay.has_subscribers()


def test_a_mirrored_value_settles_between_both_directions():
    mirror = LastValue()
    outward = Outward(KeySinkConfig('k', encoding='text'), mirror=mirror)
    inward = Inward(source=KeySourceConfig('k'), mirror=mirror, encoding='text')
    outward.carry(0.5)
    inward.carry(b'0.5')  # the watch tells of our own write
    assert inward.values == []
    inward.carry(b'0.25')  # somebody else's
    outward.relay.forward(inward.publisher.published)  # a ROS that does not tell whose it is
    assert inward.values == [{'data': 0.25}]
    assert outward.sinks[0].payloads == [b'0.5']
    outward.carry(0.5)  # a genuine change back
    assert outward.sinks[0].payloads == [b'0.5', b'0.5']
    assert inward.dropped == {'mirrored': 1}


def test_a_reconnect_leaves_a_mirrored_key_to_whoever_wrote_it_last():
    mirror = LastValue()
    outward = Outward(KeySinkConfig('k', encoding='text'), mirror=mirror)
    outward.carry(0.5)
    outward.relay.rewrite()
    assert outward.sinks[0].payloads == [b'0.5']
    outward.carry(0.5)  # but the next sample is written, as Redis may have lost the value
    assert outward.sinks[0].payloads == [b'0.5', b'0.5']
