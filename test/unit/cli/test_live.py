# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What `check --live` prints of what a mapping finds in the graph."""

from __future__ import annotations

import pytest
from fakes import FakeLook
from mappings import load

from redis_bridge.cli import live
from redis_bridge.mapping import topic_names
from redis_bridge.mapping.model import Qos
from redis_bridge.messages.definition import parse_definition
from redis_bridge.ports import TopicLook

FLEET = """\
version: 1
ros_to_redis:
  - topic: "/{name:*}/odom"
    to: {key: "{name}:odom", channel: "{name}:odom"}
  - topic: /battery
    to: {hash: "{robot}:battery"}
  - topic: "/{name:*}/raw"
    to: {channel: "{name}:raw"}
  - topic: /env
    to: {key: Temperature}
redis_to_ros:
  - {channel: "{name:*}:say", topic: "/{name}/heard", type: std_msgs/String, max_matches: 7}
  - {key: "{name:*}:speed", topic: "/{name}/speed", type: std_msgs/Float64}
  - {channel: "{robot}:goal", topic: /goal, type: geometry_msgs/PoseStamped}
"""
ODOM = TopicLook('nav_msgs/msg/Odometry', 'reliable, volatile', 1, 'open')
TWO_TYPES = TopicLook(None, '', 2, 'error: publishers of several types: a/msg/A, b/msg/B')
GRAPH = {
    '/r1/odom': ODOM,
    '/robot2/odom': ODOM,
    '/r3/odom': TWO_TYPES,
    '/_hidden/odom': ODOM,
    '/battery': TopicLook('sensor_msgs/msg/BatteryState', 'best_effort, volatile', 2, 'open'),
}
STORED = frozenset({('key', 'r1:speed'), ('key', '4wd:speed'), ('stream', 'r3:speed')})
TYPES = {'pkg/msg/Scalar': parse_definition('pkg/msg/Scalar', 'float64 data')}


@pytest.fixture
def look_at(tmp_path):
    """Return what checks a mapping against a graph; it gives all lines, and the errors."""

    def check(text, graph, known=STORED, width=None, resolve=None):
        found = live.check(
            load(tmp_path, text, robot='robot1'),
            graph if isinstance(graph, FakeLook) else FakeLook(graph),
            known,
            resolve=resolve or topic_names.resolver(),
            distro='kilted',
            describe=TYPES.get,
            width=width,
        )
        errors = [text.replace(f'{tmp_path}/', '') for text in found.errors]
        return '\n'.join(found.lines), errors

    return check


def test_each_route_and_each_pattern_shows_what_it_finds(look_at):
    text, errors = look_at(FLEET, GRAPH)
    assert (
        text
        == """\
in the running graph: ROS domain 7

ros_to_redis
  [0] /{name:*}/odom: 2 of 3 topics that match can be carried
      /r1/odom      nav_msgs/msg/Odometry, QoS reliable, volatile  -> key r1:odom, channel r1:odom
      /robot2/odom  nav_msgs/msg/Odometry, QoS reliable, volatile  -> key robot2:odom, \
channel robot2:odom
      not carried: /r3/odom: publishers of several types: a/msg/A, b/msg/B
  [1] /battery  sensor_msgs/msg/BatteryState, QoS best_effort, volatile  -> hash robot1:battery
  [2] /{name:*}/raw: no topic matches
  [3] /env  no publisher  -> key Temperature

redis_to_ros
  [0] channel {name:*}:say: each channel on which a message comes, up to 7
  [1] key {name:*}:speed: 1 of 2 registered keys that match can be carried
      key r1:speed  -> /r1/speed  std_msgs/msg/Float64, QoS reliable, transient_local, \
no subscriber
      not carried: 4wd:speed: {name} is '4wd', which is no part of a ROS name: it needs letters, \
digits and underscores, and does not begin with a digit
  [2] channel robot1:goal  -> /goal  geometry_msgs/msg/PoseStamped, QoS reliable, volatile, \
no subscriber"""
    )
    assert errors == [
        'm.yaml:3: ros_to_redis[0]: not carried: /r3/odom',
        'm.yaml:13: redis_to_ros[1]: not carried: 4wd:speed',
    ]


def test_on_a_terminal_no_line_is_longer_than_its_width(look_at):
    narrow, wide = (look_at(FLEET, GRAPH, width=width)[0].splitlines() for width in (80, 160))
    assert max(map(len, narrow)) <= 80 < max(map(len, wide)) <= 160
    assert narrow[3:9] == [
        '  [0] /{name:*}/odom: 2 of 3 topics that match can be carried',
        '      /r1/odom      nav_msgs/msg/Odometry, QoS reliable, volatile',
        '          -> key r1:odom, channel r1:odom',
        '      /robot2/odom  nav_msgs/msg/Odometry, QoS reliable, volatile',
        '          -> key robot2:odom, channel robot2:odom',
        '      not carried: /r3/odom: publishers of several types: a/msg/A, b/msg/B',
    ]
    at = next(index for index, line in enumerate(narrow) if 'key r1:speed' in line)
    assert narrow[at : at + 5] == [
        '      key r1:speed  -> /r1/speed',
        '          std_msgs/msg/Float64, QoS reliable, transient_local, no subscriber',
        "      not carried: 4wd:speed: {name} is '4wd', which is no part of a ROS name:",
        '          it needs letters, digits and underscores, and does not begin with a',
        '          digit',
    ]
    assert wide == look_at(FLEET, GRAPH)[0].splitlines()


def test_no_name_is_broken_however_narrow_a_terminal_is(look_at):
    narrow, wide = (look_at(FLEET, GRAPH, width=width)[0].split() for width in (40, None))
    assert narrow == wide


def test_names_that_the_bridge_would_reject_are_rejected(look_at):
    text = """\
version: 1
ros_to_redis:
  - {topic: /r1/odom, to: {key: "r1:odom"}}
  - {topic: "/{name:*}/odom", max_matches: 2, exclude: [/r0/odom], to: {key: "{name}:odom"}}
"""
    found, errors = look_at(text, {f'/r{number}/odom': ODOM for number in range(6)})
    assert found.splitlines()[4:] == [
        '  [1] /{name:*}/odom: 1 of 5 topics that match can be carried',
        '      /r2/odom  nav_msgs/msg/Odometry, QoS reliable, volatile  -> key r2:odom',
        '      not carried: /r3/odom: 2 names match already: raise max_matches, or leave some out '
        'with exclude',
        '      not carried: /r4/odom: 2 names match already: raise max_matches, or leave some out '
        'with exclude',
        '      not carried: /r5/odom: 2 names match already: raise max_matches, or leave some out '
        'with exclude',
        "      not carried: /r1/odom: 'r1:odom' is already written by ros_to_redis[0] as a key",
    ]
    assert errors == ['m.yaml:4: ros_to_redis[1]: not carried: /r3/odom, /r4/odom, /r5/odom, ...']


@pytest.mark.parametrize(
    ('state', 'reason'),
    [
        ('error: no_msgs/msg/A: not there', 'no_msgs/msg/A: not there'),
        ('incompatible QoS with /base: reliability', 'incompatible QoS with /base: reliability'),
    ],
)
@pytest.mark.parametrize('direction', ['ros_to_redis', 'redis_to_ros'])
def test_a_written_route_with_an_error_is_not_carried(look_at, direction, state, reason):
    route = {
        'ros_to_redis': '{topic: /a, to: {key: k}}',
        'redis_to_ros': '{key: k, topic: /a, type: pkg/Scalar}',
    }[direction]
    text = f'version: 1\n{direction}: [{route}]'
    graph = {'/a': TopicLook('pkg/msg/Scalar', 'reliable, volatile', 1, state)}
    found, errors = look_at(text, graph)
    name = {'ros_to_redis': '/a', 'redis_to_ros': 'key k'}[direction]
    assert found.splitlines()[-1] == f'      not carried: {name}: {reason}'
    assert errors == [f'm.yaml:2: {direction}[0]: not carried: {name}']


def test_a_field_is_checked_once_the_type_is_known(look_at):
    text = 'version: 1\nros_to_redis: [{topic: /a, field: x, encoding: text, to: {key: k}}]'
    assert look_at(text, {})[1] == []
    scalar = TopicLook('pkg/msg/Scalar', 'reliable, volatile', 1, 'open')
    found, errors = look_at(text, {'/a': scalar})
    assert "not carried: /a: x: pkg/msg/Scalar has no field 'x' (it has data)" in found
    assert errors == ['m.yaml:2: ros_to_redis[0]: not carried: /a']
    assert look_at(text.replace('field: x', 'field: data'), {'/a': scalar})[1] == []
    without_frames = text.replace('field: x, encoding: text', 'frame_prefix: "{robot}/"')
    assert look_at(without_frames, {'/a': scalar})[1] == []  # carried as it is


def test_without_redis_patterns_of_keys_and_streams_are_not_checked(look_at):
    text, errors = look_at(FLEET, GRAPH, known=None)
    assert '  [1] key {name:*}:speed: not checked\n  [2] ' in text
    assert errors == ['m.yaml:3: ros_to_redis[0]: not carried: /r3/odom']


def test_namespace_and_remappings_count(look_at):
    text = """\
version: 1
ros_to_redis: [{topic: odom, to: {key: o}}, {topic: "/{a:*}/odom", to: {key: "{a}:odom"}}]
redis_to_ros: [{key: "{name:*}:x", topic: "{name}/x", type: pkg/Scalar}]
"""
    resolve = topic_names.resolver('/ns', [('/away/odom', '/r1/odom')])
    graph = dict.fromkeys(('/ns/odom', '/away/odom', '/r1/odom'), ODOM)
    found, errors = look_at(text, graph, frozenset({('key', 'r1:x')}), resolve=resolve)
    assert errors == []
    assert '  [0] /ns/odom  nav_msgs/msg/Odometry' in found
    assert '  [1] /{a:*}/odom: 2 topics match\n' in found
    assert 'key away:odom' not in found  # what the node remaps cannot be subscribed to
    assert 'key r1:x  -> /ns/r1/x  pkg/msg/Scalar' in found


def test_routes_of_one_topic_are_looked_at_together(look_at):
    text = """\
version: 1
ros_to_redis:
  - {topic: /r1/odom, type: nav_msgs/Odometry, to: {key: k}}
  - {topic: "/{name:*}/odom", qos: {depth: 5}, to: {channel: "{name}:odom"}}
"""
    graph = FakeLook({'/r1/odom': ODOM})
    look_at(text, graph)
    assert graph.asked == [('/r1/odom', ('nav_msgs/msg/Odometry', Qos()), (None, Qos(depth=5)))]
