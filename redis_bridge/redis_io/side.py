# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The Redis side of a bridge, as the one object that the rest of the package sees."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Collection, Hashable
from functools import partial
from typing import Generic, NamedTuple
from weakref import WeakKeyDictionary

from redis_bridge.counters import Counters
from redis_bridge.errors import RedisError
from redis_bridge.mapping.model import (
    ChannelSourceConfig,
    Heartbeat,
    KeySourceConfig,
    LeaseConfig,
    RedisSettings,
    SinkConfig,
)
from redis_bridge.ports import ChannelsRequest, Sink, SourceRequest, TakeRegistered
from redis_bridge.protocol import keys
from redis_bridge.protocol.descriptions import NameDescription
from redis_bridge.protocol.fleet import RobotEvent
from redis_bridge.redis_io.address import Address, Timing
from redis_bridge.redis_io.channel_source import (
    ChannelReceiver,
    ChannelSource,
    PatternSource,
    ShardedSource,
)
from redis_bridge.redis_io.clock import Clock
from redis_bridge.redis_io.connection_thread import ConnectionThread
from redis_bridge.redis_io.fleet_watch import FleetWatch
from redis_bridge.redis_io.group_source import GroupReceiver, GroupSource
from redis_bridge.redis_io.health import Health
from redis_bridge.redis_io.held_leases import HeldLeases
from redis_bridge.redis_io.key_source import KeyReceiver, KeySource, LastValues
from redis_bridge.redis_io.presence import Presence
from redis_bridge.redis_io.registry import Registry
from redis_bridge.redis_io.route_receivers import (
    ChannelForRoute,
    GroupForRoute,
    KeyForRoute,
    PatternForRoutes,
    StreamForRoute,
)
from redis_bridge.redis_io.source import R, Setup, Source
from redis_bridge.redis_io.spread import Spread
from redis_bridge.redis_io.stream_source import StreamReceiver, StreamSource
from redis_bridge.redis_io.topology import topology_of
from redis_bridge.redis_io.writer import Writer

__all__ = ['RedisSide', 'Timing']

SOURCES_END_S = 0.15
RELEASE_S = 0.15


class RedisSide:
    """All sinks and sources of one bridge, with their threads and connections; see `ports`.

    Raises RedisError for settings that can never work; a server that is down is waited for.
    """

    def __init__(
        self,
        settings: RedisSettings,
        robot: str,
        *,
        log: logging.Logger,
        presence: Heartbeat,
        leases: Collection[LeaseConfig] = (),
        timing: Timing = Timing(),  # noqa: B008 (frozen)
    ) -> None:
        boot = secrets.token_hex(4)  # identifies this start of the bridge
        self.origin = f'{robot}/{boot}'
        self._log = log
        self._topology = topology = topology_of(settings, f'redis_bridge:{robot}', timing, log)
        self._address = topology.address
        self._clock = Clock()
        self._health = Health(log, self._address.where)
        self._presence = Presence(
            robot, boot, presence, [lease.name for lease in leases], topology.quick, self._clock,
            health=self._health, log=log, on_change=self._on_change,
        )  # fmt: skip
        self._lock = threading.Lock()  # over what is wanted
        self._is_started = False
        self._closed = False
        self._writers: dict[tuple[Address, bool], Writer] = {}
        self._writer_of(keys.robot_key(robot), False)  # there is one, whatever the routes are
        node_of, reader_of = topology.node_of, topology.reader_of
        channel_source = ShardedSource if settings.sharded_pubsub else ChannelSource
        self._channels = _Sources[ChannelReceiver](
            node_of, lambda role, name, at: channel_source(name, self._setup(at))
        )
        # A message reaches all nodes; each pattern has one, whatever it matches.
        self._patterns = _Sources[PatternForRoutes](
            lambda pattern: node_of(keys.NAMES),
            lambda role, name, at: PatternSource[PatternForRoutes](name, self._setup(at)),
        )
        last: LastValues = WeakKeyDictionary()
        self._keys = _Sources[KeyReceiver](
            node_of, lambda role, name, at: KeySource(name, self._setup(at), last)
        )
        self._streams = _Sources[StreamReceiver](
            reader_of, lambda role, name, at: StreamSource(name, self._setup(at))
        )
        self._groups = _Sources[GroupReceiver](
            reader_of,
            lambda role, name, at: GroupSource(
                name, self._setup(at), group=role.group or '', consumer=robot, log=log
            ),
        )
        self._sources = (
            self._channels, self._patterns, self._keys, self._streams, self._groups,
        )  # fmt: skip
        self._roster: FleetWatch | None = None
        self._leases = (
            HeldLeases(
                leases, topology.quick, self._clock, self.origin, health=self._health, log=log
            )
            if leases
            else None
        )
        self._wanted: Collection[SourceRequest] = ()
        self._discovered: Collection[ChannelsRequest] = ()
        self._registry: Registry | None = None
        topology.on_change(self._spread_anew)

    def now(self) -> float:
        return self._clock.now()

    def latest(self) -> float:
        return self._clock.latest()

    def open_sink(
        self, config: SinkConfig, counters: Counters, *, is_mirrored: bool = False
    ) -> Sink:
        is_durable = config.durability != 'memory'
        with self._lock:
            writer = self._writer_of(config.name, is_durable)
            return writer.open_sink(config, counters, is_mirrored=is_mirrored)

    def _writer_of(self, name: str, is_durable: bool) -> Writer:
        """Return the writer of a name; one that waits for replicas or disks holds up no other."""
        node = self._topology.node_of(name)
        writer = self._writers.get((node, is_durable))
        if writer is None:
            about = ', '.join(filter(None, ['durable' if is_durable else '', node.label]))
            role = f'writer ({about})' if about else 'writer'
            writer = self._writers[node, is_durable] = Writer(
                role, node, self._presence, self._clock, self._health, self._log
            )
            writer.on_claim_change(is_standby=self._presence.is_standby())
            if self._is_started:
                writer.start()
        return writer

    def _setup(self, address: Address) -> Setup:
        return Setup(address, self._health, self._presence)

    def _spread_anew(self) -> None:
        """Have each name written and read at the server that holds it now."""
        with self._lock:
            if self._closed:
                return
            for (_, is_durable), writer in list(self._writers.items()):
                writer.hand_over(partial(self._writer_of, is_durable=is_durable))
            for sources in self._sources:
                sources.spread_anew()

    def want(self, sources: Collection[SourceRequest]) -> None:
        """Read exactly these names from now on; sources that stay keep their place.

        Raises RedisError if two sources would take entries from each other.
        """
        _check_groups(sources)
        with self._lock:
            self._wanted = tuple(sources)
            self._apply()

    def discover(
        self, channels: Collection[ChannelsRequest], registered: TakeRegistered | None
    ) -> None:
        with self._lock:
            self._discovered = tuple(channels)
            old = self._registry
            if registered is None:
                self._registry = None
            elif old is None or old.take != registered:
                self._registry = Registry(registered, self._log)
            if old is not None and old is not self._registry:
                old.close()
            self._apply()

    def _apply(self) -> None:
        """Hand each source its part of what is wanted."""
        if not self._is_started or self._closed:
            return
        for request in self._wanted:
            self._add(request)
        for channels in self._discovered:
            self._pattern(channels).ask(channels.heard)
        registry = self._registry
        if registry is not None:
            self._keys.add(_Name.of_registry(registry), lambda: registry)
        for pattern in self._patterns.added():
            pattern.apply()
        for sources in self._sources:
            sources.apply()

    def _add(self, request: SourceRequest) -> None:
        config, log, name = request.config, self._log, _Name.of(request)
        if isinstance(config, ChannelSourceConfig):
            if config.pattern is None:
                self._channels.add(name, lambda: ChannelForRoute(request, log))
            else:
                self._pattern(request).add(config.name, ChannelForRoute(request, log))
        elif isinstance(config, KeySourceConfig):
            self._keys.add(name, lambda: KeyForRoute(request, config, log))
        elif config.group is None:
            self._streams.add(name, lambda: StreamForRoute(request, config, log))
        else:
            self._groups.add(name, lambda: GroupForRoute(request, log))

    def _pattern(self, asked: SourceRequest | ChannelsRequest) -> PatternForRoutes:
        """Return what reads a pattern."""
        name = _Name.of(asked)
        return self._patterns.add(name, lambda: PatternForRoutes(name.name, self._log))

    def source_state(self, source: SourceRequest | ChannelsRequest) -> str:
        return self._state_of(_Name.of(source))

    def registry_state(self) -> str:
        return self._state_of(_Name.of_registry(self._registry))

    def _state_of(self, name: _Name) -> str:
        closed = self._presence.why_closed()
        if closed is not None:
            presence = self._health.state('presence')
            return f'closed: {closed}' if presence == 'connected' else f'Redis: {presence}'
        states = (sources.state_of(name) for sources in self._sources)
        return next(filter(None, states), 'Redis: connecting')

    def describe(self, descriptions: Collection[NameDescription]) -> None:
        self._presence.describe(descriptions)

    def watch_robots(self, on_event: Callable[[RobotEvent], None]) -> FleetWatch:
        """Return what follows the roster while it is wanted, in a thread of its own; once."""
        self._roster = FleetWatch('roster', self._address, self._health, on_event)
        return self._roster

    def start(self, status: Callable[[], dict[str, str]]) -> None:
        with self._lock:
            self._is_started = True
            for writer in self._writers.values():
                writer.start()
            self._presence.start(status)
            if self._leases is not None:
                self._leases.start()
            self._apply()

    def states(self) -> dict[str, str]:
        states = self._health.states()
        writers = list(self._writers.values())  # others add some meanwhile
        # Those of nodes that have left a cluster are idle.
        states.update({each.role: each.state() for each in writers if each.role in states})
        states['presence'] = self._presence.state()
        states.update(self._address.states())
        return states

    def term(self) -> int | None:
        return self._presence.term()

    def lease_token(self, name: str) -> int | None:
        return None if self._leases is None else self._leases.token(name)

    def acquire_lease(self, name: str) -> tuple[bool, str]:
        """See `HeldLeases.acquire`."""
        return self._held_leases().acquire(name)

    def release_lease(self, name: str) -> tuple[bool, str]:
        """See `HeldLeases.release`."""
        return self._held_leases().release(name)

    def _held_leases(self) -> HeldLeases:
        if self._leases is None:
            raise RedisError('the mapping lists no leases')
        return self._leases

    def why_closed(self) -> str | None:
        return self._presence.why_closed()

    def close(self, flush_s: float = 1.0) -> None:
        """Stop the sources, write what waits, release the name; closing twice is harmless."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._registry is not None:
                self._registry.close()
        if self._roster is not None:
            self._roster.close(time.monotonic())
        threads = self._source_threads()
        for thread in threads:
            thread.finish()
        deadline = time.monotonic() + SOURCES_END_S
        for thread in threads:
            thread.close(deadline)
        end = time.monotonic() + flush_s
        for writer in self._writers.values():
            writer.close(max(0.0, end - time.monotonic()))
        if self._leases is not None:
            self._leases.close(time.monotonic() + RELEASE_S)
        self._presence.close(time.monotonic() + RELEASE_S)
        self._address.close(time.monotonic())

    def _source_threads(self) -> list[ConnectionThread]:
        return [thread for sources in self._sources for thread in sources.threads()]

    def _on_change(self) -> None:
        """Let all begin anew that depend on the name; without it, they wait."""
        with self._lock:
            for sources in self._sources:
                sources.on_gate_change()
            for writer in self._writers.values():
                writer.on_claim_change(is_standby=self._presence.is_standby())


class _Role(NamedTuple):
    """What one connection reads; what a robot moves on has a connection of its own."""

    kind: str
    group: str | None = None
    is_command: bool = False

    def __str__(self) -> str:
        role = f'{self.kind}s' if self.group is None else f'group {self.group}'
        return f'{role} (commands)' if self.is_command else role


class _Name(NamedTuple):
    """A Redis name, or a pattern of channels, that one receiver reads."""

    role: _Role
    name: str
    reader: Hashable = None  # tells the receivers of one name apart

    @classmethod
    def of(cls, asked: SourceRequest | ChannelsRequest) -> _Name:
        """Return what is read for a route, or for all routes of a pattern."""
        if isinstance(asked, ChannelsRequest):
            return cls._of_pattern(asked.pattern, asked.is_command)
        config = asked.config
        if isinstance(config, ChannelSourceConfig) and config.pattern is not None:
            return cls._of_pattern(config.pattern, asked.is_command)
        return cls(_Role(config.kind, config.group, asked.is_command), config.name, asked)

    @classmethod
    def _of_pattern(cls, pattern: str, is_command: bool) -> _Name:
        return cls(_Role('channel pattern', is_command=is_command), pattern)

    @classmethod
    def of_registry(cls, registry: Registry | None) -> _Name:
        """Return the hash of registered names."""
        return cls(_Role('key'), keys.NAMES, registry)


class _Sources(Generic[R]):
    """The sources of one kind, one per role and server; those without names read nothing."""

    def __init__(
        self,
        place_of: Callable[[str], Address],
        make: Callable[[_Role, str, Address], Source[R]],
    ) -> None:
        self._place_of = place_of
        self._make = make
        self._by_role: dict[_Role, Spread[R]] = {}
        self._receivers: dict[_Name, R] = {}
        self._wanted: dict[_Name, R] = {}

    def add(self, name: _Name, make_receiver: Callable[[], R]) -> R:
        """Want a name from the next `apply` on; a receiver that is there already stays."""
        receiver = self._wanted.get(name) or self._receivers.get(name) or make_receiver()
        self._wanted[name] = receiver
        return receiver

    def added(self) -> list[R]:
        """Return the receivers of all that `apply` will read."""
        return list(self._wanted.values())

    def state_of(self, name: _Name) -> str | None:
        """Return 'open', or why the name is not read; None if it is none of these."""
        receiver = self._receivers.get(name)
        return None if receiver is None else self._by_role[name.role].state_of(receiver)

    def apply(self) -> None:
        """Read exactly what was added since the last time."""
        self._receivers, self._wanted = self._wanted, {}
        names: dict[_Role, dict[str, list[R]]] = {role: {} for role in self._by_role}
        for name, receiver in self._receivers.items():
            names.setdefault(name.role, {}).setdefault(name.name, []).append(receiver)
        for role, by_name in names.items():
            if role not in self._by_role:
                self._by_role[role] = Spread(str(role), self._place_of, partial(self._make, role))
            self._by_role[role].want(by_name)

    def spread_anew(self) -> None:
        """See `spread.Spread`."""
        for spread in self._by_role.values():
            spread.spread_anew()

    def on_gate_change(self) -> None:
        """See `source.Source`."""
        for spread in self._by_role.values():
            spread.on_gate_change()

    def threads(self) -> list[ConnectionThread]:
        """Return the threads of all roles."""
        return [thread for spread in self._by_role.values() for thread in spread.threads()]


def _check_groups(requests: Collection[SourceRequest]) -> None:
    """Raise RedisError if two routes are the same member of a group."""
    taken = set()
    for config, *_ in requests:
        if config.group is not None:
            if (config.name, config.group) in taken:
                raise RedisError(
                    f'two routes read stream {config.name} in group {config.group}, where each '
                    'entry goes to one reader only; give one of them another group'
                )
            taken.add((config.name, config.group))
