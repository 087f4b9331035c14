# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Deals the routes of one mapping out to several bridge processes.

Python runs one thread at a time, so one process uses little more than one core. Routes that share
a name share more than that within a process: a subscription, a dead-man, the last value of a key
that goes both ways, the order of a stream's entries. They stay together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from redis_bridge.errors import BridgeError
from redis_bridge.routes import Mapping, RosToRedis, Route

MOST = 16  # processes; a larger number is rather a slip


@dataclass(frozen=True)
class Shard:
    """One of the processes that share a mapping; a bridge by itself is the first of one.

    Raises BridgeError for numbers that cannot be.
    """

    number: int = 1  # 1 to count
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MOST:
            raise BridgeError(f'shards: expected 1 to {MOST}, got {self.count}')
        if not 1 <= self.number <= self.count:
            raise BridgeError(
                f'shard: expected 1 to {self.count}, as there are that many shards, '
                f'got {self.number}'
            )

    @property
    def is_alone(self) -> bool:
        """Whether there are no others."""
        return self.count == 1

    def own(self, field: str) -> str:
        """Return what a field of the robot's hash is called that each process has for itself."""
        return field if self.number == 1 else f'{field}:{self.number}'

    def named(self, thing: str) -> str:
        """Return what people are told of a thing that each process has for itself."""
        return thing if self.number == 1 else f'{thing} (shard {self.number})'


def all_shards(count: int) -> list[Shard]:
    """Return all processes of so many."""
    return [Shard(number, count) for number in range(1, count + 1)]


def part(mapping: Mapping, shard: Shard, resolve: Callable[[str], str] = str) -> tuple[int, ...]:
    """Return the numbers of the routes that a process carries, in order; none are left out.

    Routes are numbered from 0 on, those to Redis first. `resolve` gives the full name of a topic,
    since two that the mapping tells apart may be one in the graph.
    """
    loads = [0] * shard.count
    numbers: list[int] = []
    for group in sorted(_groups(mapping, resolve), key=len, reverse=True):
        lightest = loads.index(min(loads))
        loads[lightest] += len(group)
        if lightest == shard.number - 1:
            numbers += group
    return tuple(sorted(numbers))


def _groups(mapping: Mapping, resolve: Callable[[str], str]) -> list[list[int]]:
    """Return the numbers of the routes that share names, be it through others; by their first."""
    routes = (*mapping.ros_to_redis, *mapping.redis_to_ros)
    before = list(range(len(routes)))  # an earlier route of the same group, or the route itself
    users: dict[tuple[str, str], int] = {}

    def first(number: int) -> int:
        while before[number] != number:
            number = before[number]
        return number

    for number, route in enumerate(routes):
        for name in _names(route, resolve):
            earlier, later = sorted((first(users.setdefault(name, number)), first(number)))
            before[later] = earlier
    groups: dict[int, list[int]] = {}
    for number in range(len(routes)):
        groups.setdefault(first(number), []).append(number)
    return list(groups.values())


def _names(route: Route, resolve: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    yield 'topic', resolve(route.topic)
    for end in route.sinks if isinstance(route, RosToRedis) else (route.source,):
        yield 'redis', end.name
