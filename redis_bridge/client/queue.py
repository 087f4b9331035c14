# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A queue of tasks: put, claim, done, fail; and a look at what waits, is claimed or dead."""

from __future__ import annotations

import logging
import os
import random
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from redis_bridge.client import stored
from redis_bridge.client.calls import Calls, is_connection_loss
from redis_bridge.client.decode import Decoder, decoder_for, guess_json
from redis_bridge.client.listings import register
from redis_bridge.client.lookup import KIND_OF_TYPE, Lookup
from redis_bridge.client.spans import check_ms
from redis_bridge.errors import (
    BridgeError,
    InterfaceError,
    NotFoundError,
    PayloadError,
    RedisError,
)
from redis_bridge.mapping.model import RedisSettings
from redis_bridge.protocol import keys, queues, registry
from redis_bridge.protocol.dead_letters import read_letter
from redis_bridge.protocol.names import slot_problem
from redis_bridge.redis_io.queue import Taken, Worker

LOG = logging.getLogger('redis_bridge.client')
LOOK_S = 0.2  # how often tasks of others are looked for
BEATS = 3  # within the time after which tasks are returned
RETRY_S = (0.1, 1.0)  # first and longest pause after a lost connection


class Task(NamedTuple):
    """A task that this worker has."""

    value: Any
    id: str  # of the stream's entry
    tries: int  # this one included


class ClaimedTask(NamedTuple):
    """A task that a worker has."""

    id: str
    worker: str  # ORIGIN@HOST/PID-…, or the robot whose bridge has it
    tries: int
    age_s: float  # since the worker took it


class DeadTask(NamedTuple):
    """A task that was given up."""

    id: str  # for `Queue.requeue`
    task: str  # its id when it was a task
    value: Any  # bytes, or fields as bytes, if it cannot be decoded
    reason: str
    tries: int | None


@dataclass(frozen=True)
class QueueStatus:
    """What is in a queue."""

    name: str
    waiting: int  # that no worker has, those that failed and are tried again included
    claimed: list[ClaimedTask]  # oldest first
    dead_total: int
    dead: list[DeadTask]  # the oldest ones


class Queue:
    """One queue, made by `Client.queue`; a worker at it from the first `claim` on.

    Methods raise RedisError if Redis cannot be reached or answers with an error. Several threads
    may share it; together they are one worker.
    """

    def __init__(
        self,
        settings: RedisSettings,
        calls: Calls,
        lookup: Lookup,
        name: str,
        return_after_ms: int,
        origin: str,
        put: Callable[[Any], bytes],
        on_open: Callable[[Queue], None],
        on_close: Callable[[Queue], None],
    ) -> None:
        if problem := queues.queue_name_problem(name):
            raise BridgeError(problem)
        check_ms('return_after_ms', return_after_ms)
        self.name = name
        self._settings = settings
        self._calls = calls
        self._use = partial(calls.use, at=name)
        self._lookup = lookup
        self._beat_s = return_after_ms / 1000 / BEATS
        self._put = put
        self._on_open = on_open
        self._on_close = on_close
        worker = queues.worker_name(
            origin, socket.gethostname(), os.getpid(), secrets.token_hex(2)
        )
        self._worker = Worker(name, worker, return_after_ms)
        self._lock = threading.Lock()  # over what follows
        self._reader: Calls | None = None  # from the first `claim` on
        self._look_at = 0.0
        self._decoder: Decoder | None = None
        self._closing = threading.Event()
        self._check()
        register(calls, registry.QUEUE, name, origin)

    def __enter__(self) -> Queue:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def put(self, value: Any) -> str:
        """Add a task, and return its id.

        The value is encoded, and checked, as `Client.publish` does it for a stream.

        :raises PayloadError: the value does not fit what the bridge reads that takes tasks too.
        """
        return self._put(value).decode()

    def claim(self, timeout_s: float | None = None) -> Iterator[Task]:
        """Return an iterator of tasks; each is ours until it is `done` or has failed.

        It also yields the tasks of workers that died, and those that failed and are tried again.
        A task that cannot be decoded is given up. A lost connection is restored.

        :param timeout_s: end when no task came for so long, in seconds; None: never.
        """
        if self._closing.is_set():
            raise BridgeError(f'queue {self.name!r} is closed')
        self._check()
        with self._lock:
            if self._reader is None:
                self._reader = Calls(self._settings)
                self._on_open(self)
                threading.Thread(target=self._beat, name=f'queue {self.name}', daemon=True).start()
            reader = self._reader
        reader.now()  # raises if Redis cannot be reached
        self._look_at = 0.0
        return self._claim(reader, timeout_s)

    def done(self, task: Task) -> bool:
        """Remove a task; False if it was removed before, because it was returned meanwhile."""
        return self._use(partial(self._worker.done, id_=task.id.encode()))

    def fail(self, task: Task, reason: str | Exception) -> bool:
        """Have a task tried again, by anybody; after the third try it goes to `<name>:dead`.

        :param reason: what went wrong, for whoever looks at the dead tasks.
        :returns: False if it is not ours any more: nothing was done.
        """
        return self._use(partial(self._worker.fail, id_=task.id.encode(), reason=str(reason)))

    def status(self, most: int = 100) -> QueueStatus:
        """Return what waits, is claimed, or is dead.

        :param most: so many dead tasks are listed.
        """
        waiting = self._use(self._worker.count_waiting)
        pending = self._use(self._worker.claimed)
        total, letters = self._use(partial(self._worker.dead, most=most))
        claimed = [
            ClaimedTask(task.id.decode(), task.worker, task.tries, task.idle_ms / 1000)
            for task in pending
            if task.worker != queues.RETURNED
        ]
        dead = [self._dead(id_, fields) for id_, fields in letters]
        return QueueStatus(self.name, waiting + len(pending) - len(claimed), claimed, total, dead)

    def requeue(self, dead_id: str) -> str:
        """Put a dead task back, with three new tries; return its new id.

        :raises NotFoundError: there is none with this id.
        """
        new = self._use(partial(self._worker.requeue, id_=dead_id))
        if new is None:
            raise NotFoundError(f'queue {self.name!r} has no dead task {dead_id!r}')
        return new.decode()

    def close(self) -> None:
        """Give the tasks back that this worker still has; closing twice is harmless."""
        self._closing.set()
        with self._lock:
            reader, self._reader = self._reader, None
        if reader is not None:
            try:
                reader.use(self._worker.leave, at=self.name)
            except RedisError as error:
                LOG.warning('queue %s: tasks are returned later: %s', self.name, error)
            reader.close()
        self._on_close(self)

    # --- taking tasks ----------------------------------------------------------------------------
    def _claim(self, reader: Calls, timeout_s: float | None) -> Iterator[Task]:
        while True:
            end = None if timeout_s is None else time.monotonic() + timeout_s
            task = self._next(reader, end)
            if task is None:
                return
            yield task

    def _next(self, reader: Calls, end: float | None) -> Task | None:
        """Return the next task; None if none comes in time, or the queue is closed."""
        pause_s, longest_s = RETRY_S
        while not self._closing.is_set():
            left_s = LOOK_S if end is None else max(0.0, end - time.monotonic())
            block_ms = int(min(LOOK_S, left_s) * 1000)
            try:
                taken = reader.use(partial(self._take, block_ms=block_ms), at=self.name)
                pause_s = RETRY_S[0]
            except RedisError as error:
                if not is_connection_loss(error):
                    raise
                LOG.warning('queue %s: %s', self.name, error)
                taken, self._look_at = None, 0.0
                self._closing.wait(random.uniform(0, min(pause_s, left_s)))
                pause_s = min(2 * pause_s, longest_s)
            if taken is not None and (task := self._task(taken)) is not None:
                return task
            if taken is None and end is not None and time.monotonic() >= end:
                return None
        return None

    def _take(self, connection: Any, block_ms: int) -> Taken | None:
        if self._closing.is_set():
            return None
        if time.monotonic() >= self._look_at:
            taken = self._worker.take_back(connection)
            if taken is not None:
                return taken
            self._look_at = time.monotonic() + LOOK_S
        return self._worker.take_new(connection, block_ms)

    def _task(self, taken: Taken) -> Task | None:
        """Return a task as its worker sees it; None if it cannot be decoded."""
        for is_last in (False, True):
            try:
                return Task(self._value(taken.id, taken.fields), taken.id.decode(), taken.tries)
            except (PayloadError, InterfaceError) as error:
                self._decoder = None  # a bridge may have changed its mapping since
                if is_last:
                    LOG.warning('queue %s: task %s: %s', self.name, taken.id.decode(), error)
                    give_up = partial(self._worker.fail, reason=str(error), for_good=True)
                    self._use(partial(give_up, id_=taken.id))
        return None

    def _value(self, id_: bytes, fields: list[bytes]) -> Any:
        if self._decoder is None:
            _, info = self._lookup.name(self.name)
            self._decoder = decoder_for(self._lookup, 'stream', info, guess_json)
        return self._decoder.update(stored.entry(self.name, id_, fields)).value

    def _dead(self, id_: bytes, fields: list[bytes]) -> DeadTask:
        letter = read_letter(fields)
        try:
            value = self._value(id_, letter.fields)
        except (PayloadError, InterfaceError):
            value = stored.entry(self.name, id_, letter.fields).payload
        return DeadTask(id_.decode(), letter.id, value, letter.reason, letter.tries)

    def _beat(self) -> None:
        """Let the server hear of this worker while it works on tasks."""
        while not self._closing.wait(self._beat_s):
            if self._worker.has_tasks():
                try:
                    self._use(self._worker.beat)
                except RedisError as error:
                    LOG.warning('queue %s: %s', self.name, error)

    def _check(self) -> None:
        """Raise BridgeError if the name holds something else."""
        is_slotted = self._calls.address.slot_of(self.name) is not None
        if is_slotted and (problem := slot_problem(self.name, keys.dead_stream(self.name))):
            raise BridgeError(problem)
        redis_type, info = self._lookup.name(self.name)
        if redis_type not in ('none', 'stream'):
            kind = KIND_OF_TYPE.get(redis_type, redis_type)
            raise BridgeError(
                f'{self.name!r} is a {kind} in Redis, and cannot be a queue: use another name'
            )
        if 'stream' in info.written_as:
            raise BridgeError(
                f'{self.name!r} is a stream that a bridge mirrors a topic to, which trims it: use '
                'another name for the queue'
            )
