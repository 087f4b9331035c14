# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Turns a write into the Redis commands that carry it out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

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


class SinkCommands(Protocol):
    """The commands for one sink."""

    def write(self, payload: Payload, meta: Meta | None, id_: StreamId | None) -> list[Command]:
        """Return the commands for one payload; only streams use the last two."""


class KeyCommands:
    """SET, which replaces the time to live too."""

    def __init__(self, config: KeySinkConfig) -> None:
        self._options: Command = () if config.ttl_ms is None else ('PX', config.ttl_ms)
        self._prefix = pack_prefix(('SET', config.name), 3 + len(self._options))

    def write(self, payload: Payload, meta: Meta | None, id_: StreamId | None) -> list[Command]:
        return [(self._prefix, payload, *self._options)]


class HashCommands:
    """HSET, then PEXPIRE if there is a time to live."""

    def __init__(self, config: HashSinkConfig) -> None:
        self._name = config.name
        self._renewals = renewal(config.name, config.ttl_ms)

    def write(self, payload: Payload, meta: Meta | None, id_: StreamId | None) -> list[Command]:
        if not isinstance(payload, dict):
            raise TypeError(f'hash {self._name}: expected fields, got {type(payload).__name__}')
        fields = (part for pair in payload.items() for part in pair)
        return [('HSET', self._name, *fields), *self._renewals]


class StreamCommands:
    """XADD with an id that we chose, so that the server rejects the same entry a second time."""

    def __init__(self, config: StreamSinkConfig) -> None:
        self._head = ('XADD', config.name, 'MAXLEN', '~', config.maxlen)

    def write(self, payload: Payload, meta: Meta | None, id_: StreamId | None) -> list[Command]:
        if id_ is None or isinstance(payload, dict):
            raise TypeError('an entry has an id, and bytes as payload')
        return [(*self._head, id_text(id_), *entry_fields(payload, meta))]


class ChannelCommands:
    """PUBLISH."""

    def __init__(self, config: ChannelSinkConfig) -> None:
        self._prefix = pack_prefix(('PUBLISH', config.name), 3)

    def write(self, payload: Payload, meta: Meta | None, id_: StreamId | None) -> list[Command]:
        return [(self._prefix, payload)]


SINK_COMMANDS: dict[type[SinkConfig], Callable[[Any], SinkCommands]] = {
    KeySinkConfig: KeyCommands,
    HashSinkConfig: HashCommands,
    StreamSinkConfig: StreamCommands,
    ChannelSinkConfig: ChannelCommands,
}


def renewal(name: str, ttl_ms: int | None) -> list[Command]:
    """Return what renews the time to live of a key or hash, if it has one."""
    return [] if ttl_ms is None else [('PEXPIRE', name, ttl_ms)]
