# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Claims: a hash with a time to live, of which one field names the only holder.

WATCH and MULTI make taking it atomic without a script. The exchange with the server is a
generator that yields commands and is sent their replies, so it needs no connection of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Mapping
from typing import Any, NamedTuple, TypeVar

from redis_bridge.redis_io.connection import Command, Connection
from redis_bridge.redis_io.resp import raise_if_error

T = TypeVar('T')
Exchange = Generator[list[Command], list[Any], T]


class Holder(NamedTuple):
    """Another process that holds a claim; '' for what it does not say."""

    owner: str
    host: str
    pid: str


def run(connection: Connection, exchange: Exchange[T]) -> T:
    """Return the outcome of an exchange over a connection; raises what the server denies."""
    try:
        commands = next(exchange)
        while True:
            commands = exchange.send([*map(raise_if_error, connection.pipe(commands))])
    except StopIteration as end:
        outcome: T = end.value
        return outcome


def claim(
    key: str,
    field: str,
    owner: str,
    ttl_ms: int,
    values: Mapping[str, str],
    gone: Collection[str] = (),
) -> Exchange[Holder | None]:
    """Take or renew a claim and write `values` beside it; return the holder if it is another's.

    :param field: the field of the hash that names the owner; it must be in `values`.
    :param gone: fields to be removed.
    """

    def change(is_ours: bool) -> list[Command]:
        commands: list[Command] = [] if is_ours else [('DEL', key)]
        commands.append(('HSET', key, *(part for pair in values.items() for part in pair)))
        if gone:
            commands.append(('HDEL', key, *gone))
        return [*commands, ('PEXPIRE', key, ttl_ms)]

    return _change(key, field, owner, change)


def release(key: str, field: str, owner: str) -> Exchange[Holder | None]:
    """Give a claim up, unless it is another's."""
    return _change(key, field, owner, lambda is_ours: [('DEL', key)])


def _change(
    key: str, field: str, owner: str, change: Callable[[bool], list[Command]]
) -> Exchange[Holder | None]:
    while True:
        _, found = yield [('WATCH', key), ('HMGET', key, field, 'host', 'pid')]
        holder = Holder(*((part or b'').decode(errors='replace') for part in found))
        if holder.owner not in ('', owner):
            yield [('UNWATCH',)]
            return holder
        *_, done = yield [('MULTI',), *change(holder.owner == owner), ('EXEC',)]
        if done is not None:  # None: somebody wrote the hash in between
            return None


class ClaimState:
    """Whether we hold a claim now, by our own clock, and who holds it otherwise."""

    def __init__(self, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._ttl_s = ttl_s
        self._clock = clock
        self._held_until = 0.0  # the claim lives at least so long
        self.other: Holder | None = None

    def is_held(self) -> bool:
        """Return whether the claim is ours."""
        return self._clock() < self._held_until

    def update(self, asked_at: float, other: Holder | None) -> bool:
        """Take the outcome of a claim that was sent at a time; return whether that is news."""
        is_news = other != self.other
        self.other = other
        self._held_until = 0.0 if other is not None else asked_at + self._ttl_s
        return is_news

    def end(self) -> None:
        """Note that the claim was given up."""
        self._held_until = 0.0
