# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Routes with a prefix for the names of frames, both ways."""

import json
import logging

import pytest
from fakes import FakeClock, FakeRedis, FakeRos
from message_types import TF_MESSAGE
from samples import HEADER, NUMBER, STAMPED, number

from redis_bridge.bridge import frames
from redis_bridge.bridge.route_set import RouteSet
from redis_bridge.mapping.model import (
    ChannelSinkConfig,
    ChannelSourceConfig,
    FramePrefix,
    HashSinkConfig,
    KeySinkConfig,
    KeySourceConfig,
    RedisToRos,
    RosToRedis,
    Stop,
)
from redis_bridge.messages import cdr_read, cdr_write
from redis_bridge.payloads import CODECS
from redis_bridge.ports import Received

ROBOT1 = FramePrefix('robot1/')


def stamped(frame, speed=0.0):
    value = {'header': {'frame_id': frame}, 'twist': {'linear': {'x': speed}}}
    return cdr_write.writer(STAMPED)(value)


def frame_of(cdr):
    return cdr_read.reader(STAMPED)(cdr)['header']['frame_id']


def header(name):
    return cdr_write.writer(HEADER)({'frame_id': name})


def renamed(function, name):
    return cdr_read.reader(HEADER)(function(header(name)))['frame_id']


class World:
    """Routes between two sides that keep what they get."""

    def __init__(self, *routes):
        self.ros = FakeRos(NUMBER, STAMPED, TF_MESSAGE)
        self.redis = FakeRedis()
        self.clock = FakeClock()
        self.routes = RouteSet(
            self.ros,
            self.redis,
            call_at=self.clock.call_at,
            stop_at=self.clock.call_at,
            log=logging.getLogger('test'),
            clock=self.clock,
        )
        self.routes.apply(routes)
        for request in self.ros.topics:
            request.receiver.opened(STAMPED)

    def sent(self, name):
        return self.redis.sinks[name].payloads

    def receive(self, name, payload):
        self.redis.receiver(name).receive([Received(payload)])

    @property
    def published(self):
        return [frame_of(cdr) for p in self.ros.publishers.values() for cdr in p.published]

    @property
    def dropped(self):
        return [route.report().dropped for route in self.routes.running().values()]


def out(*sinks, frames=ROBOT1, **options):
    return RosToRedis(where='m:1', topic='/a', sinks=sinks, frames=frames, **options)


def into(source, frames=ROBOT1, topic='/a', **options):
    options.setdefault('type', STAMPED.name)
    return RedisToRos(where='m:2', topic=topic, source=source, frames=frames, **options)


# The names


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('odom', 'robot1/odom'),
        ('', ''),
        ('/odom', 'robot1/odom'),
        ('/', ''),
        ('robot1/odom', 'robot1/odom'),
        ('/robot1/odom', 'robot1/odom'),
        ('robot10/odom', 'robot1/robot10/odom'),
        ('map', 'map'),
        ('/map', 'map'),
        ('earth', 'earth'),
        ('map2', 'robot1/map2'),
        ('ödom', 'robot1/ödom'),
    ],
)
def test_a_frame_gets_its_prefix_once(name, expected):
    to_redis = frames.to_redis(FramePrefix('robot1/', ('map', '/earth')), HEADER)
    assert renamed(to_redis, name) == expected
    assert renamed(to_redis, expected) == expected


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('robot1/odom', 'odom'),
        ('/robot1/odom', 'odom'),
        ('', ''),
        ('map', 'map'),
        ('/map', 'map'),
        ('robot2/odom', 'robot2/odom'),
        ('robot10/odom', 'robot10/odom'),
        ('robot1', 'robot1'),
    ],
)
def test_a_frame_loses_only_the_prefix_of_the_route(name, expected):
    assert renamed(frames.to_ros(ROBOT1, HEADER), name) == expected


def test_without_a_prefix_or_without_frames_nothing_is_renamed():
    for function in (frames.to_redis, frames.to_ros):
        assert function(None, HEADER) is None
        assert function(ROBOT1, NUMBER) is None


# To Redis


@pytest.mark.parametrize('arrays', ['list', 'typed'])
@pytest.mark.parametrize('encoding', ['msgpack', 'json', 'cdr'])
def test_every_encoding_carries_the_prefixed_name(encoding, arrays):
    world = World(out(KeySinkConfig('k', encoding, arrays)))
    world.ros.receiver('/a').forward([stamped('odom', 0.5)])
    value, _ = CODECS[encoding].decoder(STAMPED)(world.sent('k')[0])
    assert value['header']['frame_id'] == 'robot1/odom'
    assert value['twist']['linear']['x'] == 0.5


def test_single_fields_and_hashes_carry_the_prefixed_name():
    world = World(
        out(KeySinkConfig('text', 'text'), field='header.frame_id'),
        out(KeySinkConfig('header', 'json'), field='header'),
        out(KeySinkConfig('some', 'json'), fields=('header.frame_id',), meta=False),
        out(HashSinkConfig('hash'), fields=('header.frame_id', 'twist.linear.x')),
    )
    for request in world.ros.topics:
        request.receiver.forward([stamped('odom')])
    assert world.sent('text') == [b'robot1/odom']
    assert json.loads(world.sent('header')[0])['frame_id'] == 'robot1/odom'
    assert json.loads(world.sent('some')[0]) == {'header': {'frame_id': 'robot1/odom'}}
    assert world.sent('hash') == [{'header.frame_id': b'robot1/odom', 'twist.linear.x': b'0.0'}]


def test_a_type_without_frames_is_carried_as_it_is_and_the_log_says_so(caplog):
    caplog.set_level('INFO')
    world = World(
        out(KeySinkConfig('own', 'json')),
        out(KeySinkConfig('default', 'json'), frames=FramePrefix('robot1/', is_default=True)),
    )
    for request in world.ros.topics:
        request.receiver.opened(NUMBER)
        request.receiver.forward([number(1.5)])
    assert [json.loads(world.sent(name)[0])['data'] for name in ('own', 'default')] == [1.5, 1.5]
    assert [record.getMessage() for record in caplog.records] == [
        '/a -> key own: std_msgs/msg/Float64 names no frames for frame_prefix'
    ]


def test_broken_messages_are_counted_and_the_rest_goes_on():
    world = World(out(ChannelSinkConfig('c', 'cdr')))
    whole = stamped('odom')
    world.ros.receiver('/a').forward([b'', whole[:20], whole[:-1], whole])
    assert [frame_of(payload) for payload in world.sent('c')] == ['robot1/odom']
    assert world.dropped == [{'bad_payload': 3}]


def test_on_change_takes_two_spellings_of_a_name_as_equal():
    world = World(out(KeySinkConfig('k'), on_change=True))
    for name in ('odom', '/odom', 'robot1/odom', 'map'):
        world.ros.receiver('/a').forward([stamped(name)])
    assert len(world.sent('k')) == 2
    assert world.dropped == [{'unchanged': 2}]


def test_what_the_rate_holds_back_has_its_prefix():
    world = World(out(ChannelSinkConfig('c', 'cdr'), max_rate_hz=10))
    for speed in range(3):
        world.ros.receiver('/a').forward([stamped('odom', speed)])
    world.clock.move(0.2)
    assert [frame_of(payload) for payload in world.sent('c')] == ['robot1/odom'] * 2


# To ROS


@pytest.mark.parametrize('encoding', ['msgpack', 'json', 'cdr'])
def test_every_encoding_loses_the_prefix(encoding):
    world = World(into(ChannelSourceConfig('c'), encoding=encoding))
    for name in ('robot1/odom', 'map', 'robot2/odom'):
        world.receive('c', CODECS[encoding].encoder(STAMPED)(stamped(name)))
    assert world.published == ['odom', 'map', 'robot2/odom']


def test_a_field_loses_the_prefix():
    world = World(into(ChannelSourceConfig('c'), encoding='text', field='header.frame_id'))
    world.receive('c', b'robot1/odom')
    assert world.published == ['odom']


def test_guards_hold_for_what_loses_its_prefix_and_the_stop_message_stays():
    world = World(
        into(
            ChannelSourceConfig('c'),
            encoding='json',
            limits={'twist.linear.x': (-1, 1)},
            required=('header.frame_id',),
            stop=Stop(500, {'header': {'frame_id': 'robot1/base'}}, 1),
        )
    )
    world.receive('c', b'{"header": {"frame_id": "robot1/base"}, "twist": {"linear": {"x": 2}}}')
    world.receive('c', b'{"twist": {"linear": {"x": 0.5}}}')
    world.receive('c', b'{"header": {"frame_id": "robot1/base"}, "twist": {"linear": {"x": 1}}}')
    world.clock.move(1)
    assert world.published == ['base', 'robot1/base']
    assert world.dropped == [{'out_of_limits': 1, 'missing_field': 1}]


# Both ways


def mirrored(inbound_frames=ROBOT1):
    return World(
        out(KeySinkConfig('k', 'json')),
        into(KeySourceConfig('k'), inbound_frames, encoding='json'),
    )


@pytest.mark.parametrize('inbound_frames', [ROBOT1, None, FramePrefix('other/')])
def test_a_mirrored_key_does_not_come_back_and_gets_no_second_prefix(inbound_frames):
    world = mirrored(inbound_frames)
    world.ros.receiver('/a').forward([stamped('odom')])
    (payload,) = world.sent('k')
    world.receive('k', payload)
    value, _ = CODECS['json'].unpack(payload)
    world.receive('k', CODECS['json'].pack(value))  # as a key comes in that has lost its origin
    assert world.published == []
    assert world.dropped[1] == {'own_origin': 1, 'mirrored': 1}
    # Whatever a loop would bring back goes out as it came.
    world.ros.receiver('/a').forward([stamped('robot1/odom')])
    assert len(world.sent('k')) == 1


def test_a_mirrored_key_with_the_value_of_another_comes_in_without_the_prefix():
    world = mirrored()
    world.ros.receiver('/a').forward([stamped('odom')])
    world.receive('k', CODECS['json'].encoder(STAMPED)(stamped('robot1/map'), None))
    assert world.published == ['map']
    world.ros.receiver('/a').forward([stamped('map')])  # as Redis has it already
    assert len(world.sent('k')) == 1
    world.ros.receiver('/a').forward([stamped('odom')])
    assert len(world.sent('k')) == 2


def test_transforms_of_two_robots_meet_in_a_third_graph_without_a_collision():
    transform = {'header': {'frame_id': 'odom'}, 'child_frame_id': 'base_link'}
    rooted = {'header': {'frame_id': 'map'}, 'child_frame_id': 'odom'}
    cdr = cdr_write.writer(TF_MESSAGE)({'transforms': [rooted, transform]})
    viewer = World(into(ChannelSourceConfig('fleet:tf'), None, '/tf', type=TF_MESSAGE.name))
    for robot in ('robot1', 'robot2'):
        frames = FramePrefix(f'{robot}/', ('map',))
        world = World(out(ChannelSinkConfig('fleet:tf'), frames=frames))
        world.ros.receiver('/a').opened(TF_MESSAGE)
        world.ros.receiver('/a').forward([cdr])
        payload = world.sent('fleet:tf')[0]
        value, _ = CODECS['msgpack'].unpack(payload)
        viewer.receive('fleet:tf', CODECS['msgpack'].pack(value))
    (publisher,) = viewer.ros.publishers.values()
    assert [
        (each['header']['frame_id'], each['child_frame_id'])
        for cdr in publisher.published
        for each in cdr_read.reader(TF_MESSAGE)(cdr)['transforms']
    ] == [
        ('map', 'robot1/odom'),
        ('robot1/odom', 'robot1/base_link'),
        ('map', 'robot2/odom'),
        ('robot2/odom', 'robot2/base_link'),
    ]
