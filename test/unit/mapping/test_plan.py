# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What `check` prints of a mapping, and its warnings."""

from __future__ import annotations

import pytest
from mappings import planned


# --- what is printed -----------------------------------------------------------------------------
def test_the_plan_lists_every_route_and_every_name(tmp_path):
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
    lease: dock-1
leases: {dock-1: {ttl_ms: 3000}}
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
      whole message, max_bytes 1048576, deliver all, max_age_ms 200, unstamped refuse, \
priority connection
      required linear
      set angular.x
      limits linear.x -0.5..0.5
      stop after 500 ms without a command, sent 5 times
      -> /cmd_vel  geometry_msgs/msg/Twist, QoS of the bridge's choice
  [1] key learning_rate: text, initial publish
      field data, max_bytes 1048576, deliver all
      -> /learning_rate  std_msgs/msg/Float64, QoS of the bridge's choice
  [2] stream tasks: msgpack, from group r1
      whole message, max_bytes 1048576, deliver all
      only while the lease dock-1 is held
      -> /tasks  std_msgs/msg/String, QoS of the bridge's choice

leases
  dock-1: ttl_ms 3000
      services ~/lease/dock_1/acquire and ~/lease/dock_1/release

the bridge itself writes
  redis_bridge:robot:r1                    the claim on the name, heartbeat, status
  redis_bridge:described:r1                the list of what is described
  redis_bridge:fleet                       the roster of all robots, as a hash and as a channel
  redis_bridge:{redis_bridge:fleet}:due    when the robots that are online count as lost
  redis_bridge:lease:{dock-1}              who holds the lease
  redis_bridge:lease:{dock-1}:token        its last fencing token
  redis_bridge:lease:{dock-1}:line         who waits for it
  redis_bridge:meta:learning_rate          the description of learning_rate
  redis_bridge:meta:r1:battery             the description of r1:battery
  redis_bridge:meta:r1:cmd_vel             the description of r1:cmd_vel
  redis_bridge:meta:r1:log                 the description of r1:log
  redis_bridge:meta:r1:odom                the description of r1:odom
  redis_bridge:meta:tasks                  the description of tasks
  redis_bridge:names                       the names of its keys, streams and leases
  redis_bridge:type:<type of /battery>     the type's definition
  redis_bridge:type:geometry_msgs/msg/Twist  the type's definition
  redis_bridge:type:nav_msgs/msg/Odometry  the type's definition
  redis_bridge:type:std_msgs/msg/Float64   the type's definition
  redis_bridge:type:std_msgs/msg/String    the type's definition
  tasks:dead                               the rejected entries of tasks"""
    )


def test_without_keys_and_streams_nothing_is_registered(tmp_path):
    made = planned(tmp_path, 'ros_to_redis: [{topic: /a, to: {channel: c, hash: h}}]')
    assert 'redis_bridge:names' not in str(made)


def test_warnings_follow_the_lines(tmp_path):
    made = planned(tmp_path, 'presence: {every_ms: 2000, ttl_ms: 3000}')
    assert str(made).splitlines()[-1] == f'warning: {made.warnings[0]}'
    assert str(made).splitlines()[:-1] == list(made.lines)


def test_only_groups_have_dead_letters(tmp_path):
    made = planned(tmp_path, 'redis_to_ros: [{stream: s, topic: /a, type: std_msgs/String}]')
    assert 's:dead' not in str(made)


# --- warnings ------------------------------------------------------------------------------------
WARNINGS = [
    (
        'presence: {every_ms: 2000, ttl_ms: 5999}',
        'presence: ttl_ms 5999 is shorter than 3 times every_ms 2000: a bridge that is slow for '
        'a moment counts as gone',
    ),
    (
        'ros_to_redis: [{topic: /a, max_rate_hz: 10, to: {key: {name: k, ttl_ms: 299}}}]',
        'm.yaml:2: ros_to_redis[0]: key k: ttl_ms 299 is shorter than 3 periods of max_rate_hz 10 '
        '(300 ms): the value will be missing now and then',
    ),
    (
        'ros_to_redis: [{topic: /a, type: sensor_msgs/Image, to: {stream: s}}]',
        'm.yaml:2: ros_to_redis[0]: stream s: 10000 entries of sensor_msgs/msg/Image may fill the '
        "server's memory: prefer a key with ttl_ms, or a small maxlen",
    ),
    (
        'ros_to_redis: [{topic: /a, type: sensor_msgs/PointCloud2, to: {channel: c}}]',
        'm.yaml:2: ros_to_redis[0]: channel c: each sensor_msgs/msg/PointCloud2 is sent once per '
        'subscriber: prefer a key, and a channel with send: notice',
    ),
    *(
        (
            f'{direction}: [{{topic: /a, type: {type_}, encoding: json, {end}}}]',
            f'm.yaml:2: {direction}[0]: key k: {type_.replace("/", "/msg/")} as JSON is large and '
            'slow: prefer encoding msgpack with arrays: typed, or cdr',
        )
        for direction, end in [('ros_to_redis', 'to: {key: k}'), ('redis_to_ros', 'key: k')]
        for type_ in ('nav_msgs/OccupancyGrid', 'sensor_msgs/Image', 'sensor_msgs/PointCloud2')
    ),
    (
        'redis_to_ros: [{channel: c, topic: /a, type: geometry_msgs/Twist}]',
        'm.yaml:2: redis_to_ros[0]: geometry_msgs/msg/Twist is a type for commands, and the '
        'route has no max_age_ms and stop: late commands are obeyed, and nothing stops the robot '
        'if no more commands arrive',
    ),
    (
        'redis_to_ros: [{channel: c, topic: /a, type: geometry_msgs/TwistStamped, max_age_ms: 9}]',
        'm.yaml:2: redis_to_ros[0]: geometry_msgs/msg/TwistStamped is a type for commands, and '
        'the route has no stop: nothing stops the robot if no more commands arrive',
    ),
    *(
        (
            f'redis_to_ros: [{{key: k, topic: /a, type: std_msgs/Float64, {how}, '
            'stop: {after_ms: 9}}]',
            f'm.yaml:2: redis_to_ros[0]: key k: {what} carries no metadata, so a command that is '
            'written again unchanged is not noticed, and the robot stops: prefer a channel',
        )
        for how, what in [
            ('encoding: text', 'text'),
            ('encoding: cdr', 'cdr'),
            ('encoding: json, field: data', 'a bare field'),
        ]
    ),
    (
        'redis: {url: "redis://10.0.0.7"}',
        'redis: redis://10.0.0.7:6379/0 is on another machine and not encrypted, so others in '
        'the network can read passwords and payloads: use rediss://',
    ),
    (
        'redis: {url: "redis+sentinel://localhost,localhost:1/m"}',
        'redis: the url lists 2 of the sentinels: list all of them, 3 at least, because the '
        'bridge works only while more than half of those in the url answer',
    ),
    (
        'ros_to_redis: [{topic: /rosout, to: {channel: c}}]',
        "m.yaml:2: ros_to_redis[0]: /rosout also carries the bridge's own log, so "
        'Redis errors would '
        'be published to Redis',
    ),
    (
        'redis_to_ros: [{channel: "*:say", topic: /say, type: std_msgs/String}]',
        "m.yaml:2: redis_to_ros[0]: channel *:say is one channel with a '*' in its name: if the "
        'star stands for any name, write {name:*}',
    ),
    (
        'ros_to_redis: [{topic: "/{a:*}/{b:*}", to: {channel: "{a}"}}]',
        'm.yaml:2: ros_to_redis[0]: channel {a} is written by all topics that match: each route '
        'numbers its own messages, so readers will report gaps; put {b} into its name',
    ),
    (
        'ros_to_redis:\n- {topic: "/{a:*}/x", to: {channel: "{a}"}}\n'
        '- {topic: "/{b:*}/y", to: {channel: "{b}"}}',
        'm.yaml:4: ros_to_redis[1]: channel {b} is also written by m.yaml:3: ros_to_redis[0]: '
        'each route numbers its own messages, so readers will report gaps',
    ),
    (
        'ros_to_redis:\n- {topic: /a, to: {channel: c}}\n- {topic: /b, to: {channel: c}}',
        'm.yaml:4: ros_to_redis[1]: channel c is also written by m.yaml:3: ros_to_redis[0]: each '
        'route numbers its own messages, so readers will report gaps',
    ),
]


@pytest.mark.parametrize(('text', 'warning'), WARNINGS)
def test_what_is_unlikely_to_be_meant_is_warned_of(tmp_path, text, warning):
    made = planned(tmp_path, text)
    assert [said.replace(f'{tmp_path}/', '') for said in made.warnings] == [warning]
    assert made.errors == ()


@pytest.mark.parametrize(
    'text',
    [
        'presence: {every_ms: 2000, ttl_ms: 6000}',
        'ros_to_redis: [{topic: /a, max_rate_hz: 10, to: {key: {name: k, ttl_ms: 300}}}]',
        'ros_to_redis: [{topic: /a, to: {key: {name: k, ttl_ms: 1}}}]',
        'ros_to_redis: [{topic: /a, type: sensor_msgs/Image, '
        'to: {key: k, channel: {name: c, send: notice}}}]',
        'ros_to_redis: [{topic: /a, type: sensor_msgs/Image, fields: [width], to: {stream: s}}]',
        'ros_to_redis: [{topic: /a, type: sensor_msgs/Image, to: {key: k, '
        'channel: {name: c, encoding: json, send: notice}}}]',
        'redis_to_ros: [{key: k, topic: /a, type: sensor_msgs/Image, encoding: cdr}]',
        'redis_to_ros: [{channel: c, topic: /a, type: geometry_msgs/Twist, max_age_ms: 9, '
        'stop: {after_ms: 9}}]',
        'redis_to_ros: [{key: k, topic: /a, type: std_msgs/Float64, stop: {after_ms: 9}}]',
        'redis_to_ros: [{key: k, topic: /a, type: std_msgs/Float64, encoding: text}]',
        'redis_to_ros: [{channel: c, topic: /a, type: std_msgs/Float64, encoding: text, '
        'stop: {after_ms: 9}}]',
        'redis: {url: "redis://127.0.0.2"}',
        'redis: {url: "redis://[::1]:1"}',
        'redis: {url: "rediss://far.example"}',
        'redis: {url: "unix:///run/redis.sock"}',
    ],
)
def test_what_may_be_meant_is_not_warned_of(tmp_path, text):
    assert planned(tmp_path, text).warnings == ()


def test_warnings_of_one_kind_are_one_line(tmp_path):
    routes = '\n'.join(
        f'- {{channel: c{n}, topic: /t{n}, type: geometry_msgs/Twist, max_age_ms: 9}}'
        for n in range(6)
    )
    made = planned(tmp_path, f'redis_to_ros:\n{routes}\npresence: {{every_ms: 9, ttl_ms: 10}}')
    assert [said.replace(f'{tmp_path}/', '') for said in made.warnings] == [
        'presence: ttl_ms 10 is shorter than 3 times every_ms 9: a bridge that is slow for a '
        'moment counts as gone',
        'm.yaml:3: redis_to_ros[0]: geometry_msgs/msg/Twist is a type for commands, and the route '
        'has no stop: nothing stops the robot if no more commands arrive (6 in all, also '
        'redis_to_ros[1], redis_to_ros[2], redis_to_ros[3], ...)',
    ]


def test_the_plan_says_how_the_primary_is_found(tmp_path):
    text = """\
redis:
  url: ${URL}
  sentinel: {username: bob, password_file: secret.txt}
"""
    made = planned(tmp_path, text, environ={'URL': 'rediss+sentinel://u:secret@a,b,c/mymaster/2'})
    assert made.lines[1:4] == (
        'redis: rediss+sentinel://a:26379,b:26379,c:26379/mymaster/2',
        '  asks the sentinels as bob with a password for the primary of mymaster',
        '  follows the primary over a failover; waits if half of the sentinels are gone',
    )
    assert 'secret' not in str(made)
    assert made.warnings == ()


# --- patterns ------------------------------------------------------------------------------------
def test_the_plan_shows_what_patterns_match(tmp_path):
    text = """\
ros_to_redis:
  - topic: "/{name:*}/odom"
    exclude: ["/{robot}/odom", "/x/{rest:**}"]
    to: {key: "{{robot}}:{name}:odom"}
  - {topic: /scan, to: {channel: scan}}
redis_to_ros:
  - channel: "{{robot}}:{name:*}:say"
    topic: /{name}/say
    type: std_msgs/String
    max_matches: 7
"""
    lines = planned(tmp_path, text).lines
    assert lines[3:9] == (
        'ros_to_redis',
        '  [0] /{name:*}/odom  discovered type',
        '      each that matches, up to 100 topics, without /r1/odom /x/{rest:**}',
        '      whole message, QoS matched to the publishers, max_bytes 16777216',
        '      -> key {r1}:{name}:odom: msgpack',
        '  [1] /scan  discovered type',
    )
    begin = lines.index('redis_to_ros')
    assert lines[begin + 1 : begin + 5] == (
        '  [0] channel {r1}:{name:*}:say: msgpack',
        '      each that matches, up to 7 channels',
        '      whole message, max_bytes 1048576, deliver all',
        "      -> /{name}/say  std_msgs/msg/String, QoS of the bridge's choice",
    )


def test_a_name_of_the_mapping_that_a_pattern_cannot_carry_is_a_warning(tmp_path):
    text = """\
ros_to_redis:
  - {topic: /r1/odom, to: {key: "r1:odom"}}
  - {topic: "/{name:*}/odom", to: {key: "{name}:odom"}}
redis_to_ros:
  - {channel: c, topic: /r1/odom, type: nav_msgs/Odometry}
"""
    made = planned(tmp_path, text)
    assert [warning.partition('m.yaml:')[2] for warning in made.warnings] == [
        "4: ros_to_redis[1]: /r1/odom will not be carried: 'r1:odom' is already written by "
        'ros_to_redis[0] as a key'
    ]
    assert made.errors == ()
    assert (
        planned(tmp_path, text.replace('odom", to: {key: "{', 'pose", to: {key: "{')).warnings
        == ()
    )


@pytest.mark.parametrize(
    ('encoding', 'distro', 'is_error'),
    [('text', 'kilted', True), ('json', 'kilted', False), ('json', 'jazzy', True)],
)
def test_patterns_that_loop_whatever_the_name_are_an_error(tmp_path, encoding, distro, is_error):
    text = f"""\
ros_to_redis:
  - {{topic: "/{{a:*}}/say", encoding: {encoding}, to: {{channel: "{{a}}:say"}}}}
redis_to_ros:
  - {{channel: "{{b:*}}:say", topic: "/{{b}}/say", type: std_msgs/String, encoding: {encoding}}}
"""
    errors = planned(tmp_path, text, distro).errors
    assert bool(errors) is is_error
    for error in errors:
        assert 'redis_to_ros[0]: no name that matches will be carried' in error
        assert '/x/say -> channel x:say -> /x/say is a loop of events' in error


def test_warnings_are_about_patterns_too(tmp_path):
    text = """\
redis_to_ros:
  - {channel: "{name:*}:cmd_vel", topic: "/{name}/cmd_vel", type: geometry_msgs/Twist}
"""
    (warning,) = planned(tmp_path, text).warnings
    assert 'the route has no max_age_ms and stop' in warning
