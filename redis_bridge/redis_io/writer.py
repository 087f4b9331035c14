# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The thread that writes to Redis what waits in the queue.

No write is repeated blindly. A stream's entries carry ids that we chose, so that the server
rejects the same entry a second time. What a server that came back has lost is written again, see
`replay` for streams and `restore` for keys and hashes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import redis

from redis_bridge.counters import Counters
from redis_bridge.log_once import LogOnChange
from redis_bridge.mapping.model import SinkConfig
from redis_bridge.mapping.redis_url import Host
from redis_bridge.ports import Sink
from redis_bridge.protocol.stream_ids import IdSource
from redis_bridge.redis_io.address import Address
from redis_bridge.redis_io.clock import Clock
from redis_bridge.redis_io.connection import Command, Connection
from redis_bridge.redis_io.connection_thread import ConnectionThread
from redis_bridge.redis_io.handle import Handle, PendingWrite
from redis_bridge.redis_io.health import Health
from redis_bridge.redis_io.replay import Recovery, StreamState, count_event, count_stored
from redis_bridge.redis_io.resp import Ask, Moved, Reply, code_of, is_redirected
from redis_bridge.redis_io.restore import Restorer
from redis_bridge.redis_io.source import Gate
from redis_bridge.redis_io.transaction import ABORTED, all_or_none, replies
from redis_bridge.redis_io.write_queue import WriteQueue

# A server that finds a value too big (proto-max-bulk-len) may only close the connection. So that
# one value does not keep all others from being written, a big one is not tried for ever.
BIG_BYTES = 256 << 10
BIG_ATTEMPTS = 3
SERVER = 'Redis'  # as the subject of problems that concern all names
REDIRECT_PAUSE_S = 0.02  # after a server that another one has named did not take a write either
DURABLE_MS = 1000  # how long a batch may wait for its replica or its fsync

# The server cannot now, but will; what it rejected is written again.
RETRY = {
    'OOM', 'READONLY', 'BUSY', 'MISCONF', 'NOREPLICAS', 'MASTERDOWN', 'CLUSTERDOWN', 'TRYAGAIN',
}  # fmt: skip
HINTS = {
    'WRONGTYPE': 'another kind of key has this name; delete it, or choose another name',
    'NOPERM': 'the Redis user lacks a right; see ACL LOG on the server',
    'OOM': 'the server is out of memory; raise maxmemory or lower maxlen and ttl_ms',
    'MISCONF': 'the server cannot save to its disk; see its log',
    'READONLY': 'this server is a replica; give the address of the primary',
    'NOREPLICAS': 'the server waits for replicas (min-replicas-to-write)',
}
DURABLE_COMMANDS: dict[str, Command] = {
    'replicated': ('WAIT', 1, DURABLE_MS),
    'fsynced': ('WAITAOF', 1, 0, DURABLE_MS),
}


class Writer:
    """Writes for all sinks, over one connection."""

    def __init__(
        self,
        role: str,
        address: Address,
        gate: Gate,
        clock: Clock,
        health: Health,
        log: logging.Logger,
    ) -> None:
        self.role = role
        self._gate = gate
        self._clock = clock
        self._address = address
        self._is_slotted = address.slot_of('') is not None
        self._health = health
        self._log = log
        self._at_work = threading.Lock()  # held while writes are under way
        self._visits: dict[Host, Connection] = {}  # to servers that were named by another one
        self._timing = timing = address.timing
        self._in_flight: deque[PendingWrite] = deque()  # sent, not yet answered
        self._doubtful: deque[PendingWrite] = deque()  # rejected as not new; perhaps stored
        self._to_retry: list[PendingWrite] = []  # answered, and to be written again
        self._answered_at = 0.0  # monotonic, when the server did that last, roughly
        self._paused_until = 0.0  # while the server stores nothing
        self._pause_s = timing.retry_first_s
        self._problems: dict[str, LogOnChange] = {}  # by subject
        self._stores_nothing: str | None = None  # the code of the reason, though it is connected
        self._thread = ConnectionThread(
            role, address, self._session, health=health,
            is_idle=lambda: not address.is_needed() and not self._queue,
        )  # fmt: skip
        self._queue = WriteQueue(self._thread.waker.set, self._state_of)
        self._recovery = Recovery(self._queue, log)
        self._restorer = Restorer(self._queue, self._report_rejected, timing.check_s, log)

    def open_sink(self, config: SinkConfig, counters: Counters, *, is_mirrored: bool) -> Sink:
        """Return the sink for a Redis name."""
        return self._queue.open(config, counters, is_mirrored=is_mirrored)

    def hand_over(self, writer_of: Callable[[str], Writer]) -> None:
        """Give the sinks whose names are another writer's to that one, with what waits.

        It waits for the server's replies only if there are any.
        """
        new = [(handle, writer_of(handle.name)) for handle in self._queue.opened()]
        moving = [(handle, writer) for handle, writer in new if writer is not self]
        if moving:
            with self._at_work:
                for handle, writer in moving:
                    self._queue.move(handle, writer._queue)
                    if entries := self._recovery.buffer.take(handle.name):
                        writer.adopt(entries)
        self._thread.waker.set()  # it may be idle from now on

    def adopt(self, entries: list[PendingWrite]) -> None:
        """Take over entries of a stream that were acknowledged lately."""
        with self._at_work:
            self._recovery.buffer.adopt(entries)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def state(self) -> str:
        """Return 'connected', or why nothing is written."""
        state = self._health.state(self.role)
        problem = self._problem() if state == 'connected' else None
        return state if problem is None else f'connected, but {problem}'

    def _state_of(self, handle: Handle) -> str:
        """Return 'open', or why no writes of a sink are sent."""
        state = self._health.state(self.role)
        if state != 'connected':
            return f'Redis: {state}'
        return self._problem(is_message=handle.at_most_once) or 'open'

    def _problem(self, *, is_message: bool = False) -> str | None:
        """Return why nothing is written, though we are connected."""
        reason = self._gate.why_closed()
        if reason is not None:
            return f'closed: {reason}'
        if self._stores_nothing is None or is_message:  # which such a server takes still
            return None
        return f'nothing is stored: {self._stores_nothing}'

    def on_claim_change(self, *, is_standby: bool) -> None:
        """Go on, now that the gate is open again, or let the other bridge write."""
        self._queue.stand_by(is_standby)
        self._thread.waker.set()

    def close(self, flush_s: float) -> None:
        """Write what waits, for so long; drop the rest; end the thread."""
        # Without a connection now, there is little hope for one.
        longest_s = flush_s if self._queue.close() else min(flush_s, 0.2)
        self._thread.close(time.monotonic() + longest_s)
        self._queue.clear()

    # --- the thread -----------------------------------------------------------------------------
    def _session(self, connection: Connection) -> None:
        if self._address.keeps_time:
            self._clock.measure(connection)
        with self._at_work:
            self._queue.connect(self._recovery.find_lost(connection))
        self._answered_at = time.monotonic()
        try:
            self._thread.mark_connected()
            self._restorer.begin_anew()
            self._write_all(connection)
        finally:
            with self._at_work:
                self._on_disconnect()
            for visit in self._visits.values():
                visit.close()
            self._visits.clear()

    def _write_all(self, connection: Connection) -> None:
        ping_at = time.monotonic() + self._timing.ping_s
        while True:
            is_open = self._gate.term() is not None
            is_paused = self._is_paused()
            is_due = is_open and time.monotonic() >= self._restorer.due_at
            with self._at_work:
                if is_due and not self._thread.closing.is_set():
                    self._restorer.check(connection)
                batch = self._queue.take(is_paused=is_paused) if is_open else []
                try:
                    for part in self._parts(batch) if batch else ():
                        self._write(connection, part)
                except BaseException:  # before a sink with writes under way can be handed over
                    self._on_disconnect()
                    raise
            if batch:
                self._answered_at = time.monotonic()
                ping_at = self._answered_at + self._timing.ping_s
            elif self._is_done(is_open):
                return
            elif time.monotonic() >= ping_at:
                connection.pipe([('PING',)])  # an error is an answer too
                self._answered_at = time.monotonic()
                ping_at = self._answered_at + self._timing.ping_s
            elif not is_open or self._queue.sleep(is_paused=is_paused):
                until = min(ping_at, self._restorer.due_at) if is_open else ping_at
                if is_paused:
                    until = min(until, self._paused_until)
                if connection.wait(until - time.monotonic(), self._thread.waker):
                    raise redis.ConnectionError(f'unexpected reply {connection.reply()!r:.60}')

    def _is_done(self, is_open: bool) -> bool:
        if self._thread.closing.is_set():
            return is_open or not self._queue
        return not self._address.is_needed() and not self._queue

    def _parts(self, batch: list[PendingWrite]) -> list[list[PendingWrite]]:
        """Return a batch in parts: what expires apart is watched, in one slot at a time."""
        if not self._is_slotted:
            return [batch]
        slots: dict[int | None, list[PendingWrite]] = {}
        for write in batch:
            if write.handle.expires_apart:
                slots.setdefault(self._address.slot_of(write.handle.name), []).append(write)
        if len(slots) < 2:
            return [batch]
        others = [write for write in batch if not write.handle.expires_apart]
        return [part for part in (others, *slots.values()) if part]

    def _write(self, connection: Connection, batch: list[PendingWrite]) -> None:
        """Send a batch, and decide on each write by its reply."""
        alone: list[PendingWrite] = []
        expiring: list[PendingWrite] = []
        entries: list[PendingWrite] = []
        for write in batch:
            if write.handle.ids is not None:
                entries.append(write)
            elif write.handle.expires_apart:
                expiring.append(write)
            else:
                alone.append(write)
        blocks: list[list[PendingWrite]] = []
        if entries:
            blocks = self._blocks(self._with_ids(entries))
            entries = [write for block in blocks for write in block]
        self._in_flight += (*alone, *expiring, *entries)
        redirected: list[tuple[PendingWrite, Moved]] = []
        durable: dict[str, Command] = {}
        written: list[PendingWrite] = []
        gone: list[Handle] = []  # the names that were to be renewed
        stores_nothing: str | None = None
        try:
            commands = [write.command() for write in alone]
            if expiring:
                expiring = self._watched(connection, expiring)
                commands += all_or_none(
                    [c for write in expiring for c in (write.command(), write.expiry())]
                )
            if entries:
                kept = {write.handle.durability for write in entries} - {'memory'}
                durable = {how: DURABLE_COMMANDS[how] for how in kept}
                for block in blocks:
                    commands += all_or_none([write.command() for write in block])
                commands += durable.values()
            connection.send(commands)
            for reply in _answers(connection, len(alone), len(expiring), map(len, blocks)):
                write = self._in_flight.popleft()
                if not isinstance(reply, redis.ResponseError):
                    written.append(write)
                    if write.payload is None and reply == 0:
                        gone.append(write.handle)
                elif write.entry_id is not None and 'equal or smaller' in str(reply):
                    self._doubtful.append(write)
                elif reply is ABORTED:
                    self._postpone(write)
                elif isinstance(reply, Moved):
                    redirected.append((write, reply))
                elif write.is_kept() and code_of(reply) in RETRY:
                    stores_nothing = self._pause_writes(reply)
                    self._postpone(write)
                else:
                    self._reject(write, reply)
            self._redirect(redirected, written)
            for how in durable:
                self._check_durability(how, connection.reply(), written)
            while self._doubtful:
                self._resolve(connection, self._doubtful[0].handle.name, written)
        finally:
            self._acknowledge(written)
            for handle in gone:
                self._queue.write_again(handle)
        # A server that is out of memory accepts what is not kept.
        if stores_nothing is None and any(write.is_kept() for write in written):
            self._resume_writes()
        if self._to_retry:
            again, self._to_retry = self._to_retry, []
            self._queue.put_back(again)
        if stores_nothing == 'READONLY':
            raise redis.ConnectionError(f'READONLY: {HINTS["READONLY"]}')

    def _blocks(self, entries: list[PendingWrite]) -> list[list[PendingWrite]]:
        """Return the entries by the transactions that write them.

        In a cluster each stream has its own: of a slot that is being moved, several names may be
        at two nodes.
        """
        if not self._is_slotted:
            return [entries]
        streams: dict[str, list[PendingWrite]] = {}
        for write in entries:
            streams.setdefault(write.handle.name, []).append(write)
        return list(streams.values())

    def _redirect(
        self, redirected: list[tuple[PendingWrite, Moved]], written: list[PendingWrite]
    ) -> None:
        """Write at the servers that were named instead, until the names are another writer's."""
        failed: set[Handle] = set()
        silent: set[Host] = set()  # each costs time once, not once for each name
        for write, named in redirected:
            if named.host in silent:
                failed.add(write.handle)
            if write.handle in failed:  # so that their order is kept
                self._to_retry.append(write)
                continue
            try:
                reply = self._visit(named, write)
            except (redis.RedisError, OSError):
                if (visit := self._visits.pop(named.host, None)) is not None:
                    visit.close()
                silent.add(named.host)
                write.failed_attempts += 1
                reply = named
            if not isinstance(reply, redis.ResponseError):
                written.append(write)
                if write.handle.durability != 'memory':  # which nobody has waited for there
                    count_event('not_durable', [write])
            elif is_redirected(reply) or 'equal or smaller' in str(reply):
                failed.add(write.handle)
                self._to_retry.append(write)
                self._paused_until = max(self._paused_until, time.monotonic() + REDIRECT_PAUSE_S)
            else:
                self._reject(write, reply)

    def _visit(self, named: Moved, write: PendingWrite) -> Reply:
        """Return the reply of the server that another one has named."""
        if named.host not in self._visits:
            self._visits[named.host] = self._address.visit(named.host)
        visit = self._visits[named.host]
        asking: list[Command] = [('ASKING',)] if isinstance(named, Ask) else []
        reply = visit.pipe([*asking, write.command()])[-1]
        if write.handle.expires_apart and not isinstance(reply, redis.ResponseError):
            reply = visit.pipe([*asking, write.expiry()])[-1]
        return reply

    def _watched(self, connection: Connection, expiring: list[PendingWrite]) -> list[PendingWrite]:
        """Return the writes whose names are no keys of another type, and remain so until then.

        Otherwise the time to live would be that of a foreign key.
        """
        if not expiring:
            return []
        names = [write.handle.name for write in expiring]
        questions: list[Command] = [('HMGET', name, '') for name in names]
        _, *found = connection.pipe([('WATCH', *names), *questions])
        free = []
        for write, reply in zip(expiring, found):
            if isinstance(reply, redis.ResponseError) and code_of(reply) == 'WRONGTYPE':
                self._in_flight.remove(write)
                self._reject(write, reply)
            else:
                free.append(write)
        if not free:
            connection.pipe([('UNWATCH',)])
        return free

    def _on_disconnect(self) -> None:
        """Keep or drop what was under way when the connection ended."""
        for write in self._in_flight:
            write.failed_attempts += 1
            if write.failed_attempts >= BIG_ATTEMPTS and write.size >= BIG_BYTES:
                write.drop('refused')
                self._queue.lose(write, for_good=True)
                self._log.warning(
                    '%s: dropped a write of %d bytes: %d connections ended while it was under way',
                    write.handle, write.size, write.failed_attempts,
                )  # fmt: skip
            else:
                self._to_retry.append(write)
        unfinished, self._to_retry = [*self._doubtful, *self._to_retry], []
        self._doubtful.clear()
        self._in_flight.clear()
        self._recovery.on_disconnect(unfinished, self._answered_at)

    # --- what replies mean ----------------------------------------------------------------------
    def _acknowledge(self, written: list[PendingWrite]) -> None:
        for write in written:
            if write.handle.problem is not None and write.payload is not None:
                write.handle.problem = None
                self._solve(str(write.handle), 'is written again')
        self._recovery.acknowledge(written, time.monotonic())

    def _reject(self, write: PendingWrite, error: redis.ResponseError) -> None:
        self._report_rejected(write.handle, error)
        if write.entry_id is not None and write.acknowledged_at:  # the server had it, and lost it
            write.handle.counters.count_event('missed')
            write.acknowledged_at = 0.0  # nothing to be written again
        else:
            write.drop('refused')
            self._queue.lose(write)

    def _retry(self, write: PendingWrite) -> None:
        """Have a write tried again that the server has certainly not taken."""
        write.entry_id = None
        self._to_retry.append(write)

    def _postpone(self, write: PendingWrite) -> None:
        """Have a write tried again that the server has not taken this time."""
        if write.failed_attempts:  # then it may have taken it before
            self._to_retry.append(write)
        else:
            self._retry(write)

    def _is_paused(self) -> bool:
        return self._paused_until > time.monotonic()

    def _pause_writes(self, error: redis.ResponseError) -> str:
        """Write nothing that is kept for a moment; return the error's code."""
        code = code_of(error)
        text = f'{self._thread.redact(error)} ({HINTS.get(code, code)})'
        self._stores_nothing = code
        self._report(SERVER, f'stores nothing: {text}')
        if not self._is_paused():
            self._paused_until = time.monotonic() + self._pause_s
            self._pause_s = min(2 * self._pause_s, self._timing.retry_max_s)
        return code

    def _resume_writes(self) -> None:
        self._solve(SERVER, f'stores again, after {self._stores_nothing}')
        self._stores_nothing = None
        self._pause_s = self._timing.retry_first_s

    def _check_durability(self, how: str, reply: Reply, written: list[PendingWrite]) -> None:
        subject = f'streams with durability {how}'
        has_failed = isinstance(reply, redis.ResponseError)
        reached = 0 if has_failed else reply[0] if isinstance(reply, list) else reply
        if reached >= 1:
            self._solve(subject, 'durable again')
            return
        reason = self._thread.redact(reply) if has_failed else f'not within {DURABLE_MS} ms'
        self._report(subject, f'not durable: {reason}')
        count_event('not_durable', (w for w in written if w.handle.durability == how))

    def _report_rejected(self, handle: Handle, error: redis.ResponseError) -> None:
        hint = HINTS.get(code_of(error), 'nothing is written there')
        handle.problem = f'{self._thread.redact(error)} ({hint})'
        self._report(str(handle), handle.problem)

    def _report(self, subject: str, text: str) -> None:
        """Log a problem, unless the subject had the same one before."""
        problem = self._problems.setdefault(subject, LogOnChange(self._log, subject))
        problem.update(text, logging.WARNING)

    def _solve(self, subject: str, text: str) -> None:
        """Log that a subject has no problem any more, if it had one."""
        problem = self._problems.pop(subject, None)
        if problem is not None:
            problem.update(text)

    # --- streams --------------------------------------------------------------------------------
    def _with_ids(self, entries: list[PendingWrite]) -> list[PendingWrite]:
        """Return the entries to be sent now with their ids, of each stream only one block.

        An entry that may be stored keeps its id. What follows it in its stream waits: if others
        write the stream, the server may reject the one and take the other.
        """
        sent: list[PendingWrite] = []
        blocks: dict[IdSource | None, list[PendingWrite]] = {}
        held: set[IdSource | None] = set()
        for write in entries:
            ids = write.handle.ids
            block = blocks.setdefault(ids, [])
            if ids in held or (block and (block[0].entry_id is None) != (write.entry_id is None)):
                held.add(ids)
                self._to_retry.append(write)
            else:
                block.append(write)
                sent.append(write)
        now_ms = int(self._clock.now() * 1000)
        for ids, block in blocks.items():
            if ids is not None and block[0].entry_id is None:
                for write, entry_id in zip(block, ids.next_ids(now_ms, len(block))):
                    write.entry_id = entry_id
        return sent

    def _resolve(self, connection: Connection, name: str, written: list[PendingWrite]) -> None:
        """Decide on entries that are rejected as not new: they are stored, or get new ids."""
        entries = [write for write in self._doubtful if write.handle.name == name]
        [info] = connection.pipe([('XINFO', 'STREAM', name)])
        state = StreamState.of(info)
        stored = 0
        if state is not None and any(write.failed_attempts for write in entries):
            stored = count_stored(connection, entries, state)
        self._doubtful = deque(write for write in self._doubtful if write.handle.name != name)
        if is_redirected(info):  # it is for another writer to find out
            self._to_retry += entries
            return
        written += entries[:stored]
        for write in entries[stored:]:
            if state is None:
                self._reject(write, info)
            else:  # another writer came before
                if write.handle.ids is not None:
                    write.handle.ids.advance(state.last)
                self._retry(write)


def _answers(
    connection: Connection, alone: int, expiring: int, blocks: Iterable[int]
) -> Iterator[Reply]:
    """Yield one reply to each write of a batch, in the order in which they were sent."""
    for _ in range(alone):
        yield connection.reply()
    if expiring:
        both = replies(connection, 2 * expiring)
        for written, expires in zip(both, both):
            yield written if isinstance(written, redis.ResponseError) else expires
    for entries in blocks:
        yield from replies(connection, entries)
