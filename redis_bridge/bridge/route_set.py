# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The set of running routes, which is made equal to the set that a mapping asks for."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from redis_bridge.bridge.dead_man import DeadMen, publisher_of
from redis_bridge.bridge.describe import describe_source
from redis_bridge.bridge.encoders import body_encoder, key_of
from redis_bridge.bridge.guards import check_paths
from redis_bridge.bridge.inbound import InboundRoute, Mirror
from redis_bridge.bridge.last_value import LastValue
from redis_bridge.bridge.outbound import OutboundRoute
from redis_bridge.errors import BridgeError, MappingError, Problem
from redis_bridge.mapping.model import KeySourceConfig, RedisToRos, RosToRedis, Route
from redis_bridge.messages.types import Message
from redis_bridge.ports import (
    RedisSide,
    RosSide,
    SourceRequest,
    Timers,
    TopicRequest,
)

RunningRoute = OutboundRoute | InboundRoute
R = TypeVar('R', OutboundRoute, InboundRoute)


class _Wanted(NamedTuple):
    """A route, with the route in the other direction if they share a key.

    A running route is left alone while its `_Wanted` stays the same.
    """

    route: Route
    partner: Route | None

    def unplaced(self) -> tuple[Route, Route | None]:
        """Return both without their places in the file, which do not make them differ."""
        partner = self.partner
        return replace(self.route, where=''), partner and replace(partner, where='')


class RouteSet:
    """All running routes, by id.

    A route's id is its text, '/odom -> key robot1:odom', which stays when the mapping is edited
    elsewhere. Only the thread that starts and stops the bridge changes the set.
    """

    def __init__(
        self,
        ros: RosSide,
        redis: RedisSide,
        *,
        timers: Timers,
        stop_timers: Timers,
        log: logging.Logger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ros = ros
        self._redis = redis
        self._timers = timers
        self._log = log
        self._clock = clock
        self._wanted: dict[str, _Wanted] = {}
        self._running: dict[str, RunningRoute] = {}
        self._dead_men = DeadMen(ros, stop_timers, log, clock)
        self._last_values: dict[str, LastValue] = {}  # of mirrored keys

    def running(self) -> dict[str, RunningRoute]:
        """Return the running routes by id, in the order of the mapping."""
        return self._running

    def outbound(self) -> list[OutboundRoute]:
        """Return the running routes to Redis."""
        return _only(OutboundRoute, self._running.values())

    def inbound(self) -> list[InboundRoute]:
        """Return the running routes to ROS."""
        return _only(InboundRoute, self._running.values())

    def apply(self, routes: Iterable[Route]) -> None:
        """Run exactly these routes; those that stay equal go on undisturbed.

        Raises MappingError, with the errors of all routes, for errors that only the message types
        show: unknown types, paths that a type does not have, values that do not fit. Nothing is
        changed then.
        """
        wanted = _by_id(routes)
        kept = {
            name: route
            for name, route in self._running.items()
            if name in wanted and wanted[name].unplaced() == self._wanted[name].unplaced()
        }
        opened = self._open({name: wanted[name] for name in wanted if name not in kept})
        gone = [route for name, route in self._running.items() if name not in kept]
        self._wanted = wanted
        self._running = {name: kept.get(name) or opened[name] for name in wanted}
        self._close(gone)
        for route in _only(InboundRoute, opened.values()):
            self._redis.describe(describe_source(route.route, route.publisher.message))
        self._redis.want(
            [
                SourceRequest(
                    route.route.source, route, route.route.is_command, route.route.max_bytes
                )
                for route in self.inbound()
            ]
        )
        self._ros.want(
            [
                TopicRequest(route.route.topic, route.route.type, route.route.qos, route)
                for route in self.outbound()
            ]
        )

    def _open(self, wanted: dict[str, _Wanted]) -> dict[str, RunningRoute]:
        """Make routes, or none if one has an error."""
        opened: dict[str, RunningRoute] = {}
        problems: list[Problem] = []
        for name, want in wanted.items():
            try:
                opened[name] = self._open_one(want)
            except BridgeError as error:
                problems.append(Problem(want.route.where, None, '', str(error)))
        if problems:
            self._close(list(opened.values()))
            raise MappingError(problems)
        return opened

    def _open_one(self, want: _Wanted) -> RunningRoute:
        route, partner = want.route, want.partner
        if isinstance(route, RedisToRos):
            return self._open_inbound(route, partner)
        key = key_of(route)
        mirror = self._last_value(key.name) if key is not None and partner is not None else None
        return OutboundRoute(
            route, self._redis, self._timers, self._log, mirror=mirror, clock=self._clock
        )

    def _open_inbound(self, route: RedisToRos, partner: Route | None) -> InboundRoute:
        publisher = self._ros.publisher(*publisher_of(route))
        try:
            check_paths(route, publisher.message)
            return InboundRoute(
                route,
                publisher,
                self._redis,
                self._log,
                ros_now=self._ros.now,
                dead_man=self._dead_men.of(route, publisher.name),
                mirror=self._mirror(partner, publisher.message),
                clock=self._clock,
            )
        except BridgeError:
            self._ros.release(publisher)
            raise

    def _mirror(self, writer: Route | None, message: Message) -> Mirror | None:
        """Return what a key that is read shares with the route that writes it."""
        if not isinstance(writer, RosToRedis) or (key := key_of(writer)) is None:
            return None
        body = body_encoder(writer, key.encoding, key.arrays, message)
        return Mirror(self._last_value(key.name), body)

    def _last_value(self, key: str) -> LastValue:
        return self._last_values.setdefault(key, LastValue())

    def _close(self, gone: Sequence[RunningRoute]) -> None:
        """Close routes that are no longer among the running ones.

        First no more commands pass, then the stop messages are sent, then publishers close.
        """
        inbound = _only(InboundRoute, gone)
        for route in inbound:
            route.close()
        self._dead_men.keep([route.dead_man for route in self.inbound() if route.dead_man])
        for route in inbound:
            self._ros.release(route.publisher)
        for outbound in _only(OutboundRoute, gone):
            outbound.close()


def _only(kind: type[R], routes: Iterable[RunningRoute]) -> list[R]:
    return [route for route in routes if isinstance(route, kind)]


def _by_id(routes: Iterable[Route]) -> dict[str, _Wanted]:
    """Return the routes by id, each with the other route of a key that goes both ways."""
    routes = list(routes)
    writers = {_key_name(route): route for route in routes if isinstance(route, RosToRedis)}
    readers = {_key_name(route): route for route in routes if isinstance(route, RedisToRos)}
    wanted: dict[str, _Wanted] = {}
    for route in routes:
        name, number = str(route), 1
        while name in wanted:  # two routes may publish parts of one topic to one channel
            number += 1
            name = f'{route} #{number}'
        others = readers if isinstance(route, RosToRedis) else writers
        key = _key_name(route)
        partner = None if key is None else others.get(key)
        wanted[name] = _Wanted(route, partner)
    return wanted


def _key_name(route: Route) -> str | None:
    """Return the name of the key that a route writes or reads."""
    if isinstance(route, RosToRedis):
        key = key_of(route)
        return None if key is None else key.name
    return route.source.name if isinstance(route.source, KeySourceConfig) else None
