# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Streams as a member of a consumer group: an entry is acknowledged once it is dealt with.

Reading never waits for that. What its receiver has no room for yet stays in the group's list of
pending entries, and is read again from there.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, Protocol

import redis

from redis_bridge.log_once import WARN_EVERY_S
from redis_bridge.protocol import keys
from redis_bridge.protocol.names import slot_problem
from redis_bridge.protocol.stream_ids import StreamId, id_number, id_text
from redis_bridge.redis_io.connection import Connection
from redis_bridge.redis_io.group_commands import (
    NO_GROUP,
    create_command,
    group_info,
    letter_command,
    read_command,
)
from redis_bridge.redis_io.resp import code_of, is_readonly
from redis_bridge.redis_io.source import Setup, SourceReceiver
from redis_bridge.redis_io.stream_source import (
    ACK_WAIT_MS,
    COUNT,
    Entry,
    Followed,
    Info,
    StreamReading,
    before,
)

NO_ROOM_MS = 10  # how often receivers that wait for subscribers to acknowledge are asked again
NO_SUBSCRIBERS_MS = 200  # how often receivers without subscribers are asked again
HELD_BYTES = 16 << 20  # of a stream's entries that are not acknowledged, and one entry more
ENTRY_BYTES = 1000  # about what an empty entry takes in memory
DEAD_RETRY_S = 1.0
DEAD_NAMED = 10  # in one line of the log


class Delivery(NamedTuple):
    """An entry of a group, to be acknowledged by its receiver, from any thread.

    With True if it is done, with False if it is given up as invalid, with None if it is to be
    handed on again.
    """

    entry: Entry
    acknowledge: Callable[[bool | None], None]


class GroupReceiver(SourceReceiver, Protocol):
    """What follows one stream as a member of a group."""

    def room(self) -> int:
        """Acknowledge what is done by now; return how many entries may be handed on."""

    def receive(self, deliveries: list[Delivery]) -> None:
        """Take entries, oldest first."""


class Member(Followed[GroupReceiver]):
    """A stream that is read as a member of a group."""

    def __init__(self, name: bytes, receiver: GroupReceiver) -> None:
        super().__init__(name, receiver)
        self.pending_from: bytes | None = b'0-0'  # our own pending entries come first; None: done
        self.held: dict[bytes, int] = {}  # id -> bytes, of what was handed on and is pending
        self.held_bytes = 0
        self.room = 0
        self.has_group = False  # has ever been there
        self.last: StreamId = (0, 0)  # that the group was given
        self.gone: int | None = None  # entries trimmed before a group that was given none
        self.trimmed_reported: StreamId | None = None
        self.letter_error: redis.ResponseError | None = None  # of the last one not stored
        self.letters_warn_at = 0.0  # when such are logged again

    def has_room(self) -> bool:
        """Return whether an entry may be handed on."""
        return self.room > 0 and self.held_bytes < HELD_BYTES

    def hold(self, entry: Entry) -> None:
        """Note that an entry is handed on."""
        self.room -= 1
        self.held[entry.id] = size = entry.size + ENTRY_BYTES
        self.held_bytes += size

    def release(self, entry: Entry) -> None:
        """Note that an entry is pending no more, or is to be handed on again."""
        self.held_bytes -= self.held.pop(entry.id, 0)


@dataclass
class _Done:
    """An entry that its receiver is done with; see Delivery."""

    member: Member
    entry: Entry
    verdict: bool | None = True
    is_reported: bool = False  # that its dead letter cannot be stored


class GroupSource(StreamReading[GroupReceiver, Member]):
    """XREADGROUP."""

    def __init__(
        self, role: str, setup: Setup, *, group: str, consumer: str, log: logging.Logger
    ) -> None:
        super().__init__(role, setup)
        self._is_slotted = setup.address.slot_of('') is not None
        self._group = group
        self._consumer = consumer
        self._log = log
        self._done: deque[_Done] = deque()  # filled by other threads too
        self._letters: deque[_Done] = deque()  # given up, and not stored as dead letters yet
        self._letters_at = 0.0
        self._unacknowledged: deque[_Done] = deque()  # done, XACK is to be sent

    def _followed(self, name: bytes, receiver: GroupReceiver) -> Member:
        return Member(name, receiver)

    def _session(self, connection: Connection) -> None:
        for member in self._streams.values():
            member.pending_from = b'0-0'
        super()._session(connection)
        for member in self._streams.values():
            member.receiver.room()
        self._settle(connection)

    def _look(self, connection: Connection) -> None:
        infos = self._infos(connection, self._streams.values())
        replies = connection.pipe([('XINFO', 'GROUPS', member.name) for member, _ in infos])
        for (member, info), reply in zip(infos, replies):
            ours = group_info(reply, self._group)
            if self._is_slotted and (problem := _slot_problem(member)):
                self._mark(member, redis.ResponseError(problem))
            elif ours is None:
                self._create(connection, member, info)
            else:
                member.has_group = True
                self._check(member, info, ours)
                self._mark(member, None)

    def _create(self, connection: Connection, member: Member, info: Info) -> None:
        """Create the group."""
        try:
            connection.call(*create_command(member.name, self._group))
        except redis.ResponseError as error:
            self._mark(member, None if code_of(error) == 'BUSYGROUP' else error)
            return
        self._mark(member, None)
        gone = None if info.added is None else info.added - info.length
        if member.has_group:
            # A stream that still has what was read was not deleted, only its group was.
            is_other = info.first is None or info.first > member.last
            missed = gone if is_other else None
            member.receiver.gap(missed or None, 'the stream or its group was deleted')
        member.has_group = True
        member.last, member.gone, member.pending_from = (0, 0), gone, None

    def _check(self, member: Member, info: Info, group: dict[bytes, Any]) -> None:
        """Look for entries that were trimmed before the group was given them."""
        member.last = delivered = id_number(group[b'last-delivered-id'])
        gone = None if info.added is None else info.added - info.length
        if delivered == (0, 0):
            if gone is not None and member.gone is not None and gone > member.gone:
                member.receiver.gap(gone - member.gone, 'trimmed before they were read')
                member.gone = gone
            return
        if info.first is None or delivered >= info.first:
            return
        # Nothing is left of what the group was given, trimmed or deleted as done in a queue.
        added, read = info.ever_added, group.get(b'entries-read')
        missed = None if added is None or read is None else added - info.length - read
        if missed != 0 and member.trimmed_reported != delivered:
            member.trimmed_reported = delivered
            member.receiver.gap(missed, 'trimmed before they were read')

    def _read(self, connection: Connection, block_ms: int) -> None:
        for member in self._streams.values():
            member.room = member.receiver.room()
        self._settle(connection)
        ready = [m for m in self._streams.values() if m.is_readable and m.has_room()]
        block_ms = self._block_ms(block_ms, ready)
        if not ready:
            connection.pause(block_ms / 1000, self.thread.waker)
            return
        for member in ready:
            if member.pending_from is not None:
                self._read_streams(connection, [member], 0)
        fresh = [m for m in ready if m.pending_from is None and m.has_room()]
        if fresh:
            is_behind = any(member.pending_from is not None for member in ready)
            self._read_streams(connection, fresh, 0 if is_behind else block_ms)
        self._settle(connection)

    def _block_ms(self, longest_ms: int, ready: list[Member]) -> int:
        """Return for how long a read may block while other things may become due."""
        others = [member for member in self._streams.values() if member not in ready]
        if any(member.held for member in others):
            return min(longest_ms, NO_ROOM_MS)
        if self._done or any(member.held for member in ready):
            return min(longest_ms, ACK_WAIT_MS)
        return min(longest_ms, NO_SUBSCRIBERS_MS) if others else longest_ms

    def _read_streams(
        self, connection: Connection, members: Sequence[Member], block_ms: int
    ) -> None:
        """Read streams, and hand on what there is room for."""
        places = [(member.name, member.pending_from or b'>') for member in members]
        count = min(self._count, max(member.room for member in members))
        command = read_command(self._group, self._consumer, places, count, block_ms)
        by_name = {member.name: member for member in members}
        full = set()
        try:
            for name, entries in self._ask(connection, command, block_ms):
                member = by_name[name]
                if member not in full and not self._hand_on(member, entries):
                    full.add(member)
        except redis.ResponseError as error:
            self._look(connection)
            if code_of(error) not in NO_GROUP and all(member.is_readable for member in members):
                raise

    def _hand_on(self, member: Member, entries: list[Entry]) -> bool:
        """Hand on entries; return whether there was room for all."""
        deliveries = []
        free = len(entries)
        for number, entry in enumerate(entries):
            if entry.id in member.held:  # read again as pending
                continue
            if entry.fields is None:
                member.receiver.gap(1, f'{entry.id.decode()} was trimmed before it was done')
                self._unacknowledged.append(_Done(member, entry))
            elif entry in member.seen:  # done before; the server came back without knowing
                self._unacknowledged.append(_Done(member, entry))
            elif member.has_room():
                member.hold(entry)
                deliveries.append(Delivery(entry, partial(self._mark_done, member, entry)))
            else:
                free = number
                break
        if free < len(entries):
            member.pending_from = _before(entries[free])
        elif member.pending_from is not None:
            member.pending_from = entries[-1].id if entries else None
        if entries:
            member.last = max(member.last, id_number(entries[-1].id))
        if deliveries:
            member.receiver.receive(deliveries)
        return free == len(entries)

    def _mark_done(self, member: Member, entry: Entry, verdict: bool | None) -> None:
        """Queue what is to be done with an entry; may be called from any thread."""
        self._done.append(_Done(member, entry, verdict))
        self.thread.waker.set()

    def _settle(self, connection: Connection) -> None:
        """Acknowledge what is done; it is kept until the server has replied."""
        while self._done:
            done = self._done.popleft()
            if done.verdict is None:
                self._give_back(done.member, done.entry)
            else:
                (self._unacknowledged if done.verdict else self._letters).append(done)
        self._store_letters(connection)
        while self._unacknowledged:
            some = list(islice(self._unacknowledged, COUNT))
            replies = connection.pipe([
                ('XACK', done.member.name, self._group, done.entry.id) for done in some
            ])  # fmt: skip
            for done, reply in zip(some, replies):
                if is_readonly(reply):
                    raise reply  # the next connection finds the primary
                self._unacknowledged.popleft()
                done.member.release(done.entry)
                if done.entry.fields is not None:
                    done.member.seen.add(done.entry)
                if isinstance(reply, redis.ResponseError):
                    self._log.warning('group %s: %s', self._group, self.thread.redact(reply))

    def _give_back(self, member: Member, entry: Entry) -> None:
        """Have an entry read, and handed on, again."""
        member.release(entry)
        place = member.pending_from
        if place is None or id_number(entry.id) <= id_number(place):
            member.pending_from = _before(entry)

    def _store_letters(self, connection: Connection) -> None:
        """Store what was given up as dead letters; what cannot be stored now stays pending."""
        while self._letters and time.monotonic() >= self._letters_at:
            some = list(islice(self._letters, COUNT))
            replies = connection.pipe([
                letter_command(d.member.name, d.entry.id, d.entry.fields or ()) for d in some
            ])  # fmt: skip
            failed: dict[Member, list[_Done]] = {}
            for done, reply in zip(some, replies):
                self._letters.popleft()
                if not isinstance(reply, redis.ResponseError):
                    self._unacknowledged.append(done)
                    continue
                self._letters.append(done)
                self._letters_at = time.monotonic() + DEAD_RETRY_S
                done.member.letter_error = reply
                if not done.is_reported:
                    failed.setdefault(done.member, []).append(done)
            for member, entries in failed.items():
                self._report_unstored(member, entries)

    def _report_unstored(self, member: Member, entries: Sequence[_Done]) -> None:
        """Log which entries cannot be stored, in one line now and then, however many they are."""
        now = time.monotonic()
        if now < member.letters_warn_at or member.letter_error is None:
            return
        member.letters_warn_at = now + WARN_EVERY_S
        for done in entries:
            done.is_reported = True
        ids = ', '.join(done.entry.id.decode() for done in entries[:DEAD_NAMED])
        more = f' and {len(entries) - DEAD_NAMED} more' if len(entries) > DEAD_NAMED else ''
        name = member.name.decode()
        self._log.warning(
            'stream %s: these stay pending, because they cannot be stored in %s: %s%s: %s',
            name, keys.dead_stream(name), ids, more, self.thread.redact(member.letter_error),
        )  # fmt: skip


def _slot_problem(member: Member) -> str | None:
    name = member.name.decode()
    return slot_problem(name, keys.dead_stream(name))


def _before(entry: Entry) -> bytes:
    """Return the place from which an entry is read as the first one."""
    return id_text(before(id_number(entry.id))).encode()
