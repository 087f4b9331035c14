# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What came under a name, or is stored there, before it is decoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from redis_bridge.protocol.meta import DATA, Meta, from_entry
from redis_bridge.redis_io.resp import pairs

Payload = bytes | dict[bytes, bytes]  # a dict of fields for a hash and for plain stream entries


class Event(NamedTuple):
    """What came under a name, or is stored there now."""

    name: str
    kind: str  # channel | key | hash | stream
    payload: Payload | None  # None: the key or hash is gone
    meta: Meta | None = None  # of a stream entry
    id: str | None = None  # of a stream entry


# By kind: the command that reads what is stored now (the name goes behind its first word), and
# what its reply says.
_READERS: dict[str, tuple[tuple[str | int, ...], Callable[[str, Any], Event]]] = {
    'key': (('GET',), lambda name, reply: Event(name, 'key', reply)),
    'hash': (('HGETALL',), lambda name, reply: Event(name, 'hash', pairs(reply) or None)),
    'stream': (
        ('XREVRANGE', '+', '-', 'COUNT', 1),
        lambda name, reply: entry(name, *reply[0]) if reply else Event(name, 'stream', None),
    ),
}


def is_readable(kind: str) -> bool:
    """Return whether a client can read what is stored as this kind."""
    return kind in _READERS


def read_command(name: str, kind: str) -> tuple[str | int, ...]:
    """Return the command that reads what a name holds now."""
    word, *rest = _READERS[kind][0]
    return (word, name, *rest)


def stored(name: str, kind: str, reply: Any) -> Event:
    """Return what a reply to `read_command` says; its payload is None for nothing."""
    return _READERS[kind][1](name, reply)


def entry(name: str, id_: bytes, fields: Sequence[bytes]) -> Event:
    """Return a stream entry; its payload is all fields if there is no field `data`."""
    named = pairs(fields)
    return Event(name, 'stream', named.get(DATA, named), from_entry(named), id_.decode())
