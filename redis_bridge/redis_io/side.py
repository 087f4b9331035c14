# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The Redis side of a bridge, as the one object that the rest of the package sees."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Collection
from typing import Generic, NamedTuple

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
from redis_bridge.ports import Sink, SourceRequest
from redis_bridge.protocol.descriptions import NameDescription
from redis_bridge.protocol.fleet import RobotEvent
from redis_bridge.redis_io.address import Address, Timing
from redis_bridge.redis_io.channel_source import ChannelReceiver, ChannelSource
from redis_bridge.redis_io.clock import Clock
from redis_bridge.redis_io.connection_thread import ConnectionThread
from redis_bridge.redis_io.fleet_watch import FleetWatch
from redis_bridge.redis_io.group_source import GroupReceiver, GroupSource
from redis_bridge.redis_io.health import Health
from redis_bridge.redis_io.held_leases import HeldLeases
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
from redis_bridge.redis_io.topology import Topology, address_of
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
        self._address = address = address_of(settings, f'redis_bridge:{robot}', timing, log)
        self._topology = Topology(address)
        self._clock = Clock()
        self._health = Health(log, address.where)
        self._presence = Presence(
            robot, boot, presence, address, self._clock,
            health=self._health, log=log, on_change=self._on_change,
        )  # fmt: skip
        self._writers = {
            (node, False): self._writer(node, False) for node in self._topology.nodes()
        }
        setup = Setup(address, self._health, self._presence)
        self._channels = _Sources[ChannelReceiver](lambda role: ChannelSource(str(role), setup))
        self._keys = _Sources[KeyReceiver](lambda role: KeySource(str(role), setup))
        self._streams = _Sources[StreamReceiver](lambda role: StreamSource(str(role), setup))
        self._groups = _Sources[GroupReceiver](
            lambda role: GroupSource(
                str(role), setup, group=role.group or '', consumer=robot, log=log
            )
        )
        self._sources = (self._channels, self._keys, self._streams, self._groups)
        self._roster: FleetWatch | None = None
        self._leases = (
            HeldLeases(leases, address, self._clock, self.origin, health=self._health, log=log)
            if leases
            else None
        )
        self._wanted: Collection[SourceRequest] = ()
        self._lock = threading.Lock()  # over what is wanted
        self._is_started = False
        self._closed = False

    def now(self) -> float:
        return self._clock.now()

    def latest(self) -> float:
        return self._clock.latest()

    def open_sink(
        self, config: SinkConfig, counters: Counters, *, is_mirrored: bool = False
    ) -> Sink:
        where = (self._topology.node_of(config.name), config.durability != 'memory')
        with self._lock:
            if where not in self._writers:
                self._writers[where] = self._writer(*where)
                if self._is_started:
                    self._writers[where].start()
            return self._writers[where].open_sink(config, counters, is_mirrored=is_mirrored)

    def _writer(self, node: Address, is_durable: bool) -> Writer:
        """Return a new writer; one that waits for replicas or disks holds up no other."""
        role = 'writer (durable)' if is_durable else 'writer'
        return Writer(role, node, self._presence, self._clock, self._health, self._log)

    def want(self, sources: Collection[SourceRequest]) -> None:
        """Read exactly these names from now on; sources that stay keep their place.

        Raises RedisError if two sources would take entries from each other.
        """
        _check_groups(sources)
        with self._lock:
            self._wanted = tuple(sources)
            if self._is_started and not self._closed:
                self._apply()

    def _apply(self) -> None:
        """Hand each source its part of what is wanted."""
        for request in self._wanted:
            self._add(request)
        for sources in self._sources:
            sources.apply()

    def _add(self, request: SourceRequest) -> None:
        config, log = request.config, self._log
        if isinstance(config, ChannelSourceConfig):
            self._channels.add(request, lambda: ChannelForRoute(request, log))
        elif isinstance(config, KeySourceConfig):
            self._keys.add(request, lambda: KeyForRoute(request, config, log))
        elif config.group is None:
            self._streams.add(request, lambda: StreamForRoute(request, config, log))
        else:
            self._groups.add(request, lambda: GroupForRoute(request, log))

    def source_state(self, source: SourceRequest) -> str:
        closed = self._presence.why_closed()
        if closed is not None:
            presence = self._health.state('presence')
            return f'closed: {closed}' if presence == 'connected' else f'Redis: {presence}'
        states = (sources.state_of(source) for sources in self._sources)
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
        states.update({writer.role: writer.state() for writer in self._writers.values()})
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
    group: str | None
    is_command: bool

    @classmethod
    def of(cls, request: SourceRequest) -> _Role:
        """Return the role that reads a name."""
        return cls(request.config.kind, request.config.group, request.is_command)

    def __str__(self) -> str:
        role = f'{self.kind}s' if self.group is None else f'group {self.group}'
        return f'{role} (commands)' if self.is_command else role


class _Sources(Generic[R]):
    """The sources of one kind, one per role; those without names read nothing."""

    def __init__(self, make: Callable[[_Role], Source[R]]) -> None:
        self._make = make
        self._by_role: dict[_Role, Source[R]] = {}
        self._receivers: dict[SourceRequest, R] = {}
        self._wanted: dict[SourceRequest, R] = {}

    def add(self, request: SourceRequest, make_receiver: Callable[[], R]) -> None:
        """Want a name from the next `apply` on; a receiver that is there already stays."""
        self._wanted[request] = self._receivers.get(request) or make_receiver()

    def state_of(self, request: SourceRequest) -> str | None:
        """Return 'open', or why the name is not read; None if it is none of these."""
        receiver = self._receivers.get(request)
        return None if receiver is None else self._by_role[_Role.of(request)].state_of(receiver)

    def apply(self) -> None:
        """Read exactly what was added since the last time."""
        self._receivers, self._wanted = self._wanted, {}
        names: dict[_Role, dict[str, list[R]]] = {role: {} for role in self._by_role}
        for request, receiver in self._receivers.items():
            by_name = names.setdefault(_Role.of(request), {})
            by_name.setdefault(request.config.name, []).append(receiver)
        for role, by_name in names.items():
            if role not in self._by_role:
                self._by_role[role] = self._make(role)
            self._by_role[role].want(by_name)

    def on_gate_change(self) -> None:
        """See `source.Source`."""
        for source in self._by_role.values():
            source.on_gate_change()

    def threads(self) -> list[ConnectionThread]:
        """Return the threads of all roles."""
        return [source.thread for source in self._by_role.values()]


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
