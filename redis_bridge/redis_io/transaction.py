# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Commands that the server takes all or none of, and the reply to each of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import redis

from redis_bridge.redis_io.connection import Command, Connection
from redis_bridge.redis_io.resp import Reply, code_of, raise_if_error

ABORTED = redis.ResponseError('EXECABORT')


def all_or_none(commands: Sequence[Command]) -> list[Command]:
    """Return what carries out commands; if the server rejects some for now, it takes none.

    Otherwise a rejected entry would come back behind those that followed it.
    """
    return [('MULTI',), *commands, ('EXEC',)] if len(commands) > 1 else list(commands)


def change(connection: Connection, commands: Sequence[Command]) -> list[Reply] | None:
    """Carry out commands, unless a watched key has changed: then it returns None.

    Raises ResponseError if the server rejects one of them.
    """
    done = [
        raise_if_error(reply) for reply in connection.pipe([('MULTI',), *commands, ('EXEC',)])
    ][-1]
    for reply in done or ():
        raise_if_error(reply)
    return None if done is None else list(done)


def replies(connection: Connection, count: int) -> Iterator[Reply]:
    """Yield the replies to so many commands that were sent by `all_or_none`.

    They are ABORTED if nothing was done because of another command, or of another client that
    wrote a name that is watched.
    """
    if count < 2:
        if count:
            yield connection.reply()
        return
    begun = connection.reply()
    queued = [connection.reply() for _ in range(count)]
    ended = connection.reply()
    if isinstance(begun, redis.ResponseError):  # without this right, they were taken one by one
        yield from queued
    elif ended is None:
        yield from [ABORTED] * count
    elif isinstance(ended, list):
        yield from ended
    else:
        for reply in queued:
            if isinstance(reply, redis.ResponseError):
                yield reply
            else:
                yield _reason(ended)


def _reason(aborted: Reply) -> Reply:
    """Return why a transaction was not executed, or ABORTED if another command was rejected."""
    _, found, reason = str(aborted).partition('because of: ')
    if found:
        return redis.ResponseError(reason)
    return ABORTED if code_of(aborted) == 'EXECABORT' else aborted
