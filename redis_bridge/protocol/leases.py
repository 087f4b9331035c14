# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A lease in Redis: who holds it, its fencing token, and who waits for it.

`redis_bridge:lease:{NAME}` is a hash with a time to live. Its field `owner` names the holder, and
is empty while a holder of before may still rely on a lease that the server has lost. `token`,
`origin`, `host` and `pid` say more about the holder. `…:token` is the largest token given out; a
lease without one is not known to this server. `…:line` is a sorted set: a member per process that
waits, sorted by when it came, with the server's time of its last renewal in ms as score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from redis_bridge.protocol import names
from redis_bridge.protocol.keys import PREFIX

OWNER = 'owner'


class LeaseKeys(NamedTuple):
    """The keys of one lease; in a Redis Cluster all are in one slot."""

    holder: str
    token: str
    line: str


def lease_keys(name: str) -> LeaseKeys:
    """Return the keys of a lease."""
    holder = f'{PREFIX}lease:{{{name}}}'
    return LeaseKeys(holder, f'{holder}:token', f'{holder}:line')


def lease_name_problem(name: str) -> str | None:
    """Return why `name` is not the name of a lease; None if it is."""
    if '{' in name or '}' in name:
        return f'the name of a lease has no braces: {name!r}'
    return names.redis_name_problem(name)


class LeaseHolder(NamedTuple):
    """What the hash of a lease says; '' for what it does not say."""

    owner: str = ''  # '' if only a holder of before may have it
    token: str = ''
    origin: str = ''
    host: str = ''
    pid: str = ''

    def __str__(self) -> str:
        return f'{self.origin or "?"} (host {self.host or "?"}, pid {self.pid or "?"})'


def read_holder(fields: Mapping[bytes, bytes]) -> LeaseHolder | None:
    """Return what a hash says, None if there is none; unknown fields are ignored."""
    if not fields:
        return None
    return LeaseHolder(
        *(fields.get(name.encode(), b'').decode(errors='replace') for name in LeaseHolder._fields)
    )


def new_place(came_ms: int, owner: str) -> str:
    """Return the member of the line for one that came at this time of the server."""
    return f'{came_ms:015d} {owner}'


def ahead(line: Sequence[bytes], place: str) -> int:
    """Return how many members of a line came before one."""
    return sum(member < place.encode() for member in line)
