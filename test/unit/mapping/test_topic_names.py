# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Topics by their full names, and the rules that go by them."""

from __future__ import annotations

import pytest
from mappings import errors, load

from redis_bridge.mapping.plan import plan
from redis_bridge.mapping.topic_names import resolver

STRING = 'type: std_msgs/String'
STOP = 'stop: {after_ms: 500}'


@pytest.mark.parametrize(
    ('namespace', 'remaps', 'topic', 'full'),
    [
        ('/', (), 'odom', '/odom'),
        ('/bot', (), 'odom', '/bot/odom'),
        ('/bot', (), '/odom', '/odom'),
        ('/a/b', (('odom', 'pose'),), 'odom', '/a/b/pose'),
        ('/a/b', (('odom', 'pose'),), '/odom', '/odom'),
        ('/', (('/a', '/b'), ('/b', '/c')), '/a', '/b'),
        ('/', (('a', '/b'), ('/a', '/c')), '/a', '/b'),
    ],
)
def test_full_names_are_those_of_ros(namespace, remaps, topic, full):
    assert resolver(namespace, remaps)(topic) == full


IN_A_NAMESPACE = resolver('/bot')
JOINED = resolver('/', [('/x', '/y')])


def inbound(*routes):
    return 'version: 1\nredis_to_ros:\n' + ''.join(
        f'- {{channel: c{number}, {route}}}\n' for number, route in enumerate(routes)
    )


@pytest.mark.parametrize(
    ('resolve', 'first', 'second'),
    [(IN_A_NAMESPACE, 'cmd_vel', '/bot/cmd_vel'), (JOINED, '/x', '/y')],
)
def test_rules_on_one_topic_hold_for_each_way_to_write_it(tmp_path, resolve, first, second):
    topics = f'topic: {first}, {STRING}', f'topic: {second}, {STRING}'

    def found(one, other):
        routes = (f'{topic}{more}' for topic, more in zip(topics, (one, other), strict=True))
        return errors(tmp_path, inbound(*routes), resolve=resolve)

    full = resolve(first)
    assert found(f', {STOP}', '') == [
        f'm.yaml:4: redis_to_ros[1]: all routes to {full} need the same stop as redis_to_ros[0]'
    ]
    assert found(', stop: {after_ms: 500}', ', stop: {after_ms: 600}') == [
        f'm.yaml:4: redis_to_ros[1].stop: expected the same stop as in redis_to_ros[0] for {full}'
    ]
    assert found(', qos: {depth: 1}', ', qos: {depth: 2}') == [
        f'm.yaml:4: redis_to_ros[1].qos.depth: expected 1 as in redis_to_ros[0] for {full}, got 2'
    ]


def test_one_topic_has_one_type_however_it_is_written(tmp_path):
    text = inbound(f'topic: a, {STRING}', 'topic: /bot/a, type: std_msgs/Int8')
    assert errors(tmp_path, text, resolve=IN_A_NAMESPACE) == [
        'm.yaml:4: redis_to_ros[1].type: expected std_msgs/msg/String as in redis_to_ros[0] for '
        '/bot/a, got std_msgs/msg/Int8'
    ]


@pytest.mark.parametrize(
    ('resolve', 'out', 'into'),
    [(IN_A_NAMESPACE, 'chat', '/bot/chat'), (JOINED, '/x', '/y'), (JOINED, '/y', '/x')],
)
def test_a_loop_through_a_topic_that_is_written_in_two_ways_is_found(tmp_path, resolve, out, into):
    mapping = load(
        tmp_path,
        'version: 1\ndefaults: {encoding: text}\n'
        f'ros_to_redis: [{{topic: {out}, {STRING}, to: {{channel: c}}}}]\n'
        f'redis_to_ros: [{{channel: c, topic: {into}, {STRING}}}]',
        resolve=resolve,
    )
    (error,) = plan(mapping, 'jazzy', resolve).errors
    assert f'{resolve(out)} -> channel c -> {resolve(into)} is a loop of events' in error
    assert plan(mapping, 'jazzy').errors == ()
