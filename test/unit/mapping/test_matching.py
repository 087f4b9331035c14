# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Which routes patterns have for the names that are found."""

from __future__ import annotations

from dataclasses import replace

import pytest
from mappings import load

from redis_bridge.mapping import topic_names
from redis_bridge.mapping.matching import LISTED, Found, match

ODOM = """
  - topic: "/{name:*}/odom"
    to: {key: {name: "{name}:odom", encoding: json}}
"""
COMMANDS = """
  - channel: "{name:*}:cmd_vel"
    topic: "/{name}/cmd_vel"
    type: geometry_msgs/msg/Twist
    max_age_ms: 200
    stop: {after_ms: 500}
"""


class Matching:
    """The patterns of a mapping, and what they matched last."""

    def __init__(self, tmp_path, outbound='', inbound='', distro='kilted'):
        sections = {'ros_to_redis': outbound, 'redis_to_ros': inbound}
        text = ''.join(f'{name}:\n{routes}\n' for name, routes in sections.items() if routes)
        self.mapping = load(tmp_path, f'version: 1\n{text}', robot='robot1')
        self.distro = distro
        self.matches = []

    def find(self, *topics, stored=(), channels=()):
        found = Found(frozenset(topics), frozenset(stored), frozenset(channels))
        self.matches = match(
            self.mapping,
            found,
            self.matches,
            resolve=topic_names.resolver(),
            distro=self.distro,
        )
        return self

    @property
    def routes(self):
        return [str(route) for each in self.matches for route in each.routes.values()]

    @property
    def rejected(self):
        return {name: why for each in self.matches for name, why in each.rejected.items()}


def test_each_topic_that_matches_has_a_route_of_its_own(tmp_path):
    matching = Matching(tmp_path, ODOM).find('/r1/odom', '/r2/odom', '/r1/scan', '/a/b/odom')
    assert matching.routes == ['/r1/odom -> key r1:odom', '/r2/odom -> key r2:odom']
    assert matching.find('/r2/odom').routes == ['/r2/odom -> key r2:odom']
    assert matching.rejected == {}


def test_a_route_that_stays_is_the_same_object(tmp_path):
    matching = Matching(tmp_path, ODOM).find('/r1/odom')
    before = matching.matches[0].routes['/r1/odom']
    assert matching.find('/r0/odom', '/r1/odom').matches[0].routes['/r1/odom'] is before


@pytest.mark.parametrize(
    'topic',
    [
        '/rosout',
        '/parameter_events',
        '/clock',
        '/tf',
        '/tf_static',
        '/_hidden',
        '/a/_hidden/b',
        '/redis_bridge/robots',
        '/a/redis_bridge/robot_events',
    ],
)
def test_topics_of_ros_itself_and_hidden_ones_do_not_match(tmp_path, topic):
    everything = '  - {topic: "/{rest:**}", to: {channel: "x:{rest}"}}'
    matching = Matching(tmp_path, everything).find(topic, '/r1/tf')
    assert matching.routes == ['/r1/tf -> channel x:r1/tf']


def test_excluded_names_may_hold_captures_and_patterns(tmp_path):
    outbound = """
  - topic: "/{name:*}/{rest:**}"
    exclude: ["/{name}/debug/{any:**}", /r2/scan, "/{robot}/odom"]
    to: {channel: "{name}:{rest}"}
"""
    topics = ['/r1/scan', '/r2/scan', '/r1/debug/a', '/robot1/odom', '/robot1/scan']
    assert Matching(tmp_path, outbound).find(*topics).routes == [
        '/r1/scan -> channel r1:scan',
        '/robot1/scan -> channel robot1:scan',
    ]


def test_a_reload_keeps_the_matches_of_a_pattern_that_has_another_place_in_the_file(tmp_path):
    limited = ODOM + '    max_matches: 1\n'
    matching = Matching(tmp_path, limited).find('/r2/odom')
    other = '  - {topic: /other, to: {key: other}}\n'
    matching.mapping = Matching(tmp_path, other + limited).mapping
    matching.find('/r1/odom', '/r2/odom')
    assert matching.routes == ['/r2/odom -> key r2:odom']
    (route,) = matching.matches[0].routes.values()
    assert route.where.endswith('ros_to_redis[1]')
    assert matching.rejected.keys() == {'/r1/odom'}


def test_a_reload_that_changes_a_pattern_keeps_the_names_that_came_first(tmp_path):
    limited = ODOM + '    max_matches: 2\n'
    matching = Matching(tmp_path, limited).find('/r3/odom').find('/r2/odom', '/r3/odom')
    matching.mapping = Matching(tmp_path, limited + '    max_rate_hz: 5\n').mapping
    matching.find('/r1/odom', '/r2/odom', '/r3/odom')
    assert matching.routes == ['/r3/odom -> key r3:odom', '/r2/odom -> key r2:odom']
    assert all(route.max_rate_hz == 5 for route in matching.matches[0].routes.values())
    matching.mapping = Matching(tmp_path, limited + '    exclude: [/r3/odom]\n').mapping
    matching.find('/r1/odom', '/r2/odom', '/r3/odom')
    assert matching.routes == ['/r2/odom -> key r2:odom', '/r1/odom -> key r1:odom']


def test_names_beyond_max_matches_are_rejected_and_the_first_ones_stay(tmp_path):
    limited = ODOM + '    max_matches: 2\n'
    matching = Matching(tmp_path, limited).find('/r2/odom').find('/r1/odom', '/r2/odom')
    matching.find('/r0/odom', '/r1/odom', '/r2/odom')
    assert matching.routes == ['/r2/odom -> key r2:odom', '/r1/odom -> key r1:odom']
    assert matching.rejected == {
        '/r0/odom': '2 names match already: raise max_matches, or leave some out with exclude'
    }
    assert matching.find('/r0/odom', '/r1/odom').rejected == {}


def test_a_flood_of_names_costs_no_more_than_those_that_are_carried_or_listed(tmp_path):
    matching = Matching(tmp_path, ODOM + '    max_matches: 2\n')
    (pattern,) = matching.mapping.outbound_patterns
    built = []

    def build(name, captured):
        built.append(name)
        return pattern.build(name, captured)

    counted = replace(pattern, build=build)
    matching.mapping = replace(matching.mapping, outbound_patterns=(counted,))
    matching.find(*(f'/r{number}/odom' for number in range(1000)))
    assert len(matching.routes) == 2
    assert len(matching.rejected) == LISTED
    assert len(built) == 2 + LISTED


def test_channels_keys_and_streams_match_their_own_kind(tmp_path):
    inbound = """
  - {channel: "{name:*}:say", topic: "/{name}/say", type: std_msgs/msg/String}
  - {key: "{name:*}:rate", topic: "/{name}/rate", type: std_msgs/msg/Float64, encoding: text}
  - {stream: "{name:*}:tasks", topic: "/{name}/tasks", type: std_msgs/msg/String}
"""
    stored = [('key', 'r1:rate'), ('stream', 'r1:tasks'), ('stream', 'r1:rate')]
    matching = Matching(tmp_path, '', inbound).find(stored=stored, channels=['r1:say', 'r2:rate'])
    assert matching.routes == [
        'channel r1:say -> /r1/say',
        'key r1:rate -> /r1/rate',
        'stream r1:tasks -> /r1/tasks',
    ]
    assert matching.matches[0].routes['r1:say'].source.pattern == '*:say'


def test_a_capture_that_is_no_ros_token_is_rejected(tmp_path):
    matching = Matching(tmp_path, '', COMMANDS).find(
        channels=['4wd:cmd_vel', 'tb3-1:cmd_vel', 'r1:cmd_vel', 'a:b:cmd_vel', ':cmd_vel']
    )
    assert matching.routes == ['channel r1:cmd_vel -> /r1/cmd_vel']
    assert matching.rejected == {
        name: f'{{name}} is {value!r}, which is no part of a ROS name: it needs letters, digits '
        'and underscores, and does not begin with a digit'
        for name, value in (('4wd:cmd_vel', '4wd'), ('tb3-1:cmd_vel', 'tb3-1'))
    }


def test_names_that_are_left_out_are_not_reported(tmp_path):
    channels = ['tb3-1:cmd_vel', 'tb3-2:cmd_vel', '4wd:cmd_vel', 'r1:cmd_vel']
    excluding = COMMANDS + '    exclude: ["tb3-{any:*}:cmd_vel", "4wd:cmd_vel"]\n'
    matching = Matching(tmp_path, '', excluding).find(channels=channels)
    assert matching.routes == ['channel r1:cmd_vel -> /r1/cmd_vel']
    assert matching.rejected == {}
    all_ = Matching(tmp_path, '', COMMANDS + '    exclude: ["{any:*}:cmd_vel"]\n')
    assert all_.find(channels=channels).rejected == {}


def test_a_sender_reaches_no_topic_of_ros_or_of_bridges_themselves(tmp_path):
    inbound = '  - {channel: "x:{rest:**}", topic: "{rest}", type: std_msgs/msg/String}'
    names = ('rosout', 'clock', 'tf', 'redis_bridge/robots')
    channels = [f'x:{name}' for name in names]
    matching = Matching(tmp_path, '', inbound).find(channels=[*channels, 'x:_4wd/tf'])
    assert matching.routes == ['channel x:_4wd/tf -> _4wd/tf']
    assert matching.rejected == {
        f'x:{name}': f'{name} is a topic of ROS or of bridges themselves' for name in names
    }


def test_a_topic_that_the_mapping_names_may_be_one_of_ros_itself(tmp_path):
    inbound = """
  - {key: "{name:*}:tf_static", topic: /tf_static, type: tf2_msgs/msg/TFMessage}
"""
    stored = [('key', 'r1:tf_static'), ('key', 'r2:tf_static')]
    assert Matching(tmp_path, '', inbound).find(stored=stored).routes == [
        'key r1:tf_static -> /tf_static',
        'key r2:tf_static -> /tf_static',
    ]


def test_a_topic_name_that_becomes_too_long_is_rejected(tmp_path):
    name = 'n' * 245
    matching = Matching(tmp_path, '', COMMANDS).find(channels=[f'{name}:cmd_vel'])
    assert matching.routes == []
    assert 'at most 247 characters' in matching.rejected[f'{name}:cmd_vel']


def test_a_name_that_another_route_writes_is_rejected_and_all_others_run(tmp_path):
    fixed = '  - {topic: /a, encoding: json, to: {key: "r1:odom"}}\n'
    matching = Matching(tmp_path, fixed + ODOM).find('/r1/odom', '/r2/odom')
    assert matching.routes == ['/r2/odom -> key r2:odom']
    assert matching.rejected == {
        '/r1/odom': "'r1:odom' is already written by ros_to_redis[0] as a key"
    }


def test_what_runs_already_wins_over_what_comes_later(tmp_path):
    inbound = """
  - {key: "{name:*}:odom", topic: "/{name}/heard", type: std_msgs/msg/String, encoding: text}
"""
    matching = Matching(tmp_path, ODOM, inbound).find(stored=[('key', 'r1:odom')])
    assert matching.routes == ['key r1:odom -> /r1/heard']
    matching.find('/r1/odom', '/r2/odom', stored=[('key', 'r1:odom')])
    assert sorted(matching.routes) == ['/r2/odom -> key r2:odom', 'key r1:odom -> /r1/heard']
    assert list(matching.rejected) == ['/r1/odom']
    assert 'is written as json' in matching.rejected['/r1/odom']


@pytest.mark.parametrize('distro', ['kilted', 'jazzy'])
def test_a_name_that_would_loop_is_rejected(tmp_path, distro):
    out = """
  - {topic: "/{name:*}/say", encoding: text, to: {channel: "{name}:say"}}
"""
    inbound = """
  - {channel: "{n:*}:say", topic: "/{n}/say", type: std_msgs/msg/String, encoding: text}
"""
    matching = (
        Matching(tmp_path, out, inbound, distro)
        .find('/r1/say')
        .find('/r1/say', '/r2/say', channels=['r1:say', 'r3:say'])
    )
    assert matching.routes == [
        '/r1/say -> channel r1:say', '/r2/say -> channel r2:say', 'channel r3:say -> /r3/say',
    ]  # fmt: skip
    assert 'is a loop of events' in matching.rejected['r1:say']


def test_the_order_of_many_names_does_not_matter(tmp_path):
    topics = [f'/r{number}/odom' for number in range(50)]
    matching = Matching(tmp_path, ODOM).find(*topics)
    assert len(matching.routes) == 50
    assert len({route.sinks[0].name for route in matching.matches[0].routes.values()}) == 50
