# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The set of running routes, which is made equal to the set that a mapping asks for."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, count
from typing import Any, NamedTuple, TypeVar

from redis_bridge.bridge.dead_man import DeadMan, close_all
from redis_bridge.bridge.encoders import body_encoder, key_of
from redis_bridge.bridge.inbound import InboundRoute
from redis_bridge.bridge.outbound import LastValue, OutboundRoute
from redis_bridge.bridge.timers import CallAt
from redis_bridge.errors import (
    BridgeError,
    InterfaceError,
    MappingError,
    PayloadError,
    Problem,
)
from redis_bridge.mapping.model import KeySourceConfig, RedisToRos, RosToRedis, Route
from redis_bridge.messages import cdr_write
from redis_bridge.messages.guards import Guards
from redis_bridge.messages.types import Message
from redis_bridge.ports import Publisher, RedisSide, RosSide

STOP_ACKED_WITHIN_S = 0.2
# How many entries of a consumer group may wait for subscribers to acknowledge them. Fast DDS asks
# for that when the history is full, else only every 3 s.
GROUP_DEPTH = 10_000
NEWEST_DEPTH = (
    10  # of commands and `deliver: latest`: a subscriber that is behind gets no old ones
)

RunningRoute = OutboundRoute | InboundRoute
R = TypeVar('R', OutboundRoute, InboundRoute)


class _Wanted(NamedTuple):
    """What a route is made from; a running route is left alone while `made_from` stays equal."""

    # The route, with the route in the other direction if they share a key.
    made_from: tuple[Route, Route | None]
    is_match: bool  # of a pattern


class Changes(NamedTuple):
    """How many routes a new set has left alone, and how many it has not.

    A route has changed if its id is the same and another setting is not.
    """

    unchanged: int
    changed: int
    new: int
    removed: int

    def __str__(self) -> str:
        return ', '.join(f'{count} {name}' for name, count in self._asdict().items())


class RouteSet:
    """All running routes, by id.

    A route's id is its text, '/odom -> key robot1:odom', which stays when the mapping is edited
    elsewhere. One thread at a time changes the set.
    """

    def __init__(
        self,
        ros: RosSide,
        redis: RedisSide,
        *,
        call_at: CallAt,
        stop_at: CallAt,  # for dead-men
        log: logging.Logger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ros = ros
        self._redis = redis
        self._call_at = call_at
        self._stop_at = stop_at
        self._log = log
        self._clock = clock
        self.failed: dict[str, str] = {}  # of the matches of patterns: why a route is not running
        self._wanted: dict[str, _Wanted] = {}
        self._running: dict[str, RunningRoute] = {}
        self._dead_men: list[DeadMan] = []  # of all topics that routes with a stop command
        self._unclaimed: list[DeadMan] = []  # of these, those of no route that stays so far
        self._last_values: dict[str, LastValue] = {}  # of mirrored keys
        self._is_closed = False
        self._describing = threading.Lock()  # so that an older set cannot replace a newer one

    def running(self) -> dict[str, RunningRoute]:
        """Return the running routes by id, in the order of the mapping."""
        return self._running

    def outbound(self) -> list[OutboundRoute]:
        """Return the running routes to Redis."""
        return _only(OutboundRoute, self._running.values())

    def inbound(self) -> list[InboundRoute]:
        """Return the running routes to ROS."""
        return _only(InboundRoute, self._running.values())

    def apply(self, routes: Iterable[Route], matches: Iterable[Route] = ()) -> Changes:
        """Run exactly these routes; those that stay equal go on undisturbed.

        Raises MappingError, with the errors of all routes, for errors that only the message types
        show: unknown types, paths that a type does not have, values that do not fit. Nothing is
        changed then. Of `matches`, which patterns have made, each that has an error is left out.
        """
        wanted = _by_id(routes, matches, self._wanted)
        kept = {
            name: route
            for name, route in self._running.items()
            if name in wanted and wanted[name].made_from == self._wanted[name].made_from
        }
        opened = self._open({name: wanted[name] for name in wanted if name not in kept}, kept)
        wanted = {name: want for name, want in wanted.items() if name not in self.failed}
        before, self._wanted = self._running, wanted
        self._running = {name: kept.get(name) or opened[name] for name in wanted}
        self._close([route for name, route in before.items() if name not in kept])
        self._announce(_only(InboundRoute, opened.values()))
        self._describe()
        self._redis.want([route.request for route in self.inbound()])
        self._ros.want([route.request for route in self.outbound()])
        changed = len(opened.keys() & before.keys())
        return Changes(
            unchanged=len(kept),
            changed=changed,
            new=len(opened) - changed,
            removed=len(before) - len(kept) - changed,
        )

    def _announce(self, routes: Iterable[InboundRoute]) -> None:
        """Open publishers, now that those of another type that had their topics are closed."""
        for route in routes:
            try:
                route.publisher.open()
            except InterfaceError as error:
                self._log.error('%s: %s', route.route, error)

    def close(self) -> None:
        """Run no routes any more; descriptions stay, for stored data."""
        self._is_closed = True
        self.apply(())

    def _describe(self) -> None:
        with self._describing:
            if not self._is_closed:
                routes = self._running.values()
                self._redis.describe([each for route in routes for each in route.descriptions])

    def _open(
        self, wanted: dict[str, _Wanted], kept: dict[str, RunningRoute]
    ) -> dict[str, RunningRoute]:
        """Make routes beside those that are kept, or none if one has an error."""
        opened: dict[str, RunningRoute] = {}
        problems: list[Problem] = []
        claimed = [route.dead_man for route in _only(InboundRoute, kept.values())]
        self._unclaimed = [dead_man for dead_man in self._dead_men if dead_man not in claimed]
        last_values = self._last_values
        keys = [key_of(route.route) for route in _only(OutboundRoute, kept.values())]
        # A writer that is made anew knows nothing of what the key holds.
        self._last_values = {
            key.name: last_values[key.name] for key in keys if key and key.name in last_values
        }
        failed: dict[str, str] = {}
        for name, want in wanted.items():
            try:
                opened[name] = self._open_one(*want.made_from)
            except BridgeError as error:
                if want.is_match:
                    failed[name] = str(error)
                else:
                    problems.append(Problem(want.made_from[0].where, None, '', str(error)))
        if problems:
            self._last_values = last_values
            self._close(list(opened.values()))
            raise MappingError(problems)
        for name, text in failed.items():
            if self.failed.get(name) != text:
                self._log.warning('%s: is not carried: %s', name, text)
        self.failed = failed
        return opened

    def _open_one(self, route: Route, partner: Route | None) -> RunningRoute:
        if isinstance(route, RedisToRos):
            return self._open_inbound(route, partner)
        key = key_of(route)
        mirror = self._last_value(key.name) if key is not None and partner is not None else None
        return OutboundRoute(
            route,
            self._redis,
            self._call_at,
            self._log,
            mirror=mirror,
            on_opened=self._describe,
            clock=self._clock,
        )

    def _open_inbound(self, route: RedisToRos, partner: Route | None) -> InboundRoute:
        publisher = self._publisher(route)
        try:
            _serialize('set', publisher.message, {}, Guards(set=route.set))
            return InboundRoute(
                route,
                publisher,
                self._redis,
                self._log,
                ros_now=self._ros.now,
                dead_man=self._dead_man(route, publisher),
                is_new=self._mirror(partner, publisher.message),
                clock=self._clock,
            )
        except BridgeError:
            self._ros.release(publisher)
            raise

    def _publisher(self, route: RedisToRos) -> Publisher:
        latched = not route.source.is_event
        qos = route.qos
        is_kept = latched or qos.durability == 'transient_local'  # for subscribers that come later
        if qos.depth is None and not is_kept:
            if route.source.group is not None:
                qos = replace(qos, depth=GROUP_DEPTH)
            elif route.is_command or route.deliver == 'latest':
                qos = replace(qos, depth=NEWEST_DEPTH)
        # Late subscribers get the value of every key. Of commands they get only the newest one.
        owner = route.source.name if latched and not route.is_command else ''
        return self._ros.publisher(route.topic, route.type, qos, latched, owner)

    def _dead_man(self, route: RedisToRos, of_route: Publisher) -> DeadMan | None:
        """Return the dead-man of the route's topic; None without a stop."""
        stop = route.stop
        if stop is None:
            return None
        same = [
            dead_man
            for dead_man in self._dead_men
            if (dead_man.publisher.name, dead_man.stop) == (of_route.name, stop)
        ]
        for dead_man in same:
            if dead_man not in self._unclaimed:
                return dead_man
        for dead_man in same:
            if dead_man.publisher is of_route:  # else its type or QoS may be of no use any more
                self._unclaimed.remove(dead_man)
                return dead_man
        message = _serialize('stop.message', of_route.message, stop.message, Guards())
        # With a publisher of its own, because the route that it is made for may go first.
        dead_man = DeadMan(
            stop, self._publisher(route), message, self._stop_at, self._log, self._clock
        )
        self._dead_men.append(dead_man)
        return dead_man

    def _mirror(self, writer: Route | None, message: Message) -> Callable[[bytes], bool] | None:
        """Return what finds out whether a key has another value than its writer wrote."""
        if not isinstance(writer, RosToRedis) or (key := key_of(writer)) is None:
            return None
        body = body_encoder(writer, key.encoding, key.arrays, message)
        last = self._last_value(key.name)
        return lambda sample: last.update(body(sample))

    def _last_value(self, key: str) -> LastValue:
        return self._last_values.setdefault(key, LastValue())

    def _close(self, gone: Sequence[RunningRoute]) -> None:
        """Close routes that are no longer among the running ones.

        First no more commands pass, then the stop messages are sent, then publishers close.
        """
        inbound = _only(InboundRoute, gone)
        for route in inbound:
            route.close()
        used = [route.dead_man for route in self.inbound()]
        unused = [dead_man for dead_man in self._dead_men if dead_man not in used]
        self._dead_men = [dead_man for dead_man in self._dead_men if dead_man in used]
        close_all(unused)
        deadline = time.monotonic() + STOP_ACKED_WITHIN_S  # for all together
        for dead_man in unused:
            dead_man.publisher.wait_for_acked(max(0.0, deadline - time.monotonic()))
            self._ros.release(dead_man.publisher)
        for route in inbound:
            self._ros.release(route.publisher)
        for outbound in _only(OutboundRoute, gone):
            outbound.close()


def _only(kind: type[R], routes: Iterable[RunningRoute]) -> list[R]:
    return [route for route in routes if isinstance(route, kind)]


def _serialize(setting: str, message: Message, value: Any, guards: Guards) -> bytes:
    """Return a value of the mapping as CDR; raises PayloadError if it does not fit the type."""
    try:
        return cdr_write.writer(message, guards)(value)
    except PayloadError as error:
        raise PayloadError(f'{setting}: {error}') from None


def _by_id(
    routes: Iterable[Route], matches: Iterable[Route], running: Mapping[str, _Wanted]
) -> dict[str, _Wanted]:
    """Return the routes by id, each with the other route of a key that goes both ways.

    Two routes may publish parts of one topic to one channel. Then their ids are numbered, and
    those that run already keep theirs.
    """
    all_ = [*((route, False) for route in routes), *((route, True) for route in matches)]
    by_key = {(type(route), _key_name(route)): route for route, _ in all_}
    same_text: dict[str, dict[str, _Wanted]] = {}
    for name, want in running.items():
        same_text.setdefault(str(want.made_from[0]), {})[name] = want
    found: list[tuple[str | None, _Wanted]] = []  # with the id, if it runs already
    for route, is_match in all_:
        other = RedisToRos if isinstance(route, RosToRedis) else RosToRedis
        key = _key_name(route)
        partner = by_key.get((other, key)) if key is not None else None
        want = _Wanted((route, partner), is_match)
        there = same_text.get(str(route), {})
        same = (name for name, one in there.items() if one.made_from == want.made_from)
        kept = next(same, None)
        there.pop(kept or '', None)
        found.append((kept, want))
    taken = {name for name, _ in found if name is not None}
    wanted: dict[str, _Wanted] = {}
    for kept, want in found:
        name = kept or _free_id(str(want.made_from[0]), taken)
        taken.add(name)
        wanted[name] = want
    return wanted


def _free_id(text: str, taken: Collection[str]) -> str:
    numbered = chain([text], (f'{text} #{number}' for number in count(2)))
    return next(name for name in numbered if name not in taken)


def _key_name(route: Route) -> str | None:
    """Return the name of the key that a route writes or reads."""
    if isinstance(route, RosToRedis):
        key = key_of(route)
        return None if key is None else key.name
    return route.source.name if isinstance(route.source, KeySourceConfig) else None
