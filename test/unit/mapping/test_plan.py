# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What `check` prints of a load, what it warns of, and which circles it refuses."""

from __future__ import annotations

import re

import pytest

from redis_bridge.mapping import load
from redis_bridge.mapping.plan import plan


def planned(tmp_path, text, distro='kilted', environ=None):
    file = tmp_path / 'm.yaml'
    file.write_text(f'version: 1\n{text}', encoding='utf-8')
    return plan(load.load(file, robot='r1', environ=environ or {}), distro)


def both_ways(out, into, topic_out='/a', topic_in='/a'):
    """Return a mapping of one route out and one in."""
    return (
        f'ros_to_redis: [{{topic: {topic_out}, {out}}}]\n'
        f'redis_to_ros: [{{topic: {topic_in}, type: std_msgs/String, {into}}}]'
    )


# --- what is printed -----------------------------------------------------------------------------
def test_the_plan_tells_every_route_and_every_name(tmp_path):
    text = """\
redis: {url: "${URL}"}
ros_to_redis:
  - topic: /odom
    type: nav_msgs/Odometry
    max_rate_hz: 20
    qos: {reliability: best_effort, depth: 5}
    to:
      key: {name: "{robot}:odom", encoding: json, ttl_ms: 5000}
      stream: {name: "{robot}:log", arrays: typed}
      channel: {name: "{robot}:odom", send: notice}
  - topic: /battery
    fields: [percentage, voltage]
    on_change: true
    meta: false
    to: {hash: "{robot}:battery"}
redis_to_ros:
  - channel: "{robot}:cmd_vel"
    topic: /cmd_vel
    type: geometry_msgs/Twist
    max_age_ms: 200
    limits: {linear.x: [-0.5, 0.5]}
    required: [linear]
    set: {angular.x: 0}
    stop: {after_ms: 500}
  - key: learning_rate
    topic: /learning_rate
    type: std_msgs/Float64
    field: data
    encoding: text
  - stream: {name: tasks, from: group, group: "{robot}"}
    topic: /tasks
    type: std_msgs/String
"""
    environ = {'URL': 'redis://user:secret@localhost:6379/3'}
    made = planned(tmp_path, text, environ=environ)
    assert (
        str(made).replace(f'{tmp_path}/', '')
        == """\
m.yaml: robot r1, ROS kilted, executor events
redis: redis://localhost:6379/3

ros_to_redis
  [0] /odom  nav_msgs/msg/Odometry
      whole message, QoS reliability best_effort, depth 5, max_rate_hz 20, max_bytes 16777216
      -> key r1:odom: json, ttl_ms 5000
      -> stream r1:log: msgpack with typed arrays, maxlen 10000, durability memory
      -> channel r1:odom: notices of the key
  [1] /battery  discovered type
      fields percentage voltage, QoS matched to the publishers, on_change, meta false, \
max_bytes 16777216
      -> hash r1:battery: dotted fields

redis_to_ros
  [0] channel r1:cmd_vel: msgpack
      whole message, max_bytes 1048576, deliver all, max_age_ms 200, unstamped refuse, command lane
      required linear
      set angular.x
      limits linear.x -0.5..0.5
      stop after 500 ms of silence, sent 5 times
      -> /cmd_vel  geometry_msgs/msg/Twist, QoS of the bridge's choice
  [1] key learning_rate: text, initial publish
      field data, max_bytes 1048576, deliver all
      -> /learning_rate  std_msgs/msg/Float64, QoS of the bridge's choice
  [2] stream tasks: msgpack, from group r1
      whole message, max_bytes 1048576, deliver all
      -> /tasks  std_msgs/msg/String, QoS of the bridge's choice

the bridge itself writes
  redis_bridge:robot:r1                    the claim on the name, heartbeat, status
  redis_bridge:meta:learning_rate          what is expected under learning_rate
  redis_bridge:meta:r1:battery             what stands under r1:battery
  redis_bridge:meta:r1:cmd_vel             what is expected under r1:cmd_vel
  redis_bridge:meta:r1:log                 what stands under r1:log
  redis_bridge:meta:r1:odom                what stands under r1:odom
  redis_bridge:meta:tasks                  what is expected under tasks
  redis_bridge:type:<type of /battery>     the type's definition
  redis_bridge:type:geometry_msgs/msg/Twist  the type's definition
  redis_bridge:type:nav_msgs/msg/Odometry  the type's definition
  redis_bridge:type:std_msgs/msg/Float64   the type's definition
  redis_bridge:type:std_msgs/msg/String    the type's definition
  tasks:dead                               the entries of tasks given up"""
    )


def test_warnings_and_refusals_follow_the_lines(tmp_path):
    made = planned(tmp_path, 'presence: {every_ms: 2000, ttl_ms: 3000}')
    assert str(made).splitlines()[-1] == f'warning: {made.warnings[0]}'
    assert str(made).splitlines()[:-1] == list(made.lines)


# --- warnings ------------------------------------------------------------------------------------
WARNINGS = [
    (
        'presence: {every_ms: 2000, ttl_ms: 5999}',
        'presence: ttl_ms 5999 is shorter than 3 times every_ms 2000: a slow moment looks like a '
        'bridge that is gone',
    ),
    (
        'ros_to_redis: [{topic: /a, max_rate_hz: 10, to: {key: {name: k, ttl_ms: 299}}}]',
        'm.yaml:2: ros_to_redis[0]: key k: ttl_ms 299 is shorter than 3 periods of max_rate_hz 10 '
        '(300 ms): it will be missing now and then',
    ),
    (
        'ros_to_redis: [{topic: /a, type: sensor_msgs/Image, to: {stream: s}}]',
        'm.yaml:2: ros_to_redis[0]: stream s: 10000 entries of sensor_msgs/msg/Image may fill the '
        "server's memory: prefer a key with ttl_ms, or a small maxlen",
    ),
    (
        'ros_to_redis: [{topic: /a, type: sensor_msgs/PointCloud2, to: {channel: c}}]',
        'm.yaml:2: ros_to_redis[0]: channel c: each sensor_msgs/msg/PointCloud2 crosses once per '
        'subscriber: prefer a key, and a channel with send: notice',
    ),
    (
        'redis_to_ros: [{channel: c, topic: /a, type: geometry_msgs/Twist}]',
        'm.yaml:2: redis_to_ros[0]: geometry_msgs/msg/Twist looks like commands, without '
        'max_age_ms and stop: late ones are obeyed, and nothing stops the robot when they fall '
        'silent',
    ),
    (
        'redis_to_ros: [{channel: c, topic: /a, type: geometry_msgs/TwistStamped, max_age_ms: 9}]',
        'm.yaml:2: redis_to_ros[0]: geometry_msgs/msg/TwistStamped looks like commands, without '
        'stop: nothing stops the robot when they fall silent',
    ),
    (
        'redis: {url: "redis://10.0.0.7"}',
        'redis: redis://10.0.0.7:6379/0 is another machine, and redis:// is not encrypted: '
        'passwords and payloads can be read on the way, rediss:// is',
    ),
    (
        'ros_to_redis: [{topic: /rosout, to: {channel: c}}]',
        "m.yaml:2: ros_to_redis[0]: /rosout carries the bridge's own log lines too: trouble with "
        'Redis will be told to Redis',
    ),
    (
        'ros_to_redis:\n- {topic: /a, to: {channel: c}}\n- {topic: /b, to: {channel: c}}',
        'm.yaml:4: ros_to_redis[1]: channel c is written by m.yaml:3: ros_to_redis[0] too: each '
        'counts for itself, so readers will see gaps where there are none',
    ),
]


@pytest.mark.parametrize(('text', 'warning'), WARNINGS)
def test_what_is_doubtful_is_said(tmp_path, text, warning):
    made = planned(tmp_path, text)
    assert [said.replace(f'{tmp_path}/', '') for said in made.warnings] == [warning]
    assert made.refusals == ()


@pytest.mark.parametrize(
    'text',
    [
        'presence: {every_ms: 2000, ttl_ms: 6000}',
        'ros_to_redis: [{topic: /a, max_rate_hz: 10, to: {key: {name: k, ttl_ms: 300}}}]',
        'ros_to_redis: [{topic: /a, to: {key: {name: k, ttl_ms: 1}}}]',
        'ros_to_redis: [{topic: /a, type: sensor_msgs/Image, '
        'to: {key: k, channel: {name: c, send: notice}}}]',
        'ros_to_redis: [{topic: /a, type: sensor_msgs/Image, fields: [width], to: {stream: s}}]',
        'redis_to_ros: [{channel: c, topic: /a, type: geometry_msgs/Twist, max_age_ms: 9, '
        'stop: {after_ms: 9}}]',
        'redis: {url: "redis://127.0.0.2"}',
        'redis: {url: "redis://[::1]:1"}',
        'redis: {url: "rediss://far.example"}',
        'redis: {url: "unix:///run/redis.sock"}',
    ],
)
def test_what_is_not_doubtful_is_not_said(tmp_path, text):
    assert planned(tmp_path, text).warnings == ()


# --- loops: events -------------------------------------------------------------------------------
EVENTS = {
    'channel': ('to: {channel: x}', 'channel: x'),
    'stream': ('to: {stream: x}', 'stream: x'),
}


@pytest.mark.parametrize('kind', EVENTS)
def test_events_both_ways_are_guarded_where_there_is_origin_and_gid(tmp_path, kind):
    made = planned(tmp_path, both_ways(*EVENTS[kind]))
    assert (made.warnings, made.refusals) == ((), ())


@pytest.mark.parametrize('kind', EVENTS)
def test_events_both_ways_are_refused_where_ros_has_no_gid(tmp_path, kind):
    made = planned(tmp_path, both_ways(*EVENTS[kind]), 'jazzy')
    assert [said.replace(f'{tmp_path}/', '') for said in made.refusals] == [
        f'm.yaml:2: ros_to_redis[0] and m.yaml:3: redis_to_ros[0]: /a -> {kind} x -> /a is a '
        'circle of events: ROS jazzy does not tell who published, so they would be carried out '
        'again. Use a key if this is state, or two names or two topics; else use Kilted or newer'
    ]


def test_events_both_ways_are_refused_where_the_payload_has_no_origin(tmp_path):
    made = planned(
        tmp_path, both_ways('encoding: text, to: {channel: x}', 'encoding: text, channel: x')
    )
    assert [said.replace(f'{tmp_path}/', '') for said in made.refusals] == [
        'm.yaml:2: ros_to_redis[0] and m.yaml:3: redis_to_ros[0]: /a -> channel x -> /a is a '
        'circle of events: encoding text carries no origin, so the bridge would not know its own '
        'messages. Use a key if this is state, or two names or two topics; else send whole '
        'messages as msgpack or json with meta'
    ]


@pytest.mark.parametrize(
    ('out', 'into', 'reason'),
    [
        ('encoding: cdr, to: {channel: x}', 'encoding: cdr, channel: x', 'encoding cdr'),
        ('field: data, to: {channel: x}', 'field: data, channel: x', 'a bare field'),
        ('meta: false, to: {channel: x}', 'channel: x', 'meta: false'),
        ('meta: false, to: {stream: x}', 'stream: x', 'meta: false'),
    ],
)
def test_each_way_of_having_no_origin_is_named(tmp_path, out, into, reason):
    (refusal,) = planned(tmp_path, both_ways(out, into)).refusals
    assert f'{reason} carries no origin' in refusal


def test_streams_carry_the_origin_beside_any_payload(tmp_path):
    made = planned(
        tmp_path, both_ways('encoding: text, to: {stream: x}', 'encoding: text, stream: x')
    )
    assert (made.warnings, made.refusals) == ((), ())


# --- loops: state --------------------------------------------------------------------------------
@pytest.mark.parametrize('distro', ['jazzy', 'kilted'])
@pytest.mark.parametrize('encoding', ['msgpack', 'json', 'cdr', 'text'])
def test_state_both_ways_settles_in_any_encoding_on_any_ros(tmp_path, distro, encoding):
    text = both_ways(f'encoding: {encoding}, to: {{key: x}}', f'encoding: {encoding}, key: x')
    made = planned(tmp_path, text, distro)
    assert (made.warnings, made.refusals) == ((), ())


def test_a_key_and_a_channel_of_one_name_are_two_things(tmp_path):
    made = planned(tmp_path, both_ways('to: {key: x}', 'channel: x'), 'jazzy')
    assert made.refusals == ()


# --- loops: one name shared ----------------------------------------------------------------------
@pytest.mark.parametrize('distro', ['jazzy', 'kilted'])
def test_routes_that_share_the_redis_name_only_let_a_robot_hear_itself_without_origin(
    tmp_path, distro
):
    text = both_ways(
        'encoding: text, to: {channel: x}', 'encoding: text, channel: x', '/say', '/heard'
    )
    made = planned(tmp_path, text, distro)
    assert made.refusals == ()
    assert [said.replace(f'{tmp_path}/', '') for said in made.warnings] == [
        'm.yaml:2: ros_to_redis[0] and m.yaml:3: redis_to_ros[0]: encoding text carries no '
        'origin, so the robot hears on /heard what it says itself through channel x'
    ]


@pytest.mark.parametrize('kind', ['channel', 'stream', 'key'])
@pytest.mark.parametrize('distro', ['jazzy', 'kilted'])
def test_routes_that_share_the_redis_name_only_are_fine_with_origin(tmp_path, kind, distro):
    text = both_ways(f'to: {{{kind}: x}}', f'{kind}: x', '/say', '/heard')
    made = planned(tmp_path, text, distro)
    assert (made.warnings, made.refusals) == ((), ())


def test_routes_that_share_the_topic_only_are_doubtful_without_gid(tmp_path):
    text = both_ways('to: {channel: x}', 'channel: y')
    assert planned(tmp_path, text, 'kilted').warnings == ()
    made = planned(tmp_path, text, 'jazzy')
    assert made.refusals == ()
    assert [said.replace(f'{tmp_path}/', '') for said in made.warnings] == [
        'm.yaml:2: ros_to_redis[0] and m.yaml:3: redis_to_ros[0]: ROS jazzy does not tell who '
        'published, so what channel y brings to /a is carried out again; where another robot '
        'carries it back, it circles'
    ]
    assert planned(tmp_path, both_ways('to: {key: x}', 'key: y'), 'jazzy').warnings == ()


# --- loops: by a longer way ----------------------------------------------------------------------
LONG = """\
ros_to_redis:
- {topic: /a, encoding: ENCODING, to: {channel: x}}
- {topic: /b, encoding: ENCODING, to: {KIND: y}}
redis_to_ros:
- {channel: x, encoding: ENCODING, topic: /b, type: std_msgs/String}
- {KIND: y, encoding: ENCODING, topic: /a, type: std_msgs/String}
"""


def test_circles_over_several_names_are_found(tmp_path):
    text = LONG.replace('KIND', 'channel')
    assert planned(tmp_path, text.replace('ENCODING', 'json')).refusals == ()
    for made in (
        planned(tmp_path, text.replace('ENCODING', 'json'), 'jazzy'),
        planned(tmp_path, text.replace('ENCODING', 'text')),
    ):
        ways = [re.search(r'\]: (/.*) is a circle', said)[1] for said in made.refusals]
        assert ways == [
            '/a -> channel x -> /b -> channel y -> /a',
            '/b -> channel y -> /a -> channel x -> /b',
        ]


def test_a_key_on_the_way_breaks_a_circle(tmp_path):
    text = LONG.replace('KIND', 'key').replace('ENCODING', 'text')
    assert planned(tmp_path, text).refusals == ()
