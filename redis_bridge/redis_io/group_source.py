# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Streams as a member of a consumer group: an entry is acknowledged once it is dealt with."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import redis

from redis_bridge.protocol import keys
from redis_bridge.protocol.stream_ids import StreamId, id_number
from redis_bridge.redis_io.connection import Command, Connection
from redis_bridge.redis_io.resp import code_of
from redis_bridge.redis_io.source import Setup, SourceReceiver
from redis_bridge.redis_io.stream_source import COUNT, Entry, Followed, Info, StreamReading

ACK_WAIT_MS = 50  # of a blocking read while entries may be acknowledged from other threads
NO_SUBSCRIBERS_MS = 200  # how often receivers without subscribers are asked again
REDELIVER_S = 10.0
DEAD_MAXLEN = 10_000


class Delivery(NamedTuple):
    """An entry of a group, to be acknowledged with True, or with False if given up as invalid."""

    entry: Entry
    acknowledge: Callable[[bool], None]


class GroupReceiver(SourceReceiver, Protocol):
    """What follows one stream as a member of a group."""

    def has_subscribers(self) -> bool:
        """Return whether entries may be taken from the group now."""

    def receive(self, deliveries: list[Delivery]) -> None:
        """Take all entries that waited, oldest first."""


class Member(Followed[GroupReceiver]):
    """A stream that is read as a member of a group."""

    def __init__(self, name: bytes, receiver: GroupReceiver) -> None:
        super().__init__(name, receiver)
        self.pending_from: bytes | None = b'0-0'  # our own pending entries come first; None: done
        self.unacknowledged: dict[bytes, float] = {}  # id -> when it is handed on again
        self.trimmed_reported: StreamId | None = None


class _Done(NamedTuple):
    """An entry that its receiver is done with."""

    member: Member
    entry: Entry
    is_good: bool


class GroupSource(StreamReading[GroupReceiver, Member]):
    """XREADGROUP."""

    def __init__(
        self,
        role: str,
        setup: Setup,
        *,
        group: str,
        consumer: str,
        log: logging.Logger,
        redeliver_s: float = REDELIVER_S,
    ) -> None:
        super().__init__(role, setup)
        self._group = group
        self._consumer = consumer
        self._log = log
        self._redeliver_s = redeliver_s
        self._done_lock = threading.Lock()
        self._done: deque[_Done] = deque()

    def _followed(self, name: bytes, receiver: GroupReceiver) -> Member:
        return Member(name, receiver)

    def _session(self, connection: Connection) -> None:
        for member in self._streams.values():
            member.pending_from = b'0-0'
        super()._session(connection)
        self._acknowledge(connection)

    def _look(self, connection: Connection) -> None:
        infos = self._infos(connection, self._streams.values())
        replies = connection.pipe([('XINFO', 'GROUPS', member.name) for member, _ in infos])
        for (member, info), reply in zip(infos, replies):
            ours = _group_info(reply, self._group)
            if ours is None:
                self._create(connection, member)
            else:
                self._check(member, info, ours)
        now = time.monotonic()
        for member in self._streams.values():
            # What was not acknowledged for long is read, and handed on, again.
            with self._done_lock:
                stale = [id_ for id_, until in member.unacknowledged.items() if until < now]
                for id_ in stale:
                    del member.unacknowledged[id_]
            if stale:
                member.pending_from = b'0-0'

    def _create(self, connection: Connection, member: Member) -> None:
        """Create the group at the stream's beginning: what is there is work to be done."""
        try:
            connection.call('XGROUP', 'CREATE', member.name, self._group, '0', 'MKSTREAM')
        except redis.ResponseError as error:
            if code_of(error) != 'BUSYGROUP':
                self._mark(member, error)
        member.pending_from = None

    def _check(self, member: Member, info: Info, group: dict[bytes, Any]) -> None:
        """Look for entries that were trimmed before the group was given them."""
        delivered = id_number(group[b'last-delivered-id'])
        if info.first is None or not (0, 0) < delivered < info.first:
            return
        read = group.get(b'entries-read')
        missed = None
        if read is not None and info.added is not None:
            missed = info.added - info.length - read
        if missed != 0 and member.trimmed_reported != delivered:
            member.trimmed_reported = delivered
            member.receiver.gap(missed, 'trimmed before they were read')

    def _read(self, connection: Connection, block_ms: int) -> None:
        self._acknowledge(connection)
        ready = [
            member
            for member in self._streams.values()
            if member.is_readable
            and len(member.unacknowledged) < COUNT
            and member.receiver.has_subscribers()
        ]
        if not ready:
            connection.pause(min(block_ms, NO_SUBSCRIBERS_MS) / 1000, self.thread.waker)
            return
        for member in ready:
            if member.pending_from is not None:
                for _, entries in self._ask_group(connection, [member], 0):
                    self._hand_on_pending(member, entries)
        fresh = [member for member in ready if member.pending_from is None]
        if fresh:
            block_ms = self._block_ms(block_ms, ready)
            for member, entries in self._ask_group(connection, fresh, block_ms):
                self._hand_on(member, entries)
        self._acknowledge(connection)

    def _block_ms(self, longest_ms: int, ready: list[Member]) -> int:
        """Return for how long a read may block while other things may become due."""
        if any(member.pending_from is not None for member in ready):
            return 0
        with self._done_lock:
            if self._done or any(member.unacknowledged for member in self._streams.values()):
                return min(longest_ms, ACK_WAIT_MS)
        all_ready = len(ready) == len(self._streams)
        return longest_ms if all_ready else min(longest_ms, NO_SUBSCRIBERS_MS)

    def _ask_group(
        self, connection: Connection, members: list[Member], block_ms: int
    ) -> list[tuple[Member, list[Entry]]]:
        places = [(member.name, member.pending_from or b'>') for member in members]
        command = read_command(self._group, self._consumer, places, block_ms)
        by_name = {member.name: member for member in members}
        try:
            answers = self._ask(connection, command, block_ms)
        except redis.ResponseError as error:
            is_gone = code_of(error) == 'NOGROUP'
            if is_gone:
                for member in members:
                    member.receiver.gap(None, 'the stream or its group was deleted')
            self._look(connection)
            if not is_gone and all(member.is_readable for member in members):
                raise
            return []
        return [(by_name[name], entries) for name, entries in answers]

    def _hand_on_pending(self, member: Member, entries: list[Entry]) -> None:
        """Hand on again what we had been given before and did not acknowledge."""
        member.pending_from = entries[-1].id if entries else None
        self._hand_on(member, [e for e in entries if e.id not in member.unacknowledged])

    def _hand_on(self, member: Member, entries: list[Entry]) -> None:
        deliveries = []
        until = time.monotonic() + self._redeliver_s
        for entry in entries:
            if entry.fields is None:
                member.receiver.gap(1, f'{entry.id.decode()} was trimmed before it was done')
                self._done.append(_Done(member, entry, True))
            elif entry in member.seen:  # done before; the server came back without knowing
                self._done.append(_Done(member, entry, True))
            else:
                with self._done_lock:
                    member.unacknowledged[entry.id] = until
                deliveries.append(Delivery(entry, partial(self._mark_done, member, entry)))
        if deliveries:
            member.receiver.receive(deliveries)

    def _mark_done(self, member: Member, entry: Entry, is_good: bool) -> None:
        """Queue an acknowledgement; may be called from any thread."""
        with self._done_lock:
            if member.unacknowledged.pop(entry.id, None) is None:
                return
            self._done.append(_Done(member, entry, is_good))
        self.thread.waker.set()

    def _acknowledge(self, connection: Connection) -> None:
        """Acknowledge what is done; it is kept until the server has replied."""
        while self._done:
            some = [self._done[i] for i in range(min(len(self._done), COUNT))]
            replies = connection.pipe([
                command
                for member, entry, is_good in some
                for command in done_commands(self._group, member.name, entry, is_good)
            ])  # fmt: skip
            for reply in replies:
                if isinstance(reply, redis.ResponseError):
                    self._log.warning('group %s: %s', self._group, self.thread.redact(reply))
            for member, entry, _ in some:
                self._done.popleft()
                if entry.fields is not None:
                    member.seen.add(entry)


def read_command(
    group: str, consumer: str, places: Sequence[tuple[bytes, bytes]], block_ms: int
) -> Command:
    """Return what reads streams from places: `>` for new entries, an id for pending ones."""
    block: Command = ('BLOCK', block_ms) if block_ms else ()
    streams = (*(name for name, _ in places), *(place for _, place in places))
    head = ('XREADGROUP', 'GROUP', group, consumer, 'COUNT', COUNT)
    return (*head, *block, 'STREAMS', *streams)


def done_commands(group: str, stream: bytes, entry: Entry, is_good: bool) -> list[Command]:
    """Return what acknowledges an entry, and keeps one that was given up as a dead letter."""
    commands: list[Command] = [('XACK', stream, group, entry.id)]
    if not is_good and entry.fields is not None:
        dead = keys.dead_stream(stream.decode())
        letter = (*entry.fields, b'id', entry.id)
        commands.insert(0, ('XADD', dead, 'MAXLEN', '~', DEAD_MAXLEN, '*', *letter))
    return commands


def _group_info(reply: Any, group: str) -> dict[bytes, Any] | None:
    """Return what XINFO GROUPS reports about a group; None if there is none of that name."""
    if isinstance(reply, redis.ResponseError):
        return None
    groups = (dict(zip(fields[::2], fields[1::2])) for fields in reply)
    return next((found for found in groups if found[b'name'] == group.encode()), None)
