# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The routes of patterns come and go with the names that both worlds find."""

from __future__ import annotations

import json
import logging

import pytest
from fakes import FakeRedis, FakeRos
from mappings import load
from samples import NUMBER, TWIST, number
from support import eventually

from redis_bridge.bridge.bridge import Bridge
from redis_bridge.bridge.pattern_routes import DEAF_TO
from redis_bridge.bridge.route_set import Changes
from redis_bridge.mapping import topic_names
from redis_bridge.mapping.matching import LISTED
from redis_bridge.ports import Received

LOG = logging.getLogger('test')
MAPPING = f"""
version: 1
ros_to_redis:
  - topic: "/{{name:*}}/speed"
    to: {{key: {{name: "{{name}}:speed", encoding: text}}}}
  - {{topic: /fixed, to: {{key: {{name: fixed, encoding: text}}}}}}
redis_to_ros:
  - channel: "{{name:*}}:cmd_vel"
    topic: "/{{name}}/cmd_vel"
    type: {TWIST.name}
    encoding: json
    limits: {{linear.x: [-1, 1]}}
    stop: {{after_ms: 60000, repeat: 1}}
    max_matches: 3
  - {{key: "{{name:*}}:rate", topic: "/{{name}}/rate", type: {NUMBER.name}, encoding: text}}
"""


class World:
    """A bridge with patterns between two sides that keep what they are asked for."""

    def __init__(self, tmp_path):
        self.tmp_path = tmp_path
        self.ros, self.redis = FakeRos(NUMBER, TWIST), FakeRedis()
        self.bridge = Bridge(
            self.mapping(MAPPING), self.ros, self.redis,
            log=LOG, resolve=topic_names.resolver(), distro='kilted',
        )  # fmt: skip

    def mapping(self, text):
        return load(self.tmp_path, text, robot='robot1')

    def find_topics(self, *topics):
        self.ros.patterns.found(frozenset(topics))

    def hear(self, channel, payload):
        """Have a message of a channel come, as the source hands it on."""
        (request,) = self.redis.channels
        if self.reader(channel) is None:
            request.heard([channel])
        reader = self.reader(channel)
        if reader is not None:
            reader.receive([Received(payload)])

    def reader(self, channel):
        found = [source for source in self.redis.sources if source.config.name == channel]
        return found[0].receiver if found else None

    @property
    def topics(self):
        return [request.topic for request in self.ros.topics]

    @property
    def state(self):
        return {name: report.state for name, report in self.bridge.report().items()}


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    with made.bridge:
        yield made


def command(x):
    return json.dumps({'linear': {'x': x}}).encode()


def test_topics_that_appear_are_carried_and_those_that_vanish_are_released(world):
    assert world.topics == ['/fixed']
    assert world.ros.patterns.is_wanted('/r1/speed')
    assert not world.ros.patterns.is_wanted('/speed')
    assert not world.ros.patterns.is_wanted('/_r1/speed')
    world.find_topics('/r1/speed', '/r2/speed')
    eventually(lambda: world.topics == ['/fixed', '/r1/speed', '/r2/speed'])
    world.ros.receiver('/r1/speed').opened(NUMBER)
    world.ros.receiver('/r1/speed').forward([number(1.5)])
    assert world.redis.sinks['r1:speed'].payloads == [b'1.5']
    sink = world.redis.sinks['r2:speed']
    world.find_topics('/r1/speed')
    eventually(lambda: world.topics == ['/fixed', '/r1/speed'])
    assert sink.closed
    assert [said.name for said in world.redis.described] == [
        'fixed', 'r1:speed',
    ]  # fmt: skip


def test_routes_of_topics_that_stay_go_on_undisturbed(world):
    world.find_topics('/r1/speed')
    eventually(lambda: '/r1/speed' in world.topics)
    receiver, fixed = world.ros.receiver('/r1/speed'), world.ros.receiver('/fixed')
    world.find_topics('/r0/speed', '/r1/speed')
    eventually(lambda: '/r0/speed' in world.topics)
    assert world.ros.receiver('/r1/speed') is receiver
    assert world.ros.receiver('/fixed') is fixed


def test_the_first_message_of_a_channel_reaches_its_topic(world):
    world.hear('r1:cmd_vel', command(0.5))
    (publisher,) = [p for p in world.ros.publishers.values() if p.name == '/r1/cmd_vel']
    assert len(publisher.published) == 1
    world.hear('r1:cmd_vel', command(0.25))
    assert len(publisher.published) == 2


def test_each_name_has_its_own_dead_man_and_limits(world):
    for robot in ('r1', 'r2'):
        world.hear(f'{robot}:cmd_vel', command(0.5))
    readers = [world.reader(f'{robot}:cmd_vel') for robot in ('r1', 'r2')]
    assert readers[0].dead_man is not readers[1].dead_man
    world.hear('r1:cmd_vel', command(1.5))
    readers[0].on_disconnect()
    reports = world.bridge.report()
    assert reports['channel r1:cmd_vel -> /r1/cmd_vel'].dropped == {'out_of_limits': 1}
    assert reports['channel r1:cmd_vel -> /r1/cmd_vel'].noted == {'stop': 1}
    assert reports['channel r2:cmd_vel -> /r2/cmd_vel'].noted == {}


def test_a_sender_creates_no_topic_that_the_mapping_does_not_describe(world, caplog):
    for channel in ('4wd:cmd_vel', 'a:b:cmd_vel', 'x/../y:cmd_vel', 'r1:cmd_vel\n'):
        for _ in range(3):
            world.hear(channel, command(0.5))
    assert [source.config.name for source in world.redis.sources] == []
    assert not any('cmd_vel' in publisher.name for publisher in world.ros.publishers.values())
    assert caplog.text.count('4wd:cmd_vel is not carried') == 1
    assert (
        "4wd:cmd_vel: {name} is '4wd'" in world.state['channel {name}:cmd_vel -> /{name}/cmd_vel']
    )


def test_max_matches_bounds_a_flood_of_names(world, caplog):
    caplog.set_level(logging.INFO, LOG.name)
    for number_ in range(3 * DEAF_TO):
        world.hear(f'r{number_}:cmd_vel', command(0.5))
    assert len(world.redis.sources) == 3
    state = world.state['channel {name}:cmd_vel -> /{name}/cmd_vel']
    assert 'r3:cmd_vel: 3 names match already: raise max_matches' in state
    assert state.endswith('more)')
    assert caplog.text.count('names match\n') == 3  # and not with each name that is rejected
    assert caplog.text.count('is not carried') == LISTED
    world.hear('r0:cmd_vel', command(0.25))
    (publisher,) = [p for p in world.ros.publishers.values() if p.name == '/r0/cmd_vel']
    assert len(publisher.published) == 2


def test_of_channels_that_are_heard_at_once_the_first_ones_are_carried(world):
    world.redis.calls.clear()
    (asked,) = world.redis.channels
    asked.heard(['z:cmd_vel', '4wd:cmd_vel', 'y:cmd_vel', 'other', 'x:cmd_vel', 'a:cmd_vel'])
    assert {source.config.name for source in world.redis.sources} == {
        'z:cmd_vel', 'y:cmd_vel', 'x:cmd_vel',
    }  # fmt: skip
    assert world.redis.calls.count('want') == 1
    state = world.state['channel {name}:cmd_vel -> /{name}/cmd_vel']
    assert 'a:cmd_vel: 3 names match already' in state
    assert "4wd:cmd_vel: {name} is '4wd'" in state


def test_registered_keys_are_read_while_they_are_registered(world):
    world.redis.registered(frozenset({('key', 'r1:rate'), ('stream', 'r2:rate')}))
    eventually(lambda: world.reader('r1:rate') is not None)
    assert world.reader('r2:rate') is None
    world.redis.registered(frozenset())
    eventually(lambda: world.reader('r1:rate') is None)


def test_a_pattern_reports_that_it_waits(world):
    assert world.state == {
        '/{name}/speed -> key {name}:speed': 'waiting for a topic that matches',
        '/fixed -> key fixed': 'waiting for a publisher',
        'channel {name}:cmd_vel -> /{name}/cmd_vel': 'waiting for a name that matches',
        'key {name}:rate -> /{name}/rate': 'waiting for a name that matches',
    }
    world.find_topics('/r1/speed')
    eventually(lambda: world.state['/{name}/speed -> key {name}:speed'] == 'open')


def test_names_that_went_while_nobody_looked_are_gone(world):
    world.find_topics('/r1/speed')
    world.redis.registered(frozenset({('key', 'r1:rate')}))
    eventually(lambda: world.topics == ['/fixed', '/r1/speed'] and world.reader('r1:rate'))
    fixed = 'version: 1\nros_to_redis:\n  - {topic: /fixed, to: {key: {name: a, encoding: text}}}'
    world.bridge.change(world.mapping(fixed))
    assert world.ros.patterns is world.redis.registered is None
    world.bridge.change(world.mapping(MAPPING))
    assert world.topics == ['/fixed']
    assert world.reader('r1:rate') is None


def test_a_registry_that_cannot_be_read_is_the_state_of_patterns_of_keys(world):
    world.redis.of_registry = 'error: cannot be read: NOPERM'
    state = world.state
    assert state['key {name}:rate -> /{name}/rate'].startswith('error: cannot be read: NOPERM')
    assert 'NOPERM' not in state['channel {name}:cmd_vel -> /{name}/cmd_vel']


def test_a_match_that_fails_is_reported_for_its_name_and_all_others_run(world, caplog):
    world.ros.messages.pop(NUMBER.name)
    world.redis.registered(frozenset({('key', 'r1:rate')}))
    eventually(
        lambda: (
            world.state['key {name}:rate -> /{name}/rate']
            == f'error: r1:rate: {NUMBER.name}: not installed'
        )
    )
    world.hear('r1:cmd_vel', command(0.5))
    assert world.reader('r1:cmd_vel') is not None
    assert [each for each in caplog.messages if 'r1:rate' in each] == [
        f'key r1:rate -> /r1/rate: is not carried: {NUMBER.name}: not installed'
    ]
    world.ros.messages[NUMBER.name] = NUMBER
    world.redis.registered(frozenset({('key', 'r1:rate'), ('key', 'r2:rate')}))
    eventually(lambda: world.reader('r1:rate') is not None)
    assert world.state['key {name}:rate -> /{name}/rate'] == 'open'


def test_a_reload_keeps_the_matches_of_patterns_that_stay(world):
    world.find_topics('/r1/speed')
    eventually(lambda: '/r1/speed' in world.topics)
    world.hear('r1:cmd_vel', command(0.5))
    receiver, reader = world.ros.receiver('/r1/speed'), world.reader('r1:cmd_vel')
    changes = world.bridge.change(world.mapping(MAPPING.replace('/fixed', '/other')))
    assert changes == Changes(unchanged=2, changed=0, new=1, removed=1)
    assert world.ros.receiver('/r1/speed') is receiver
    assert world.reader('r1:cmd_vel') is reader
    without = (
        MAPPING[: MAPPING.index('  - topic: "/{name')] + MAPPING[MAPPING.index('  - {topic') :]
    )
    world.bridge.change(world.mapping(without))
    assert world.topics == ['/fixed']
    assert world.ros.patterns is None


def test_a_reload_frees_channels_that_another_route_was_in_the_way_of(world):
    route = f"""  - channel: "r2:cmd_vel"
    topic: /r2/cmd_vel
    type: {TWIST.name}
    encoding: json
    stop: {{after_ms: 60000, repeat: 1}}
"""
    pattern = 'channel {name}:cmd_vel -> /{name}/cmd_vel'
    world.bridge.change(world.mapping(MAPPING + route))
    (request,) = world.redis.channels
    request.heard(['r2:cmd_vel'])
    assert 'r2:cmd_vel' in world.state[pattern]
    world.bridge.change(world.mapping(MAPPING))
    assert world.reader('r2:cmd_vel') is None
    world.hear('r2:cmd_vel', command(0.5))
    assert world.reader('r2:cmd_vel') is not None
    assert world.state[pattern] == 'open'
    world.hear('r1:cmd_vel', command(0.5))
    assert world.state[pattern] == 'open'


def test_a_channel_that_was_rejected_is_carried_once_nothing_is_in_its_way(world):
    writes = f"""
version: 1
ros_to_redis:
  - topic: "/{{name:*}}/said"
    to: {{channel: {{name: "{{name}}:said", encoding: json}}}}
redis_to_ros:
  - {{channel: "{{name:*}}:said", topic: "/{{name}}/heard", type: {NUMBER.name}, encoding: text}}
"""
    world.bridge.change(world.mapping(writes))
    world.find_topics('/r1/said')
    eventually(lambda: '/r1/said' in world.topics)
    (request,) = world.redis.channels
    request.heard(['r1:said'])
    pattern = 'channel {name}:said -> /{name}/heard'
    assert 'r1:said' in world.state[pattern]
    world.find_topics()
    eventually(lambda: '/r1/said' not in world.topics)
    world.hear('r1:said', b'1')
    assert world.reader('r1:said') is not None
    assert world.state[pattern] == 'open'


def test_at_the_end_nothing_is_looked_for(tmp_path):
    world = World(tmp_path)
    with world.bridge:
        world.hear('r1:cmd_vel', command(0.5))
    assert world.ros.patterns is world.redis.registered is None
    assert world.redis.channels == world.redis.sources == world.ros.topics == []
    assert world.bridge.report() == {}
    assert not world.ros.publishers


def test_a_capture_may_be_in_the_frame_prefix(tmp_path):
    text = """
version: 1
ros_to_redis:
  - topic: "/{name:*}/odom"
    frame_prefix: "{name}/"
    to: {key: "{name}:odom"}
"""
    pattern = load(tmp_path, text, robot='robot1').outbound_patterns[0]
    assert pattern.route_for('/r1/odom').frames.text == 'r1/'
