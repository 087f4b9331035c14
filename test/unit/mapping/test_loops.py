# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Forwarding loops, and messages that come back without one."""

from __future__ import annotations

import re

import pytest
from mappings import planned

from redis_bridge.payloads import CODECS, WITH_META


def both_ways(out, into, topic_out='/a', topic_in='/a'):
    """Return a mapping of one route out and one in."""
    return (
        f'ros_to_redis: [{{topic: {topic_out}, {out}}}]\n'
        f'redis_to_ros: [{{topic: {topic_in}, type: std_msgs/String, {into}}}]'
    )


# --- loops: events -------------------------------------------------------------------------------
EVENTS = {
    'channel': ('to: {channel: x}', 'channel: x'),
    'stream': ('to: {stream: x}', 'stream: x'),
}


@pytest.mark.parametrize('kind', EVENTS)
def test_events_both_ways_are_guarded_where_there_is_origin_and_gid(tmp_path, kind):
    made = planned(tmp_path, both_ways(*EVENTS[kind]))
    assert (made.warnings, made.errors) == ((), ())


@pytest.mark.parametrize('kind', EVENTS)
def test_events_both_ways_are_rejected_where_ros_has_no_gid(tmp_path, kind):
    made = planned(tmp_path, both_ways(*EVENTS[kind]), 'jazzy')
    assert [said.replace(f'{tmp_path}/', '') for said in made.errors] == [
        f'm.yaml:2: ros_to_redis[0] and m.yaml:3: redis_to_ros[0]: /a -> {kind} x -> /a is a '
        'loop of events: ROS jazzy does not identify publishers, so they would be '
        'forwarded again. '
        'Use a key if this is state, or two names or two topics; otherwise use Kilted or newer'
    ]


def test_events_both_ways_are_rejected_where_the_payload_has_no_origin(tmp_path):
    made = planned(
        tmp_path, both_ways('encoding: text, to: {channel: x}', 'encoding: text, channel: x')
    )
    assert [said.replace(f'{tmp_path}/', '') for said in made.errors] == [
        'm.yaml:2: ros_to_redis[0] and m.yaml:3: redis_to_ros[0]: /a -> channel x -> /a is a '
        'loop of events: encoding text carries no origin, so the bridge cannot recognize its own '
        'messages. Use a key if this is state, or two names or two topics; otherwise send whole '
        f'messages as {WITH_META} with meta'
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
    (error,) = planned(tmp_path, both_ways(out, into)).errors
    assert f'{reason} carries no origin' in error


def test_streams_carry_the_origin_beside_any_payload(tmp_path):
    made = planned(
        tmp_path, both_ways('encoding: text, to: {stream: x}', 'encoding: text, stream: x')
    )
    assert (made.warnings, made.errors) == ((), ())


# --- loops: state --------------------------------------------------------------------------------
@pytest.mark.parametrize('distro', ['jazzy', 'kilted'])
@pytest.mark.parametrize('encoding', CODECS)
def test_state_both_ways_needs_no_guard_in_any_encoding_on_any_ros(tmp_path, distro, encoding):
    text = both_ways(f'encoding: {encoding}, to: {{key: x}}', f'encoding: {encoding}, key: x')
    made = planned(tmp_path, text, distro)
    assert (made.warnings, made.errors) == ((), ())


def test_a_key_and_a_channel_of_one_name_are_two_things(tmp_path):
    made = planned(tmp_path, both_ways('to: {key: x}', 'channel: x'), 'jazzy')
    assert made.errors == ()


# --- loops: one name shared ----------------------------------------------------------------------
@pytest.mark.parametrize('distro', ['jazzy', 'kilted'])
def test_routes_that_share_the_redis_name_only_let_a_robot_receive_its_own_messages_without_origin(
    tmp_path, distro
):
    text = both_ways(
        'encoding: text, to: {channel: x}', 'encoding: text, channel: x', '/say', '/heard'
    )
    made = planned(tmp_path, text, distro)
    assert made.errors == ()
    assert [said.replace(f'{tmp_path}/', '') for said in made.warnings] == [
        'm.yaml:2: ros_to_redis[0] and m.yaml:3: redis_to_ros[0]: encoding text carries no '
        'origin, so the robot receives its own messages on /heard through channel x'
    ]


@pytest.mark.parametrize('kind', ['channel', 'stream', 'key'])
@pytest.mark.parametrize('distro', ['jazzy', 'kilted'])
def test_routes_that_share_the_redis_name_only_are_fine_with_origin(tmp_path, kind, distro):
    text = both_ways(f'to: {{{kind}: x}}', f'{kind}: x', '/say', '/heard')
    made = planned(tmp_path, text, distro)
    assert (made.warnings, made.errors) == ((), ())


@pytest.mark.parametrize('distro', ['jazzy', 'kilted'])
def test_routes_that_share_the_topic_only_are_fine(tmp_path, distro):
    made = planned(tmp_path, both_ways('to: {channel: x}', 'channel: y'), distro)
    assert (made.warnings, made.errors) == ((), ())


# --- loops: by a longer way ----------------------------------------------------------------------
LONG = """\
ros_to_redis:
- {topic: /a, encoding: ENCODING, to: {channel: x}}
- {topic: /b, encoding: ENCODING, to: {KIND: y}}
redis_to_ros:
- {channel: x, encoding: ENCODING, topic: /b, type: std_msgs/String}
- {KIND: y, encoding: ENCODING, topic: /a, type: std_msgs/String}
"""


def test_loops_over_several_names_are_found(tmp_path):
    text = LONG.replace('KIND', 'channel')
    assert planned(tmp_path, text.replace('ENCODING', 'json')).errors == ()
    for made in (
        planned(tmp_path, text.replace('ENCODING', 'json'), 'jazzy'),
        planned(tmp_path, text.replace('ENCODING', 'text')),
    ):
        ways = [re.search(r'\]: (/.*) is a loop', said)[1] for said in made.errors]
        assert ways == [
            '/a -> channel x -> /b -> channel y -> /a',
            '/b -> channel y -> /a -> channel x -> /b',
        ]


def test_a_key_on_the_way_breaks_a_loop(tmp_path):
    text = LONG.replace('KIND', 'key').replace('ENCODING', 'text')
    assert planned(tmp_path, text).errors == ()
