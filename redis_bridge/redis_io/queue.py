# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A worker at a queue: a consumer of a group that takes tasks one by one, also those of the dead.

A task changes hands by XCLAIM, and only if nobody else took it since we looked: that makes its
idle time zero, and XCLAIM names the idle time that we saw as the least one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

import redis

from redis_bridge.protocol import keys
from redis_bridge.protocol.dead_letters import read_letter
from redis_bridge.protocol.queues import GROUP, MOST_TRIES, RETURNED
from redis_bridge.protocol.stream_ids import COUNT_LIMIT
from redis_bridge.redis_io.connection import Command, Connection
from redis_bridge.redis_io.group_commands import (
    NO_GROUP,
    create_command,
    group_info,
    letter_command,
    read_command,
)
from redis_bridge.redis_io.info import Uptime
from redis_bridge.redis_io.resp import Reply, code_of, pairs, raise_if_error
from redis_bridge.redis_io.transaction import change

BEHIND_ALL = b'%d-%d' % (COUNT_LIMIT - 1, COUNT_LIMIT - 2)  # the last id means `>` to servers
PAGE = 1000
FORGOTTEN_MS = 3_600_000  # after which the group forgets a worker that has no tasks
NO_STREAM = 'ERR'  # XINFO says so


class Taken(NamedTuple):
    """A task as the worker has it."""

    id: bytes
    fields: list[bytes]  # names and values, in turn
    tries: int  # this one included


class Pending(NamedTuple):
    """What XPENDING reports about a task."""

    id: bytes
    worker: str
    idle_ms: int
    tries: int


class Worker:
    """One consumer of a queue; all methods raise redis.RedisError.

    Several threads may share it, each with a connection of its own.
    """

    def __init__(self, stream: str, name: str, return_after_ms: int) -> None:
        self._stream = stream.encode()
        self._name = name
        self._return_after_ms = return_after_ms
        self._uptime = Uptime()  # used by the thread that takes tasks
        self._lock = threading.Lock()
        self._held: dict[bytes, Taken] = {}

    def has_tasks(self) -> bool:
        """Return whether it has taken any task that is neither done nor failed."""
        return bool(self._held)

    def held(self) -> list[bytes]:
        """Return the ids of all such tasks."""
        with self._lock:
            return list(self._held)

    # --- taking ----------------------------------------------------------------------------------
    def take_new(self, connection: Connection, block_ms: int) -> Taken | None:
        """Take a new task, if there is one or one comes while this blocks."""
        command = read_command(GROUP, self._name, [(self._stream, b'>')], 1, block_ms)
        try:
            reply = connection.call(*command)
        except redis.ResponseError as error:
            self._create(connection, error)
            return None
        for _, entries in reply or ():
            for id_, fields in entries:
                return self._hold(Taken(id_, fields, 1))
        return None

    def take_back(self, connection: Connection) -> Taken | None:
        """Take a task that failed, or whose worker died, or that came with a reply that was lost.

        What was tried too often is given up here.
        """
        reply = connection.pipe([('XINFO', 'CONSUMERS', self._stream, GROUP)])[0]
        if isinstance(reply, redis.ResponseError):
            self._create(connection, reply)
            return None
        consumers = [pairs(each) for each in reply]
        self._forget_one(connection, consumers)
        for consumer in consumers:
            name = _text(consumer[b'name'])
            if not consumer[b'pending'] or not self._is_free(connection, name, consumer[b'idle']):
                continue
            for task in self._pending(connection, name):
                taken = self._take(connection, task)
                if taken is None or taken.tries <= MOST_TRIES:
                    return taken and self._hold(taken)
                reason = f'{MOST_TRIES} tries, and the worker of the last one, {name}, was lost'
                self._bury(connection, Taken(task.id, taken.fields, task.tries), reason)
        return None

    def _forget_one(self, connection: Connection, consumers: Iterable[dict[bytes, Any]]) -> None:
        """Remove one of the workers that died without tasks; each start of a worker is another."""
        after_ms = max(FORGOTTEN_MS, self._return_after_ms)
        for consumer in consumers:
            name = _text(consumer[b'name'])
            is_known = name in (RETURNED, self._name) or consumer[b'pending']
            if not is_known and consumer[b'idle'] >= after_ms:
                with suppress(redis.exceptions.NoPermissionError):
                    self._forget(connection, name)
                return

    def _forget(self, connection: Connection, name: str) -> None:
        """Remove a worker; if it lives, and has taken tasks just now, these are returned."""
        worker = _bytes(name)
        replies = change(connection, [
            ('XPENDING', self._stream, GROUP, '-', '+', PAGE, worker),
            ('XGROUP', 'DELCONSUMER', self._stream, GROUP, worker),
        ])  # fmt: skip
        for task in map(_pending, replies[0] if replies else ()):
            again = ('TIME', 0, 'RETRYCOUNT', task.tries, 'FORCE', 'JUSTID')
            connection.call(*self._claim(RETURNED, task._replace(idle_ms=0), *again))

    def _is_free(self, connection: Connection, name: str, idle_ms: int) -> bool:
        """Return whether others may take the tasks of a consumer.

        After a restart of the server it has heard of nobody for a while.
        """
        if name in (RETURNED, self._name):
            return True
        after_ms = self._return_after_ms
        return idle_ms >= after_ms and self._uptime.seconds(connection) * 1000 >= after_ms

    def _pending(self, connection: Connection, name: str) -> list[Pending]:
        """Return the oldest tasks of a consumer, without those that we know to have."""
        known = self.held() if name == self._name else ()
        span = ('-', '+', len(known) + 1, _bytes(name))
        found = self._read_pending(connection, *span)
        return [task for task in found if task.id not in known]

    def _read_pending(self, connection: Connection, *span: object) -> list[Pending]:
        return [*map(_pending, connection.call('XPENDING', self._stream, GROUP, *span))]

    def _take(self, connection: Connection, task: Pending) -> Taken | None:
        """Take a task over, as one more try; None if another worker was faster."""
        reply = connection.call(*self._claim(self._name, task))
        if not reply:
            return None
        if reply[0] is None:  # deleted by somebody else; later servers drop it themselves
            connection.call('XACK', self._stream, GROUP, task.id)
            return None
        return Taken(task.id, reply[0][1], task.tries + 1)

    def _claim(self, worker: str, task: Pending, *options: object) -> Command:
        """Return what hands a task to a worker, unless it has changed hands meanwhile."""
        head = ('XCLAIM', self._stream, GROUP, _bytes(worker))
        return (*head, task.idle_ms, task.id, *options)

    def _hold(self, taken: Taken) -> Taken:
        with self._lock:
            self._held[taken.id] = taken
        return taken

    def _create(self, connection: Connection, problem: redis.ResponseError) -> None:
        """Create the group, if it is that which lacks."""
        if code_of(problem) not in (*NO_GROUP, NO_STREAM):
            raise problem
        (reply,) = connection.pipe([create_command(self._stream, GROUP)])
        if isinstance(reply, redis.ResponseError) and code_of(reply) != 'BUSYGROUP':
            raise reply

    # --- what becomes of a task ------------------------------------------------------------------
    def done(self, connection: Connection, id_: bytes) -> bool:
        """Remove a task; return whether it was still there."""
        replies = change(connection, self._remove(id_))
        with self._lock:
            self._held.pop(id_, None)
        return bool(replies and replies[0])

    def fail(
        self, connection: Connection, id_: bytes, reason: str, *, for_good: bool = False
    ) -> bool:
        """Have a task tried again, or give it up; return whether it was still ours.

        :param for_good: it is given up at once.
        """
        self.beat(connection)  # from now on nobody takes it for dead
        try:
            ours = self._read_pending(connection, id_, id_, 1, self._name)
        except redis.ResponseError as error:
            if code_of(error) != 'NOGROUP':
                raise
            ours = []
        taken = self._held.get(id_)
        done = bool(ours) and self._fail(connection, ours[0], taken, reason, for_good)
        with self._lock:
            self._held.pop(id_, None)
        return done

    def _fail(
        self,
        connection: Connection,
        task: Pending,
        taken: Taken | None,
        reason: str,
        for_good: bool,
    ) -> bool:
        if taken is None or (task.tries < MOST_TRIES and not for_good):
            # TIME 0: nobody took it since 1970.
            return bool(connection.call(*self._claim(RETURNED, task, 'TIME', 0, 'JUSTID')))
        if not connection.call(*self._claim(self._name, task, 'JUSTID')):
            return False
        self._bury(connection, Taken(task.id, taken.fields, task.tries), reason)
        return True

    def _bury(self, connection: Connection, task: Taken, reason: str) -> None:
        """Move a task of ours to the dead letters."""
        stream = self._stream.decode()
        letter = letter_command(self._stream, task.id, task.fields, reason, task.tries)
        moved = None
        while moved is None:
            self._watch(connection, keys.dead_stream(stream))
            moved = change(connection, [letter, *self._remove(task.id)])

    def _remove(self, id_: bytes) -> list[Command]:
        return [('XACK', self._stream, GROUP, id_), ('XDEL', self._stream, id_)]

    def _watch(self, connection: Connection, stream: str, *more: Command) -> Reply:
        """Watch what a move adds to, so that it is not made by half; return the last reply."""
        watch = [('UNWATCH',), ('WATCH', stream), ('TYPE', stream), *more]
        replies = [raise_if_error(reply) for reply in connection.pipe(watch)]
        if replies[2] not in (b'stream', b'none'):
            raise redis.ResponseError(
                f'WRONGTYPE {stream} is a {replies[2].decode()}, expected a stream'
            )
        return replies[-1]

    # --- being there -----------------------------------------------------------------------------
    def beat(self, connection: Connection) -> None:
        """Let the server hear of this worker."""
        connection.pipe([self._beat()])

    def _beat(self) -> Command:
        return read_command(GROUP, self._name, [(self._stream, BEHIND_ALL)], 1, 0)

    def leave(self, connection: Connection) -> None:
        """Give the tasks back that it still has, and leave the group."""
        for id_ in self.held():
            self.fail(connection, id_, 'the worker ended')
        span = (self._stream, GROUP, '-', '+', 1, self._name)
        (left,) = connection.pipe([('XPENDING', *span)])
        if left == []:
            connection.call('XGROUP', 'DELCONSUMER', self._stream, GROUP, self._name)

    # --- looking at the queue --------------------------------------------------------------------
    def count_waiting(self, connection: Connection) -> int:
        """Return how many tasks nobody has taken yet."""
        (reply,) = connection.pipe([('XINFO', 'GROUPS', self._stream)])
        group = group_info(reply, GROUP)
        if group is None:
            return int(connection.call('XLEN', self._stream))
        lag = group.get(b'lag')  # None if the server cannot tell, and before Redis 7.0
        if lag is not None:
            return int(lag)
        count, last = 0, group[b'last-delivered-id']
        while True:
            page = connection.call('XRANGE', self._stream, b'(' + last, '+', 'COUNT', PAGE)
            count += len(page)
            if len(page) < PAGE:
                return count
            last = page[-1][0]

    def claimed(self, connection: Connection) -> list[Pending]:
        """Return the tasks that were taken, oldest first; see `queues` about their workers."""
        found: list[Pending] = []
        start = b'-'
        while True:
            try:
                page = self._read_pending(connection, start, '+', PAGE)
            except redis.ResponseError as error:
                if code_of(error) == 'NOGROUP':
                    return found
                raise
            found += page
            if len(page) < PAGE:
                return found
            start = b'(' + page[-1].id

    def dead(self, connection: Connection, most: int) -> tuple[int, list[tuple[bytes, Any]]]:
        """Return how many dead letters there are, and the oldest ones: ids and fields."""
        dead = keys.dead_stream(self._stream.decode())
        replies = connection.pipe([('XLEN', dead), ('XRANGE', dead, '-', '+', 'COUNT', most)])
        total, some = map(raise_if_error, replies)
        return int(total), [(id_, fields) for id_, fields in some]

    def requeue(self, connection: Connection, id_: str) -> bytes | None:
        """Put a dead letter back as a new task; return its id, None if there is no such letter."""
        stream = self._stream.decode()
        dead = keys.dead_stream(stream)
        look: list[Command] = [('WATCH', dead), ('XRANGE', dead, id_, id_)]
        moved = None
        while moved is None:
            letters = self._watch(connection, stream, *look)
            if not letters:
                return None
            fields = read_letter(letters[0][1]).fields
            move: list[Command] = [('XADD', stream, '*', *fields), ('XDEL', dead, id_)]
            moved = change(connection, move)
        new: bytes = moved[0]
        return new


def _pending(row: Any) -> Pending:
    """Return a row of the reply to XPENDING."""
    id_, worker, idle_ms, tries = row
    return Pending(id_, _text(worker), idle_ms, tries)


def _text(name: bytes) -> str:
    """Return the name of a consumer, whatever other programs call theirs."""
    return name.decode(errors='surrogateescape')


def _bytes(name: str) -> bytes:
    """Return what `_text` was made of."""
    return name.encode(errors='surrogateescape')
