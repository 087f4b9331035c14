# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The claim on a robot's name: a hash with a time to live, of which one field names the holder.

WATCH and MULTI make taking it atomic without a script.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from redis_bridge.protocol.robot_status import OWNER
from redis_bridge.redis_io.connection import Command, Connection
from redis_bridge.redis_io.resp import raise_if_error


class Holder(NamedTuple):
    """Another process that holds a claim; '' for what it does not say."""

    owner: str
    host: str
    pid: str


class Claim:
    """A claim that we want to hold; whether we do is decided by our own clock.

    `other` is who held it instead of us when we last asked.
    """

    def __init__(self, key: str, owner: str, ttl_ms: int) -> None:
        self._key = key
        self._owner = owner
        self._ttl_ms = ttl_ms
        self._fields: set[str] = set()  # that we wrote
        self._held_until = 0.0  # monotonic; the claim lives at least so long
        self.other: Holder | None = None

    def is_held(self) -> bool:
        """Return whether the claim is ours."""
        return time.monotonic() < self._held_until

    def take(self, connection: Connection, fields: Mapping[str, str]) -> None:
        """Take or renew the claim and write exactly these fields, unless it is another's.

        :param fields: they include the one that names us as the holder.
        """
        asked_at = time.monotonic()
        write: list[Command] = [
            ('HSET', self._key, *chain.from_iterable(fields.items())),
            ('PEXPIRE', self._key, self._ttl_ms),
        ]
        replace = [('DEL', self._key), *write]
        is_complete = self._fields <= fields.keys()
        self.other = self._change(connection, write if is_complete else replace, replace)
        self._fields = set(fields)
        self._held_until = asked_at + self._ttl_ms / 1000 if self.other is None else 0.0

    def release(self, connection: Connection) -> None:
        """Give the claim up, unless it is another's."""
        self._change(connection, [('DEL', self._key)], [])

    def end(self) -> None:
        """Note that the claim is not renewed any more."""
        self._held_until = 0.0

    def _change(
        self, connection: Connection, if_ours: Sequence[Command], if_free: Sequence[Command]
    ) -> Holder | None:
        """Change the hash; return the holder if it is another, and nothing was changed."""
        look = [('WATCH', self._key), ('HMGET', self._key, OWNER, 'host', 'pid')]
        while True:
            _, found = map(raise_if_error, connection.pipe(look))
            holder = Holder(*((part or b'').decode(errors='replace') for part in found))
            if holder.owner not in ('', self._owner):
                connection.call('UNWATCH')
                return holder
            change = if_ours if holder.owner else if_free
            replies = connection.pipe([('MULTI',), *change, ('EXEC',)])
            *_, done = map(raise_if_error, replies)
            if done is not None:  # None: somebody wrote the hash in between
                return None
