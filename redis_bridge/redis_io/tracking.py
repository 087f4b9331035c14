# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Client tracking: the server names the keys that were written.

It works in broadcasting mode, which needs no memory of what was read and no setting of the
server. The messages are redirected to the very connection that asked for them, so that tracking
cannot outlive or lose its target. See https://redis.io/docs/latest/develop/reference/client-side-caching/.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from redis_bridge.redis_io.connection import Command, Connection
from redis_bridge.redis_io.resp import raise_if_error

INVALIDATE = b'__redis__:invalidate'


class Tracking:
    """The tracking of keys over one connection; used by one thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._id: int = connection.call('CLIENT', 'ID')
        self._prefixes: list[bytes] = []

    def want(self, names: Iterable[bytes]) -> bool:
        """Track exactly these keys; return whether that changed anything.

        If it did, writes to all of them may have gone unnoticed meanwhile.
        """
        prefixes = disjoint_prefixes(names)
        if prefixes == self._prefixes:
            return False
        commands: list[Command] = []
        if self._prefixes:  # a subscribed connection takes no other commands
            commands += [('UNSUBSCRIBE', INVALIDATE), ('CLIENT', 'TRACKING', 'OFF')]
        if prefixes:
            parts = [part for prefix in prefixes for part in ('PREFIX', prefix)]
            commands += [
                ('CLIENT', 'TRACKING', 'ON', 'REDIRECT', self._id, 'BCAST', *parts),
                ('SUBSCRIBE', INVALIDATE),
            ]
        self._connection.send(commands)
        for _ in commands:
            while _is_unasked(raise_if_error(self._connection.reply())):
                pass
        self._prefixes = prefixes
        return True

    def written(self) -> Iterator[bytes | None]:
        """Yield the keys that the waiting messages name; None for a flush of the database."""
        while True:
            reply = self._connection.reply()
            if type(reply) is list and reply[0] == b'message':
                if reply[2] is None:
                    yield None
                else:
                    yield from reply[2]
            if not self._connection.has_reply():
                return


def _is_unasked(reply: Any) -> bool:
    return type(reply) is list and reply[0] in (b'message', b'pong')


def disjoint_prefixes(names: Iterable[bytes]) -> list[bytes]:
    """Return the names except those that begin with another one; Redis denies such prefixes."""
    kept: list[bytes] = []
    for name in sorted(names):
        if not kept or not name.startswith(kept[-1]):
            kept.append(name)
    return kept
