# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Runs a mapping: ties its routes' ends together and reports how they do."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from redis_bridge.bridge.dead_man import DeadMan
from redis_bridge.bridge.relay import InwardRelay, LastValue, OutwardRelay, set_at
from redis_bridge.bridge.timers import Timers
from redis_bridge.counters import Counters
from redis_bridge.errors import BridgeError, InterfaceError, MappingError, PayloadError, Problem
from redis_bridge.mapping.model import (
    KeySinkConfig,
    KeySourceConfig,
    Mapping,
    RedisToRos,
    RosToRedis,
)
from redis_bridge.messages import cdr, types
from redis_bridge.messages.types import Message
from redis_bridge.payloads import codecs

RATES_OVER_S = 0.9  # reports closer together than this show the rates of the earlier one
STOP_ACKED_WITHIN_S = 0.3


@dataclass
class RouteReport:
    """How one route does; rates and latency are means since the report before."""

    route: str
    direction: str  # ros_to_redis | redis_to_ros
    state: str  # 'open', or what stands in the way
    carried: int = 0
    bytes: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    noted: dict[str, int] = field(default_factory=dict)
    rate_hz: float = 0.0
    latency_ms: float = 0.0
    latency_sum_s: float = 0.0  # of all samples since the start, and how many they are
    latency_count: int = 0


class OutwardRoute:
    """One route to Redis: before its type is known, and running."""

    direction = 'ros_to_redis'

    def __init__(self, bridge: Bridge, route: RosToRedis, mirror: LastValue | None) -> None:
        self.route = route
        self.relay: OutwardRelay | None = None
        self.counts = Counters()
        self.sink_counts = [Counters() for _ in route.sinks]
        self.topic_state = 'waiting for a publisher'
        self._bridge = bridge
        self._mirror = mirror
        key = next((sink.name for sink in route.sinks if isinstance(sink, KeySinkConfig)), None)
        self._sinks = [
            (config, bridge.redis.sink(config, counts, notice_key=key))
            for config, counts in zip(route.sinks, self.sink_counts)
        ]

    def opened(self, message: Message) -> None:
        """Start carrying, now that the type is known."""
        bridge, route = self._bridge, self.route
        try:
            self.relay = OutwardRelay(
                route,
                message,
                self._sinks,
                origin=bridge.redis.origin,
                now=bridge.redis.now,
                timers=bridge.timers,
                counts=self.counts,
                log=bridge.log,
                mirror=self._mirror,
            )
        except (InterfaceError, PayloadError) as error:
            self.set_state(f'error: {error}')
            return
        for config in route.sinks:
            encoding = config.encoding or 'text'
            bridge.register(config.name, config.kind, message, encoding, route.field)

    def forward(self, batch: list[bytes]) -> None:
        """Take serialized messages, oldest first."""
        if self.relay is not None:
            self.relay.forward(batch)

    def drop(self, reason: str, count: int) -> None:
        """Count messages that the topic may not hand over."""
        self.counts.drop(reason, count)

    def set_state(self, text: str) -> None:
        """Note the topic's state; an error of the route itself stays."""
        if self.relay is None and self.topic_state.startswith('error'):
            return
        if text != self.topic_state:
            self.topic_state = text
            log = self._bridge.log.info if _is_well(text) else self._bridge.log.error
            log('%s: %s', self.route, text)

    def report(self) -> RouteReport:
        """Sum up; carried is what Redis acknowledged, of the sink that took most."""
        away = self._bridge.redis.states().get('writer', 'connected')
        state = self.topic_state if away == 'connected' else f'Redis: {away}'
        own = self.counts.snapshot()
        ends = [counts.snapshot() for counts in self.sink_counts]
        return RouteReport(
            str(self.route),
            self.direction,
            state,
            carried=max(end['carried'] for end in ends),
            bytes=sum(end['bytes'] for end in ends),
            dropped=_sum(own['dropped'], *(end['dropped'] for end in ends)),
            noted=_sum(own['noted'], *(end['noted'] for end in ends)),
            latency_sum_s=sum(end['latency_s'] for end in ends),
            latency_count=sum(end['carried'] for end in ends),
        )

    def close(self) -> None:
        """Send what the rate holds back."""
        if self.relay is not None:
            self.relay.close()


class InwardRoute:
    """One route to ROS, running."""

    direction = 'redis_to_ros'

    def __init__(
        self,
        bridge: Bridge,
        route: RedisToRos,
        relay: InwardRelay,
        publisher: Any,
        counts: Counters,
    ) -> None:
        self.route = route
        self.relay = relay
        self.publisher = publisher
        self._counts = counts
        self._bridge = bridge

    def report(self) -> RouteReport:
        """Sum up; carried is what was published."""
        away = self._bridge.redis.states().get('presence', 'connected')
        if away != 'connected':
            state = f'Redis: {away}'
        elif not self._bridge.redis.is_holder():
            state = f'closed: another bridge holds the name {self._bridge.mapping.robot}'
        else:
            state = self.publisher.state()
        own = self._counts.snapshot()
        return RouteReport(
            str(self.route),
            self.direction,
            state,
            carried=own['carried'],
            bytes=own['bytes'],
            dropped=own['dropped'],
            noted=own['noted'],
            latency_sum_s=own['latency_s'],
            latency_count=own['carried'],
        )

    def close(self) -> None:
        """Publish nothing more."""
        self.relay.close()


class Bridge:
    """A mapping at work between `ros` (see ros_io.topics) and `redis` (see redis_io).

    `ros_now` gives the ROS time as (seconds, nanoseconds). Raises MappingError for what only the
    message types can tell: unknown types, paths that a type does not have, values that do not fit.
    """

    def __init__(
        self,
        mapping: Mapping,
        ros: Any,
        redis: Any,
        *,
        ros_now: Callable[[], tuple[int, int]],
        log: logging.Logger,
    ) -> None:
        self.mapping = mapping
        self.ros = ros
        self.redis = redis
        self.log = log
        self.timers = Timers('rates', log)
        self._stop_timers = Timers('dead-man', log)  # of its own: encoding must not delay a stop
        self._ros_now = ros_now
        self._publishers: dict[object, Any] = {}
        self._dead_men: dict[str, tuple[DeadMan, Any]] = {}
        self._mirrors = _mirrors_of(mapping)
        self._reported: list[RouteReport] = []
        self._reported_at = 0.0
        self._definitions: dict[str, tuple[str, str]] = {}  # with the type hash, by the type
        self._inward: list[InwardRoute] = []
        mistakes: list[Problem] = []
        for route in mapping.redis_to_ros:
            try:
                self._inward.append(self._make_inward(route))
            except BridgeError as error:
                mistakes.append(Problem(route.where, None, '', str(error)))
        self._outward = [self._make_outward(route) for route in mapping.ros_to_redis]
        if mistakes:
            raise MappingError(mistakes)

    def start(self) -> None:
        """Start carrying; Redis and the topics' publishers may come later."""
        self.timers.start()
        self._stop_timers.start()
        self.redis.on_connected(self._reconnected)
        self.ros.start()
        self.redis.start(self.status)

    def close(self) -> None:
        """Stop the robot if it was commanded, then let go what waits; harmless if repeated."""
        for route in self._inward:
            route.close()
        for dead_man, _ in self._dead_men.values():
            dead_man.close()
        for _, publisher in self._dead_men.values():
            publisher.wait_for_acked(STOP_ACKED_WITHIN_S)
        for route in self._outward:
            route.close()
        self.timers.close()
        self._stop_timers.close()

    def __enter__(self) -> Bridge:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def report(self) -> list[RouteReport]:
        """Return one report per route, in the mapping's order."""
        now = time.monotonic()
        elapsed = now - self._reported_at
        reports = [route.report() for route in (*self._outward, *self._inward)]
        if elapsed < RATES_OVER_S:
            for report, before in zip(reports, self._reported):
                report.rate_hz, report.latency_ms = before.rate_hz, before.latency_ms
            return reports
        for report, before in zip(reports, self._reported):
            report.rate_hz = round((report.carried - before.carried) / elapsed, 2)
            if count := report.latency_count - before.latency_count:
                seconds = report.latency_sum_s - before.latency_sum_s
                report.latency_ms = round(seconds / count * 1000, 3)
        self._reported, self._reported_at = reports, now
        return reports

    def status(self) -> dict[str, str]:
        """Return the fields that describe this bridge in the robot's hash, as JSON texts."""
        fields = {'state': json.dumps(self.redis.states())}
        for number, report in enumerate(self.report()):
            fields[f'route:{number}'] = json.dumps(asdict(report))
        return fields

    def register(
        self, name: str, kind: str, message: Message, encoding: str, field: str | None
    ) -> None:
        """Have Redis tell readers and writers of a name what stands, or is expected, there."""
        if message.name not in self._definitions:
            self._definitions[message.name] = (
                types.definition(message),
                types.type_hash(message),
            )
        described = self._definitions[message.name]
        self.redis.register(name, kind, message.name, encoding, *described, field)

    def _reconnected(self, again: bool) -> None:
        if again:
            for route in self._outward:
                if route.relay is not None:
                    route.relay.rewrite()

    def _make_outward(self, route: RosToRedis) -> OutwardRoute:
        outward = OutwardRoute(self, route, self._mirrors.get(route.where))
        self.ros.listen(route.topic, route.type, route.qos, outward)
        return outward

    def _make_inward(self, route: RedisToRos) -> InwardRoute:
        publisher = self._publisher(route)
        _check_paths(route, publisher.message)
        counts = Counters()
        mirror, mirror_body = self._mirror_of(route, publisher.message)
        relay = InwardRelay(
            route,
            publisher,
            origin=self.redis.origin,
            now=self.redis.now,
            ros_now=self._ros_now,
            counts=counts,
            log=self.log,
            dead_man=self._dead_man(route, publisher, counts),
            mirror=mirror,
            mirror_body=mirror_body,
        )
        self.redis.source(route.source, relay, command=route.is_command, max_bytes=route.max_bytes)
        self.register(
            route.source.name,
            f'from_{route.source.kind}',
            publisher.message,
            route.encoding,
            route.field,
        )
        return InwardRoute(self, route, relay, publisher, counts)

    def _publisher(self, route: RedisToRos) -> Any:
        """Return the topic's publisher, shared by the routes that agree on its QoS."""
        latched = isinstance(route.source, KeySourceConfig)
        shared = (route.topic, route.type, route.qos, latched)
        if shared not in self._publishers:
            self._publishers[shared] = self.ros.publisher(
                route.topic, route.type, route.qos, latched
            )
        return self._publishers[shared]

    def _dead_man(self, route: RedisToRos, publisher: Any, counts: Counters) -> DeadMan | None:
        """Return the topic's dead-man, shared by all routes that command it."""
        if route.stop is None:
            return None
        if publisher.name not in self._dead_men:
            stop_message = cdr.writer(publisher.message)(route.stop.message)
            dead_man = DeadMan(
                route.stop,
                lambda: publisher.publish(stop_message),
                counts,
                self._stop_timers,
                self.log,
                topic=publisher.name,
            )
            self._dead_men[publisher.name] = (dead_man, publisher)
        return self._dead_men[publisher.name][0]

    def _mirror_of(self, route: RedisToRos, message: Message) -> tuple[Any, Any]:
        """Return the mirror of a key that goes both ways, and the encoder to compare by."""
        if isinstance(route.source, KeySourceConfig):
            for outward in self.mapping.ros_to_redis:
                for sink in outward.sinks:
                    if isinstance(sink, KeySinkConfig) and sink.name == route.source.name:
                        return self._mirrors[outward.where], codecs.encoder(
                            message,
                            sink.encoding,
                            field=outward.field,
                            fields=outward.fields,
                            arrays=sink.arrays,
                        )
        return None, None


def _mirrors_of(mapping: Mapping) -> dict[str, LastValue]:
    """Return a mirror for each outward route whose key comes back in, by the route's place."""
    watched = {
        route.source.name
        for route in mapping.redis_to_ros
        if isinstance(route.source, KeySourceConfig)
    }
    return {
        route.where: LastValue()
        for route in mapping.ros_to_redis
        for sink in route.sinks
        if isinstance(sink, KeySinkConfig) and sink.name in watched
    }


def _check_paths(route: RedisToRos, message: Message) -> None:
    """Raise if the route names fields that the type does not have, or values that do not fit."""
    for path in (*route.limits, *route.required, *([route.field] if route.field else [])):
        types.field_at(message, path)
    trial: dict = {}
    for path, value in route.set.items():
        types.field_at(message, path)
        set_at(trial, path, {'sec': 0, 'nanosec': 0} if value == 'now' else value)
    write = cdr.writer(message)
    for name, value in (
        ('set', trial),
        ('stop.message', route.stop.message if route.stop else {}),
    ):
        try:
            write(value)
        except PayloadError as error:
            raise PayloadError(f'{name}: {error}') from None


def _is_well(state: str) -> bool:
    return not state.startswith(('error', 'incompatible'))


def _sum(*tallies: dict[str, int]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for tally in tallies:
        total.update(tally)
    return dict(total)
