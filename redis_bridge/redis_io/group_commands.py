# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The commands and replies of consumer groups, for routes and for queues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis

from redis_bridge.protocol import keys
from redis_bridge.protocol.dead_letters import letter_fields
from redis_bridge.redis_io.connection import Command
from redis_bridge.redis_io.resp import pairs

DEAD_MAXLEN = 10_000
# Codes for a group that is not there; before Redis 7.2 a read that waits while its stream is
# deleted ends with the second one.
NO_GROUP = ('NOGROUP', 'UNBLOCKED')


def create_command(stream: bytes, group: str) -> Command:
    """Return what creates a group at the stream's beginning: what is there is work to be done."""
    return ('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM')


def read_command(
    group: str, consumer: str, places: Sequence[tuple[bytes, bytes]], count: int, block_ms: int
) -> Command:
    """Return what reads streams from places: `>` for new entries, an id for pending ones."""
    block: Command = ('BLOCK', block_ms) if block_ms else ()
    streams = (*(name for name, _ in places), *(place for _, place in places))
    head = ('XREADGROUP', 'GROUP', group, consumer, 'COUNT', count)
    return (*head, *block, 'STREAMS', *streams)


def letter_command(
    stream: bytes,
    id_: bytes,
    fields: Sequence[bytes],
    reason: str | None = None,
    tries: int | None = None,
) -> Command:
    """Return what keeps an entry that was given up as a dead letter."""
    dead = keys.dead_stream(stream.decode())
    letter = letter_fields(fields, id_, reason, tries)
    return ('XADD', dead, 'MAXLEN', '~', DEAD_MAXLEN, '*', *letter)


def group_info(reply: Any, group: str) -> dict[bytes, Any] | None:
    """Return what XINFO GROUPS reports about a group; None if there is none of that name."""
    if isinstance(reply, redis.ResponseError):
        return None
    groups = map(pairs, reply)
    return next((found for found in groups if found[b'name'] == group.encode()), None)
