# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The running routes follow the wanted ones, and what stays equal goes on undisturbed."""

import logging
from dataclasses import replace

import pytest
from fakes import FakeClock, FakeRedis, FakeRos
from samples import NUMBER, TWIST, number

from redis_bridge.bridge.bridge import Bridge
from redis_bridge.bridge.route_set import GROUP_DEPTH, NEWEST_DEPTH, Changes, RouteSet
from redis_bridge.errors import BridgeError, InterfaceError, MappingError
from redis_bridge.mapping import topic_names
from redis_bridge.mapping.model import (
    ChannelSinkConfig,
    ChannelSourceConfig,
    KeySinkConfig,
    KeySourceConfig,
    Mapping,
    Qos,
    RedisToRos,
    RosToRedis,
    Stop,
    StreamSourceConfig,
)
from redis_bridge.messages import cdr_write
from redis_bridge.ports import Received

LOG = logging.getLogger('test')


def out(topic='/a', name='k', where='m.yaml:1: ros_to_redis[0]', **options):
    sinks = (KeySinkConfig(name, encoding='text'),)
    return RosToRedis(where=where, topic=topic, sinks=sinks, **options)


def into(topic='/b', name='c', where='m.yaml:9: redis_to_ros[0]', **options):
    options.setdefault('type', NUMBER.name)
    options.setdefault('source', ChannelSourceConfig(name))
    return RedisToRos(where=where, topic=topic, encoding='json', **options)


def command(topic='/cmd_vel', name='cmd', after_ms=500, **options):
    return into(topic, name, type=TWIST.name, stop=Stop(after_ms, repeat=1), **options)


def make_bridge(mapping, ros, redis):
    return Bridge(mapping, ros, redis, log=LOG, resolve=topic_names.resolver(), distro='kilted')


class World:
    """A set of routes between two sides that keep what they are asked for."""

    def __init__(self):
        self.clock = FakeClock()
        self.ros = FakeRos(NUMBER, TWIST)
        self.redis = FakeRedis()
        self.routes = RouteSet(
            self.ros,
            self.redis,
            call_at=self.clock.call_at,
            stop_at=self.clock.call_at,
            log=LOG,
            clock=self.clock,
        )

    def receive(self, name, payload):
        self.redis.receiver(name).receive([Received(payload)])

    def published(self, topic):
        (publisher,) = [p for p in self.ros.publishers.values() if p.name == topic]
        return publisher.published


@pytest.fixture
def world():
    return World()


def test_both_sides_are_asked_for_the_whole_set(world):
    world.routes.apply([out(type=NUMBER.name, qos=Qos('reliable')), into(max_bytes=7)])
    (topic,) = world.ros.topics
    assert (topic.topic, topic.type, topic.qos) == ('/a', NUMBER.name, Qos('reliable'))
    (source,) = world.redis.sources
    assert (source.config.name, source.is_command, source.max_bytes) == ('c', False, 7)
    world.routes.apply([out('/x', 'x'), command()])
    assert [topic.topic for topic in world.ros.topics] == ['/x']
    assert [source.is_command for source in world.redis.sources] == [True]


@pytest.mark.parametrize(
    ('qos', 'depth'),
    [(Qos(), GROUP_DEPTH), (Qos(depth=5), 5), (Qos(durability='transient_local'), None)],
)
def test_a_publisher_for_a_group_keeps_what_waits_but_not_for_later_subscribers(world, qos, depth):
    group = StreamSourceConfig('s', 'group', 'g')
    world.routes.apply([into('/group', source=group, qos=qos), into('/channel', 'c')])
    depths = {name: asked.depth for name, _, asked, *_ in world.ros.publishers}
    assert depths == {'/group': depth, '/channel': None}


@pytest.mark.parametrize(
    ('options', 'depth'),
    [
        ({}, None),
        ({'max_age_ms': 200}, NEWEST_DEPTH),
        ({'stop': Stop(500)}, NEWEST_DEPTH),
        ({'deliver': 'latest'}, NEWEST_DEPTH),
        ({'max_age_ms': 200, 'qos': Qos(depth=3)}, 3),
    ],
)
def test_commands_are_not_kept_for_a_subscriber_that_is_behind(world, options, depth):
    world.routes.apply([into(**options)])
    assert {asked.depth for _, _, asked, *_ in world.ros.publishers} == {depth}


def test_routes_that_stay_equal_go_on_undisturbed(world):
    world.routes.apply([out(), into()])
    before = world.routes.running()
    world.routes.apply([out('/new', 'n'), into(where='m.yaml:12: redis_to_ros[1]'), out()])
    after = world.routes.running()
    assert list(after) == ['/new -> key n', 'channel c -> /b', '/a -> key k']
    assert all(after[name] is before[name] for name in before)
    assert not world.redis.sinks['k'].closed


def test_a_route_that_changes_is_closed_and_opened_anew(world):
    world.routes.apply([out()])
    (before,) = world.routes.outbound()
    sink = world.redis.sinks['k']
    world.routes.apply([out(max_rate_hz=5)])
    (after,) = world.routes.outbound()
    assert after is not before
    assert sink.closed
    assert not world.redis.sinks['k'].closed
    assert world.ros.topics[0].receiver is after


def test_a_route_that_is_gone_releases_all_it_had(world):
    world.routes.apply([out(), into()])
    world.routes.apply([])
    assert world.redis.sinks['k'].closed
    assert world.ros.publishers == {}
    assert world.ros.topics == world.redis.sources == []


def test_routes_share_a_publisher_until_the_last_is_gone(world):
    world.routes.apply([into(name='one'), into(name='two')])
    assert len(world.ros.publishers) == 1
    world.routes.apply([into(name='two')])
    assert len(world.ros.publishers) == 1
    world.receive('two', b'{"data": 1}')
    assert len(world.published('/b')) == 1


def test_what_keys_hold_is_latched_for_each_key(world):
    def state(key):
        return into(source=KeySourceConfig(key))

    world.routes.apply([state('one'), state('two'), into(name='c'), into(name='d')])
    assert len(world.ros.publishers) == 3
    world.receive('one', b'{"data": 1}')
    world.receive('two', b'{"data": 2}')
    assert [len(publisher.published) for publisher in world.ros.publishers.values()] == [1, 1, 0]
    world.routes.apply([state('two')])
    (left,) = world.ros.publishers.values()
    assert len(left.published) == 1


def test_of_commands_in_keys_only_the_newest_is_latched(world):
    keys = [command('/cmd_vel', source=KeySourceConfig(key)) for key in ('one', 'two')]
    world.routes.apply(keys)
    assert len(world.ros.publishers) == 1


def test_the_errors_of_all_routes_are_reported_and_nothing_changes(world):
    world.routes.apply([into()])
    before = world.routes.running()
    with pytest.raises(MappingError) as caught:
        world.routes.apply(
            [
                into(),
                into('/good', 'good'),
                into('/x', 'x', type='no/msg/Type', where='m.yaml:2'),
                into('/y', 'y', limits={'datum': (0, 1)}, where='m.yaml:3'),
                command('/z', 'z', where='m.yaml:4', set={'linear.x': 'fast'}),
            ]
        )
    places = [str(error).partition(': ') for error in caught.value.errors]
    assert [place for place, _, _ in places] == ['m.yaml:2', 'm.yaml:3', 'm.yaml:4']
    assert [text.partition(':')[0] for _, _, text in places] == ['no/msg/Type', 'datum', 'set']
    assert world.routes.running() is before
    assert [source.config.name for source in world.redis.sources] == ['c']
    assert [publisher.name for publisher in world.ros.publishers.values()] == ['/b']
    assert [said.name for said in world.redis.described] == ['c']


def test_exactly_the_running_routes_are_described_each_once_its_type_is_known(world):
    def described():
        return [(said.name, said.kind, said.type is not None) for said in world.redis.described]

    world.routes.apply([out(), into()])
    assert described() == [('k', 'key', False), ('c', 'channel', True)]
    world.ros.receiver('/a').opened(NUMBER)
    assert described() == [('k', 'key', True), ('c', 'channel', True)]
    world.routes.apply([out(), into(source=StreamSourceConfig('c'))])
    assert described() == [('k', 'key', True), ('c', 'stream', True)]
    world.routes.apply([out()])
    assert described() == [('k', 'key', True)]


def test_two_routes_with_one_text_are_two_routes(world):
    sinks = (ChannelSinkConfig('c'),)
    world.routes.apply(
        [replace(out(), sinks=sinks, field='x'), replace(out(), sinks=sinks, field='y')]
    )
    assert list(world.routes.running()) == ['/a -> channel c', '/a -> channel c #2']


def test_routes_with_one_text_go_on_undisturbed_in_other_lines(world):
    one, two, three = (
        replace(out(), sinks=(ChannelSinkConfig('c'),), field=field) for field in 'xyz'
    )
    assert world.routes.apply([one, two, three]) == Changes(0, 0, 3, 0)
    before = world.routes.running()
    assert world.routes.apply([three, one, two]) == Changes(3, 0, 0, 0)
    assert world.routes.running() == before
    assert world.routes.apply([three, two]) == Changes(2, 0, 0, 1)
    four = replace(one, field='w')
    assert world.routes.apply([four, three, two]) == Changes(2, 0, 1, 0)
    after = world.routes.running()
    assert list(after) == ['/a -> channel c', '/a -> channel c #3', '/a -> channel c #2']
    assert all(after[name] is before[name] for name in list(after)[1:])
    five = replace(two, field='v')
    assert world.routes.apply([four, three, five]) == Changes(2, 1, 0, 0)


def test_a_key_that_goes_both_ways_does_not_loop(world):
    back = into('/a', 'k', source=KeySourceConfig('k'))
    world.routes.apply([out(), replace(back, encoding='text')])
    world.ros.receiver('/a').opened(NUMBER)
    world.ros.receiver('/a').forward([number(0.5)])
    world.receive('k', b'0.5')
    assert world.published('/a') == []
    world.receive('k', b'0.75')
    assert world.published('/a') == [number(0.75)]


def test_a_route_whose_key_starts_to_go_both_ways_is_opened_anew(world):
    world.routes.apply([out()])
    (before,) = world.routes.outbound()
    back = replace(into('/a', source=KeySourceConfig('k')), encoding='text')
    world.routes.apply([out(), back])
    (after,) = world.routes.outbound()
    assert after is not before
    world.routes.apply([out(), replace(back, where='elsewhere')])
    assert world.routes.outbound() == [after]


def test_routes_to_one_topic_share_its_dead_man(world):
    world.routes.apply([command(name='one'), command(name='two')])
    world.receive('one', b'{"linear": {"x": 1}}')
    world.clock.move(0.4)
    world.receive('two', b'{"linear": {"x": 2}}')
    world.clock.move(0.4)
    assert len(world.published('/cmd_vel')) == 2
    world.clock.move(0.2)
    assert world.published('/cmd_vel')[2:] == [cdr_write.writer(TWIST)({})]
    one, two = world.routes.inbound()
    assert (one.report().noted, two.report().noted) == ({}, {'stop': 1})


def test_a_dead_man_is_shared_by_routes_with_other_publishers_and_outlives_the_first(world):
    key = replace(command(), source=KeySourceConfig('k'))
    world.routes.apply([command(), key])
    assert len(world.ros.publishers) == 2  # one is latched
    world.receive('cmd', b'{"linear": {"x": 1}}')
    world.clock.move(0.4)
    world.receive('k', b'{"linear": {"x": 1}}')
    world.clock.move(0.4)
    (first,) = [p for p in world.ros.publishers.values() if len(p.published) and p.users == 2]
    assert len(first.published) == 1
    world.routes.apply([key])
    world.clock.move(0.2)
    assert first.published[1:] == [cdr_write.writer(TWIST)({})]
    world.routes.apply([])
    assert world.ros.publishers == {}


def test_a_command_route_that_is_gone_stops_the_robot_first(world):
    world.routes.apply([command()])
    world.receive('cmd', b'{"linear": {"x": 1}}')
    published = world.published('/cmd_vel')
    world.routes.apply([])
    assert published[1:] == [cdr_write.writer(TWIST)({})]


def test_a_command_route_that_changes_hands_its_armed_dead_man_on(world):
    world.routes.apply([command()])
    world.receive('cmd', b'{"linear": {"x": 1}}')
    world.routes.apply([command(max_age_ms=100, unstamped='accept')])
    assert len(world.published('/cmd_vel')) == 1
    world.clock.move(0.6)
    assert len(world.published('/cmd_vel')) == 2


def test_another_stop_is_another_dead_man(world):
    world.routes.apply([command()])
    world.receive('cmd', b'{"linear": {"x": 1}}')
    world.routes.apply([command(after_ms=100)])
    assert len(world.published('/cmd_vel')) == 2
    world.receive('cmd', b'{"linear": {"x": 1}}')
    world.clock.move(0.11)
    assert len(world.published('/cmd_vel')) == 4


def test_it_counts_what_has_changed(world):
    one, two, three = out('/1', '1'), out('/2', '2'), out('/3', '3')
    assert world.routes.apply([one, two, three]) == Changes(0, 0, 3, 0)
    changes = world.routes.apply(
        [replace(one, where='m.yaml:7'), replace(two, meta=False), into()]
    )
    assert changes == Changes(unchanged=1, changed=1, new=1, removed=1)
    assert str(changes) == '1 unchanged, 1 changed, 1 new, 1 removed'


def test_a_publisher_opens_once_those_of_another_type_are_closed(world):
    opened = []

    def open_it(publisher):
        opened.append((publisher.message.name, len(world.ros.publishers)))

    world.ros.on_open = open_it
    world.routes.apply([into()])
    world.routes.apply([into(type=TWIST.name)])
    assert opened == [(NUMBER.name, 1), (TWIST.name, 1)]


def test_a_publisher_that_dds_rejects_is_logged_and_all_others_run(world, caplog):
    def reject(publisher):
        if publisher.name == '/b':
            raise InterfaceError('/b: incompatible type')

    world.ros.on_open = reject
    world.routes.apply([into(), into('/good', 'good')])
    assert 'channel c -> /b: /b: incompatible type' in caplog.text
    assert [source.config.name for source in world.redis.sources] == ['c', 'good']
    world.receive('good', b'{"data": 1}')
    assert len(world.published('/good')) == 1


def test_a_closed_route_is_not_opened_by_a_topic_that_comes_late(world):
    world.routes.apply([out()])
    (route,) = world.routes.outbound()
    sink = world.redis.sinks['k']
    world.routes.apply([])
    route.opened(NUMBER)
    route.forward([number(1.0)])
    assert sink.payloads == []


@pytest.mark.parametrize('change', [{'type': NUMBER.name}, {'qos': Qos(depth=1)}])
def test_a_dead_man_whose_publisher_goes_stops_the_robot(world, change):
    world.routes.apply([command()])
    world.receive('cmd', b'{"linear": {"x": 1}}')
    published = world.published('/cmd_vel')
    changed = replace(command(), **change)
    world.routes.apply([changed])
    assert published[1:] == [cdr_write.writer(TWIST)({})]
    world.receive('cmd', b'{}')
    world.clock.move(0.6)
    assert len(world.published('/cmd_vel')) == 2  # the command and a stop of the new one
    (route,) = world.routes.inbound()
    assert route.dead_man.publisher is route.publisher


def test_a_dead_man_of_a_route_that_stays_is_shared_by_one_that_changes(world):
    world.routes.apply([command(name='one'), command(name='two')])
    world.routes.apply([command(name='one'), replace(command(name='two'), qos=Qos(depth=1))])
    one, two = world.routes.inbound()
    assert one.dead_man is two.dead_man


def test_a_key_that_goes_both_ways_begins_anew_when_its_writer_does(world):
    back = replace(into('/a', source=KeySourceConfig('k')), encoding='text')
    world.routes.apply([out(), back])
    world.ros.receiver('/a').opened(NUMBER)
    world.ros.receiver('/a').forward([number(0.5)])
    world.routes.apply([])
    world.routes.apply([out(), back])
    world.receive('k', b'0.5')
    assert world.published('/a') == [number(0.5)]


def test_an_error_leaves_a_key_that_goes_both_ways_as_it_was(world):
    back = replace(into('/a', source=KeySourceConfig('k')), encoding='text')
    world.routes.apply([out(), back])
    with pytest.raises(MappingError):
        world.routes.apply(
            [out(on_change=True), replace(back, max_bytes=9), into(type='no/msg/T')]
        )
    again = into('/c', source=KeySourceConfig('k'))
    world.routes.apply([out(), replace(again, encoding='text'), back])
    world.ros.receiver('/a').opened(NUMBER)
    world.ros.receiver('/a').forward([number(0.5)])
    for source in world.redis.sources:
        source.receiver.receive([Received(b'0.5')])
    assert world.published('/a') == world.published('/c') == []


def test_a_bridge_takes_the_routes_of_another_mapping_until_it_is_closed():
    ros, redis = FakeRos(NUMBER), FakeRedis()
    mapping = Mapping('m.yaml', 'robot1', ros_to_redis=(out(),))
    with make_bridge(mapping, ros, redis) as bridge:
        assert bridge.change(replace(mapping, redis_to_ros=(into(),))) == Changes(1, 0, 1, 0)
        assert set(bridge.report()) == {'/a -> key k', 'channel c -> /b'}
        assert [source.config.name for source in redis.sources] == ['c']
    with pytest.raises(BridgeError, match='the bridge ends'):
        bridge.change(mapping)
    assert bridge.report() == {}


def test_a_bridge_runs_its_mapping_and_closes_it():
    ros, redis = FakeRos(NUMBER), FakeRedis()
    mapping = Mapping('m.yaml', 'robot1', ros_to_redis=(out(),), redis_to_ros=(into(),))
    with make_bridge(mapping, ros, redis) as bridge:
        assert ros.calls == ['want', 'start']
        assert redis.calls == ['want', 'start']
        fields = bridge.status()
        assert set(fields) == {'state', 'route:/a -> key k', 'route:channel c -> /b'}
        again = bridge.status()
        assert all(again[name] is fields[name] for name in fields if name != 'state')
        ros.receiver('/a').opened(NUMBER)
        ros.receiver('/a').forward([number(1.5)])
        assert redis.sinks['k'].payloads == [b'1.5']
        assert [said.name for said in redis.described] == ['k', 'c']
    assert [said.name for said in redis.described] == ['k', 'c']  # what is stored can be read
    assert ros.topics == redis.sources == []
    bridge.close()
