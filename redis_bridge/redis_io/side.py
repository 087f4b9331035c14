# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The Redis side of a bridge, as the one object that the rest of the package sees."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Collection
from typing import Any

from redis_bridge.counters import Counters
from redis_bridge.errors import RedisError
from redis_bridge.mapping.model import (
    ChannelSourceConfig,
    Heartbeat,
    KeySourceConfig,
    RedisSettings,
    SinkConfig,
    SourceConfig,
    StreamSourceConfig,
)
from redis_bridge.ports import Receiver, Sink, SourceRequest
from redis_bridge.protocol import keys
from redis_bridge.protocol.descriptions import NameDescription
from redis_bridge.redis_io.address import Address, Timing
from redis_bridge.redis_io.channel_source import ChannelReader
from redis_bridge.redis_io.clock import Clock
from redis_bridge.redis_io.connection_thread import ConnectionThread
from redis_bridge.redis_io.health import Health
from redis_bridge.redis_io.key_source import KeyWatcher
from redis_bridge.redis_io.presence import Presence
from redis_bridge.redis_io.stream_source import CursorReader, GroupReader
from redis_bridge.redis_io.topology import Topology
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
        boot = secrets.token_hex(4)  # tells this start of the bridge from others
        self.origin = f'{robot}/{boot}'
        self._robot = robot
        self._log = log
        self._timing = timing
        self._address = Address(settings, f'redis_bridge:{robot}', timing)
        self._clock = Clock()
        self._health = Health(log, self._address.where)
        self._writer = Writer(Topology(self._address), self._clock, self._health, log, timing)
        self._presence = Presence(
            robot, boot, presence, self._address, self._clock,
            health=self._health, log=log, timing=timing,
        )  # fmt: skip
        self._presence.on_taken(self._interrupt_sources)
        self._channels: dict[str, ChannelReader] = {}  # by lane
        self._keys: dict[str, KeyWatcher] = {}
        self._streams: list[CursorReader | GroupReader] = []
        self._groups: set[tuple[str, str]] = set()  # streams that are read, and in which group
        self._started = False
        self._closed = False

    def now(self) -> float:
        """Return the Redis server's time in seconds; our own until the first connection."""
        return self._clock.now()

    def open_sink(self, config: SinkConfig, counters: Counters) -> Sink:
        """Return the sink for a Redis name."""
        return self._writer.open_sink(config, counters)

    def want(self, sources: Collection[SourceRequest]) -> None:
        """Read exactly these names; only before the start, until the threads reconcile."""
        if not self._started:
            for config, receiver, is_command, max_bytes in sources:
                self.source(config, receiver, command=is_command, max_bytes=max_bytes)

    def describe(self, description: NameDescription) -> None:
        """Describe a name in Redis, for readers and senders that do not know the mapping."""
        name, kind, is_read, encoding, field, type_ = description
        kind = f'from_{kind}' if is_read else kind
        self.register(name, kind, type_.name, encoding, type_.definition, type_.type_hash, field)

    def source(
        self, config: SourceConfig, receiver: Receiver, *, command: bool, max_bytes: int
    ) -> None:
        """Have a receiver told what comes under a name; before the start.

        Of a key's value that is longer than `max_bytes` the receiver gets one byte more than
        that, so it can see and refuse it. `command` puts it into the lane of commands. Raises
        RedisError where two sources would take entries from each other.
        """
        lane = ' (commands)' if command else ''
        shared = {
            'health': self._health, 'timing': self._timing, 'gate': self._presence.why_closed,
        }  # fmt: skip
        if isinstance(config, ChannelSourceConfig):
            if lane not in self._channels:
                role = f'channels{lane}'
                self._channels[lane] = ChannelReader(role, self._address, **shared)
            self._channels[lane].add(config.name, receiver)
        elif isinstance(config, KeySourceConfig):
            if lane not in self._keys:
                self._keys[lane] = KeyWatcher(
                    f'keys{lane}', self._address, every_write=command, log=self._log, **shared
                )
            self._keys[lane].add(config, receiver, max_bytes)
        else:
            self._stream_reader(config, command, lane, shared).add(config, receiver)

    def _stream_reader(
        self, config: StreamSourceConfig, command: bool, lane: str, shared: dict[str, Any]
    ) -> CursorReader | GroupReader:
        """Return the reader that can take a stream, a new one if need be."""
        if config.group is not None:
            if (config.name, config.group) in self._groups:
                raise RedisError(
                    f'two routes read stream {config.name} in group {config.group}, where each '
                    'entry goes to one reader only; give one of them another group'
                )
            self._groups.add((config.name, config.group))
        kind = CursorReader if config.group is None else GroupReader
        for reader in self._streams:
            if isinstance(reader, kind) and reader.takes(config, command):
                return reader
        role = f'streams{lane}'
        if config.group is not None:
            role = f'group {config.group}{lane}'
            shared = {**shared, 'group': config.group, 'consumer': self._robot}
        same = sum(reader.thread.role.startswith(role) for reader in self._streams)
        if same:
            role += f' {same + 1}'
        reader = kind(role, self._address, command=command, log=self._log, **shared)
        self._streams.append(reader)
        return reader

    def on_connected(self, callback: Callable[[bool], None]) -> None:
        """Have `callback(again)` run after each connect of the writer, in its thread."""
        self._writer.on_connected(callback)

    def start(self, status: Callable[[], dict[str, str]]) -> None:
        """Start all threads; returns at once. `status` gives the fields of each heartbeat."""
        self._started = True
        self._writer.start()
        self._presence.start(status)
        for thread in self._source_threads():
            thread.start()

    def register(
        self,
        name: str,
        kind: str,
        type: str,
        encoding: str,
        definition: str,
        type_hash: str,
        field: str | None = None,
    ) -> None:
        """Describe what stands under a name, for those who know nothing of the mapping.

        `kind` is that of a sink, or `from_` and that of a source.
        """
        self._presence.describe(
            keys.type_key(type),
            {
                'definition': definition,
                'type_hash': type_hash,
                'protocol': str(keys.PROTOCOL),
            },
        )
        side = 'from_' if kind.startswith('from_') else ''
        fields = {
            'robot': self._robot,
            kind: encoding,
            f'{side}type': type,
            f'{side}type_hash': type_hash,
        }
        if field is not None:
            fields[f'{side}field'] = field
        self._presence.describe(keys.meta_key(name), fields)

    def states(self) -> dict[str, str]:
        """Return role -> 'connected', or what is amiss, such as 'connecting: reason'."""
        states = self._health.states()
        trouble = self._writer.problem()
        if trouble is not None and states['writer'] == 'connected':
            states['writer'] = f'connected, but nothing is stored: {trouble}'
        return states

    def is_holder(self) -> bool:
        """Tell whether this bridge holds the robot's name."""
        return self._presence.is_holder()

    def close(self, flush_s: float = 1.0) -> None:
        """Stop the sources, write what waits, release the name; closing twice is harmless."""
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
        readers = [*self._channels.values(), *self._keys.values(), *self._streams]
        return [reader.thread for reader in readers]

    def _interrupt_sources(self) -> None:
        for thread in self._source_threads():
            thread.interrupt()
