# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Turns a write into the Redis command that carries it out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from redis_bridge.mapping.model import (
    ChannelSinkConfig,
    HashSinkConfig,
    KeySinkConfig,
    SinkConfig,
    StreamSinkConfig,
)
from redis_bridge.ports import Payload
from redis_bridge.protocol.meta import Meta, entry_fields
from redis_bridge.protocol.stream_ids import StreamId, id_text
from redis_bridge.redis_io.connection import Command, pack_prefix
from redis_bridge.redis_io.resp import Reply

COMPARED_BYTES = 256  # of a value; no image is read back each second


class Probe(NamedTuple):
    """What asks whether a name still has a value, at little cost, and the replies if so."""

    commands: Sequence[Command]
    if_held: list[Reply]


class SinkCommands(ABC):
    """The commands for one sink. Each write is one command, so that none can fail by half."""

    expires_apart = False  # the time to live takes a command of its own

    def __init__(self, config: SinkConfig) -> None:
        self._name = config.name
        self._ttl_ms = config.ttl_ms

    @abstractmethod
    def command_for(
        self, payload: Payload, meta: Meta | None, entry_id: StreamId | None
    ) -> Command:
        """Return the command for one payload; only streams use the last two."""

    def again(self, payload: Payload, ttl_ms: int | None) -> Command:
        """Return the command that writes a value of a key or hash again.

        :param ttl_ms: what is left of the time to live.
        """
        return self.command_for(payload, None, None)

    def renewal(self, ttl_ms: int) -> Command:
        """Return what renews the time to live."""
        return ('PEXPIRE', self._name, ttl_ms)

    def probe(self, payload: Payload) -> Probe:
        """Return what asks whether a key or hash still has a value."""
        raise NotImplementedError

    def existence(self) -> Probe:
        """Return what asks only whether the name exists, for users without the right to read."""
        return Probe([('EXISTS', self._name)], [1])


class KeyCommands(SinkCommands):
    """SET, which replaces the time to live too."""

    def __init__(self, config: KeySinkConfig) -> None:
        super().__init__(config)
        self._options: Command = () if config.ttl_ms is None else ('PX', config.ttl_ms)
        self._prefix = pack_prefix(('SET', config.name), 3 + len(self._options))

    def command_for(
        self, payload: Payload, meta: Meta | None, entry_id: StreamId | None
    ) -> Command:
        return (self._prefix, payload, *self._options)

    def again(self, payload: Payload, ttl_ms: int | None) -> Command:
        options = () if ttl_ms is None else ('PX', ttl_ms)
        return ('SET', self._name, payload, *options)

    def probe(self, payload: Payload) -> Probe:
        """Compare the length and the end, where a bridge's metadata is."""
        start, end = max(0, len(payload) - COMPARED_BYTES), len(payload)
        # One byte more shows that the value is longer.
        read: Command = ('GETRANGE', self._name, start, end)
        if isinstance(payload, bytes) and payload:
            return Probe([read], [payload[start:]])
        return Probe([*self.existence().commands, read], [1, b''])


class HashCommands(SinkCommands):
    """HSET."""

    expires_apart = True

    def command_for(
        self, payload: Payload, meta: Meta | None, entry_id: StreamId | None
    ) -> Command:
        if not isinstance(payload, dict):
            raise TypeError(f'hash {self._name}: expected fields, got {type(payload).__name__}')
        return ('HSET', self._name, *(part for pair in payload.items() for part in pair))

    def probe(self, payload: Payload) -> Probe:
        """Compare some fields, the short ones; those that others added do not matter."""
        fields: list[str] = []
        values: list[bytes] = []
        if isinstance(payload, dict):
            size = 0
            for field, value in payload.items():
                if size + len(value) <= COMPARED_BYTES:
                    size += len(value)
                    fields.append(field)
                    values.append(value)
        if not fields:
            return self.existence()
        return Probe([('HMGET', self._name, *fields)], [values])


class StreamCommands(SinkCommands):
    """XADD with an id that we chose, so that the server rejects the same entry a second time."""

    def __init__(self, config: StreamSinkConfig) -> None:
        super().__init__(config)
        self._head = ('XADD', config.name, 'MAXLEN', '~', config.maxlen)

    def command_for(
        self, payload: Payload, meta: Meta | None, entry_id: StreamId | None
    ) -> Command:
        if entry_id is None or isinstance(payload, dict):
            raise TypeError('an entry has an id, and bytes as payload')
        return (*self._head, id_text(entry_id), *entry_fields(payload, meta))


class ChannelCommands(SinkCommands):
    """PUBLISH or SPUBLISH."""

    def __init__(self, config: ChannelSinkConfig) -> None:
        super().__init__(config)
        word = 'SPUBLISH' if config.is_sharded else 'PUBLISH'
        self._prefix = pack_prefix((word, config.name), 3)

    def command_for(
        self, payload: Payload, meta: Meta | None, entry_id: StreamId | None
    ) -> Command:
        return (self._prefix, payload)


SINK_COMMANDS: dict[type[SinkConfig], Callable[[Any], SinkCommands]] = {
    KeySinkConfig: KeyCommands,
    HashSinkConfig: HashCommands,
    StreamSinkConfig: StreamCommands,
    ChannelSinkConfig: ChannelCommands,
}
