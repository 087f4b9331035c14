# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Lists the leases and queues that are used, so that they can be shown."""

from __future__ import annotations

import contextlib
from typing import NamedTuple

from redis_bridge.client.calls import Calls
from redis_bridge.errors import RedisError
from redis_bridge.protocol import keys, leases, registry
from redis_bridge.redis_io.lease import PLACE_S
from redis_bridge.redis_io.resp import pairs


class LeaseStatus(NamedTuple):
    """Who has a lease."""

    name: str
    holder: str | None  # who asked for it, such as a robot; None: it is free
    host: str
    waiting: int  # number of processes in line


def register(calls: Calls, kind: str, name: str, origin: str) -> None:
    """Have a lease or queue listed; without the permission to do so it is not listed."""
    with contextlib.suppress(RedisError):
        calls.call('HSET', keys.NAMES, registry.field_of(kind, name), origin)


def listed(calls: Calls, kind: str) -> list[str]:
    """Return the names of leases or queues that were used."""
    fields = pairs(calls.call('HGETALL', keys.NAMES))
    return sorted(name for _, name in registry.registered(fields, (kind,)))


def read_leases(calls: Calls) -> list[LeaseStatus]:
    """Return the state of each lease that was used."""
    names = listed(calls, registry.LEASE)
    lapsed_ms = int((calls.now() - PLACE_S) * 1000)
    asked = [leases.lease_keys(name) for name in names]
    holders = calls.pipe([('HGETALL', each.holder) for each in asked])
    lines = calls.pipe([('ZCOUNT', each.line, lapsed_ms, '+inf') for each in asked])
    found = []
    for name, fields, waiting in zip(names, holders, lines):
        holder = leases.read_holder(pairs(fields))
        if holder is None or not holder.owner:
            found.append(LeaseStatus(name, None, '', int(waiting)))
        else:
            found.append(LeaseStatus(name, holder.origin, holder.host, int(waiting)))
    return found
