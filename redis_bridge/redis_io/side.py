# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The Redis side of a bridge, as the one object that the rest of the package sees."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Collection
from typing import NamedTuple

from redis_bridge.counters import Counters
from redis_bridge.errors import RedisError
from redis_bridge.mapping.model import (
    ChannelSourceConfig,
    Heartbeat,
    KeySourceConfig,
    RedisSettings,
    SinkConfig,
    StreamSourceConfig,
)
from redis_bridge.ports import Sink, SourceRequest
from redis_bridge.protocol.descriptions import NameDescription
from redis_bridge.redis_io.address import Address, Timing
from redis_bridge.redis_io.channel_source import ChannelReceiver, ChannelSource
from redis_bridge.redis_io.clock import Clock
from redis_bridge.redis_io.connection_thread import ConnectionThread
from redis_bridge.redis_io.group_source import GroupReceiver, GroupSource
from redis_bridge.redis_io.health import Health
from redis_bridge.redis_io.key_source import KeyReceiver, KeySource
from redis_bridge.redis_io.presence import Presence
from redis_bridge.redis_io.route_receivers import (
    ChannelForRoute,
    GroupForRoute,
    KeyForRoute,
    StreamForRoute,
)
from redis_bridge.redis_io.source import R, Setup, Source
from redis_bridge.redis_io.stream_source import StreamReceiver, StreamSource
from redis_bridge.redis_io.writer import Writer

__all__ = ['RedisSide', 'Timing']

SOURCES_END_S = 0.15
RELEASE_S = 0.15


class RedisSide:
    """All sinks and sources of one bridge, with the threads and connections behind them.

    Raises RedisError for settings that can never work; a server that is down is waited for.
    """

    def __init__(
        self,
        settings: RedisSettings,
        robot: str,
        *,
        log: logging.Logger,
        presence: Heartbeat,
        timing: Timing = Timing(),  # noqa: B008 (frozen)
    ) -> None:
        boot = secrets.token_hex(4)  # identifies this start of the bridge
        self.origin = f'{robot}/{boot}'
        self._robot = robot
        self._log = log
        self._address = Address(settings, f'redis_bridge:{robot}', timing)
        self._clock = Clock()
        self._health = Health(log, self._address.where)
        self._writer = Writer(self._address, self._clock, self._health, log)
        self._presence = Presence(
            robot, boot, presence, self._address, self._clock,
            health=self._health, log=log, on_change=self._on_claim_change,
        )  # fmt: skip
        self._setup = Setup(self._address, self._health, self._presence.why_closed)
        self._receivers: dict[SourceRequest, _RouteReceiver] = {}  # that are wanted
        self._channels: dict[_Role, Source[ChannelReceiver]] = {}
        self._keys: dict[_Role, Source[KeyReceiver]] = {}
        self._streams: dict[_Role, Source[StreamReceiver]] = {}
        self._groups: dict[_Role, Source[GroupReceiver]] = {}
        self._lock = threading.Lock()  # over what is wanted
        self._is_started = False
        self._closed = False

    def now(self) -> float:
        """Return the Redis server's time in seconds; our own until the first connection."""
        return self._clock.now()

    def open_sink(self, config: SinkConfig, counters: Counters) -> Sink:
        """Return the sink for a Redis name."""
        return self._writer.open_sink(config, counters)

    def want(self, sources: Collection[SourceRequest]) -> None:
        """Read exactly these names from now on; sources that stay keep their place.

        Raises RedisError if two sources would take entries from each other.
        """
        _check_groups(sources)
        with self._lock:
            self._receivers = {
                request: self._receivers.get(request) or _for_route(request, self._log)
                for request in sources
            }
            if self._is_started and not self._closed:
                self._apply()

    def _apply(self) -> None:
        """Hand each source its part of what is wanted."""
        channels: _Wanted[ChannelReceiver] = {}
        keys: _Wanted[KeyReceiver] = {}
        streams: _Wanted[StreamReceiver] = {}
        groups: _Wanted[GroupReceiver] = {}
        for request, receiver in self._receivers.items():
            role, name = _Role.of(request), request.config.name
            if isinstance(receiver, ChannelForRoute):
                channels.setdefault(role, {}).setdefault(name, []).append(receiver)
            elif isinstance(receiver, KeyForRoute):
                keys.setdefault(role, {}).setdefault(name, []).append(receiver)
            elif isinstance(receiver, StreamForRoute):
                streams.setdefault(role, {}).setdefault(name, []).append(receiver)
            else:
                groups.setdefault(role, {}).setdefault(name, []).append(receiver)
        setup, robot, log = self._setup, self._robot, self._log
        _distribute(channels, self._channels, lambda role: ChannelSource(str(role), setup))
        _distribute(keys, self._keys, lambda role: KeySource(str(role), setup))
        _distribute(streams, self._streams, lambda role: StreamSource(str(role), setup))
        _distribute(
            groups,
            self._groups,
            lambda role: GroupSource(
                str(role), setup, group=role.group or '', consumer=robot, log=log
            ),
        )

    def describe(self, description: NameDescription) -> None:
        """Describe a name in Redis, for readers and senders that do not know the mapping."""
        self._presence.describe(description)

    def on_connected(self, callback: Callable[[bool], None]) -> None:
        """Have `callback(again)` run after each connect of the writer, in its thread."""
        self._writer.on_connected(callback)

    def start(self, status: Callable[[], dict[str, str]]) -> None:
        """Start all threads; returns at once. `status` returns the fields of each heartbeat."""
        self._writer.start()
        self._presence.start(status)
        with self._lock:
            self._is_started = True
            self._apply()

    def states(self) -> dict[str, str]:
        """Return connection role -> 'connected', or the problem, as in 'connecting: reason'."""
        states = self._health.states()
        problem = self._writer.problem()
        if problem is not None and states['writer'] == 'connected':
            states['writer'] = f'connected, but nothing is stored: {problem}'
        return states

    def is_holder(self) -> bool:
        """Return whether this bridge holds the robot's name."""
        return self._presence.is_holder()

    def close(self, flush_s: float = 1.0) -> None:
        """Stop the sources, write what waits, release the name; closing twice is harmless."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        threads = self._source_threads()
        for thread in threads:
            thread.finish()
        deadline = time.monotonic() + SOURCES_END_S
        for thread in threads:
            thread.close(deadline)
        self._writer.close(flush_s)
        self._presence.close(time.monotonic() + RELEASE_S)

    def _source_threads(self) -> list[ConnectionThread]:
        return [
            *(source.thread for source in self._channels.values()),
            *(source.thread for source in self._keys.values()),
            *(source.thread for source in self._streams.values()),
            *(source.thread for source in self._groups.values()),
        ]

    def _on_claim_change(self) -> None:
        """Let sources connect that wait for the claim; without it, disconnect all at once."""
        with self._lock:
            for thread in self._source_threads():
                if self._presence.is_holder():
                    thread.waker.set()
                else:
                    thread.interrupt()


class _Role(NamedTuple):
    """What one connection reads; what a robot moves on has a connection of its own."""

    kind: str
    group: str | None
    is_command: bool

    @classmethod
    def of(cls, request: SourceRequest) -> _Role:
        """Return the role that reads a name."""
        group = request.config.group if isinstance(request.config, StreamSourceConfig) else None
        return cls(request.config.kind, group, request.is_command)

    def __str__(self) -> str:
        role = f'{self.kind}s' if self.group is None else f'group {self.group}'
        return f'{role} (commands)' if self.is_command else role


_RouteReceiver = ChannelForRoute | KeyForRoute | StreamForRoute | GroupForRoute
_Wanted = dict[_Role, dict[str, list[R]]]


def _distribute(
    wanted: _Wanted[R], sources: dict[_Role, Source[R]], make: Callable[[_Role], Source[R]]
) -> None:
    """Have each source of a kind read its part; those without names read nothing."""
    for role in {**wanted, **sources}:
        if role not in sources:
            sources[role] = make(role)
        sources[role].want(wanted.get(role, {}))


def _for_route(request: SourceRequest, log: logging.Logger) -> _RouteReceiver:
    """Return what hands on to a route what a source reads."""
    config = request.config
    if isinstance(config, ChannelSourceConfig):
        return ChannelForRoute(request, log)
    if isinstance(config, KeySourceConfig):
        return KeyForRoute(request, config, log)
    if config.group is None:
        return StreamForRoute(request, config, log)
    return GroupForRoute(request, log)


def _check_groups(requests: Collection[SourceRequest]) -> None:
    """Raise RedisError if two routes are the same member of a group."""
    taken = set()
    for config, *_ in requests:
        if isinstance(config, StreamSourceConfig) and config.group is not None:
            if (config.name, config.group) in taken:
                raise RedisError(
                    f'two routes read stream {config.name} in group {config.group}, where each '
                    'entry goes to one reader only; give one of them another group'
                )
            taken.add((config.name, config.group))
