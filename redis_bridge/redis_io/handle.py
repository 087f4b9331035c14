# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""One sink: its writes that wait, and what is known of its last value."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redis_bridge.counters import Counters
from redis_bridge.mapping.model import SinkConfig, StreamSinkConfig
from redis_bridge.ports import Payload, Write
from redis_bridge.protocol.meta import Meta
from redis_bridge.protocol.stream_ids import IdSource, StreamId
from redis_bridge.redis_io.commands import SINK_COMMANDS, Probe
from redis_bridge.redis_io.connection import Command, pack_prefix

LATE_S = 0.05

if TYPE_CHECKING:
    from redis_bridge.redis_io.write_queue import WriteQueue


class Handle:
    """One sink: how its writes wait, and what becomes of them; see `ports.Sink`.

    Nothing else holds its state: it goes with the last reference to the handle or to its writes.
    """

    def __init__(
        self,
        queue: WriteQueue,
        config: SinkConfig,
        counters: Counters,
        ids: IdSource | None,
        is_mirrored: bool,
    ) -> None:
        self.name = config.name
        self.counters = counters
        self.ids = ids  # of a stream
        self.keeps_latest = not config.is_event
        self.at_most_once = config.redis_type is None
        self.durability = config.durability
        self.maxlen = config.maxlen if isinstance(config, StreamSinkConfig) else 0
        self.ttl_ms = config.ttl_ms
        self.is_mirrored = is_mirrored
        longest_ms = config.max_wait_ms
        self.max_wait_s = math.inf if longest_ms is None else longest_ms / 1000
        self.commands = SINK_COMMANDS[type(config)](config)
        self.expires_apart = self.commands.expires_apart and config.ttl_ms is not None
        self.writes: deque[PendingWrite] = deque()  # that wait, oldest first; no renewals
        self.size = 0  # of these in bytes
        self.is_renewing = False  # a renewal of the time to live waits
        # Of a key or hash: the newest value that was sent or has expired, as of when it is valid,
        # and whether the server does not hold it.
        self.last: PendingWrite | None = None
        self.valid_at = 0.0  # monotonic
        self.is_lost = False
        self.may_read = True  # else only the existence of the name can be checked
        self.overwrites = 0  # by other clients in a row
        self.overwritten_at = 0.0
        self._probe: tuple[PendingWrite, Probe] | None = None
        self.problem: str | None = None  # why the server rejected the last write
        self._label = f'{config.kind} {config.name}'
        self.queue = queue  # another one if the name moves to another server

    def __str__(self) -> str:
        return self._label

    def write(self, writes: Sequence[Write], *, flush: bool = True) -> None:
        self.queue.put(self, writes, flush=flush)

    def flush(self) -> None:
        self.queue.flush()

    def renew(self) -> bool:
        return self.queue.renew(self)

    def holds(self) -> bool:
        return not self.is_lost

    def has_expired(self, now: float) -> bool:
        """Return whether the time to live of the last value is over."""
        return self.ttl_ms is not None and now - self.valid_at >= self.ttl_ms / 1000

    def probe(self, value: PendingWrite) -> Probe:
        """Return what asks whether the server still has the last value."""
        if not self.may_read or value.payload is None:
            return self.commands.existence()
        if self._probe is None or self._probe[0] is not value:
            commands, if_held = self.commands.probe(value.payload)
            packed = [(pack_prefix(command, len(command)),) for command in commands]
            self._probe = value, Probe(packed, if_held)
        return self._probe[1]

    def state(self) -> str:
        if self.problem is not None:
            return f'error: {self}: {self.problem}'
        return self.queue.state_of(self)

    def close(self) -> None:
        self.queue.release(self)


@dataclass(eq=False, slots=True)
class PendingWrite:
    """One payload on its way to one sink."""

    handle: Handle
    payload: Payload | None  # None: only the time to live is to be renewed
    meta: Meta | None
    size: int  # of the payload
    queued_at: float  # monotonic seconds
    then: Callable[[], None] | None = None  # called once it is stored
    order: int = 0  # counts up as writes are queued; 0: given up
    entry_id: StreamId | None = None  # of a stream, from the first attempt on
    acknowledged_at: float = 0.0  # when the server took it, if it did
    failed_attempts: int = 0  # connections that ended while it was under way
    is_again: bool = False  # its sample was counted before

    def command(self) -> Command:
        """Return what carries it out."""
        if self.payload is None:
            return self.expiry()
        if self.is_again or self._is_late():
            return self.handle.commands.again(self.payload, self._ttl_left_ms())
        return self.handle.commands.command_for(self.payload, self.meta, self.entry_id)

    def expiry(self) -> Command:
        """Return what limits its life, where that takes a command of its own."""
        return self.handle.commands.renewal(self._ttl_left_ms() or 1)

    def is_kept(self) -> bool:
        """Return whether it waits while Redis is away or stores nothing."""
        return not self.handle.at_most_once and self.payload is not None

    def drop(self, reason: str) -> None:
        """Count it as given up, unless it was counted before."""
        if self.payload is not None and not self.acknowledged_at and not self.is_again:
            self.handle.counters.drop(reason)

    def _is_late(self) -> bool:
        """Return whether it waited so long that the rest of its time to live counts."""
        return self.handle.ttl_ms is not None and time.monotonic() - self.queued_at > LATE_S

    def _ttl_left_ms(self) -> int | None:
        """Return what is left of the time to live; None if there is none."""
        ttl_ms = self.handle.ttl_ms
        age_s = time.monotonic() - self.queued_at
        return None if ttl_ms is None else max(1, ttl_ms - int(age_s * 1000))
