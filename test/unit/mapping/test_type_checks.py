# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What the message types show of a mapping."""

from __future__ import annotations

import pytest
from mappings import errors, load

from redis_bridge.errors import InterfaceError
from redis_bridge.messages.definition import parse_definition

LINE = '=' * 80
VECTOR = f'{LINE}\nMSG: pkg/Vector\nfloat64 x\nfloat64 y'
TYPES = {
    'pkg/msg/Scalar': parse_definition('pkg/msg/Scalar', 'float64 data'),
    'pkg/msg/Text': parse_definition('pkg/msg/Text', 'string data\nbool flag\nuint8[] bytes'),
    'pkg/msg/Twist': parse_definition('pkg/msg/Twist', f'pkg/Vector linear\n{VECTOR}'),
}
HAS = 'it has linear'


def describe(name):
    if name not in TYPES:
        raise InterfaceError(f'{name}: not there')
    return TYPES[name]


ERRORS = [
    ('type: pkg/Nothing', '.type: pkg/msg/Nothing: not there'),
    ('field: lineal', f".field: lineal: pkg/msg/Twist has no field 'lineal', did you mean "
     f"'linear'? ({HAS})"),
    ('required: [linear, b]', f".required[1]: b: pkg/msg/Twist has no field 'b' ({HAS})"),
    ('set: {b: 1}', f".set.b: b: pkg/msg/Twist has no field 'b' ({HAS})"),
    ('set: {linear.x: fast}', ".set['linear.x']: linear.x: expected float64, got 'fast'"),
    ('set: {linear: now}', '.set.linear: linear.sec: no such field (pkg/Vector has x, y)'),
    ('limits: {b: [0, 1]}', f".limits.b: b: pkg/msg/Twist has no field 'b' ({HAS})"),
    ('limits: {linear: [0, 1]}', '.limits.linear: limits need a number; linear is pkg/Vector: '
     'use linear.x, linear.y'),
    ('type: pkg/Text, limits: {data: [0, 1]}',
     '.limits.data: limits need a number; data is string'),
    ('type: pkg/Text, limits: {flag: [0, 1]}',
     '.limits.flag: limits need a number; flag is bool'),
    ('stop: {after_ms: 9, message: {linear: {x: fast}}}',
     ".stop.message: linear.x: expected float64, got 'fast'"),
    ('encoding: text', '.encoding: text carries one scalar, but pkg/msg/Twist has 2: give one as '
     'field (linear.x, linear.y)'),
    ('encoding: text, field: linear',
     '.encoding: linear: text carries one scalar, but this is pkg/Vector of pkg/msg/Twist'),
]  # fmt: skip


@pytest.mark.parametrize(('options', 'error'), ERRORS, ids=[options for options, _ in ERRORS])
def test_an_inbound_route_is_checked_against_its_type(tmp_path, options, error):
    type_ = '' if 'type:' in options else 'type: pkg/Twist, '
    text = f'version: 1\nredis_to_ros:\n- {{channel: c, topic: /a, {type_}{options}}}'
    assert errors(tmp_path, text, describe=describe) == [f'm.yaml:3: redis_to_ros[0]{error}']
    load(tmp_path, text, describe=lambda name: None)
    load(tmp_path, text)


OUT_ERRORS = [
    ('type: pkg/Nothing, to: {key: k}', '.type: pkg/msg/Nothing: not there'),
    ('field: b, to: {key: k}', f".field: b: pkg/msg/Twist has no field 'b' ({HAS})"),
    ('fields: [linear.x, b], to: {hash: k}',
     f".fields[1]: b: pkg/msg/Twist has no field 'b' ({HAS})"),
    ('encoding: text, to: {key: k}', '.to.key: text carries one scalar, but pkg/msg/Twist has 2: '
     'give one as field (linear.x, linear.y)'),
    ('to: {key: k, channel: {name: c, encoding: text}}', '.to.channel: text carries one scalar, '
     'but pkg/msg/Twist has 2: give one as field (linear.x, linear.y)'),
]  # fmt: skip


@pytest.mark.parametrize(('options', 'error'), OUT_ERRORS, ids=[opt for opt, _ in OUT_ERRORS])
def test_an_outbound_route_is_checked_against_its_type(tmp_path, options, error):
    type_ = '' if 'type:' in options else 'type: pkg/Twist, '
    text = f'version: 1\nros_to_redis:\n- {{topic: /a, {type_}{options}}}'
    assert errors(tmp_path, text, describe=describe) == [f'm.yaml:3: ros_to_redis[0]{error}']
    load(tmp_path, text, describe=lambda name: None)


def test_each_error_is_listed_with_its_line(tmp_path):
    text = """\
version: 1
redis_to_ros:
  - channel: c
    topic: /a
    type: pkg/Twist
    required:
      - linear.x
      - linear.w
    limits:
      linear.x: [0, 1]
      linear.v: [0, 1]
ros_to_redis:
  - topic: /b
    type: pkg/Twist
    field: linear.z
    to: {key: k}
"""
    assert [error.split(': ', 2)[:2] for error in errors(tmp_path, text, describe=describe)] == [
        ['m.yaml:8', 'redis_to_ros[0].required[1]'],
        ['m.yaml:11', "redis_to_ros[0].limits['linear.v']"],
        ['m.yaml:15', 'ros_to_redis[0].field'],
    ]


def test_what_fits_its_type_has_no_errors(tmp_path):
    load(
        tmp_path,
        """\
version: 1
redis_to_ros:
- {channel: c, topic: /a, type: pkg/Twist, limits: {linear.x: [0, 1]}, required: [linear],
   set: {linear.y: 0}, stop: {after_ms: 500, message: {linear: {x: 0}}}}
- {channel: d, topic: /d, type: pkg/Text, limits: {bytes: [0, 10]}}
- {channel: e, topic: /e, type: pkg/Scalar, encoding: text}
- {channel: f, topic: /f, type: pkg/Twist, encoding: cdr}
ros_to_redis:
- {topic: /g, type: pkg/Twist, fields: [linear.x], to: {hash: h, key: {name: k, encoding: json}}}
- {topic: /h, type: pkg/Twist, encoding: cdr, to: {stream: s}}
- {topic: /i, field: whatever, to: {key: i}}
""",
        describe=describe,
    )


FRAMES = f'pkg/Head head\n{LINE}\nMSG: pkg/Head\nstring frame_id'


def test_a_frame_prefix_of_a_type_without_frames_is_an_error_unless_it_is_a_default(tmp_path):
    types = {**TYPES, 'pkg/msg/Framed': parse_definition('pkg/msg/Framed', FRAMES)}
    routes = """\
ros_to_redis:
- {topic: /a, type: pkg/Framed, to: {key: a}%s}
- {topic: /b, type: pkg/Twist, to: {key: b}%s}
redis_to_ros:
- {key: c, topic: /c, type: pkg/Framed%s}
- {key: d, topic: /d, type: pkg/Scalar%s}
"""
    own = 'version: 1\n' + routes % ((', frame_prefix: "{robot}/"',) * 4)
    advice = (
        'has no frame_id, child_frame_id or other string that ends in _frame_id: leave '
        'frame_prefix out'
    )
    assert errors(tmp_path, own, describe=types.get) == [
        f'm.yaml:4: ros_to_redis[1].frame_prefix: pkg/msg/Twist {advice}',
        f'm.yaml:7: redis_to_ros[1].frame_prefix: pkg/msg/Scalar {advice}',
    ]
    load(tmp_path, own, describe=lambda name: None)
    default = 'version: 1\ndefaults: {frame_prefix: "{robot}/"}\n' + routes % (('',) * 4)
    mapping = load(tmp_path, default, describe=types.get)
    assert mapping.ros_to_redis[1].frames.text == 'r1/'
