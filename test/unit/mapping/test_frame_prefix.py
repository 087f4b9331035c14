# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The options frame_prefix and shared_frames of routes, and in the defaults."""

from __future__ import annotations

import pytest
from mappings import INBOUND, errors, inbound, load, outbound, planned

from redis_bridge.mapping.model import FramePrefix

OUT = 'topic: /a, to: {key: k}'
SEPARATOR = (
    "expected a prefix that ends with '/' or '_', got {!r}: else the frames of robot1 and robot10 "
    'could be taken for one another'
)
ERRORS = [
    (outbound(f'{OUT}, frame_prefix: 5'),
     'm.yaml:3: ros_to_redis[0].frame_prefix: expected a string, got 5'),
    (outbound(f'{OUT}, frame_prefix: ""'),
     'm.yaml:3: ros_to_redis[0].frame_prefix: expected a string, got an empty one'),
    (outbound(f'{OUT}, frame_prefix: "/{{robot}}/"'),
     "m.yaml:3: ros_to_redis[0].frame_prefix: names of frames do not begin with '/', got '/r1/' "
     "(from '/{robot}/')"),
    (outbound(f'{OUT}, frame_prefix: "{{robot}}"'),
     f"m.yaml:3: ros_to_redis[0].frame_prefix: {SEPARATOR.format('r1')} (from '{{robot}}')"),
    (inbound(f'{INBOUND}, frame_prefix: "{{robt}}/"'),
     "m.yaml:3: redis_to_ros[0].frame_prefix: unknown variable {robt} in '{robt}/', did you mean "
     "'robot'? (known: robot)"),
    (inbound(f'{INBOUND}, frame_prefix: "a\\tb/"'),
     "m.yaml:3: redis_to_ros[0].frame_prefix: the name of a frame has no control characters: "
     "'a\\tb/'"),
    (outbound(OUT, 'defaults: {frame_prefix: "{robot}"}'),
     f'm.yaml:4: defaults.frame_prefix: {SEPARATOR.format("r1")}'),
    (outbound(OUT, 'defaults: {frame_prefix: "{name}/"}'),
     "m.yaml:4: defaults.frame_prefix: unknown variable {name} in '{name}/' (known: robot)"),
    (outbound(f'{OUT}, shared_frames: [map]'),
     'm.yaml:3: ros_to_redis[0].shared_frames: these are exceptions from frame_prefix, which the '
     'route lacks'),
    (outbound(f'{OUT}, frame_prefix: null, shared_frames: [map]',
              'defaults: {frame_prefix: "{robot}/"}'),
     'm.yaml:3: ros_to_redis[0].shared_frames: these are exceptions from frame_prefix, which the '
     'route lacks'),
    (outbound(f'{OUT}, frame_prefix: r/, shared_frames: map'),
     "m.yaml:3: ros_to_redis[0].shared_frames: expected a list, got 'map'"),
    (inbound(f'{INBOUND}, shared_frames: [map]'),
     "m.yaml:3: redis_to_ros[0]: 'shared_frames' is an option of ros_to_redis routes"),
]  # fmt: skip


@pytest.mark.parametrize(('text', 'expected'), ERRORS, ids=[error[6:66] for _, error in ERRORS])
def test_each_error_has_its_place_and_its_reason(tmp_path, text, expected):
    assert errors(tmp_path, text) == [expected]


@pytest.mark.parametrize('prefix', ['{robot}/', 'fleet/{robot}/', '{robot}_', 'r1-', '{robot}::'])
def test_a_prefix_is_a_string_with_variables_that_ends_with_a_sign(tmp_path, prefix):
    (route,) = load(tmp_path, outbound(f'{OUT}, frame_prefix: "{prefix}"')).ros_to_redis
    assert route.frames == FramePrefix(prefix.replace('{robot}', 'r1'))


def test_a_prefix_has_the_name_of_the_robot_as_it_is(tmp_path):
    text = outbound(f'{OUT}, frame_prefix: "{{robot}}/"')
    (route,) = load(tmp_path, text, robot='tb3-1').ros_to_redis
    assert route.frames.text == 'tb3-1/'


def test_a_route_has_the_prefix_of_the_defaults_unless_it_sets_another_or_none(tmp_path):
    text = """\
version: 1
defaults: {frame_prefix: "{robot}/", shared_frames: [map]}
ros_to_redis:
- {topic: /a, to: {key: a}}
- {topic: /b, to: {key: b}, frame_prefix: other/, shared_frames: []}
- {topic: /c, to: {key: c}, frame_prefix: null}
redis_to_ros:
- {key: d, topic: /d, type: std_msgs/Header}
- {key: e, topic: /e, type: std_msgs/Header, frame_prefix: null}
"""
    mapping = load(tmp_path, text)
    assert [route.frames for route in mapping.ros_to_redis] == [
        FramePrefix('r1/', ('map',), is_default=True),
        FramePrefix('other/'),
        None,
    ]
    assert [route.frames for route in mapping.redis_to_ros] == [
        FramePrefix('r1/', is_default=True),
        None,
    ]


def test_the_plan_shows_the_prefix(tmp_path):
    text = """\
ros_to_redis:
- {topic: /a, to: {key: a}, frame_prefix: "{robot}/", shared_frames: [map, earth]}
redis_to_ros:
- {key: d, topic: /d, type: std_msgs/Header, frame_prefix: "{robot}/"}
"""
    lines = planned(tmp_path, text).lines
    assert any('frame_prefix r1/ but for map earth, max_bytes' in line for line in lines)
    assert any(line.endswith('deliver all, frame_prefix r1/') for line in lines)


def test_a_prefix_may_have_what_a_pattern_captures(tmp_path):
    text = outbound(
        'topic: "/{name:*}/odom", to: {key: "{name}:odom"}, frame_prefix: "{robot}/{name}/"'
    )
    (pattern,) = load(tmp_path, text).outbound_patterns
    assert pattern.route_for('/left/odom').frames == FramePrefix('r1/left/')
    (pattern,) = load(
        tmp_path,
        inbound(
            'key: "{name:*}:goal", topic: "/{name}/goal", type: std_msgs/Header, '
            'frame_prefix: "{name}_"'
        ),
    ).inbound_patterns
    assert pattern.route_for('left:goal').frames == FramePrefix('left_')


def test_a_prefix_captures_nothing_itself(tmp_path):
    text = outbound('topic: "/{n:*}/a", to: {key: "{n}"}, frame_prefix: "{n:*}/"')
    (error,) = errors(tmp_path, text)
    assert error.startswith('m.yaml:3: ros_to_redis[0].frame_prefix: only the topic')
