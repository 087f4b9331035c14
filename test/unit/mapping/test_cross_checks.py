# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Errors between routes."""

from __future__ import annotations

import pytest
from mappings import INBOUND, errors, inbound, outbound

ERRORS = [
    (
        outbound('topic: /a, to: {key: x}}\n- {topic: /b, to: {key: x}'),
        "m.yaml:4: ros_to_redis[1].to.key: 'x' is already written by ros_to_redis[0] as a key",
    ),
    (
        outbound('topic: /a, to: {key: x}}\n- {topic: /b, to: {stream: x}'),
        "m.yaml:4: ros_to_redis[1].to.stream: 'x' is already written by ros_to_redis[0] as a key",
    ),
    (
        outbound('topic: /a, to: {key: x, hash: x}'),
        "m.yaml:3: ros_to_redis[0].to.hash: 'x' is already written by ros_to_redis[0] as a key",
    ),
    (
        outbound(
            'topic: /a, type: a/A, to: {channel: x}}\n- {topic: /b, type: a/B, to: {channel: x}'
        ),
        "m.yaml:4: ros_to_redis[1].to.channel: 'x' carries a/msg/A from ros_to_redis[0]: a "
        'name has one type',
    ),
    (
        outbound('topic: /a, type: a/A, to: {key: x}}\n- {topic: /a, type: a/B, to: {key: y}'),
        'm.yaml:4: ros_to_redis[1].type: expected a/msg/A as in ros_to_redis[0] for /a, '
        'got a/msg/B',
    ),
    (
        inbound(f'{INBOUND}}}\n- {{channel: d, topic: /a, type: std_msgs/Int8'),
        'm.yaml:4: redis_to_ros[1].type: expected std_msgs/msg/String as in '
        'redis_to_ros[0] for /a, got std_msgs/msg/Int8',
    ),
    (
        outbound(
            'topic: /a, qos: {depth: 1}, to: {key: x}}\n- {topic: /a, qos: {depth: 2}, '
            'to: {key: y}'
        ),
        'm.yaml:4: ros_to_redis[1].qos.depth: expected 1 as in ros_to_redis[0] for /a, got 2',
    ),
    (
        inbound(
            f'{INBOUND}, stop: {{after_ms: 5}}}}\n- {{channel: d, topic: /a, type: std_msgs/String'
        ),
        'm.yaml:4: redis_to_ros[1]: all routes to /a need the same stop as redis_to_ros[0]',
    ),
    (
        inbound(
            f'{INBOUND}, stop: {{after_ms: 5}}}}\n- {{channel: d, topic: /a, type: '
            f'std_msgs/String, '
            'stop: {after_ms: 6}'
        ),
        'm.yaml:4: redis_to_ros[1].stop: expected the same stop as in redis_to_ros[0] for /a',
    ),
    (
        inbound(f'{INBOUND}}}\n- {{{INBOUND}'),
        "m.yaml:4: redis_to_ros[1]: redis_to_ros[0] already publishes channel 'c' to /a",
    ),
    (
        inbound('key: x, topic: /a, type: a/B}\n- {stream: x, topic: /b, type: a/B'),
        "m.yaml:4: redis_to_ros[1].stream: 'x' is read by redis_to_ros[0] as a key",
    ),
    (
        inbound(
            'stream: {name: s, from: group, group: g}, topic: /a, type: a/B}\n- {stream: '
            '{name: s, '
            'from: group, group: g}, topic: /b, type: a/B'
        ),
        'm.yaml:4: redis_to_ros[1].stream.group: redis_to_ros[0] already reads with the '
        "group 'g': each entry would reach only one of the two",
    ),
    (
        inbound(
            'stream: {name: s, from: group, group: g}, topic: /a, type: a/B',
            'ros_to_redis: [{topic: /b, to: {stream: "s:dead"}}]',
        ),
        "m.yaml:4: ros_to_redis[0].to.stream: 's:dead' takes the rejected entries of stream 's'",
    ),
    (
        inbound('key: h, topic: /a, type: a/B', 'ros_to_redis: [{topic: /b, to: {hash: h}}]'),
        "m.yaml:3: redis_to_ros[0].key: 'h' is written by ros_to_redis[0] as a hash",
    ),
    (
        inbound(
            INBOUND, 'ros_to_redis: [{topic: /b, to: {key: c, channel: {name: c, send: notice}}}]'
        ),
        "m.yaml:3: redis_to_ros[0].channel: 'c' carries notices from ros_to_redis[0], not "
        'messages',
    ),
    (
        inbound(f'{INBOUND}, encoding: json', 'ros_to_redis: [{topic: /b, to: {channel: c}}]'),
        "m.yaml:3: redis_to_ros[0].channel: 'c' is written as msgpack by ros_to_redis[0], "
        'but read as json here',
    ),
    (
        inbound(INBOUND, 'ros_to_redis: [{topic: /b, field: x, to: {channel: c}}]'),
        "m.yaml:3: redis_to_ros[0].channel: 'c': ros_to_redis[0] has 'field', a bare "
        'value, and the other carries messages',
    ),
    (
        inbound(INBOUND, 'ros_to_redis: [{topic: /b, type: a/B, to: {channel: c}}]'),
        "m.yaml:3: redis_to_ros[0].channel: 'c' carries a/msg/B from ros_to_redis[0], but "
        'is read as std_msgs/msg/String',
    ),
]


@pytest.mark.parametrize('row', ERRORS, ids=lambda row: row[1][:60])
def test_each_error_has_its_place_and_its_reason(tmp_path, row):
    text, *expected = row
    robot = None if 'vars: {robot' in text else 'r1'
    assert errors(tmp_path, text, robot=robot) == expected
