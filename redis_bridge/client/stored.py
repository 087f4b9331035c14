# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What came under a name, or is stored there, before it is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from redis_bridge.protocol.meta import DATA, Meta, from_entry

Payload = bytes | dict[bytes, bytes]  # a dict of fields for a hash and for plain stream entries


class Event(NamedTuple):
    """What came under a name, or is stored there now."""

    name: str
    kind: str  # channel | key | hash | stream
    payload: Payload | None  # None: the key or hash is gone
    meta: Meta | None = None  # of a stream entry
    id: str | None = None  # of a stream entry


def read_command(name: str, kind: str) -> tuple[str | int, ...]:
    """Return the command that reads what a key, hash or stream holds now."""
    if kind == 'stream':
        return ('XREVRANGE', name, '+', '-', 'COUNT', 1)
    return ('HGETALL' if kind == 'hash' else 'GET', name)


def stored(name: str, kind: str, reply: Any) -> Event:
    """Return what a reply to `read_command` says; its payload is None for nothing."""
    if kind == 'key':
        return Event(name, kind, reply)
    if kind == 'stream':
        return entry(name, *reply[0]) if reply else Event(name, kind, None)
    return Event(name, kind, pairs(reply) or None)


def entry(name: str, id_: bytes, fields: Sequence[bytes]) -> Event:
    """Return a stream entry; its payload is all fields if there is no field `data`."""
    named = pairs(fields)
    return Event(name, 'stream', named.get(DATA, named), from_entry(named), id_.decode())


def pairs(reply: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return a dict of a flat list of keys and values."""
    return dict(zip(reply[::2], reply[1::2], strict=True))
