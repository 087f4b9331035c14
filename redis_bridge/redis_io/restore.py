# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Values of keys and hashes that others deleted or overwrote, or that the server lost or rejected.

They are compared with what the server has, after each connect and once a second while no sample
comes, and written again where they are missing or different.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import redis

from redis_bridge.redis_io.connection import Connection
from redis_bridge.redis_io.handle import Handle
from redis_bridge.redis_io.resp import Reply, code_of
from redis_bridge.redis_io.write_queue import WriteQueue

CHECKED_AT_ONCE = 100  # so that other writes wait no longer than for a batch
# A client that overwrites a value so often, each time within so many seconds, is left to it.
OVERWRITES, OVERWRITES_WITHIN_S = 10, 30.0


class Restorer:
    """Compares the values of all sinks of one writer, in its thread.

    `reject` is called for a value that cannot be written, because the name is taken.
    """

    def __init__(
        self,
        queue: WriteQueue,
        reject: Callable[[Handle, redis.ResponseError], None],
        check_s: float,
        log: logging.Logger,
    ) -> None:
        self._check_s = check_s
        self._queue = queue
        self._reject = reject
        self._log = log
        self._unchecked: list[Handle] = []  # whose values are still to be compared this time
        self._next_round_at = 0.0  # monotonic
        self.due_at = 0.0  # when `check` is to be called again

    def begin_anew(self) -> None:
        """Compare all values at once, on a new connection."""
        self._unchecked, self.due_at = [], 0.0

    def check(self, connection: Connection) -> None:
        """Compare some values with what the server has; queue again what it has not."""
        now = time.monotonic()
        if not self._unchecked:
            # What was written just now is not compared: a next sample will write it anyway.
            self._unchecked = self._queue.resting(self._check_s / 2)
            self._next_round_at = now + self._check_s
        some, self._unchecked = (
            self._unchecked[:CHECKED_AT_ONCE],
            self._unchecked[CHECKED_AT_ONCE:],
        )
        self.due_at = now if self._unchecked else self._next_round_at
        asked = [
            (handle, value, handle.probe(value))
            for handle in some
            if (value := handle.last) is not None
            and not handle.writes
            and handle.queue is self._queue
        ]
        replies = iter(connection.pipe([c for *_, probe in asked for c in probe.commands]))
        for handle, value, probe in asked:
            found = [next(replies) for _ in probe.commands]
            if found == probe.if_held and not handle.is_lost:
                continue
            if handle.last is value:
                self._settle_difference(handle, found, found == probe.if_held)

    def _settle_difference(self, handle: Handle, found: list[Reply], seems_held: bool) -> None:
        """Decide on a value that the server has not, or that it seems to have again."""
        error = next((reply for reply in found if isinstance(reply, redis.ResponseError)), None)
        is_missing = not any(any(reply) if isinstance(reply, list) else reply for reply in found)
        if error is None:
            if seems_held and handle.may_read:
                handle.is_lost = False
            elif is_missing or not handle.may_read or self._may_overwrite(handle):
                handle.may_read = True
                self._queue.write_again(handle)
        elif code_of(error) == 'NOPERM':
            handle.may_read = not handle.may_read
            if handle.is_lost:
                self._queue.write_again(handle)  # the server may take it now
        elif code_of(error) == 'WRONGTYPE' and not handle.is_mirrored:
            handle.is_lost = True
            self._reject(handle, error)

    def _may_overwrite(self, handle: Handle) -> bool:
        """Return whether to overwrite the value of another client.

        Two bridges with one key would otherwise do that to each other for ever.
        """
        if handle.is_mirrored:
            return False
        now = time.monotonic()
        if handle.overwrites <= OVERWRITES:
            if now - handle.overwritten_at > OVERWRITES_WITHIN_S:
                handle.overwrites = 0
            handle.overwrites += 1
            handle.overwritten_at = now
            if handle.overwrites <= OVERWRITES:
                return True
            self._log.warning(
                '%s: another client writes it as well; from now on the last one to write counts. '
                'Give each writer a name of its own', handle,
            )  # fmt: skip
        handle.is_lost = True
        return False
