# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""How the routes of a mapping are dealt out to several processes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redis_bridge.errors import BridgeError
from redis_bridge.routes import (
    ChannelSink,
    ChannelSource,
    KeySink,
    KeySource,
    Mapping,
    RedisToRos,
    RosToRedis,
    StreamSink,
    StreamSource,
)
from redis_bridge.shards import MOST, Shard, all_shards, part

TOPICS = st.integers(0, 30).map('/t{}'.format)
NAMES = st.integers(0, 30).map('n{}'.format)
SINKS = st.builds(lambda kind, name: kind(name), st.sampled_from([KeySink, StreamSink]), NAMES)
SOURCES = st.builds(
    lambda kind, name: kind(name), st.sampled_from([ChannelSource, KeySource, StreamSource]), NAMES
)
OUTWARD = st.builds(
    lambda topic, sinks: RosToRedis('', topic, tuple(sinks)),
    TOPICS,
    st.lists(SINKS, min_size=1, max_size=3),
)
INWARD = st.builds(
    lambda topic, source: RedisToRos('', source, topic, 'std_msgs/msg/String'), TOPICS, SOURCES
)
MAPPINGS = st.builds(
    lambda outward, inward: Mapping(
        'm.yaml', 'r', ros_to_redis=tuple(outward), redis_to_ros=tuple(inward)
    ),
    st.lists(OUTWARD, max_size=15),
    st.lists(INWARD, max_size=15),
)
COUNTS = st.integers(1, 5)


def telemetry(*topics: str) -> Mapping:
    """Return a mapping whose routes have nothing in common but what is said."""
    routes = (RosToRedis('', topic, (KeySink(f'key {n}'),)) for n, topic in enumerate(topics))
    return Mapping('m.yaml', 'r', ros_to_redis=tuple(routes))


def parts(mapping: Mapping, count: int) -> list[tuple[int, ...]]:
    return [part(mapping, shard) for shard in all_shards(count)]


def names_of(mapping: Mapping, number: int) -> set[str]:
    """Return the names of a route, those of Redis without their kind; topics begin with '/'."""
    route = (*mapping.ros_to_redis, *mapping.redis_to_ros)[number]
    ends = route.sinks if isinstance(route, RosToRedis) else (route.source,)
    return {route.topic, *(end.name for end in ends)}


@given(MAPPINGS, COUNTS)
def test_every_route_is_in_one_process(mapping, count):
    numbers = [number for numbers in parts(mapping, count) for number in numbers]
    total = len(mapping.ros_to_redis) + len(mapping.redis_to_ros)
    assert sorted(numbers) == list(range(total))


@given(MAPPINGS, COUNTS)
def test_processes_have_no_name_in_common(mapping, count):
    met: dict[str, int] = {}
    for shard, numbers in enumerate(parts(mapping, count)):
        for number in numbers:
            for name in names_of(mapping, number):
                assert met.setdefault(name, shard) == shard


@given(st.integers(0, 40), COUNTS)
def test_routes_without_common_names_are_spread_evenly_and_in_order(total, count):
    dealt = parts(telemetry(*map('/t{}'.format, range(total))), count)
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1
    assert dealt == [tuple(range(first, total, count)) for first in range(count)]


def test_routes_that_share_names_only_through_others_stay_together():
    mapping = Mapping(
        'm.yaml',
        'r',
        ros_to_redis=(
            RosToRedis('', '/a', (KeySink('gain'),)),
            RosToRedis('', '/b', (ChannelSink('b'), KeySink('c'))),
            RosToRedis('', '/d', (ChannelSink('d'),)),
        ),
        redis_to_ros=(
            RedisToRos('', KeySource('gain'), '/e', 'std_msgs/msg/String'),
            RedisToRos('', ChannelSource('b'), '/e', 'std_msgs/msg/String'),
        ),
    )
    assert parts(mapping, 2) == [(0, 1, 3, 4), (2,)]


def test_the_largest_groups_are_dealt_first_to_who_has_least():
    mapping = telemetry('/a', '/b', '/c', '/c', '/c', '/d', '/d')
    assert parts(mapping, 2) == [(1, 2, 3, 4), (0, 5, 6)]
    assert parts(mapping, 4) == [(2, 3, 4), (5, 6), (0,), (1,)]


def test_topics_that_are_one_in_the_graph_stay_together():
    mapping = telemetry('odom', '/fleet/odom', '/scan')
    shard = Shard(1, 2)
    assert part(mapping, shard) == (0, 2)
    full = {'odom': '/fleet/odom'}
    assert part(mapping, shard, lambda name: full.get(name, name)) == (0, 1)


@pytest.mark.parametrize('count', [0, -1, MOST + 1])
def test_a_number_of_processes_that_cannot_be_is_refused(count):
    with pytest.raises(BridgeError, match=f'^shards: expected 1 to {MOST}, got {count}$'):
        Shard(1, count)


@pytest.mark.parametrize('number', [0, 4])
def test_a_process_beyond_the_others_is_refused(number):
    with pytest.raises(BridgeError, match=f'^shard: expected 1 to 3, .*, got {number}$'):
        Shard(number, 3)
