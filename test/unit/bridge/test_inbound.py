# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What a route to ROS publishes, rejects and counts."""

import base64
import json
import logging
import math

import msgpack
import pytest
from fakes import SERVER_TIME, FakeClock, FakeRedis, MemoryPublisher
from samples import JOINTS, NUMBER, STAMPED, TWIST, number

from redis_bridge.bridge.dead_man import DeadMan
from redis_bridge.bridge.inbound import InboundRoute
from redis_bridge.bridge.outbound import LastValue, OutboundRoute
from redis_bridge.mapping.model import (
    ChannelSourceConfig,
    KeySinkConfig,
    KeySourceConfig,
    RedisToRos,
    RosToRedis,
    Stop,
    StreamSourceConfig,
)
from redis_bridge.messages import cdr_read, cdr_write
from redis_bridge.messages.types import Field, Message, Primitive, Sequence
from redis_bridge.payloads import CODECS
from redis_bridge.ports import Received
from redis_bridge.protocol.meta import Meta, from_entry

LOG = logging.getLogger('test')


class Inbound:
    """A route to ROS over a publisher that keeps what it gets."""

    def __init__(self, message=NUMBER, source=ChannelSourceConfig('c'), mirror=None, **options):
        self.clock = FakeClock()
        self.redis = FakeRedis()
        self.publisher = MemoryPublisher(message)
        options.setdefault('encoding', 'json')
        route = RedisToRos(
            where='test.yaml:1', source=source, topic='/n', type=message.name, **options
        )
        self.dead_man = route.stop and DeadMan(
            route.stop,
            self.publisher,
            cdr_write.writer(message)({}),
            self.clock.call_at,
            LOG,
            self.clock,
        )
        encode = mirror and CODECS[route.encoding].encoder(message)
        self.route = InboundRoute(
            route,
            self.publisher,
            self.redis,
            LOG,
            ros_now=lambda: (12, 34),
            dead_man=self.dead_man,
            is_new=mirror and (lambda sample: mirror.update(encode(sample))),
            clock=self.clock,
        )

    def carry(self, *payloads):
        self.route.receive([Received(_bytes(payload)) for payload in payloads])

    @property
    def values(self):
        read = cdr_read.reader(self.publisher.message)
        return [read(message) for message in self.publisher.published]

    @property
    def dropped(self):
        return self.route.report().dropped

    @property
    def noted(self):
        return self.route.report().noted


def _bytes(payload):
    return payload if isinstance(payload, bytes) else json.dumps(payload).encode()


def meta(origin='other/boot', seq=1, age_s=0.0):
    return {'origin': origin, 'seq': seq, 'stamp': SERVER_TIME - age_s}


def test_what_comes_in_is_published_in_order():
    inbound = Inbound()
    inbound.carry({'data': 1}, {'data': 2.5}, {})
    assert inbound.values == [{'data': 1.0}, {'data': 2.5}, {'data': 0.0}]


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
def test_bad_payloads_are_rejected_counted_and_warned_about(payload, caplog):
    inbound = Inbound()
    inbound.carry(payload, {'data': 7})
    assert inbound.values == [{'data': 7.0}]
    assert inbound.dropped == {'bad_payload': 1}
    assert 'channel c -> /n: dropped a sample, bad_payload: ' in caplog.text


def test_a_payload_over_the_limit_is_rejected_before_it_is_read():
    inbound = Inbound(max_bytes=20)
    inbound.carry({'data': 1}, b' ' * 21)
    assert inbound.values == [{'data': 1.0}]
    assert inbound.dropped == {'over_size': 1}


def test_own_messages_are_dropped_by_origin_and_others_are_not():
    inbound = Inbound()
    inbound.carry(
        {'data': 1, '_meta': meta('robot1/boot')},
        {'data': 1, '_meta': meta('robot1/former')},
        {'data': 1, '_meta': meta('robot2/boot')},
        {'data': 1},
    )
    assert len(inbound.values) == 3
    assert inbound.dropped == {'own_origin': 1}


def test_what_another_bridge_carried_from_the_same_topic_is_not_published_there_again(caplog):
    inbound = Inbound()
    inbound.publisher.bridges.add('there')
    inbound.carry(
        {'data': 1, '_meta': meta('robot2/there')},
        {'data': 2, '_meta': meta('robot2/elsewhere')},
        {'data': 3, '_meta': meta('there')},  # no bridge's
        {'data': 4, '_meta': meta('')},
    )
    assert [value['data'] for value in inbound.values] == [2, 3, 4]
    assert inbound.dropped == {'same_graph': 1}
    assert 'the bridge of robot2 carries /n to Redis: let one bridge carry it' in caplog.text


def test_a_key_is_published_whichever_bridge_wrote_it():
    inbound = Inbound(source=KeySourceConfig('k'))
    inbound.publisher.bridges.add('there')
    inbound.carry({'data': 1, '_meta': meta('robot2/there')})
    assert inbound.values == [{'data': 1.0}]


def test_a_gap_in_the_sequence_is_counted_per_origin():
    inbound = Inbound()
    inbound.carry(
        {'data': 1, '_meta': meta('a/1', 1)},
        {'data': 1, '_meta': meta('b/1', 10)},
        {'data': 1, '_meta': meta('a/1', 2)},
        {'data': 1, '_meta': meta('a/1', 5)},
        {'data': 1, '_meta': meta('b/1', 11)},
    )
    assert inbound.noted == {'gap': 1, 'missed': 2}


def test_age_limits_reject_the_old_the_unstamped_and_the_future():
    inbound = Inbound(max_age_ms=200)
    inbound.carry(
        {'data': 1, '_meta': meta(age_s=0.19)},
        {'data': 2, '_meta': meta(age_s=0.21)},
        {'data': 3},
        {'data': 4, '_meta': meta(age_s=-0.5)},
    )
    assert inbound.values == [{'data': 1.0}]
    assert inbound.dropped == {'too_old': 1, 'unstamped': 1, 'from_future': 1}


def test_a_command_counts_as_old_as_it_can_be():
    inbound = Inbound(max_age_ms=200)
    inbound.redis.uncertainty_s = 0.05
    inbound.carry({'data': 1, '_meta': meta(age_s=0.14)}, {'data': 2, '_meta': meta(age_s=0.16)})
    assert inbound.values == [{'data': 1.0}]
    assert inbound.dropped == {'too_old': 1}


def test_a_stamp_in_milliseconds_is_named(caplog):
    inbound = Inbound(max_age_ms=200)
    inbound.carry({'data': 1, '_meta': {**meta(), 'stamp': SERVER_TIME * 1000}})
    assert inbound.dropped == {'from_future': 1}
    assert 'the stamp is in milliseconds, as it looks: it must be in seconds' in caplog.text


@pytest.mark.parametrize('unstamped', ['refuse', 'accept'])
@pytest.mark.parametrize(
    ('unit', 'factor'), [('milliseconds', 1e3), ('microseconds', 1e6), ('nanoseconds', 1e9)]
)
def test_the_unit_of_a_stamp_in_a_stream_entry_is_named(caplog, unstamped, unit, factor):
    inbound = Inbound(max_age_ms=200, unstamped=unstamped, source=StreamSourceConfig('s'))
    fields = {b'stamp': b'%d' % (SERVER_TIME * factor)}
    inbound.route.receive([Received(b'{"data": 1}', from_entry(fields))])
    assert inbound.dropped == {'from_future': 1}
    assert f'the stamp is in {unit}, as it looks: it must be in seconds' in caplog.text


def test_a_stamp_that_is_no_number_is_never_young_enough():
    inbound = Inbound(max_age_ms=200)
    for stamp in (math.nan, math.inf, -math.inf, 'NaN', None, True, [1]):
        inbound.carry({'data': 1, '_meta': {**meta(), 'stamp': stamp}})
    assert inbound.values == []


def test_unstamped_accept_lets_plain_clients_command():
    inbound = Inbound(max_age_ms=200, unstamped='accept')
    inbound.carry({'data': 1}, {'data': 2, '_meta': meta(age_s=5)})
    assert inbound.values == [{'data': 1.0}]


def test_the_stamp_of_a_stream_entry_counts_for_its_age():
    inbound = Inbound(max_age_ms=200, source=StreamSourceConfig('s'))
    inbound.route.receive(
        [
            Received(b'{"data": 1}', Meta('x/1', 1, SERVER_TIME - 9)),
            Received(b'{"data": 2}', Meta('x/1', 2, SERVER_TIME)),
        ]
    )
    assert inbound.values == [{'data': 2.0}]


def test_deliver_latest_takes_the_newest_of_what_waits():
    inbound = Inbound(deliver='latest')
    inbound.carry({'data': 1}, {'data': 2}, {'data': 3})
    assert inbound.values == [{'data': 3.0}]
    assert inbound.dropped == {'superseded': 2}


def test_limits_reject_what_lies_outside_and_what_is_not_finite():
    inbound = Inbound(TWIST, limits={'linear.x': (-0.5, 0.5), 'angular.z': (-1.0, 1.0)})
    inbound.carry(
        {'linear': {'x': 0.5}, 'angular': {'z': -1}},
        {'linear': {'x': 0.51}},
        {'angular': {'z': 2}},
        {'linear': {'x': 'NaN'}},
        {'linear': {'y': 'Infinity'}},
    )
    assert len(inbound.values) == 1
    assert inbound.dropped == {'out_of_limits': 3, 'not_finite': 1}


def test_a_field_left_out_must_be_within_its_limits_too():
    inbound = Inbound(TWIST, limits={'linear.x': (0.1, 0.5)})
    inbound.carry({}, {'linear': {}}, {'linear': {'x': 0.2}})
    assert len(inbound.values) == 1
    assert inbound.dropped == {'out_of_limits': 2}


def test_limits_hold_for_every_item_of_an_array():
    inbound = Inbound(JOINTS, limits={'position': (-3.0, 3.0)})
    inbound.carry({'position': [1, 2, 3]}, {'position': [1, 4]}, {'position': []}, {})
    assert len(inbound.values) == 3


def test_numbers_of_typed_arrays_and_of_cdr_are_limited_too():
    inbound = Inbound(JOINTS, limits={'position': (-3.0, 3.0)}, encoding='msgpack')
    import array

    inbound.carry(CODECS['msgpack'].pack({'position': array.array('d', [9.0])}, arrays='typed'))
    assert inbound.dropped == {'out_of_limits': 1}
    inbound = Inbound(NUMBER, limits={'data': (0.0, 1.0)}, encoding='cdr')
    inbound.carry(number(0.5), number(2.0), number(math.nan))
    assert inbound.values == [{'data': 0.5}]


BYTES = Message('test/msg/Bytes', (Field('data', Sequence(Primitive('uint8'))),))


@pytest.mark.parametrize('item', [10, 11])
def test_limits_hold_for_each_form_of_bytes(item):
    def taken(encoding, payload):
        inbound = Inbound(BYTES, limits={'data': (0, 10)}, encoding=encoding)
        inbound.carry(payload)
        return len(inbound.values), inbound.dropped

    passes = (1, {}) if item == 10 else (0, {'out_of_limits': 1})
    data = bytes([0, item])
    assert taken('json', {'data': [0, item]}) == passes
    assert taken('json', {'data': base64.b64encode(data).decode()}) == passes
    assert taken('msgpack', msgpack.packb({'data': [0, item]})) == passes
    assert taken('msgpack', msgpack.packb({'data': data})) == passes
    typed = msgpack.ExtType(64, data)  # of RFC 8746
    assert taken('msgpack', msgpack.packb({'data': typed})) == passes
    assert taken('cdr', cdr_write.writer(BYTES)({'data': data})) == passes


def test_required_fields_must_be_given():
    inbound = Inbound(TWIST, required=('linear.x',))
    inbound.carry({'linear': {'x': 0}}, {'linear': {'y': 0}}, {}, {'linear': 3})
    assert len(inbound.values) == 1
    assert inbound.dropped == {'missing_field': 3}


def test_set_puts_values_and_the_ros_time():
    inbound = Inbound(STAMPED, set={'header.stamp': 'now', 'header.frame_id': 'map'})
    inbound.carry({'twist': {'linear': {'x': 1}}}, {'header': {'frame_id': 'elsewhere'}})
    assert [value['header'] for value in inbound.values] == [
        {'stamp': {'sec': 12, 'nanosec': 34}, 'frame_id': 'map'}
    ] * 2


def test_set_on_a_header_that_is_no_map_is_a_bad_payload():
    inbound = Inbound(STAMPED, set={'header.stamp': 'now'})
    inbound.carry({'header': 5})
    assert inbound.dropped == {'bad_payload': 1}


def test_a_bare_value_fills_the_field():
    inbound = Inbound(field='data', encoding='text')
    inbound.carry(b'0.001', b'fast')
    assert inbound.values == [{'data': 0.001}]
    assert inbound.dropped == {'bad_payload': 1}


def test_cdr_is_walked_before_it_passes():
    inbound = Inbound(encoding='cdr')
    good = number(3.0)
    inbound.carry(good, good[:-1], b'', b'\x00\x07\x00\x00' + good[4:])
    assert inbound.publisher.published == [good]
    assert inbound.dropped == {'bad_payload': 3}


def test_rejected_commands_do_not_keep_the_dead_man_quiet():
    inbound = Inbound(TWIST, stop=Stop(after_ms=500, repeat=1), limits={'linear.x': (-0.5, 0.5)})
    inbound.carry({'linear': {'x': 0.4}})
    for _ in range(4):
        inbound.clock.move(0.2)
        inbound.carry({'linear': {'x': 9}})
    assert [value['linear']['x'] for value in inbound.values] == [0.4, 0.0]
    assert inbound.noted == {'stop': 1}


def test_a_lost_connection_stops_the_robot_that_was_commanded():
    inbound = Inbound(TWIST, stop=Stop(after_ms=500, repeat=1))
    inbound.route.on_disconnect()
    assert inbound.values == []
    inbound.carry({'linear': {'x': 0.4}})
    inbound.route.on_disconnect()
    assert [value['linear']['x'] for value in inbound.values] == [0.4, 0.0]


def test_nothing_is_published_after_closing():
    inbound = Inbound()
    inbound.route.close()
    inbound.carry({'data': 1})
    assert inbound.values == []
    assert inbound.route.room() == 0


def group_route(**options):
    return Inbound(source=StreamSourceConfig('s', start='group', group='g'), **options)


class Entries:
    """Hands entries of a group to a route and keeps how each was acknowledged."""

    def __init__(self, inbound):
        self.inbound = inbound
        self.done = []
        self.count = 0

    def hand_on(self, *payloads):
        batch = []
        for payload in payloads:
            number, self.count = self.count, self.count + 1
            batch.append(
                Received(
                    _bytes(payload), acknowledge=lambda good, n=number: self.done.append((n, good))
                )
            )
        self.inbound.route.receive(batch)


def test_group_entries_are_done_once_subscribers_have_them_and_given_up_when_bad():
    inbound = group_route()
    entries = Entries(inbound)
    inbound.publisher.acknowledges = False
    entries.hand_on({'data': 1}, b'bad', {'data': 2})
    assert len(inbound.values) == 2
    assert inbound.route.room() == inbound.publisher.depth - 2
    assert entries.done == [(1, False)]
    inbound.publisher.acknowledges = True
    assert inbound.route.room() == inbound.publisher.depth
    assert entries.done == [(1, False), (0, True), (2, True)]


def test_as_many_group_entries_are_published_as_the_history_keeps():
    inbound = group_route()
    entries = Entries(inbound)
    inbound.publisher.acknowledges = False
    entries.hand_on(*[{'data': 1}] * inbound.publisher.depth)
    assert inbound.route.room() == 0
    assert entries.done == []


def test_group_entries_wait_until_the_lease_is_held():
    inbound = group_route(lease='corridor')
    entries = Entries(inbound)
    assert inbound.route.room() == 0
    inbound.redis.tokens['corridor'] = 7
    assert inbound.route.room() == inbound.publisher.depth
    del inbound.redis.tokens['corridor']
    entries.hand_on({'data': 1}, {'data': 2})  # it was lost after they were asked for
    assert (inbound.values, entries.done) == ([], [(0, None), (1, None)])
    assert inbound.dropped == {}
    assert inbound.route.room() == 0


def test_group_entries_that_others_pushed_out_of_the_history_come_again():
    inbound = group_route()
    entries = Entries(inbound)
    entries.hand_on({'data': 1}, {'data': 2})
    for _ in range(inbound.publisher.depth - 1):  # a stop message, or another group's entry
        inbound.publisher.publish(b'')
    assert inbound.route.room() == inbound.publisher.depth
    assert entries.done == [(0, None), (1, True)]


def test_group_entries_come_again_if_the_subscribers_left_before_they_acknowledged():
    inbound = group_route()
    entries = Entries(inbound)
    inbound.publisher.acknowledges = False
    entries.hand_on({'data': 1})
    assert inbound.route.room() > 0
    inbound.publisher.acknowledges = True  # as nobody is left who has not
    inbound.publisher.subscribers = 0
    assert inbound.route.room() == 0
    assert entries.done == [(0, None)]


def test_group_entries_come_in_bursts_while_one_waits_so_that_dds_can_report_all_acknowledged():
    inbound = group_route()
    entries = Entries(inbound)
    inbound.publisher.acknowledges = False
    for _ in range(4):  # no gap yet
        entries.hand_on({'data': 1})
        assert inbound.route.room() > 0
        inbound.clock.move(0.3)
    entries.hand_on({'data': 2})
    assert inbound.route.room() == 0
    inbound.clock.move(0.015)
    assert inbound.route.room() == 0
    inbound.clock.move(0.015)
    assert inbound.route.room() == inbound.publisher.depth - 5
    inbound.publisher.acknowledges = True
    assert inbound.route.room() == inbound.publisher.depth
    entries.hand_on({'data': 3})
    inbound.publisher.acknowledges = False
    assert inbound.route.room() == inbound.publisher.depth - 1


def test_group_entries_stay_open_while_subscribers_have_not_acknowledged():
    inbound = group_route()
    entries = Entries(inbound)
    inbound.publisher.acknowledges = False
    entries.hand_on({'data': 1}, {'data': 2})
    inbound.clock.move(29)
    entries.hand_on({'data': 3})
    inbound.route.room()
    assert inbound.noted == {}
    inbound.clock.move(2)
    for _ in range(3):
        assert inbound.route.room() == inbound.publisher.depth - 3
    assert entries.done == []
    assert inbound.noted == {'unacked': 2}
    inbound.clock.move(29)
    inbound.route.room()
    assert inbound.noted == {'unacked': 3}


def test_group_entries_that_are_rejected_are_kept_as_dead_and_echoes_are_not():
    inbound = Inbound(source=StreamSourceConfig('s', start='group', group='g'), max_age_ms=100)
    done = []
    metas = [Meta('x/1', 1, SERVER_TIME - 9), None, Meta('robot1/boot', 1, SERVER_TIME)]
    inbound.route.receive(
        [
            Received(b'{"data": 1}', meta, lambda good, n=n: done.append((n, good)))
            for n, meta in enumerate(metas)
        ]
    )
    assert done == [(0, False), (1, False), (2, True)]


def test_a_bug_costs_one_sample_and_is_logged(caplog):
    inbound = Inbound(source=StreamSourceConfig('s', start='group', group='g'))
    done = []
    inbound.publisher.publish = lambda message: 1 / 0
    inbound.route.receive([Received(b'{"data": 1}', acknowledge=done.append)])
    assert done == [False]
    assert inbound.dropped == {'internal_error': 1}
    assert 'ZeroDivisionError' in caplog.text


def test_a_command_that_comes_while_closing_stays_in_its_group():
    inbound = Inbound(
        TWIST, source=StreamSourceConfig('s', start='group', group='g'), stop=Stop(after_ms=500)
    )
    inbound.dead_man.close()
    done = []
    inbound.route.receive([Received(b'{}', acknowledge=done.append)])
    assert done == [None]
    assert inbound.dropped == {}


def test_what_other_members_of_a_group_took_is_no_gap():
    inbound = group_route()
    entries = Entries(inbound)
    entries.hand_on({'_meta': meta(seq=1)}, {'_meta': meta(seq=5)})
    assert len(inbound.values) == 2
    assert inbound.noted == {}


def test_group_entries_that_came_without_the_name_come_again():
    inbound = group_route()
    entries = Entries(inbound)
    inbound.redis.terms = None
    entries.hand_on({'data': 1})
    assert (inbound.values, entries.done, inbound.dropped) == ([], [(0, None)], {})


def test_groups_are_only_read_while_someone_subscribes():
    inbound = Inbound()
    assert inbound.route.room() > 0
    inbound.publisher.subscribers = 0
    assert inbound.route.room() == 0


def test_what_the_source_drops_is_counted_and_logged(caplog):
    inbound = Inbound(source=StreamSourceConfig('s'))
    inbound.route.drop('bad_payload', 'entry 5-0 has no field `data`')
    assert inbound.dropped == {'bad_payload': 1}
    assert 'stream s -> /n: dropped a sample, bad_payload: entry 5-0 has no' in caplog.text


def test_a_mirrored_value_settles_between_both_directions():
    mirror = LastValue()
    redis = FakeRedis()
    key = KeySinkConfig('k', encoding='text')
    route = RosToRedis(where='', topic='/n', sinks=(key,))
    clock = FakeClock()
    outbound = OutboundRoute(
        route, redis, clock.call_at, LOG, mirror=mirror, on_opened=lambda: None, clock=clock
    )
    outbound.opened(NUMBER)
    inbound = Inbound(source=KeySourceConfig('k'), mirror=mirror, encoding='text')
    outbound.forward([number(0.5)])
    inbound.carry(b'0.5')  # the watch reports our own write
    assert inbound.values == []
    inbound.carry(b'0.25')  # somebody else's
    outbound.forward(inbound.publisher.published)  # a ROS that does not identify publishers
    assert inbound.values == [{'data': 0.25}]
    assert redis.sinks['k'].payloads == [b'0.5']
    outbound.forward([number(0.5)])  # a genuine change back
    assert redis.sinks['k'].payloads == [b'0.5', b'0.5']
    assert inbound.dropped == {'mirrored': 1}


def test_the_state_is_that_of_its_source_and_of_its_publisher():
    inbound = Inbound()
    assert inbound.route.report().state == 'open'
    inbound.redis.of_sources = 'error: cannot be read: NOPERM'
    assert inbound.route.report().state == 'error: cannot be read: NOPERM'
    inbound.publisher.said = 'error: /n: a subscriber expects another type'
    assert inbound.route.report().state == (
        'error: cannot be read: NOPERM; error: /n: a subscriber expects another type'
    )
    inbound.redis.of_sources = 'open'
    assert inbound.route.report().state == 'error: /n: a subscriber expects another type'


def test_latency_counts_from_the_stamp_and_never_below_zero():
    inbound = Inbound()
    inbound.carry({'_meta': meta(age_s=0.25)}, {'_meta': meta(age_s=-9)}, {})
    report = inbound.route.report()
    assert (report.latency_sum_s, report.latency_count) == (pytest.approx(0.25), 3)


def test_with_a_lease_nothing_passes_unless_it_is_held():
    inbound = Inbound(lease='corridor')
    inbound.carry({'data': 1})
    assert inbound.route.report().state == 'waiting for the lease corridor'
    inbound.redis.tokens['corridor'] = 7
    inbound.carry({'data': 2})
    assert inbound.route.report().state == 'open'
    del inbound.redis.tokens['corridor']
    inbound.carry({'data': 3})
    assert inbound.values == [{'data': 2.0}]
    assert inbound.dropped == {'no_lease': 2}
