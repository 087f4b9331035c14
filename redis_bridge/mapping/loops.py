# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Finds forwarding loops between routes.

Routes form a graph: an outbound route leads to an inbound one through a Redis name, an inbound one
to an outbound one through a topic. A key holds state: a value that is already there is not written
again, so no loop goes through it. Channels and streams carry events. The bridge stops its own
events in Redis by their origin and in ROS by their publisher's GID. It needs both, because with
several bridges a message of another bridge has a foreign origin. Without GID it stops only its
own events in ROS.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from redis_bridge.mapping.model import Mapping, RedisToRos, RosToRedis, Route, SinkConfig
from redis_bridge.payloads import CODECS, WITH_META

WITHOUT_GID = ('humble', 'iron', 'jazzy')  # whose message info does not identify the publisher


class RouteWarning(NamedTuple):
    """A warning of one kind for one route; `text` names the route, `kind` groups warnings."""

    kind: str
    route: str
    text: str


class Loop(NamedTuple):
    """Routes in which a message would travel for ever, and a text that says so."""

    routes: list[Route]
    text: str


class _Meeting(NamedTuple):
    """Two routes that share a Redis name through which events pass."""

    outbound: RosToRedis
    sink: SinkConfig
    inbound: RedisToRos

    @property
    def routes(self) -> str:
        return f'{self.outbound.where} and {self.inbound.where}'

    @property
    def places(self) -> tuple[str, str]:
        return place(self.outbound), place(self.inbound)

    def without_origin(self) -> str | None:
        """Return why the events do not name their origin; None if they do."""
        if not self.outbound.meta:
            return 'meta: false'
        if self.sink.carries_meta:
            return None
        encoding = self.sink.encoding
        if encoding is not None and not CODECS[encoding].carries_meta:
            return f'encoding {encoding}'
        return 'a bare field' if self.outbound.field else None


def place(route: Route) -> str:
    """Return a route's place in its file, such as 'ros_to_redis[0]'."""
    return route.where.rpartition(': ')[2]


def _meetings(mapping: Mapping) -> list[_Meeting]:
    readers: dict[tuple[str, str], list[RedisToRos]] = {}
    for inbound in mapping.redis_to_ros:
        readers.setdefault((inbound.source.kind, inbound.source.name), []).append(inbound)
    return [
        _Meeting(outbound, sink, inbound)
        for outbound in mapping.ros_to_redis
        for sink in outbound.sinks
        for inbound in readers.get((sink.kind, sink.name), ())
        if sink.is_event
    ]


def find_loops(mapping: Mapping, distro: str) -> Iterator[Loop]:
    """Yield each loop in which a message would travel for ever."""
    has_gid = distro not in WITHOUT_GID
    meetings = _meetings(mapping)
    for met in meetings:
        path = _path_back(met, mapping, meetings)
        reason = met.without_origin()
        if path is None or (reason is None and has_gid):
            continue
        remedies = [] if has_gid else ['use Kilted or newer']
        if reason is not None:
            why = f'{reason} carries no origin, so the bridge cannot recognize its own messages'
            remedies.insert(0, f'send whole messages as {WITH_META} with meta')
        else:
            why = f'ROS {distro} does not identify publishers, so they would be forwarded again'
        yield Loop(
            path,
            f'{met.routes}: {_shown(met.outbound, path)} is a loop of events: {why}. Use a key '
            'if this is state, or two names or two topics; otherwise ' + ' and '.join(remedies),
        )


def _path_back(met: _Meeting, mapping: Mapping, meetings: list[_Meeting]) -> list[Route] | None:
    """Return the shortest path from the inbound route to the outbound one, both included."""
    paths: list[list[Route]] = [[met.inbound]]
    seen = {str(met.inbound)}
    for path in paths:
        last = path[-1]
        if last is met.outbound:
            return path
        following: list[Route] = []
        if isinstance(last, RedisToRos):
            following += [route for route in mapping.ros_to_redis if route.topic == last.topic]
        else:
            following += [other.inbound for other in meetings if other.outbound is last]
        for route in following:
            if str(route) not in seen:
                seen.add(str(route))
                paths.append([*path, route])
    return None


def _shown(outbound: RosToRedis, path: list[Route]) -> str:
    steps = [outbound.topic]
    for route in path:
        if isinstance(route, RedisToRos):
            steps += [f'{route.source.kind} {route.source.name}', route.topic]
    return ' -> '.join(steps)


def echo_warnings(mapping: Mapping) -> Iterator[RouteWarning]:
    """Yield a warning for each message that comes back without a loop."""
    meetings = _meetings(mapping)
    for met in meetings:
        reason = met.without_origin()
        if reason and _path_back(met, mapping, meetings) is None:
            yield RouteWarning(
                f'echo, {reason}',
                ' and '.join(met.places),
                f'{met.routes}: {reason} carries no origin, so the robot receives its own '
                f'messages on {met.inbound.topic} through {met.sink.kind} {met.sink.name}',
            )
