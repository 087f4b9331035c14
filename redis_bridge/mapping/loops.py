# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Finds the ways on which a message would come back to where it was.

Routes form a graph: an outbound route leads to an inbound one through a Redis name, an inbound one
to an outbound one through a topic. Keys are state: a value that is already there is not written
again, so nothing circles through them. Through channels and streams pass events. These are stopped
on the Redis side by their origin and on the ROS side by their publisher's GID. Both are needed,
since with several bridges a message of another bridge has a foreign origin.
"""

from __future__ import annotations

from collections.abc import Iterator

from redis_bridge.mapping.model import (
    ChannelSinkConfig,
    ChannelSourceConfig,
    Mapping,
    RedisToRos,
    RosToRedis,
    Route,
    SinkConfig,
    StreamSinkConfig,
    StreamSourceConfig,
)

WITHOUT_GID = ('humble', 'iron', 'jazzy')  # whose message info does not name the publisher


def _meetings(mapping: Mapping) -> Iterator[tuple[RosToRedis, SinkConfig, RedisToRos]]:
    """Yield all pairs of routes through which events pass, by the Redis name they share."""
    for outward in mapping.ros_to_redis:
        for sink in outward.sinks:
            for inward in mapping.redis_to_ros:
                source = inward.source
                events = isinstance(source, (ChannelSourceConfig, StreamSourceConfig))
                if events and source.kind == sink.kind and source.name == sink.name:
                    yield outward, sink, inward


def _without_origin(outward: RosToRedis, sink: SinkConfig) -> str | None:
    """Tell why what a sink sends says nothing of its origin; None if it does."""
    if not outward.meta:
        return 'meta: false'
    if isinstance(sink, StreamSinkConfig):
        return None  # beside the payload, whatever the encoding
    if sink.encoding in ('text', 'cdr'):
        return f'encoding {sink.encoding}'
    return 'a bare field' if outward.field else None


def circles(mapping: Mapping, distro: str) -> Iterator[str]:
    """Yield why a mapping cannot run: ways on which a message would travel for ever."""
    has_gid = distro not in WITHOUT_GID
    meetings = list(_meetings(mapping))
    for outward, sink, inward in meetings:
        way = _way_back(inward, outward, mapping, meetings)
        if way is None:
            continue
        reason = _without_origin(outward, sink)
        if reason is not None:
            why = f'{reason} carries no origin, so the bridge would not know its own messages'
        elif not has_gid:
            why = f'ROS {distro} does not tell who published, so they would be carried out again'
        else:
            continue
        yield (
            f'{outward.where} and {inward.where}: {_circle(outward, way)} is a circle of '
            f'events: {why}. {_cure(reason, has_gid)}'
        )


def _way_back(
    inward: RedisToRos,
    outward: RosToRedis,
    mapping: Mapping,
    meetings: list[tuple[RosToRedis, SinkConfig, RedisToRos]],
) -> list[Route] | None:
    """Return the shortest way from an inbound route to an outbound one, both included."""
    ways: list[list[Route]] = [[inward]]
    seen = {inward.where}
    for way in ways:
        last = way[-1]
        if last is outward:
            return way
        if isinstance(last, RedisToRos):
            further = [route for route in mapping.ros_to_redis if route.topic == last.topic]
        else:
            further = [reader for writer, _, reader in meetings if writer is last]
        for route in further:
            if route.where not in seen:
                seen.add(route.where)
                ways.append([*way, route])
    return None


def _circle(outward: RosToRedis, way: list[Route]) -> str:
    steps = [outward.topic]
    for route in way:
        if isinstance(route, RedisToRos):
            steps += [f'{route.source.kind} {route.source.name}', route.topic]
    return ' -> '.join(steps)


def _cure(reason: str | None, has_gid: bool) -> str:
    cures = []
    if reason is not None:
        cures.append('send whole messages as msgpack or json with meta')
    if not has_gid:
        cures.append('use Kilted or newer')
    both = ' and '.join(cures)
    return f'Use a key if this is state, or two names or two topics; else {both}'


def echoes(mapping: Mapping, distro: str) -> Iterator[str]:
    """Yield warnings of messages that come back without circling."""
    meetings = list(_meetings(mapping))
    for outward, sink, inward in meetings:
        reason = _without_origin(outward, sink)
        if reason and _way_back(inward, outward, mapping, meetings) is None:
            yield (
                f'{outward.where} and {inward.where}: {reason} carries no origin, so the robot '
                f'hears on {inward.topic} what it says itself through {sink.kind} {sink.name}'
            )
    if distro not in WITHOUT_GID:
        return
    met = {(outward.where, inward.where) for outward, _, inward in meetings}
    for inward in mapping.redis_to_ros:
        for outward in mapping.ros_to_redis:
            shared = inward.topic == outward.topic
            if shared and (outward.where, inward.where) not in met and _sends_events(outward):
                yield (
                    f'{outward.where} and {inward.where}: ROS {distro} does not tell who '
                    f'published, so what {inward.source.kind} {inward.source.name} brings to '
                    f'{inward.topic} is carried out again; where another robot carries it back, '
                    'it circles'
                )


def _sends_events(route: RosToRedis) -> bool:
    return any(isinstance(sink, (ChannelSinkConfig, StreamSinkConfig)) for sink in route.sinks)
