# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The metadata of a payload: who sent it, its number, and when."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from redis_bridge.errors import PayloadError, show

# The extra entry of a map that carries what travels beside the message. No ROS field can have
# this name, because those begin with a letter.
META = '_meta'
DATA = b'data'  # the field of a stream entry that holds the payload
SEQ_LIMIT = 1 << 64
STAMP_LIMIT = 1e15  # seconds
ORIGINS_REMEMBERED = 1000
LARGEST_GAP = 1 << 32  # beyond this a jump is a new count, not a gap


class Meta(NamedTuple):
    """What travels beside a payload in `_meta`, or as fields of a stream entry."""

    origin: str  # 'robot/boot' of the bridge or client that sent it
    seq: int  # counts up by one per route and origin; a jump is a gap
    stamp: float  # seconds, of the Redis server's clock


def checked(origin: object, seq: object, stamp: object) -> Meta:
    """Return metadata from values that a sender chose; raises PayloadError."""
    if type(origin) is not str:
        raise PayloadError(f'_meta.origin: expected a string, got {show(origin)}')
    if type(seq) is not int or not 0 <= seq < SEQ_LIMIT:
        raise PayloadError(f'_meta.seq: expected a count, got {show(seq)}')
    if (type(stamp) is int or type(stamp) is float) and abs(stamp) < STAMP_LIMIT:
        return Meta(origin, seq, float(stamp))
    hint = wrong_unit(stamp) if type(stamp) is int or type(stamp) is float else ''
    raise PayloadError(f'_meta.stamp: expected seconds, got {show(stamp)}{hint and f": {hint}"}')


def wrong_unit(stamp: float) -> str:
    """Return what a stamp is that is far beyond all dates in seconds; '' if it may be one."""
    for unit, low in (('nanoseconds', 1e17), ('microseconds', 1e14), ('milliseconds', 1e11)):
        if stamp >= low:
            return f'in {unit}, as it looks: it must be in seconds'
    return ''


def take_meta(value: dict[str, Any]) -> Meta | None:
    """Take the metadata out of a map; raises PayloadError.

    `origin` and `seq` may be left out: then it only dates the map.
    """
    if META not in value:
        return None
    entry = value.pop(META)
    if type(entry) is not dict:
        raise PayloadError(f'{META}: expected a map, got {show(entry)}')
    return checked(entry.get('origin', ''), entry.get('seq', 0), entry.get('stamp'))


def with_meta(value: Any, meta: Meta | None) -> Any:
    """Return a map that also holds the metadata; other values are returned as they are."""
    if meta is None or type(value) is not dict:
        return value
    return {**value, META: meta._asdict()}


def entry_fields(payload: bytes, meta: Meta | None) -> list[bytes]:
    """Return the fields and values, in turn, of a stream entry."""
    fields = [DATA, payload]
    if meta is not None:
        fields += (
            b'origin', meta.origin.encode(),
            b'seq', b'%d' % meta.seq,
            b'stamp', repr(meta.stamp).encode(),
        )  # fmt: skip
    return fields


def from_entry(fields: Mapping[bytes, bytes]) -> Meta | None:
    """Return the metadata in a stream entry's fields; None if it is left out or invalid.

    As in a map, `origin` and `seq` may be left out: then it only dates the entry. A stamp beyond
    all dates is kept, so that the check of its age names its unit.
    """
    if b'stamp' not in fields:
        return None
    try:
        origin = fields.get(b'origin', b'').decode()
        stamp = float(fields[b'stamp'])
        meta = checked(origin, int(fields.get(b'seq', b'0')), 0.0)
    except (PayloadError, ValueError):
        return None
    return meta._replace(stamp=stamp) if math.isfinite(stamp) else None


class GapFinder:
    """Finds jumps in the numbers that senders give their messages to one name."""

    def __init__(self) -> None:
        self._last: dict[str, Meta] = {}  # by origin, the most recently heard one last

    def missed(self, meta: Meta | None) -> int:
        """Return how many messages of this sender are missing before this one."""
        if meta is None or not meta.origin:
            return 0
        last = self._last.pop(meta.origin, None)
        self._last[meta.origin] = meta
        if len(self._last) > ORIGINS_REMEMBERED:
            del self._last[next(iter(self._last))]
        missed = 0 if last is None else meta.seq - last.seq - 1
        return missed if 0 < missed < LARGEST_GAP else 0

    def is_late(self, meta: Meta | None) -> bool:
        """Return whether this message of its sender came before, or a newer one.

        A node of a cluster that was stopped hands on what it had been sent when it goes on; and
        over a failover, two nodes may deliver one message. A sender that was started anew counts
        anew, but its stamps are newer. One that does not count gives every message a zero.
        """
        if meta is None or not meta.seq or (last := self._last.get(meta.origin)) is None:
            return False
        return meta.seq <= last.seq and meta.stamp <= last.stamp
